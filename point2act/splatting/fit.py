"""The short loop: Gaussians to posed images, without nerfstudio's trainer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from point2act.core.errors import SceneError
from point2act.core.types import Camera, GaussianScene, View
from point2act.splatting.densify import Densifier, DensifyConfig
from point2act.splatting.gaussians import activated, colors, to_parameters, to_scene
from point2act.splatting.losses import depth_loss, photometric
from point2act.splatting.nonfinite_steps import SkippedSteps, finite_only, is_finite
from point2act.splatting.render import Rendered, render

Progress = Callable[[int, int], None]

_STEPS_FROM_DEPTH, _STEPS = 600, 2000
_LEAST_ROUND = 20
"""Steps over which errors are averaged at least: those of single images differ."""


@dataclass(frozen=True)
class LearningRates:
    """Adam's first step sizes, chosen by PSNR per second from depth (the table in benchmarks/README.md)."""

    means: float = 0.1
    """In units of the median Gaussian's size, so that scenes of any scale behave alike."""
    scales: float = 0.1
    quats: float = 2e-2
    opacities: float = 5e-2
    features_dc: float = 1.5e-2
    features_rest: float = 2e-3


@dataclass(frozen=True)
class FitConfig:
    """How geometry and colour are fitted."""

    iterations: int | None = None
    """At most so many steps, one image each; by default 600 from depth, else 2000."""
    plateau: float = 0.02
    """A round over all images that lowers the error by less than this share of it has reached a plateau:
    all learning rates are halved ..."""
    final_rate: float = 0.1
    """... and when less than this share of them is left, the fit ends."""
    depth_weight: float = 1.5
    """Weight of the relative depth error beside the colour error."""
    sh_degree: int = 3
    """Degree of the spherical harmonics, 0 to 3: from 1 to 3 adds 0.3 to 1.3 dB and no time worth mention."""
    rates: LearningRates = field(default_factory=LearningRates)
    densify: DensifyConfig = field(default_factory=DensifyConfig)
    """Used only where there is no depth: a start from depth is dense already."""


@dataclass(frozen=True, eq=False)
class Target:
    """A view as tensors on the fitting device."""

    camera: Camera
    T_world_cam: Float[Tensor, "4 4"]
    T_cam_world: Float[Tensor, "4 4"]
    rgb: Float[Tensor, "h w 3"]
    depth: Float[Tensor, "h w"] | None
    mask: Tensor | None


def to_target(view: View, device: torch.device | str) -> Target:
    """Move a view to the device, colours to [0, 1]; depth that is no number becomes no reading."""
    T_world_cam = torch.tensor(view.T_world_cam, dtype=torch.float32, device=device)
    return Target(
        camera=view.camera,
        T_world_cam=T_world_cam,
        T_cam_world=torch.tensor(view.T_cam_world, dtype=torch.float32, device=device),
        rgb=torch.tensor(view.rgb, device=device).float() / 255,
        depth=None if view.depth is None else _measured(torch.tensor(view.depth, device=device)),
        mask=None if view.mask is None else torch.tensor(view.mask, device=device),
    )


def _measured(depth: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    return depth.float().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def fit(
    scene: GaussianScene,
    views: Sequence[View],
    *,
    config: FitConfig = FitConfig(),
    device: torch.device | str = "cpu",
    seed: int = 0,
    progress: Progress | None = None,
) -> GaussianScene:
    """Fit the scene's Gaussians to the views by Adam on colour and, where measured, depth.

    Views are undistorted with world poses; the scene is in the same world. Returns a new scene, of finite
    numbers alone. A step that would leave others is not taken: all is as if its image had not come up then.
    That, and Gaussians left out for theirs, is said once, as a warning of ``logging``. Raises
    ``SceneError`` when there is nothing to fit, or no image's step gives finite numbers.
    """
    scene = finite_only(scene)
    if len(scene) == 0 or not views:
        raise SceneError(
            "nothing to fit: the start has no Gaussians or the capture no views; check its depth"
        )
    for view in views:
        if not np.isfinite(view.T_world_cam).all():
            raise SceneError(f"the pose of {view.name} is not finite: mend it, or leave the image out")
    targets = [to_target(view, device) for view in views]
    has_depth = any(target.depth is not None for target in targets)
    parameters = to_parameters(scene, device=device, degree=config.sh_degree)
    optimizers = make_optimizers(parameters, config.rates, median_size=float(np.median(scene.scales)))
    schedule = Schedule(
        optimizers, config, images=len(targets), settled=0 if has_depth else config.densify.stop
    )
    densifier = None
    if not has_depth:
        densifier = Densifier(config.densify, parameters, optimizers, scene_scale=_scene_scale(scene))
    order = _shuffled(len(targets), np.random.default_rng(seed))
    torch.manual_seed(seed)
    steps = config.iterations or (_STEPS_FROM_DEPTH if has_depth else _STEPS)
    skipped = SkippedSteps([view.name for view in views])
    done = 0
    while done < steps and not schedule.ended:
        number = next(order)
        loss = _backward(parameters, targets[number], config, densifier)
        taken = is_finite(loss, parameters)
        for optimizer in optimizers.values():
            if taken:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        skipped.record(number, taken=taken)
        if not taken:
            continue
        if densifier is not None:
            densifier.step(done)
        schedule.step(loss)
        done += 1
        if progress is not None:
            progress(done, done if schedule.ended else steps)
    skipped.log()
    return finite_only(to_scene(parameters))


def _backward(
    parameters: Mapping[str, Tensor], target: Target, config: FitConfig, densifier: Densifier | None
) -> Float[Tensor, ""]:
    """The error of one picture; its gradients are then with the parameters."""
    rendered = render_colors(parameters, target, degree=config.sh_degree)
    loss = total_loss(rendered, target, depth_weight=config.depth_weight)
    if densifier is not None:
        densifier.watch(rendered)
    loss.backward()
    return loss.detach()


class Schedule:
    """Halves all learning rates together on a plateau, and knows when to end."""

    def __init__(
        self,
        optimizers: Mapping[str, torch.optim.Optimizer],
        config: FitConfig,
        *,
        images: int,
        settled: int,
    ):
        """``settled`` is the step after which the number of Gaussians changes no more: none ends before."""
        self.ended = False
        self._round = images * math.ceil(_LEAST_ROUND / images)
        self._settled = settled
        self._optimizer = next(iter(optimizers.values()))
        self._least = config.final_rate * self._optimizer.param_groups[0]["lr"]
        self._errors: list[Tensor] = []
        self._rates = [
            ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=config.plateau, eps=0)
            for optimizer in optimizers.values()
        ]

    def step(self, error: Float[Tensor, ""]) -> None:
        """Note the error of a step; at the end of a round, judge it."""
        self._errors.append(error)
        if len(self._errors) % self._round or len(self._errors) <= self._settled:
            return
        mean = float(torch.stack(self._errors[-self._round :]).mean())
        for rate in self._rates:
            rate.step(mean)
        self.ended = self._optimizer.param_groups[0]["lr"] < self._least


def total_loss(rendered: Rendered, target: Target, *, depth_weight: float) -> Float[Tensor, ""]:
    """Colour error plus weighted relative depth error."""
    loss = photometric(rendered.features, target.rgb, target.mask)
    if target.depth is not None:
        loss = loss + depth_weight * depth_loss(rendered.depth, target.depth, rendered.alpha, target.mask)
    return loss


def render_colors(parameters: Mapping[str, Tensor], target: Target, *, degree: int) -> Rendered:
    """Render RGB for one target."""
    rgb = colors(parameters, target.T_world_cam, degree=degree)
    return render(*activated(parameters), rgb, target.T_cam_world, target.camera)


def make_optimizers(
    parameters: Mapping[str, Tensor], rates: LearningRates, *, median_size: float
) -> dict[str, torch.optim.Optimizer]:
    """One Adam per parameter, as gsplat's strategies want them."""
    return {
        name: torch.optim.Adam(
            [{"params": [tensor], "lr": getattr(rates, name) * (median_size if name == "means" else 1.0)}],
            eps=1e-15,
            fused=True,
        )
        for name, tensor in parameters.items()
    }


def psnr(predicted: Float[np.ndarray, "h w 3"], truth: Float[np.ndarray, "h w 3"], mask: Any = None) -> float:
    """Peak signal-to-noise ratio in dB of colours in [0, 1] over the mask."""
    squared = (predicted.astype(np.float64) - truth) ** 2
    mean = squared.mean() if mask is None else squared[mask].mean()
    return float(-10 * math.log10(max(float(mean), 1e-12)))


def _scene_scale(scene: GaussianScene) -> float:
    """The radius about the median that holds nine tenths of the Gaussians."""
    distances = np.linalg.norm(scene.means - np.median(scene.means, axis=0), axis=1)
    return float(np.quantile(distances, 0.9))


def _shuffled(count: int, rng: np.random.Generator) -> Iterator[int]:
    """Every view once, in random order, again and again."""
    while True:
        yield from rng.permutation(count).tolist()
