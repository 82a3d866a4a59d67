"""A scene that grows while its views still come in: most of the work is done before the last of them.

What is made depends on the views and their order alone, not on when they came. Whenever their number
has doubled, the new views add Gaussians where there are none yet, and all are fitted for a short while.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    """How a scene grows."""

    first: int = 8
    """Views that the first Gaussians are placed from; more are when these have doubled, and so on. Chosen."""
    share: float = 0.5
    """Of the number of Gaussians to start with, for each time that some are placed: views that come later
    see much of the same. 25 000 in the end on a simulated table, where 32 000 are placed at once."""
    apart: float = 1.0
    """A new Gaussian is left out where an old one is nearer than its neighbours, times this. Chosen."""
    steps: int = 40
    """Of fitting, each time. Measured on a simulated table of 24 views, which grows three times: 28.2 dB on
    views held out, where 315 steps at once come to 27.9; 20 steps 26.4, 60 steps 28.6."""
    moved: float = 0.002
    """When the views say in the end that cameras were off by more than so much, at the distance of what
    they see, all is built anew: metres, the noise of a good depth camera."""


class IncrementalReconstruction:
    """The scene so far. One thread at a time."""

    def __init__(self, reconstructor: Reconstructor, config: IncrementalConfig):
        """Nothing is there yet."""
        self._reconstructor, self._config = reconstructor, config
        self._views: list[View] = []
        self._grown: tuple[View, ...] = ()
        self._scene: GaussianScene | None = None
        self._features: dict[str, Features] = {}
        self._next = config.first

    def add(self, views: Sequence[View]) -> None:
        """Take note of more views; nothing is built."""
        self._views.extend(views)

    @property
    def due(self) -> bool:
        """Whether there are enough new views to ``grow``."""
        return len(self._views) >= self._next and all(view.depth is not None for view in self._views)

    def extend(self) -> None:
        """Build with the views that are due, and with those alone."""
        views = self._views[: self._next]
        refined = self._reconstructor.refine(views, self._features)
        self._extend(views if refined is None else refined.views)
        self._next *= 2

    def finish(self) -> Reconstruction:
        """Build with all views."""
        while self.due and self._next < len(self._views):
            self.extend()
        refined = self._reconstructor.refine(self._views, self._features)
        views = self._views if refined is None else refined.views
        if self._scene is None or self._off(views) > self._config.moved:
            return self._reconstructor.build(views, refined)
        if refined is not None:
            self._reconstructor.stages.say(refined.detail)
        scene = self._extend(views)
        held_out = split(views, self._reconstructor.config.holdout_every)[1]
        return self._reconstructor.evaluate(scene, views, held_out, refined, "depth, as it came in")

    def _extend(self, views: Sequence[View]) -> GaussianScene:
        """Place Gaussians where the new ones among the views show something new, and fit all."""
        config = self._reconstructor.config
        every, numbers = config.holdout_every, range(len(views))
        # As split() has it for all views, of which these are only the first.
        kept = [n for n in numbers if every <= 0 or n % every != every // 2]
        new = [views[n] for n in kept if n >= len(self._grown)]
        begin = replace(config.start, target_count=round(self._config.share * config.start.target_count))
        with self._reconstructor.stages.stage("place the Gaussians") as tick:
            fresh = from_depth(new, begin, np.random.default_rng(self._reconstructor.seed), progress=tick)
            if self._scene is not None:
                old = _not_crossed(self._scene, views, begin)
                fresh = _joined(old, fresh, self._config.apart / begin.width)
        fit = replace(config.fit, iterations=self._config.steps)
        self._scene = self._reconstructor.fit(fresh, [views[n] for n in kept], fit)
        self._grown = tuple(views)
        return self._scene

    def _off(self, views: Sequence[View]) -> float:
        """How far what the cameras see has moved since the scene grew on them: the median over cameras."""
        before, after = stack_poses(self._grown), stack_poses(views[: len(self._grown)])
        turns, shifts = np.linalg.norm(pose_differences(before, after).reshape(-1, 2, 3), axis=2).T
        return float(np.median(shifts + turns * [_distance(view) for view in self._grown]))


def _distance(view: View) -> float:
    """The median depth that a view measures."""
    assert view.depth is not None
    measured = view.depth[view.depth > 0]
    return float(np.median(measured)) if len(measured) else 0.0


def _not_crossed(scene: GaussianScene, views: Sequence[View], config: StartConfig) -> GaussianScene:
    """Without the Gaussians that more views look through than measure: flying pixels of a few views."""
    measured, crossed = count_votes(scene.means, views, config.depth_tolerance)
    return _some(scene, np.flatnonzero(crossed <= measured))


def _joined(old: GaussianScene, new: GaussianScene, apart: float) -> GaussianScene:
    """All of one scene, and of the other what is so many times its size away from that."""
    if len(old):
        distance, _ = KDTree(old.means).query(new.means)
        new = _some(new, np.flatnonzero(distance > apart * new.scales[:, 0]))
    bands = np.zeros((len(new), *old.sh.shape[1:]))
    bands[:, : new.sh.shape[1]] = new.sh
    return GaussianScene(
        np.concatenate([old.means, new.means]),
        np.concatenate([old.quats, new.quats]),
        np.concatenate([old.scales, new.scales]),
        np.concatenate([old.opacities, new.opacities]),
        np.concatenate([old.sh, bands]),
    )


def _some(scene: GaussianScene, chosen: np.ndarray) -> GaussianScene:
    return GaussianScene(
        scene.means[chosen],
        scene.quats[chosen],
        scene.scales[chosen],
        scene.opacities[chosen],
        scene.sh[chosen],
    )
