"""Reconstruction of a Gaussian scene from views: pose refinement, initialisation, fit, evaluation."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from point2act.calibration.poses import PoseRefinementConfig, Refined, refine_poses
from point2act.calibration.poses.tracks import Features
from point2act.core.progress import Stages
from point2act.core.types import GaussianScene, View
from point2act.data.capture.load import shrink_view
from point2act.data.scene_ply import as_stored
from point2act.splatting.fit import FitConfig, fit
from point2act.splatting.gaussians import freeze
from point2act.splatting.initialization import InitialGaussians, StartConfig, initialize_gaussians
from point2act.splatting.losses import psnr
from point2act.splatting.nonfinite_steps import finite_only
from point2act.splatting.rendering import project_view, render_view


@dataclass(frozen=True)
class ReconstructionConfig:
    """Reconstruction of a scene from views."""

    holdout_every: int = 8
    """Hold out every n-th view from the fit, to measure its quality; 0 fits all views."""
    refine_poses: bool = True
    """Refine the camera poses of captures in metres on the images, if others fit clearly better."""
    poses: PoseRefinementConfig = field(default_factory=PoseRefinementConfig)
    start: StartConfig = field(default_factory=StartConfig)
    min_fitted_views: int = 4
    """Gaussians are fitted to at least this many views. Those of fewer views, each with depth, stay on the
    depth images: the depth is the surface, and the scene is seldom rendered from elsewhere."""
    # Six rounds of 21 images of 320x240, as large errors are corrected first: three scenes gained 0.6 to
    # 1.5 dB by four rounds at 3 % more time, and -0.1 to 0.6 dB more by two further ones, at none.
    coarse_iterations: int = 126
    """Steps on images of half the size, before and among those of the fit: at most a quarter of them, and
    none without depth."""
    fit: FitConfig = field(default_factory=FitConfig)


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A fitted scene, the views with the poses it was fitted to, and its quality."""

    scene: GaussianScene
    geometry: GaussianScene | None
    """The Gaussians before the fit, on the measured surfaces, one for each of ``scene``; None without depth.
    They are as they are read from a file."""
    views: tuple[View, ...]
    poses_changed: bool
    """Whether the poses differ from the capture's."""
    poses: str
    """Result of the pose refinement, in words."""
    start: str
    """Source of the initial Gaussians, and why they were not fitted."""
    psnr: float | None
    """Mean PSNR of the held-out views, dB; None if no view is held out."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Initial Gaussians, and the views with the poses that they were placed by."""

    initial: InitialGaussians
    views: tuple[View, ...]
    refined: Refined | None

    @property
    def geometry(self) -> GaussianScene | None:
        """The Gaussians if they are on measured surfaces, else None."""
        return self.initial.scene if self.initial.source == "depth" else None


@dataclass(frozen=True, eq=False)
class Reconstructor:
    """Reconstruction with its settings, common to reconstruction at once and incrementally."""

    config: ReconstructionConfig
    metric: bool
    """Whether lengths are known to be metres."""
    point_cloud_path: Path | None
    """PLY file to initialise from, for captures without depth."""
    seed: int
    device: torch.device
    stages: Stages

    def reconstruct(self, views: Sequence[View]) -> Reconstruction:
        """Refine the poses, then ``place`` and ``build``."""
        return self.build(self.place(views, self.refine(views)))

    def refine(
        self, views: Sequence[View], features: MutableMapping[str, Features] | None = None
    ) -> Refined | None:
        """Refine the poses if that is enabled and lengths are metres; see ``refine_poses``."""
        if not (self.metric and self.config.refine_poses):
            return None
        with self.stages.stage("refine the poses") as tick:
            return refine_poses(views, config=self.config.poses, features=features, progress=tick)

    def place(self, views: Sequence[View], refined: Refined | None) -> Placed:
        """Place initial Gaussians by the views that are not held out, at their refined poses."""
        if refined is not None:
            self.stages.info(refined.detail)
            views = refined.views
        with self.stages.stage("initialise the Gaussians") as tick:
            initial = initialize_gaussians(
                split(views, self.config.holdout_every)[0],
                point_cloud_path=self.point_cloud_path,
                config=self.config.start,
                rng=np.random.default_rng(self.seed),
                progress=tick,
            )
        self.stages.info(f"{len(initial.scene)} Gaussians {initial.detail}")
        if initial.source == "depth":
            initial = replace(initial, scene=as_stored(finite_only(initial.scene)))
        return Placed(initial, tuple(views), refined)

    def build(self, placed: Placed) -> Reconstruction:
        """Fit Gaussians to the views that are not held out, and evaluate them on those that are.

        A few views with depth are not fitted, see ``ReconstructionConfig.min_fitted_views``.
        """
        initial, views = placed.initial, placed.views
        if initial.source == "depth" and self._few(views):
            unfitted = f"not fitted: {len(views)} view{'s' * (len(views) > 1)} with depth"
            self.stages.info(unfitted)
            start = f"{initial.source}, {unfitted}"
            return self.evaluate(initial.scene, views, [], placed.refined, start)
        kept, held_out = split(views, self.config.holdout_every)
        fitted = self._coarse_to_fine if initial.source == "depth" else self.fit
        scene = fitted(initial.scene, kept, self.config.fit)
        built = self.evaluate(scene, views, held_out, placed.refined, initial.source)
        # A Gaussian that the fit left out has no relevancy.
        return replace(built, geometry=placed.geometry) if len(scene) == len(initial.scene) else built

    def _few(self, views: Sequence[View]) -> bool:
        """Return whether there are too few views to fit, each with depth."""
        return len(views) < self.config.min_fitted_views and all(view.depth is not None for view in views)

    def _coarse_to_fine(
        self, scene: GaussianScene, views: Sequence[View], config: FitConfig
    ) -> GaussianScene:
        """Fit a scene from depth to images of half the size, then to the images."""
        steps = self.config.coarse_iterations
        steps = steps if config.iterations is None else min(steps, config.iterations // 4)
        if steps < 1:
            return self.fit(scene, views, config)
        half = [shrink_view(view, max(view.camera.width, view.camera.height) // 2) for view in views]
        coarse = self.fit(scene, half, replace(config, iterations=steps), "fit at half size")
        left = None if config.iterations is None else config.iterations - steps
        return self.fit(coarse, views, replace(config, iterations=left))

    def fit(
        self, scene: GaussianScene, views: Sequence[View], config: FitConfig, stage: str = "fit the Gaussians"
    ) -> GaussianScene:
        """Fit the scene to the views, as a stage of this name."""
        with self.stages.stage(stage) as tick:
            return fit(scene, views, config=config, device=self.device, seed=self.seed, progress=tick)

    def evaluate(
        self,
        scene: GaussianScene,
        views: Sequence[View],
        held_out: Sequence[View],
        refined: Refined | None,
        source: str,
    ) -> Reconstruction:
        """Measure the quality of a fitted scene on the held-out views."""
        quality = None
        if held_out:
            with self.stages.stage("evaluate the scene") as bar:
                quality = mean_psnr(scene, held_out, self.device)
                bar.note(f"{len(scene)} Gaussians, {quality:.1f} dB over {len(held_out)} held-out views")
        moved = refined is not None and refined.changed
        poses = "poses of the capture" if refined is None else refined.detail
        return Reconstruction(scene, None, tuple(views), moved, poses, source, quality)


def split(views: Sequence[View], every: int) -> tuple[list[View], list[View]]:
    """Split views into those to fit and every n-th, which is held out.

    The first one held out is the middle of the first n, as the ends of a camera path see what no other view
    does. With fewer than nine views, or ``every`` = 0, none is held out.
    """
    if every <= 0 or len(views) < 9:
        return list(views), []
    held_out = range(every // 2, len(views), every)
    return [v for i, v in enumerate(views) if i not in held_out], [views[i] for i in held_out]


def mean_psnr(scene: GaussianScene, views: Sequence[View], device: torch.device) -> float:
    """Return the mean PSNR of a scene's renderings of views over their masks, dB."""
    fixed = freeze(scene, device=device)
    images = [render_view(project_view(view, fixed), fixed) for view in views]
    values = [psnr(p.rgb, v.rgb / 255.0, v.mask) for p, v in zip(images, views, strict=True)]
    return float(np.mean(values))
