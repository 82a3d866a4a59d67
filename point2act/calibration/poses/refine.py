"""Poses of a robot's camera, made to fit the pictures, or left alone where that is not clearly better."""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from point2act.calibration.poses.bundle import BundleConfig, bundle_adjust, residuals
from point2act.calibration.poses.photometric import PhotometricConfig, refine_photometric
from point2act.calibration.poses.pose_prior import Prior, pose_differences, stack_poses
from point2act.calibration.poses.tracks import Features, TrackConfig, Tracks, find_tracks, near_pairs
from point2act.core.types import View


@dataclass(frozen=True)
class PoseRefinementConfig:
    """How far poses may be off, and when others are better."""

    shift: float = 0.005
    """How far a camera may be from where it is said to be: one standard deviation, metres."""
    turn: float = 0.0122
    """How far it may be turned: one standard deviation, radians; 0.7 degrees."""
    limit: float = 3.0
    """When half of the views want to move further than so many standard deviations, something else is
    wrong, the lens or the depth; the poses are then held tighter. Chosen."""
    tighter: tuple[float, ...] = (1.0, 3.0, 10.0)
    """The standard deviations are divided by the first of these that keeps the limit. Chosen."""
    gain: float = 0.8
    """New poses are kept when the features are off by less than this share of what they were. Chosen: on
    simulated tables 0.9 to 1.0 with true poses, 0.04 to 0.27 with poses off by 5 mm and 0.7 degrees."""
    gain_alone: float = 0.5
    """The same for poses found from these very features, without depth to confirm them. Chosen: few
    features, some of them wrong, once came to 0.63 from true poses."""
    excess: float = 1.6
    """Poses found with depth are dropped for those found without when the features are off by so much more:
    depth that is not registered to the colours. Chosen: 0.93 to 1.13 on simulated tables of 24 views, more
    with fewer, 2.1 and 2.5 on such a real capture."""
    min_tracks: int = 30
    """Fewer features that three or more views share say nothing."""
    tracks: TrackConfig = field(default_factory=TrackConfig)
    bundle: BundleConfig = field(default_factory=BundleConfig)
    photometric: PhotometricConfig = field(default_factory=PhotometricConfig)


@dataclass(frozen=True, eq=False)
class Refined:
    """What ``refine_poses`` returns."""

    views: tuple[View, ...]
    """With new poses, or as they were."""
    changed: bool
    detail: str
    """What was done, or why nothing was: a sentence without its full stop."""
    tracks: int
    """Features that three or more views share."""
    pixels_before: float
    """Median distance between a feature and its point, in the views as they were; nan without features."""
    pixels_after: float
    """The same in the views as they are returned; corrected where the poses were fitted to these features."""
    shifts: Float[np.ndarray, " n"]
    """How far each camera moved, metres."""
    turns: Float[np.ndarray, " n"]
    """How far each turned, radians."""


def refine_poses(
    views: Sequence[View],
    *,
    config: PoseRefinementConfig = PoseRefinementConfig(),
    features: MutableMapping[str, Features] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Refined:
    """Move the cameras of undistorted views a little, to where their pictures agree.

    SIFT features in three or more views are adjusted in a bundle; with depth in every view, all pixels
    then fit colour and depth. Poses stay in the world frame: a prior holds each near the given one, and
    so their mean. The given poses are returned where the pictures have too few features or do not ask
    for others clearly. ``features``, of views by name, are what was found in them before; what is found now
    is added. ``progress(done, total)`` is called as the work goes on. The prior is in metres:
    not for captures of unknown scale.
    """
    advance, finish = _counter(progress, len(views) + _rounds(views, config))
    given = stack_poses(views)
    pairs = near_pairs(views, config.tracks)
    tracks = find_tracks(views, pairs, config=config.tracks, known=features, advance=advance)
    if tracks.count < config.min_tracks:
        finish()
        return _unchanged(views, tracks, np.nan, f"only {tracks.count} features lie in three or more views")
    task = _Task(views, np.array([view.camera.K for view in views]), tracks, pairs, config)
    before = task.off(given)
    for tighter in config.tighter:
        prior = Prior(given, config.shift / tighter, config.turn / tighter)
        found, after, share = _solve(task, prior, before, advance)
        if after > share * before:
            finish()
            why = f"{tracks.count} features fit them to {before:.2f} pixels, and others not clearly better"
            return _unchanged(views, tracks, before, f"{why}, to {after:.2f}")
        if _plausible(prior, found, config):
            finish()
            return _changed(views, found, tracks, before, after)
    finish()
    return _unchanged(views, tracks, before, "the poses that features ask for are further off than a robot's")


@dataclass(frozen=True, eq=False)
class _Task:
    """What poses are sought for."""

    views: Sequence[View]
    K: Float[np.ndarray, "n 3 3"]
    tracks: Tracks
    pairs: Sequence[tuple[int, int]]
    config: PoseRefinementConfig

    def off(self, T_world_cam: Float[np.ndarray, "n 4 4"]) -> float:
        """Median distance between a feature and its point, pixels."""
        return float(np.median(residuals(T_world_cam, self.K, self.tracks)))

    @property
    def dof_correction(self) -> float:
        """By how much features are further off poses that were not fitted to them: degrees of freedom."""
        free = 2 * len(self.tracks.view) - 3 * self.tracks.count
        left = free - 6 * len(self.views)
        return math.sqrt(free / left) if left > 0 else math.inf


def _solve(
    task: _Task, prior: Prior, before: float, advance: Callable[[], None]
) -> tuple[Float[np.ndarray, "n 4 4"], float, float]:
    """Poses, how far the features are off, and the share of ``before`` that this must not exceed."""
    config = task.config
    plain = bundle_adjust(task.K, task.tracks.without_depth(), prior, config.bundle)
    alone = plain, task.off(plain) * task.dof_correction, config.gain_alone
    if not _rounds(task.views, config) or alone[1] > config.gain * before:
        return alone
    begun = bundle_adjust(task.K, task.tracks, prior, config.bundle)
    if not _plausible(prior, begun, config):
        return begun, task.off(begun), config.gain_alone
    dense = refine_photometric(task.views, begun, task.pairs, prior, config.photometric, advance=advance)
    off = task.off(dense)
    return (dense, off, config.gain) if off <= config.excess * alone[1] else alone


def _rounds(views: Sequence[View], config: PoseRefinementConfig) -> int:
    """How many rounds the photometric refinement may take: none without depth in every view."""
    if any(view.depth is None for view in views):
        return 0
    return config.photometric.rounds * len(config.photometric.blurs)


def _plausible(prior: Prior, T_world_cam: Float[np.ndarray, "n 4 4"], config: PoseRefinementConfig) -> bool:
    """Whether most views stay within the limit."""
    turns, shifts = _lengths(prior.T_world_cam, T_world_cam)
    return bool(max(np.median(shifts) / config.shift, np.median(turns) / config.turn) <= config.limit)


def _lengths(
    T_from: Float[np.ndarray, "n 4 4"], T_to: Float[np.ndarray, "n 4 4"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """How far each camera turned, radians, and how far it moved, metres."""
    turns, shifts = np.linalg.norm(pose_differences(T_from, T_to).reshape(-1, 2, 3), axis=2).T
    return turns, shifts


def _unchanged(views: Sequence[View], tracks: Tracks, pixels: float, why: str) -> Refined:
    still = np.zeros(len(views))
    detail = f"poses left as they were: {why}"
    return Refined(tuple(views), False, detail, tracks.count, pixels, pixels, still, still)


def _changed(
    views: Sequence[View],
    T_world_cam: Float[np.ndarray, "n 4 4"],
    tracks: Tracks,
    before: float,
    after: float,
) -> Refined:
    placed = tuple(replace(view, T_world_cam=T) for view, T in zip(views, T_world_cam, strict=True))
    turns, shifts = _lengths(stack_poses(views), T_world_cam)
    degrees = np.degrees(turns)
    detail = (
        f"poses moved by {1000 * np.median(shifts):.1f} mm and {np.median(degrees):.2f}° "
        f"(at most {1000 * shifts.max():.1f} mm, {degrees.max():.2f}°): "
        f"{tracks.count} features fit to {after:.2f} pixels instead of {before:.2f}"
    )
    return Refined(placed, True, detail, tracks.count, before, after, shifts, turns)


def _counter(
    progress: Callable[[int, int], None] | None, total: int
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Count one more; count all."""
    done = 0

    def advance() -> None:
        nonlocal done
        done = min(done + 1, total - 1)
        if progress is not None:
            progress(done, total)

    def finish() -> None:
        if progress is not None:
            progress(total, total)

    return advance, finish
