"""Training loop: fit 3D Gaussians to posed images by Adam, without nerfstudio's trainer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from point2act.core.errors import SceneError
from point2act.core.types import Camera, GaussianScene, ProgressCallback, View
from point2act.splatting.densify import Densifier, DensifyConfig
from point2act.splatting.gaussians import activated, colors, to_parameters, to_scene
from point2act.splatting.losses import depth_loss, photometric
from point2act.splatting.nonfinite_steps import SkippedSteps, finite_only, is_finite
from point2act.splatting.render import Rendered, render

_STEPS_FROM_DEPTH, _STEPS = 600, 2000
_PLATEAU_FROM_DEPTH, _PLATEAU = 0.07, 0.02
_FINAL_FROM_DEPTH, _FINAL = 0.2, 0.1
_MIN_ROUND = 20
"""Smallest number of steps whose errors are averaged, as the errors of single images differ."""


@dataclass(frozen=True)
class LearningRates:
    """Adam's initial learning rates."""

    # Chosen by PSNR per second from depth (the table in benchmarks/README.md).
    means: float = 0.1
    """Rate of the centres, in units of the median Gaussian's size, for the same behaviour at any scale."""
    scales: float = 0.1
    """Rate of the logarithms of the standard deviations."""
    quats: float = 2e-2
    """Rate of the quaternions."""
    opacities: float = 5e-2
    """Rate of the logits of the opacities."""
    features_dc: float = 1.5e-2
    """Rate of the constant spherical harmonic."""
    features_rest: float = 2e-3
    """Rate of the other spherical harmonics."""


@dataclass(frozen=True)
class FitConfig:
    """Optimisation of the Gaussians' geometry and colours."""

    iterations: int | None = None
    """Maximum number of steps, one image each; by default 600 with depth, else 2000."""
    # From depth, after a coarse fit, 0.07 and 0.2 take half the time of 0.02 and 0.1 and cost 0.3 dB; without
    # depth such values cost 0.6 dB and save a tenth.
    plateau: float | None = None
    """Relative decrease of the error per round over all images, below which the learning rates are halved; by
    default 0.07 with depth, else 0.02."""
    final_rate: float | None = None
    """Fraction of the initial learning rates below which the fit ends; by default 0.2 with depth, else
    0.1."""
    depth_weight: float = 1.5
    """Weight of the relative depth error against the colour error."""
    # Degree 3 instead of 1 adds 0.3 to 1.3 dB at no measurable cost of time.
    sh_degree: int = 3
    """Degree of the spherical harmonics, 0 to 3."""
    rates: LearningRates = field(default_factory=LearningRates)
    densify: DensifyConfig = field(default_factory=DensifyConfig)
    """Densification, used only without depth: an initialisation from depth is dense."""


@dataclass(frozen=True, eq=False)
class Target:
    """A view as tensors on the training device."""

    camera: Camera
    T_world_cam: Float[Tensor, "4 4"]
    T_cam_world: Float[Tensor, "4 4"]
    rgb: Float[Tensor, "h w 3"]
    depth: Float[Tensor, "h w"] | None
    mask: Tensor | None


def to_target(view: View, device: torch.device | str) -> Target:
    """Copy a view to the device, with colours in [0, 1] and non-finite depth as missing readings."""
    T_world_cam = torch.tensor(view.T_world_cam, dtype=torch.float32, device=device)
    return Target(
        camera=view.camera,
        T_world_cam=T_world_cam,
        T_cam_world=torch.tensor(view.T_cam_world, dtype=torch.float32, device=device),
        rgb=torch.tensor(view.rgb, device=device).float() / 255,
        depth=None if view.depth is None else _finite(torch.tensor(view.depth, device=device)),
        mask=None if view.mask is None else torch.tensor(view.mask, device=device),
    )


def _finite(depth: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    return depth.float().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def fit(
    scene: GaussianScene,
    views: Sequence[View],
    *,
    config: FitConfig = FitConfig(),
    device: torch.device | str = "cpu",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> GaussianScene:
    """Fit a scene's Gaussians to views by Adam on colour and, where measured, depth.

    Steps with non-finite gradients are skipped, with the same result as if their image had not been drawn.
    Skipped steps, and non-finite Gaussians that are dropped, are logged as a warning.

    Args:
        scene: Initial Gaussians, in the views' world frame.
        views: Undistorted views with world poses.
        config: Optimisation settings.
        device: Device of the optimisation.
        seed: Seed of the order of the images and of densification.
        progress: Called with the steps done and the steps in all.

    Returns:
        A new scene of finite numbers.

    Raises:
        SceneError: If there is nothing to fit, or no image gives a finite step.
    """
    scene = finite_only(scene)
    if len(scene) == 0 or not views:
        raise SceneError(
            "nothing to fit: there are no initial Gaussians or no views; check the capture's depth"
        )
    for view in views:
        if not np.isfinite(view.T_world_cam).all():
            raise SceneError(f"the pose of {view.name} is not finite: fix it, or remove the image")
    targets = [to_target(view, device) for view in views]
    has_depth = any(target.depth is not None for target in targets)
    parameters = to_parameters(scene, device=device, degree=config.sh_degree)
    optimizers = make_optimizers(parameters, config.rates, median_size=float(np.median(scene.scales)))
    plateau, final_rate = (_PLATEAU_FROM_DEPTH, _FINAL_FROM_DEPTH) if has_depth else (_PLATEAU, _FINAL)
    schedule = Schedule(
        optimizers,
        plateau=plateau if config.plateau is None else config.plateau,
        final_rate=final_rate if config.final_rate is None else config.final_rate,
        images=len(targets),
        settled=0 if has_depth else config.densify.stop,
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
    """Render one image and backpropagate its loss to the parameters; return the loss."""
    rendered = render_colors(parameters, target, degree=config.sh_degree)
    loss = total_loss(rendered, target, depth_weight=config.depth_weight)
    if densifier is not None:
        densifier.watch(rendered)
    loss.backward()
    return loss.detach()


class Schedule:
    """Schedule that halves all learning rates on a plateau, and ends the fit at the final rate."""

    def __init__(
        self,
        optimizers: Mapping[str, torch.optim.Optimizer],
        *,
        plateau: float,
        final_rate: float,
        images: int,
        settled: int,
    ):
        """Start at the optimisers' rates.

        Args:
            optimizers: Whose rates are halved.
            plateau: See ``FitConfig``.
            final_rate: See ``FitConfig``.
            images: Number of images.
            settled: The last step that may change the number of Gaussians; the fit never ends before.
        """
        self.ended = False
        self._round = images * math.ceil(_MIN_ROUND / images)
        self._settled = settled
        self._optimizer = next(iter(optimizers.values()))
        self._final = final_rate * self._optimizer.param_groups[0]["lr"]
        self._errors: list[Tensor] = []
        self._rates = [
            ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=plateau, eps=0)
            for optimizer in optimizers.values()
        ]

    def step(self, error: Float[Tensor, ""]) -> None:
        """Record the error of a step; at the end of a round, update the learning rates."""
        self._errors.append(error)
        if len(self._errors) % self._round or len(self._errors) <= self._settled:
            return
        mean = float(torch.stack(self._errors[-self._round :]).mean())
        for rate in self._rates:
            rate.step(mean)
        self.ended = self._optimizer.param_groups[0]["lr"] < self._final


def total_loss(rendered: Rendered, target: Target, *, depth_weight: float) -> Float[Tensor, ""]:
    """Return the colour error plus the weighted relative depth error."""
    loss = photometric(rendered.features, target.rgb, target.mask)
    if target.depth is not None:
        loss = loss + depth_weight * depth_loss(rendered.depth, target.depth, rendered.alpha, target.mask)
    return loss


def render_colors(parameters: Mapping[str, Tensor], target: Target, *, degree: int) -> Rendered:
    """Render a target's colours."""
    rgb = colors(parameters, target.T_world_cam, degree=degree)
    return render(*activated(parameters), rgb, target.T_cam_world, target.camera)


def make_optimizers(
    parameters: Mapping[str, Tensor], rates: LearningRates, *, median_size: float
) -> dict[str, torch.optim.Optimizer]:
    """Return one Adam optimiser per parameter, as gsplat's strategies require."""
    return {
        name: torch.optim.Adam(
            [{"params": [tensor], "lr": getattr(rates, name) * (median_size if name == "means" else 1.0)}],
            eps=1e-15,
            fused=True,
        )
        for name, tensor in parameters.items()
    }


def _scene_scale(scene: GaussianScene) -> float:
    """Return the radius about the median that contains nine tenths of the Gaussians."""
    distances = np.linalg.norm(scene.means - np.median(scene.means, axis=0), axis=1)
    return float(np.quantile(distances, 0.9))


def _shuffled(count: int, rng: np.random.Generator) -> Iterator[int]:
    """Yield every view once per round, in random order, forever."""
    while True:
        yield from rng.permutation(count).tolist()
