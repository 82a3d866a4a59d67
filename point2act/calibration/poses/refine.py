"""Refinement of a robot's camera poses on its images; poses are kept unless others fit clearly better."""

from __future__ import annotations

import math
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from point2act.calibration.poses.bundle import BundleConfig, bundle_adjust, residuals
from point2act.calibration.poses.hand_eye import HandEyeConfig, HandEyeError, estimate_hand_eye
from point2act.calibration.poses.photometric import PhotometricConfig, refine_photometric
from point2act.calibration.poses.pose_prior import Prior, pose_differences, stack_poses
from point2act.calibration.poses.tracks import Features, TrackConfig, Tracks, find_tracks, near_pairs
from point2act.core.geometry import invert
from point2act.core.progress import StepCounter
from point2act.core.types import ProgressCallback, View


@dataclass(frozen=True)
class PoseRefinementConfig:
    """Expected errors of camera poses, and criteria to accept refined ones."""

    position_std: float = 0.005
    """Standard deviation of the given camera positions, metres."""
    rotation_std: float = 0.0122
    """Standard deviation of the given camera rotations, radians."""
    # Larger updates are explained by a wrong lens or depth. Chosen.
    max_deviation: float = 3.0
    """Largest plausible median pose update, in standard deviations; beyond it the prior is tightened."""
    tightening: tuple[float, ...] = (1.0, 3.0, 10.0)
    """Divisors of the standard deviations, tried in order until the updates are plausible."""
    # Chosen: on simulated tables 0.9 to 1.0 with true poses, 0.04 to 0.27 with poses off by 5 mm and 0.7
    # degrees.
    max_error_ratio: float = 0.8
    """Largest ratio of the reprojection errors after and before refinement, to accept refined poses."""
    # Chosen: few features, some of them wrong, once gave 0.63 from true poses.
    max_error_ratio_without_depth: float = 0.5
    """Largest such ratio for poses from features alone, without depth to confirm them."""
    # Chosen: 0.93 to 1.13 on simulated tables of 24 views, more with fewer; 2.1 and 2.5 on a real capture
    # whose depth is not registered.
    max_depth_excess: float = 1.6
    """Largest ratio of the reprojection errors with and without depth; beyond it, depth counts as
    unregistered and is ignored."""
    # Chosen: five times 5 mm for a camera that is mounted 2 cm off.
    mounting_factor: float = 5.0
    """Factor on the standard deviations while an error of the camera's mounting is sought."""
    min_tracks: int = 30
    """Smallest number of features in three or more views that poses are refined on."""
    tracks: TrackConfig = field(default_factory=TrackConfig)
    bundle: BundleConfig = field(default_factory=BundleConfig)
    photometric: PhotometricConfig = field(default_factory=PhotometricConfig)
    hand_eye: HandEyeConfig = field(default_factory=HandEyeConfig)


@dataclass(frozen=True, eq=False)
class Refined:
    """Result of ``refine_poses``."""

    views: tuple[View, ...]
    """Views with refined poses, or as given."""
    changed: bool
    """Whether the poses were refined."""
    detail: str
    """What was done and why, in words, without a full stop."""
    tracks: int
    """Number of features in three or more views."""
    pixels_before: float
    """Median reprojection error under the given poses, pixels; NaN without features."""
    pixels_after: float
    """Median reprojection error under the returned poses, corrected for degrees of freedom, pixels."""
    shifts: Float[np.ndarray, " n"]
    """Translation of each camera, metres."""
    turns: Float[np.ndarray, " n"]
    """Rotation of each camera, radians."""
    hand_eye: HandEyeError | None = None
    """Constant error of the camera's mounting, which is taken out of the poses; None if none is seen."""


def refine_poses(
    views: Sequence[View],
    *,
    config: PoseRefinementConfig = PoseRefinementConfig(),
    features: MutableMapping[str, Features] | None = None,
    progress: ProgressCallback | None = None,
) -> Refined:
    """Refine camera poses by bundle adjustment of SIFT tracks and, with depth, photometric alignment.

    A prior in metres keeps each pose near the given one, and so the world frame; it does not suit captures of
    unknown scale. A constant error of the camera's mounting is taken out. The given poses are returned if
    there are too few features, or if others do not fit clearly better.

    Args:
        views: Undistorted views with camera-to-world poses in metres; depth in all of them enables the
            photometric alignment.
        config: Expected errors, and criteria to accept refined poses.
        features: Features of views by name, found earlier; those of other views are added.
        progress: Called with the steps done and the steps in all.
    """
    advance = StepCounter(progress, len(views) + _photometric_steps(views, config))
    refined = _refine(views, config, features, advance)
    advance.finish()
    return refined


def _refine(
    views: Sequence[View],
    config: PoseRefinementConfig,
    features: MutableMapping[str, Features] | None,
    advance: StepCounter,
) -> Refined:
    given = stack_poses(views)
    pairs = near_pairs(views, config.tracks)
    tracks = find_tracks(views, pairs, config=config.tracks, known=features, advance=advance)
    if tracks.count < config.min_tracks:
        return _unchanged(views, tracks, np.nan, f"only {tracks.count} features are in three or more views")
    task = _Task(views, np.array([view.camera.K for view in views]), tracks, pairs, config)
    before = task.error(given)
    solution = _search(task, given, before, advance)
    mounted = _without_mounting_error(task, given, solution)
    if mounted is not None:
        # The prior of the first search pulls towards the error.
        again = _search(task, mounted, before, advance)
        solution = solution if again.T_world_cam is None else again
    if solution.T_world_cam is None:
        return _unchanged(views, tracks, before, solution.detail)
    prior = Prior(given, config.position_std, config.rotation_std)
    hand_eye = estimate_hand_eye(prior, solution.T_world_cam, config=config.hand_eye)
    return _changed(views, solution.T_world_cam, hand_eye, tracks, (before, solution.pixels))


@dataclass(frozen=True, eq=False)
class _Solution:
    """Refined poses, or why there are none."""

    T_world_cam: Float[np.ndarray, "n 4 4"] | None
    pixels: float
    detail: str


def _search(
    task: _Task, expected: Float[np.ndarray, "n 4 4"], before: float, advance: StepCounter
) -> _Solution:
    """Find poses near the expected ones that fit clearly better than the given ones.

    Args:
        task: Inputs.
        expected: Center of the prior: the given poses, or these without an error of the camera's mounting.
        before: Reprojection error under the given poses, pixels.
        advance: Counts photometric iterations.
    """
    config = task.config
    for divisor in config.tightening:
        prior = Prior(expected, config.position_std / divisor, config.rotation_std / divisor)
        found, after, max_ratio = _solve(task, prior, before, advance)
        if after > max_ratio * before:
            why = f"{task.tracks.count} features fit to {before:.2f} pixels, and others fit no better"
            return _Solution(None, after, f"{why}, to {after:.2f}")
        if _plausible(prior, found, config):
            return _Solution(found, after, "")
    return _Solution(None, before, "the features suggest larger corrections than a robot's poses need")


def _without_mounting_error(
    task: _Task, given: Float[np.ndarray, "n 4 4"], solution: _Solution
) -> Float[np.ndarray, "n 4 4"] | None:
    """Return the given poses without an error of the camera's mounting; None if no such error is seen.

    What all poses share may be larger than what is expected of each of them: where no poses were found near
    the given ones, the error is sought under a wide prior.
    """
    config, found = task.config, solution.T_world_cam
    factor = config.mounting_factor if found is None else 1.0
    prior = Prior(given, factor * config.position_std, factor * config.rotation_std)
    if found is None:
        found = bundle_adjust(task.K, task.tracks, prior, config.bundle)
    error = estimate_hand_eye(prior, found, config=config.hand_eye)
    return None if error is None else given @ invert(error.T_true_recorded)


@dataclass(frozen=True, eq=False)
class _Task:
    """Inputs of the refinement."""

    views: Sequence[View]
    K: Float[np.ndarray, "n 3 3"]
    tracks: Tracks
    pairs: Sequence[tuple[int, int]]
    config: PoseRefinementConfig

    def error(self, T_world_cam: Float[np.ndarray, "n 4 4"]) -> float:
        """Return the median reprojection error, pixels."""
        return float(np.median(residuals(T_world_cam, self.K, self.tracks)))

    @property
    def dof_correction(self) -> float:
        """Ratio of expected errors without and with poses fitted to the features, by degrees of freedom."""
        free = 2 * len(self.tracks.view) - 3 * self.tracks.count
        left = free - 6 * len(self.views)
        return math.sqrt(free / left) if left > 0 else math.inf


def _solve(
    task: _Task, prior: Prior, before: float, advance: StepCounter
) -> tuple[Float[np.ndarray, "n 4 4"], float, float]:
    """Return poses, their reprojection error, and its largest accepted ratio to ``before``."""
    config = task.config
    plain = bundle_adjust(task.K, task.tracks.without_depth(), prior, config.bundle)
    alone = plain, task.error(plain) * task.dof_correction, config.max_error_ratio_without_depth
    if not _photometric_steps(task.views, config) or alone[1] > config.max_error_ratio * before:
        return alone
    adjusted = bundle_adjust(task.K, task.tracks, prior, config.bundle)
    if not _plausible(prior, adjusted, config):
        return adjusted, task.error(adjusted), config.max_error_ratio_without_depth
    aligned = refine_photometric(task.views, adjusted, task.pairs, prior, config.photometric, advance=advance)
    error = task.error(aligned)
    return (aligned, error, config.max_error_ratio) if error <= config.max_depth_excess * alone[1] else alone


def _photometric_steps(views: Sequence[View], config: PoseRefinementConfig) -> int:
    """Return the maximum number of photometric iterations: 0 unless every view has depth."""
    if any(view.depth is None for view in views):
        return 0
    return config.photometric.max_iterations * len(config.photometric.blur_stds)


def _plausible(prior: Prior, T_world_cam: Float[np.ndarray, "n 4 4"], config: PoseRefinementConfig) -> bool:
    """Return whether the median pose update is within the limit."""
    turns, shifts = _lengths(prior.T_world_cam, T_world_cam)
    return bool(
        max(np.median(shifts) / config.position_std, np.median(turns) / config.rotation_std)
        <= config.max_deviation
    )


def _lengths(
    T_from: Float[np.ndarray, "n 4 4"], T_to: Float[np.ndarray, "n 4 4"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return the rotation of each camera, radians, and its translation, metres."""
    turns, shifts = np.linalg.norm(pose_differences(T_from, T_to).reshape(-1, 2, 3), axis=2).T
    return turns, shifts


def _unchanged(views: Sequence[View], tracks: Tracks, pixels: float, why: str) -> Refined:
    zero = np.zeros(len(views))
    detail = f"poses kept: {why}"
    return Refined(tuple(views), False, detail, tracks.count, pixels, pixels, zero, zero)


def _changed(
    views: Sequence[View],
    T_world_cam: Float[np.ndarray, "n 4 4"],
    hand_eye: HandEyeError | None,
    tracks: Tracks,
    pixels: tuple[float, float],
) -> Refined:
    if hand_eye is not None:
        T_world_cam = hand_eye.T_robot_world @ T_world_cam
    placed = tuple(replace(view, T_world_cam=T) for view, T in zip(views, T_world_cam, strict=True))
    turns, shifts = _lengths(stack_poses(views), T_world_cam)
    degrees = np.degrees(turns)
    detail = (
        f"poses moved by {1000 * np.median(shifts):.1f} mm and {np.median(degrees):.2f}° "
        f"(at most {1000 * shifts.max():.1f} mm, {degrees.max():.2f}°): "
        f"{tracks.count} features fit to {pixels[1]:.2f} pixels instead of {pixels[0]:.2f}"
    )
    if hand_eye is not None:
        detail += f"; the camera is mounted off the calibration by {hand_eye}"
    return Refined(placed, True, detail, tracks.count, *pixels, shifts, turns, hand_eye)
