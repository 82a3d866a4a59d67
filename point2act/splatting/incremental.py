"""Incremental reconstruction: a scene that is extended and fitted while its views arrive.

Whenever the number of views has doubled, the new ones add Gaussians where there are none yet, and all are
fitted for a few steps. The result depends on the views and their order alone, not on when they arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.spatial import KDTree

from point2act.calibration.poses.pose_prior import pose_differences, stack_poses
from point2act.calibration.poses.tracks import Features
from point2act.core.types import GaussianScene, View
from point2act.splatting.initialization import StartConfig, from_depth
from point2act.splatting.reconstruct import Reconstruction, Reconstructor, split
from point2act.splatting.surfels import count_votes


@dataclass(frozen=True)
class IncrementalConfig:
    """Extensions of an incremental reconstruction."""

    initial_views: int = 8
    """Number of views of the first extension; each later one takes twice as many views in all."""
    # Later views see much of the same: 25,000 Gaussians in the end on a simulated table, where 32,000 are
    # placed at once.
    count_fraction: float = 0.5
    """Fraction of ``start.target_count`` placed in each extension."""
    min_separation: float = 1.0
    """Smallest distance of a new Gaussian from an old one, in units of the distance to its own neighbours."""
    # Measured on a simulated table of 24 views, in three extensions: 28.2 dB on held-out views, where 315
    # steps at once give 27.9; 20 steps 26.4, 60 steps 28.6. Steps on images of half the size, which help at
    # once, cost an extended scene 0.5 dB.
    steps: int = 40
    """Number of optimisation steps after each extension."""
    # The noise of a good depth camera.
    max_motion: float = 0.002
    """Largest median motion of the surfaces, metres, by the final pose refinement; the scene is reconstructed
    from scratch beyond it."""


class IncrementalReconstruction:
    """A scene under incremental reconstruction, for use by one thread at a time."""

    def __init__(self, reconstructor: Reconstructor, config: IncrementalConfig):
        self._reconstructor, self._config = reconstructor, config
        self._views: list[View] = []
        self._fitted: tuple[View, ...] = ()
        self._scene: GaussianScene | None = None
        self._features: dict[str, Features] = {}
        self._next = config.initial_views

    def add(self, views: Sequence[View]) -> None:
        """Append views, without any computation."""
        self._views.extend(views)

    @property
    def due(self) -> bool:
        """Whether there are enough new views for ``extend``."""
        return len(self._views) >= self._next and all(view.depth is not None for view in self._views)

    def extend(self) -> None:
        """Add Gaussians for the views that are due, and fit all."""
        views = self._views[: self._next]
        refined = self._reconstructor.refine(views, self._features)
        self._extend(views if refined is None else refined.views)
        self._next *= 2

    def finish(self) -> Reconstruction:
        """Return the reconstruction from all views."""
        while self.due and self._next < len(self._views):
            self.extend()
        refined = self._reconstructor.refine(self._views, self._features)
        views = self._views if refined is None else refined.views
        if self._scene is None or self._motion(views) > self._config.max_motion:
            return self._reconstructor.build(self._reconstructor.place(self._views, refined))
        if refined is not None:
            self._reconstructor.stages.info(refined.detail)
        scene = self._extend(views)
        held_out = split(views, self._reconstructor.config.holdout_every)[1]
        return self._reconstructor.evaluate(scene, views, held_out, refined, "depth, incrementally")

    def _extend(self, views: Sequence[View]) -> GaussianScene:
        """Place Gaussians where new views show new surfaces, and fit all."""
        config = self._reconstructor.config
        every, numbers = config.holdout_every, range(len(views))
        # The views that split() keeps of all views, of which these are the first.
        kept = [n for n in numbers if every <= 0 or n % every != every // 2]
        new = [views[n] for n in kept if n >= len(self._fitted)]
        target = round(self._config.count_fraction * config.start.target_count)
        start = replace(config.start, target_count=target)
        with self._reconstructor.stages.stage("initialise the Gaussians") as tick:
            fresh = from_depth(new, start, np.random.default_rng(self._reconstructor.seed), progress=tick)
            if self._scene is not None:
                old = _consistent(self._scene, views, start)
                fresh = _merged(old, fresh, self._config.min_separation / start.width)
        fit = replace(config.fit, iterations=self._config.steps)
        self._scene = self._reconstructor.fit(fresh, [views[n] for n in kept], fit)
        self._fitted = tuple(views)
        return self._scene

    def _motion(self, views: Sequence[View]) -> float:
        """Return the median motion of the seen surfaces since they were fitted, metres."""
        before, after = stack_poses(self._fitted), stack_poses(views[: len(self._fitted)])
        turns, shifts = np.linalg.norm(pose_differences(before, after).reshape(-1, 2, 3), axis=2).T
        return float(np.median(shifts + turns * [_distance(view) for view in self._fitted]))


def _distance(view: View) -> float:
    """Return the median measured depth."""
    assert view.depth is not None
    measured = view.depth[view.depth > 0]
    return float(np.median(measured)) if len(measured) else 0.0


def _consistent(scene: GaussianScene, views: Sequence[View], config: StartConfig) -> GaussianScene:
    """Remove Gaussians that more views contradict than confirm: flying pixels of a few views."""
    measured, crossed = count_votes(scene.means, views, config.depth_tolerance)
    return _some(scene, np.flatnonzero(crossed <= measured))


def _merged(old: GaussianScene, new: GaussianScene, separation: float) -> GaussianScene:
    """Return the old scene and those new Gaussians that are ``separation`` times their size away from it."""
    if len(old):
        distance, _ = KDTree(old.means).query(new.means)
        new = _some(new, np.flatnonzero(distance > separation * new.scales[:, 0]))
    sh = np.zeros((len(new), *old.sh.shape[1:]))
    sh[:, : new.sh.shape[1]] = new.sh
    new = replace(new, sh=sh)
    names = [field.name for field in fields(GaussianScene)]
    return GaussianScene(*(np.concatenate([getattr(old, name), getattr(new, name)]) for name in names))


def _some(scene: GaussianScene, chosen: np.ndarray) -> GaussianScene:
    return GaussianScene(*(getattr(scene, field.name)[chosen] for field in fields(scene)))
