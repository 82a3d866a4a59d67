"""Incremental reconstruction: a scene that is extended and fitted while its views arrive.

Whenever the number of views has doubled, the new ones add Gaussians where there are none yet. On the measured
surfaces they are a ``GrowingSurface``, on which queries are localized; for pictures they are also fitted for
a few steps. The result depends on the views and their order alone, not on when they arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Int
from scipy.spatial import KDTree

from point2act.calibration.poses.pose_prior import pose_differences, stack_poses
from point2act.calibration.poses.tracks import Features
from point2act.core.types import GaussianScene, View
from point2act.data.scene_ply import as_stored
from point2act.splatting.initialization import InitialGaussians, StartConfig, from_depth
from point2act.splatting.nonfinite_steps import finite_only
from point2act.splatting.reconstruct import Placed, Reconstruction, ReconstructionConfig, Reconstructor, split
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


@dataclass(frozen=True, eq=False)
class Extension:
    """A growing surface after new views have been added to it."""

    views: tuple[View, ...]
    """All views, at the poses that the new Gaussians were placed by."""
    geometry: GaussianScene
    """All Gaussians, as they were placed: those that are kept, then the fresh ones."""
    kept: Int[np.ndarray, " k"]
    """Indices of the Gaussians before the extension that are kept."""
    fresh: GaussianScene
    """The Gaussians on surfaces that only the new views show."""


@dataclass(frozen=True, eq=False)
class PlacedLast:
    """The Gaussians of all views, and the extension that they come from."""

    placed: Placed
    extension: Extension | None
    """None if all views were placed at once."""


class GrowingSurface:
    """Gaussians on the surfaces that views measure, extended as views arrive; for one thread at a time.

    Args:
        reconstructor: Settings of the reconstruction, and where its stages are timed.
        config: When it is extended, and by how much.
    """

    def __init__(self, reconstructor: Reconstructor, config: IncrementalConfig):
        self.reconstructor = reconstructor
        self._config = config
        self._views: list[View] = []
        self._last: Extension | None = None
        self._features: dict[str, Features] = {}
        self._next = config.initial_views

    @property
    def views(self) -> tuple[View, ...]:
        """All views that were added, at the poses that they came with."""
        return tuple(self._views)

    def add(self, views: Sequence[View]) -> None:
        """Append views, without any computation."""
        self._views.extend(views)

    @property
    def due(self) -> bool:
        """Whether there are enough new views for ``extend``."""
        return len(self._views) >= self._next and all(view.depth is not None for view in self._views)

    @property
    def behind(self) -> bool:
        """Whether an extension is due before that of ``place``."""
        return self.due and self._next < len(self._views)

    def extend(self) -> Extension:
        """Add Gaussians for the views that are due."""
        views = self._views[: self._next]
        refined = self.reconstructor.refine(views, self._features)
        self._last = self._extended(views if refined is None else refined.views)
        self._next *= 2
        return self._last

    def place(self) -> PlacedLast:
        """Return the Gaussians of all views so far; further ones may be added, as if it had not been called.

        Without depth, with few views, or if the cameras turn out to be elsewhere, all are placed at once.
        """
        while self.behind:
            self.extend()
        refined = self.reconstructor.refine(self._views, self._features)
        views = self._views if refined is None else refined.views
        if self._last is None or self._motion(self._last, views) > self._config.max_motion:
            return PlacedLast(self.reconstructor.place(self._views, refined), None)
        if refined is not None:
            self.reconstructor.stages.info(refined.detail)
        extension = self._extended(views)
        detail = f"on the depth images of {len(views)} views, incrementally"
        initial = InitialGaussians(as_stored(extension.geometry), "depth", detail)
        return PlacedLast(Placed(initial, tuple(views), refined), extension)

    def _extended(self, views: Sequence[View]) -> Extension:
        """Place Gaussians where new views show new surfaces."""
        last, config = self._last, self.reconstructor.config
        known = 0 if last is None else len(last.views)
        new = [views[n] for n in _kept_numbers(len(views), config) if n >= known]
        target = round(self._config.count_fraction * config.start.target_count)
        start = replace(config.start, target_count=target)
        with self.reconstructor.stages.stage("initialise the Gaussians") as tick:
            rng = np.random.default_rng(self.reconstructor.seed)
            fresh = finite_only(from_depth(new, start, rng, progress=tick))
            if last is None:
                return Extension(tuple(views), fresh, np.arange(0), fresh)
            kept = _consistent(last.geometry, views, start)
            old = _some(last.geometry, kept)
            fresh = _apart(old, fresh, self._config.min_separation / start.width)
        return Extension(tuple(views), _joined(old, fresh), kept, fresh)

    def _motion(self, last: Extension, views: Sequence[View]) -> float:
        """Return the median motion of the seen surfaces since they were placed, metres."""
        before, after = stack_poses(last.views), stack_poses(views[: len(last.views)])
        turns, shifts = np.linalg.norm(pose_differences(before, after).reshape(-1, 2, 3), axis=2).T
        return float(np.median(shifts + turns * [_distance(view) for view in last.views]))


class IncrementalReconstruction:
    """A growing surface whose Gaussians are also fitted, for use by one thread at a time."""

    def __init__(self, reconstructor: Reconstructor, config: IncrementalConfig):
        self._reconstructor, self._config = reconstructor, config
        self._surface = GrowingSurface(reconstructor, config)
        self._scene: GaussianScene | None = None

    def add(self, views: Sequence[View]) -> None:
        """Append views, without any computation."""
        self._surface.add(views)

    @property
    def due(self) -> bool:
        """Whether there are enough new views for ``extend``."""
        return self._surface.due

    def extend(self) -> None:
        """Add Gaussians for the views that are due, and fit all."""
        extension = self._surface.extend()
        scene = self._fitted(extension)
        # If the fit left Gaussians out, the others are no longer those of the surface.
        self._scene = scene if len(scene) == len(extension.geometry) else extension.geometry

    def place(self) -> PlacedLast:
        """Return the Gaussians of all views as they are placed, for queries."""
        while self._surface.behind:
            self.extend()
        return self._surface.place()

    def build(self, last: PlacedLast) -> Reconstruction:
        """Fit the Gaussians that ``place`` returned, and evaluate them."""
        placed = last.placed
        if last.extension is None:
            return self._reconstructor.build(placed)
        scene = self._fitted(last.extension)
        held_out = split(placed.views, self._reconstructor.config.holdout_every)[1]
        source = "depth, incrementally"
        built = self._reconstructor.evaluate(scene, placed.views, held_out, placed.refined, source)
        return replace(built, geometry=placed.geometry) if len(scene) == len(placed.initial.scene) else built

    def _fitted(self, extension: Extension) -> GaussianScene:
        """Return the scene with the fresh Gaussians, fitted for a few steps."""
        config = self._reconstructor.config
        scene = extension.fresh
        if self._scene is not None:
            scene = _joined(_some(self._scene, extension.kept), scene)
        kept = [extension.views[n] for n in _kept_numbers(len(extension.views), config)]
        return self._reconstructor.fit(scene, kept, replace(config.fit, iterations=self._config.steps))


def _kept_numbers(count: int, config: ReconstructionConfig) -> list[int]:
    """Return the numbers of those of the first views that ``split`` does not hold out of all."""
    every = config.holdout_every
    return [n for n in range(count) if every <= 0 or n % every != every // 2]


def _distance(view: View) -> float:
    """Return the median measured depth."""
    assert view.depth is not None
    measured = view.depth[view.depth > 0]
    return float(np.median(measured)) if len(measured) else 0.0


def _consistent(scene: GaussianScene, views: Sequence[View], config: StartConfig) -> Int[np.ndarray, " k"]:
    """Return the Gaussians that no more views contradict than confirm; the others are flying pixels."""
    measured, crossed = count_votes(scene.means, views, config.depth_tolerance)
    return np.flatnonzero(crossed <= measured)


def _apart(old: GaussianScene, new: GaussianScene, separation: float) -> GaussianScene:
    """Return those new Gaussians that are ``separation`` times their size away from all old ones."""
    if not len(old):
        return new
    distance, _ = KDTree(old.means).query(new.means)
    return _some(new, np.flatnonzero(distance > separation * new.scales[:, 0]))


def _joined(old: GaussianScene, new: GaussianScene) -> GaussianScene:
    """Return the Gaussians of two scenes, with spherical harmonics of the first one's degree."""
    sh = np.zeros((len(new), *old.sh.shape[1:]))
    sh[:, : new.sh.shape[1]] = new.sh
    new = replace(new, sh=sh)
    names = [field.name for field in fields(GaussianScene)]
    return GaussianScene(*(np.concatenate([getattr(old, name), getattr(new, name)]) for name in names))


def _some(scene: GaussianScene, chosen: np.ndarray) -> GaussianScene:
    return GaussianScene(*(getattr(scene, field.name)[chosen] for field in fields(scene)))
