"""Views to a scene: poses refined, Gaussians placed, fitted, and measured on views kept aside."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from point2act.calibration.poses import PoseRefinementConfig, Refined, refine_poses
from point2act.calibration.poses.tracks import Features
from point2act.core.progress import Stages
from point2act.core.types import GaussianScene, View
from point2act.splatting.fit import FitConfig, fit
from point2act.splatting.gaussians import freeze
from point2act.splatting.initialization import StartConfig, initialize_gaussians
from point2act.splatting.losses import psnr
from point2act.splatting.rendering import project_view, render_view


@dataclass(frozen=True)
class ReconstructionConfig:
    """From views to a scene."""

    holdout_every: int = 8
    """Every so many-th view is kept from the fit to measure its quality; 0 fits all views."""
    refine_poses: bool = True
    """Move the cameras a little, to where their pictures agree; they stay where that is not clearly better.
    Only where lengths are known to be metres, as how far poses may be off is given in them."""
    poses: PoseRefinementConfig = field(default_factory=PoseRefinementConfig)
    start: StartConfig = field(default_factory=StartConfig)
    fit: FitConfig = field(default_factory=FitConfig)


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A fitted scene, the views with the poses it was fitted to, and how well it explains others."""

    scene: GaussianScene
    views: tuple[View, ...]
    poses_changed: bool
    """Whether these poses are others than the capture's."""
    poses: str
    """What was done to the poses."""
    start: str
    """What the Gaussians started from."""
    psnr: float | None
    """Mean over the held-out views in dB; None when none was held out."""


@dataclass(frozen=True, eq=False)
class Reconstructor:
    """What every step of building a scene needs to know."""

    config: ReconstructionConfig
    metric: bool
    """Whether lengths are known to be metres."""
    point_cloud_path: Path | None
    """Where to start without depth."""
    seed: int
    device: torch.device
    stages: Stages

    def reconstruct(self, views: Sequence[View]) -> Reconstruction:
        """Refine the poses, then ``build``."""
        refined = self.refine(views)
        return self.build(views if refined is None else refined.views, refined)

    def refine(
        self, views: Sequence[View], features: MutableMapping[str, Features] | None = None
    ) -> Refined | None:
        """Better poses, if they may be touched; see ``refine_poses``."""
        if not (self.metric and self.config.refine_poses):
            return None
        with self.stages.stage("refine the poses") as tick:
            return refine_poses(views, config=self.config.poses, features=features, progress=tick)

    def build(self, views: Sequence[View], refined: Refined | None) -> Reconstruction:
        """Fit Gaussians to the views that are not held out, and measure on those that are."""
        if refined is not None:
            self.stages.say(refined.detail)
        kept, held_out = split(views, self.config.holdout_every)
        with self.stages.stage("place the Gaussians") as tick:
            begun = initialize_gaussians(
                kept,
                point_cloud_path=self.point_cloud_path,
                config=self.config.start,
                rng=np.random.default_rng(self.seed),
                progress=tick,
            )
        self.stages.say(f"{len(begun.scene)} Gaussians {begun.detail}")
        scene = self.fit(begun.scene, kept, self.config.fit)
        return self.evaluate(scene, views, held_out, refined, begun.source)

    def fit(self, scene: GaussianScene, views: Sequence[View], config: FitConfig) -> GaussianScene:
        """The scene, better."""
        with self.stages.stage("fit the Gaussians") as tick:
            return fit(scene, views, config=config, device=self.device, seed=self.seed, progress=tick)

    def evaluate(
        self,
        scene: GaussianScene,
        views: Sequence[View],
        held_out: Sequence[View],
        refined: Refined | None,
        source: str,
    ) -> Reconstruction:
        """The scene with its quality."""
        quality = None
        if held_out:
            with self.stages.stage("measure the scene") as bar:
                quality = measure(scene, held_out, self.device)
                bar.note(f"{len(scene)} Gaussians, {quality:.1f} dB over {len(held_out)} held-out views")
        moved = refined is not None and refined.changed
        poses = "as the capture has them" if refined is None else refined.detail
        return Reconstruction(scene, tuple(views), moved, poses, source, quality)


def split(views: Sequence[View], every: int) -> tuple[list[View], list[View]]:
    """Views to fit, and every so many-th to measure on.

    The first held out is the middle of the first so many: the ends of a camera's path see what no other
    view does. With fewer than nine views, or every = 0, all are fitted.
    """
    if every <= 0 or len(views) < 9:
        return list(views), []
    held_out = range(every // 2, len(views), every)
    return [v for i, v in enumerate(views) if i not in held_out], [views[i] for i in held_out]


def measure(scene: GaussianScene, views: Sequence[View], device: torch.device) -> float:
    """Mean PSNR of the views in dB, over their masks."""
    fixed = freeze(scene, device=device)
    pictures = [render_view(project_view(view, fixed), fixed) for view in views]
    values = [psnr(p.rgb, v.rgb / 255.0, v.mask) for p, v in zip(pictures, views, strict=True)]
    return float(np.mean(values))
