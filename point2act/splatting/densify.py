"""Densification, i.e. splitting, duplicating and pruning of Gaussians, by gsplat's DefaultStrategy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from point2act.splatting.render import Rendered


@dataclass(frozen=True)
class DensifyConfig:
    """Splitting, duplicating and pruning of Gaussians (Kerbl et al. 2023, section 5.2)."""

    start: int = 200
    """First step at which the number of Gaussians may change."""
    stop: int = 900
    """Last step at which the number of Gaussians may change."""
    every: int = 100
    """Number of steps between two changes."""
    grow_grad2d: float = 4e-4
    """Gradient of the projected centre, per half image, above which a Gaussian is split or duplicated."""
    prune_opacity: float = 0.02
    """Opacity below which a Gaussian is removed."""
    max_gaussians: int = 60_000
    """Number of Gaussians above which there is only pruning."""


class Densifier:
    """Adapter between gsplat's strategy and the renderer of ``splatting.render``.

    Call ``watch`` with each rendered image before ``backward``, and ``step`` after the optimisers' step. The
    tensors of ``parameters`` and the optimisers' states are replaced in place by longer or shorter ones.
    """

    def __init__(
        self,
        config: DensifyConfig,
        parameters: dict[str, torch.nn.Parameter] | torch.nn.ParameterDict,
        optimizers: dict[str, torch.optim.Optimizer],
        *,
        scene_scale: float,
    ):
        """``scene_scale`` is the scene's radius in world units, the reference for large Gaussians."""
        from gsplat.strategy import DefaultStrategy

        self._config, self._parameters, self._optimizers = config, parameters, optimizers
        # Opacities are never reset: that suits hour-long fits, and would destroy a dense initialisation.
        self._strategy = DefaultStrategy(
            prune_opa=config.prune_opacity,
            grow_grad2d=config.grow_grad2d,
            refine_start_iter=config.start,
            refine_stop_iter=config.stop,
            refine_every=config.every,
            reset_every=10**9,
        )
        self._state: dict[str, Any] = self._strategy.initialize_state(scene_scale=scene_scale)
        self._rendered: Rendered | None = None

    def watch(self, rendered: Rendered) -> None:
        """Keep a rendered image, to read the gradients of its projected centres later."""
        rendered.means2d.retain_grad()
        self._rendered = rendered

    def step(self, step: int, values: Tensor | None = None) -> Tensor | None:
        """Accumulate the last image's gradients; split, duplicate and prune if ``step`` is due.

        Args:
            step: Number of steps taken.
            values: One row per Gaussian.

        Returns:
            ``values`` of the Gaussians that are left or new; new ones inherit them.
        """
        if self._rendered is None or self._rendered.means2d.grad is None:
            return values
        self._state["values"] = values
        if len(self._parameters["means"]) >= self._config.max_gaussians:
            self._strategy.grow_grad2d = float("inf")
        self._strategy.step_post_backward(
            self._parameters, self._optimizers, self._state, step + 1, _packed(self._rendered), packed=True
        )
        self._rendered = None
        return self._state.pop("values")


def _packed(rendered: Rendered) -> dict[str, Any]:
    """Return a rendered image as gsplat's packed format: visible Gaussians only, of one camera."""
    assert rendered.means2d.grad is not None
    on_screen = torch.nonzero(rendered.radii > 0).squeeze(-1)
    means2d = rendered.means2d.detach()[on_screen]
    means2d.grad = rendered.means2d.grad[on_screen]
    height, width = rendered.alpha.shape
    return {
        "means2d": means2d,
        "radii": rendered.radii[on_screen],
        "gaussian_ids": on_screen,
        "width": width,
        "height": height,
        "n_cameras": 1,
    }
