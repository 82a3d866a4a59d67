"""Clock skew between images and poses: how long after its stamp the camera was where an image shows it.

Images and transforms of a robot are stamped by different clocks, or at different ends of a delay. While the
robot's speed changes, poses read at wrong times predict other image motion than is seen. With T(t) the
recorded trajectory and X the error of the hand-eye calibration, a feature at pixel p of an image stamped t
with depth z is seen at p' in an image stamped t'. The skew s and X minimise over all such pairs the robust
sum of

    r(s, X) = p' - project(X T(t' + s)^-1 T(t + s) X^-1 back_project(p, z)),

or, where there is no depth, of the Sampson distance from the epipolar line of the same motion (Hartley and
Zisserman, Multiple View Geometry, 11.4.3). X changes the prediction with the speed, s with the acceleration,
so that both can be distinguished. The skew starts at the best of a grid with X = 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from point2act.calibration.checks.matches import sampson
from point2act.calibration.poses.hand_eye import HandEyeConfig
from point2act.core.geometry import (
    at_pixels,
    back_project,
    fundamental_matrix,
    invert,
    project,
    transform,
)
from point2act.core.types import Camera

# Expected error of the hand-eye calibration: rotation vector, radians, and shift, metres.
_HAND_EYE_STD = np.repeat([HandEyeConfig().rotation_std, HandEyeConfig().position_std], 3)
# Sizes of the unknowns: 10 ms, and the same.
_SCALES = np.r_[0.01, _HAND_EYE_STD]

PosesAt = Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, "n 4 4"]]
"""Recorded poses (T_world_cam) at times in seconds."""


@dataclass(frozen=True)
class ClockSkewConfig:
    """Search for the skew, and when it is believed."""

    longest: float = 0.2
    """Largest skew that is tried, seconds; trajectories must reach as far beyond the images."""
    step: float = 0.005
    """Step of the search, seconds; the minimum between steps is that of a parabola."""
    apart: float = 0.1
    """Time between the two images of a pair, seconds. Longer moves features further, but blurs the speed."""
    max_pairs: int = 60
    """Maximum number of pairs, those during the strongest accelerations."""
    min_pairs: int = 8
    """Smallest number of pairs with features."""
    max_std: float = 0.004
    """Largest standard deviation of a believed skew, seconds."""
    scale: float = 0.5
    """Residual above which a feature counts less, pixels: some move with the gripper or slide along edges."""


@dataclass(frozen=True)
class ClockSkew:
    """Time that is to be added to the stamps of images to read their poses."""

    seconds: float
    std: float
    """Standard deviation over resampled pairs, seconds."""
    pairs: int
    """Number of pairs of images."""

    def __str__(self) -> str:
        """Return the skew in milliseconds."""
        return f"{1000 * self.seconds:.0f} ms (± {1000 * self.std:.0f})"


@dataclass(frozen=True, eq=False)
class TimedImage:
    """An image with its stamp."""

    time: float
    """Stamp, seconds."""
    gray: UInt8[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"] | None = None
    """z-depth, metres; 0 where not measured."""


def informative_pairs(
    times: Float[np.ndarray, " n"], poses_at: PosesAt, *, config: ClockSkewConfig = ClockSkewConfig()
) -> Int[np.ndarray, "m 2"]:
    """Choose the pairs of images whose motion depends most on the skew.

    Args:
        times: Stamps of all images in ascending order, seconds.
        poses_at: The recorded trajectory.
        config: Time between the images of a pair, and how many.

    Returns:
        Indices of the earlier and the later image of each pair, in the order of time.
    """
    later = np.searchsorted(times, times + config.apart - 1e-9)
    first = np.nonzero(later < len(times))[0]
    first = first[times[later[first]] - times[first] < 2 * config.apart]
    if len(first) == 0:
        return np.zeros((0, 2), dtype=int)
    ends = times[first], times[later[first]]
    before, after = (_motions(ends, poses_at, shift) for shift in (-config.apart / 2, config.apart / 2))
    # What is seen is about half a metre away: a turn by an angle moves the image as a shift by half of it.
    change = np.linalg.norm(after[:, :3, 3] - before[:, :3, 3], axis=1)
    change += 0.5 * np.linalg.norm(after[:, :3, :3] - before[:, :3, :3], axis=(1, 2))
    chosen = np.sort(np.argsort(-change, kind="stable")[: config.max_pairs])
    return np.stack([first[chosen], later[first[chosen]]], axis=1)


def estimate_clock_skew(
    pairs: Sequence[tuple[TimedImage, TimedImage]],
    camera: Camera,
    poses_at: PosesAt,
    *,
    config: ClockSkewConfig = ClockSkewConfig(),
    seed: int = 0,
) -> ClockSkew | None:
    """Estimate the clock skew between images and a trajectory.

    Args:
        pairs: Earlier and later image of each pair, without distortion.
        camera: Intrinsics of the images.
        poses_at: The recorded trajectory.
        config: Search, and when a skew is believed.
        seed: Seed of the resampling.

    Returns:
        None if the recording does not determine it: few features, a steady speed, or too long a skew.
    """
    tracked = [pair for pair in (_track(*pair) for pair in pairs) if len(pair.pixels)]
    if len(tracked) < config.min_pairs:
        return None

    def residuals(unknowns: Float[np.ndarray, " 7"]) -> Float[np.ndarray, " m"]:
        motions = _motions(_ends(tracked), poses_at, unknowns[0])
        hand_eye = transform(Rotation.from_rotvec(unknowns[1:4]).as_matrix(), unknowns[4:])
        motions = hand_eye @ motions @ invert(hand_eye)
        off = [_distances(pair, camera, T).ravel() for pair, T in zip(tracked, motions, strict=True)]
        return np.concatenate([*off, unknowns[1:] / _HAND_EYE_STD * config.scale])

    skews = np.arange(-config.longest, config.longest + config.step / 2, config.step)
    losses = [np.log1p((residuals(np.r_[skew, np.zeros(6)]) / config.scale) ** 2).sum() for skew in skews]
    best = int(np.argmin(losses))
    if best in (0, len(skews) - 1):
        return None
    start = np.r_[skews[best], np.zeros(6)]
    found = least_squares(residuals, start, loss="cauchy", f_scale=config.scale, x_scale=_SCALES)
    std = _standard_deviation(found.jac, found.fun, tracked, np.random.default_rng(seed))
    if std > config.max_std or abs(found.x[0]) > config.longest:
        return None
    return ClockSkew(float(found.x[0]), std, len(tracked))


@dataclass(frozen=True, eq=False)
class _Tracked:
    """Features of a pair of images."""

    times: tuple[float, float]
    pixels: Float[np.ndarray, "n 2"]
    later: Float[np.ndarray, "n 2"]
    depth: Float[np.ndarray, " n"]
    """z-depth in the earlier image, metres; all 0 without depth."""


def _track(one: TimedImage, other: TimedImage) -> _Tracked:
    """Follow corners to the later image; those that are also found on the way back, with depth, count."""
    times = one.time, other.time
    corners = cv2.goodFeaturesToTrack(one.gray, maxCorners=200, qualityLevel=0.01, minDistance=7)
    if corners is None:
        return _Tracked(times, np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))
    there, found, _ = cv2.calcOpticalFlowPyrLK(one.gray, other.gray, corners, np.zeros_like(corners))
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(other.gray, one.gray, there, np.zeros_like(corners))
    good = (found.ravel() == 1) & (found_back.ravel() == 1)
    good &= np.linalg.norm(back - corners, axis=-1).ravel() < 0.3
    # OpenCV's pixel centres are at whole numbers.
    pixels, later = corners[good, 0].astype(float) + 0.5, there[good, 0].astype(float) + 0.5
    if one.depth is None:
        return _Tracked(times, pixels, later, np.zeros(len(pixels)))
    depth = at_pixels(one.depth, pixels)
    return _Tracked(times, pixels[depth > 0], later[depth > 0], depth[depth > 0])


def _ends(tracked: Sequence[_Tracked]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return the stamps of the earlier and of the later images."""
    one, other = np.array([pair.times for pair in tracked]).T
    return one, other


def _motions(
    ends: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]], poses_at: PosesAt, shift: float
) -> Float[np.ndarray, "n 4 4"]:
    """Return the motions from the camera frames at the first times to those at the second."""
    start, end = (poses_at(times + shift) for times in ends)
    return np.linalg.inv(end) @ start


def _distances(
    pair: _Tracked, camera: Camera, T_later_earlier: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "n *two"]:
    """Return differences from the predicted pixels, or from epipolar lines where there is no depth."""
    if not pair.depth.any():
        return sampson(fundamental_matrix(T_later_earlier, camera.K, camera.K), pair.pixels, pair.later)
    points = back_project(camera, T_later_earlier, pair.pixels, pair.depth)
    return project(camera, np.eye(4), points)[0] - pair.later


def _standard_deviation(
    jacobian: Float[np.ndarray, "m 7"],
    residuals: Float[np.ndarray, " m"],
    tracked: Sequence[_Tracked],
    rng: np.random.Generator,
) -> float:
    """Return the standard deviation of the skew over resampled pairs, linearised at the solution.

    Features of one pair err together, so that pairs are drawn, not features.
    """
    counts = [len(pair.pixels) * (2 if pair.depth.any() else 1) for pair in tracked]
    starts = np.r_[0, np.cumsum(counts)[:-1]]
    ends = starts + counts
    hessians = np.array([jacobian[a:b].T @ jacobian[a:b] for a, b in zip(starts, ends, strict=True)])
    gradients = np.array([jacobian[a:b].T @ residuals[a:b] for a, b in zip(starts, ends, strict=True)])
    prior = jacobian[ends[-1] :]
    fixed = prior.T @ prior + 1e-9 * np.eye(7), prior.T @ residuals[ends[-1] :]
    drawn = rng.integers(0, len(tracked), (200, len(tracked)))
    steps = [
        np.linalg.solve(fixed[0] + hessians[d].sum(axis=0), fixed[1] + gradients[d].sum(axis=0))
        for d in drawn
    ]
    return float(np.std([step[0] for step in steps]))
