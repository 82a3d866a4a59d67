"""The data types of point2act: frozen dataclasses over numpy arrays.

Lengths are metres, angles radians, image sizes ``(height, width)``, quaternions ``wxyz``, and
``T_a_b`` maps points from frame b to frame a. Cameras are OpenCV's (+x right, +y down, +z forward).
Pixels are continuous: ``(0, 0)`` is the top-left corner of the image and the centre of the top-left
pixel is ``(0.5, 0.5)``. Depth is z-depth, along the optical axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from point2act.core.constraints import Constraint

ProgressCallback = Callable[[int, int], None]
"""Called with ``(done, total)`` as work advances."""

ViewAnswers = Sequence[Float[np.ndarray, "_ 2"] | None]
"""Answers to one query per view, or to each query in one view: points, none if not visible, or None."""

DepthImages = Sequence[Float[np.ndarray, "_h _w"]]
"""z-depth of the surface in every view, world units, 0 for none."""

Role = Literal["grasp", "place", "avoid"]
"""What the robot is to do with the queried thing."""

Head = Literal["auto", "analytic", "learned", "both"]
"""Where the grasps of a hand come from: optimised random starts, the proposals of a network, or both;
``auto`` is both where there are weights for the hand."""
Reason = Literal[
    "no_points",
    "no_agreement",
    "no_geometry",
    "no_scale",
    "no_contact_pair",
    "too_wide",
    "all_collide",
    "unreachable",
]
"""Why a query has no action point or no grasp."""


# ── capture ────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera without distortion. ``fx, fy, cx, cy`` in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float
    height: int
    width: int

    @property
    def K(self) -> Float[NDArray[np.float64], "3 3"]:
        """The intrinsic matrix."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])


@dataclass(frozen=True, eq=False)
class Lens:
    """Distortion model of the image on disk.

    ``coefficients`` are in OpenCV's order: ``(k1, k2, p1, p2, k3, k4, k5, k6)`` for ``"opencv"``,
    ``(k1, k2, k3, k4)`` for ``"fisheye"``.
    """

    model: Literal["opencv", "fisheye"] = "opencv"
    coefficients: tuple[float, ...] = ()
    crop_radius: float | None = None
    """Radius in pixels about the image centre outside of which a fisheye image shows no scene."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a capture: its files and calibration, without pixels unless they are in memory alone."""

    name: str
    """``file_path`` as written in ``transforms.json``; points.json refers to images by it."""
    image_path: Path
    depth_path: Path | None
    mask_path: Path | None
    camera: Camera
    """Intrinsics of the image on disk."""
    lens: Lens
    T_world_cam: Float[NDArray[np.float64], "4 4"]
    pixels: View | None = None
    """The image, undistorted, if it is in memory and in no file."""


@dataclass(frozen=True, eq=False)
class Capture:
    """A folder of posed images whose pixels are not loaded."""

    folder: Path
    frames: tuple[Frame, ...]
    depth_unit: float
    """Metres per unit of the 16-bit depth images."""
    point_cloud_path: Path | None
    T_base_world: Float[NDArray[np.float64], "4 4"] | None
    metric: bool
    """Whether lengths are known to be metres. A capture without depth has an unknown scale."""

    @property
    def base(self) -> Float[NDArray[np.float64], "3"] | None:
        """Position of the robot base in the world frame, None if unknown."""
        T = self.T_base_world
        return None if T is None else -T[:3, :3].T @ T[:3, 3]


@dataclass(frozen=True, eq=False)
class View:
    """An undistorted, possibly resized image with its pose, and depth and mask if known."""

    name: str
    camera: Camera
    T_world_cam: Float[NDArray[np.float64], "4 4"]
    rgb: UInt8[NDArray[np.uint8], "h w 3"]
    depth: Float[NDArray[np.floating], "h w"] | None = None
    """z-depth in metres, 0 without a reading."""
    mask: Bool[NDArray[np.bool_], "h w"] | None = None
    """True where the image may be used."""

    @property
    def T_cam_world(self) -> Float[NDArray[np.float64], "4 4"]:
        """Transform from world to camera."""
        return np.linalg.inv(self.T_world_cam)


# ── points ─────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, eq=False)
class Query:
    """A thing to find, described in words."""

    name: str
    text: str
    role: Role = "grasp"
    instances: Literal["one", "all"] = "one"
    """Whether the words mean one thing, or every one that they fit, such as "all the screws"."""


@dataclass(frozen=True, eq=False)
class Answer:
    """Points that a model, a file or a person gave for one query in one image."""

    image: str
    query: str
    points: Float[NDArray[np.float64], "n 2"]
    """Pixels ``(x, y)`` of the image on disk, empty if the target is not visible."""
    visible: bool = True
    model: str = ""
    raw: str | None = None
    seconds: float | None = None
    window: tuple[int, int, int, int] | None = None
    """Left, top, width and height of the crop that was shown, pixels on disk; None for the whole image."""


@dataclass(frozen=True, eq=False)
class Choice:
    """Which of several regions marked in one image a model or a person chose for a query."""

    image: str
    query: str
    marks: tuple[Float[NDArray[np.float64], "_ 2"], ...]
    """Pixels of the image on disk that each mark stands for, evenly spaced over it; at least one each."""
    chosen: int | None
    """Index of the mark; None for none of them."""
    model: str = ""
    raw: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Target:
    """A thing that a step of a plan needs to find."""

    query: Query
    object: str
    """The whole object, in words."""
    part: str | None
    """The part of the object, in words; None for the whole object."""
    reason: str
    """Why the instruction needs this target, one short sentence."""


@dataclass(frozen=True, eq=False)
class Step:
    """One action of a plan with the targets it needs."""

    action: str
    """The action, in words."""
    targets: tuple[Target, ...]
    constraints: tuple[Constraint, ...] = ()
    """What holds at its end, and on the way there."""


@dataclass(frozen=True, eq=False)
class Plan:
    """An instruction decomposed into steps."""

    instruction: str
    steps: tuple[Step, ...]
    model: str = ""
    """Name of the model that made the plan."""

    @property
    def queries(self) -> tuple[Query, ...]:
        """Queries of all steps in order, without repeats."""
        named = {target.query.name: target.query for step in self.steps for target in step.targets}
        return tuple(named.values())


@dataclass(frozen=True, eq=False)
class PointSet:
    """The queries and answers of a points.json."""

    queries: tuple[Query, ...]
    answers: tuple[Answer, ...]
    plan: Plan | None = None
    """The task plan that the queries come from, None without an instruction."""
    choices: tuple[Choice, ...] = ()
    """Choices among marked regions, further evidence beside the answers."""


# ── scene ──────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, eq=False)
class GaussianScene:
    """3D Gaussians in the capture's world frame, in activated form (no logits, no logarithms)."""

    means: Float[NDArray[np.float64], "n 3"]
    quats: Float[NDArray[np.float64], "n 4"]
    """Rotations as unit quaternions, wxyz."""
    scales: Float[NDArray[np.float64], "n 3"]
    """Standard deviations along the local axes."""
    opacities: Float[NDArray[np.float64], " n"]
    """In (0, 1)."""
    sh: Float[NDArray[np.float64], "n k 3"]
    """Spherical harmonics of the colour, k = (degree + 1)^2; colour = 0.5 + SH(direction)."""

    def __len__(self) -> int:
        return len(self.means)


@dataclass(frozen=True, eq=False)
class RelevancyField:
    """Relevancy of each Gaussian to each query, one column per query."""

    queries: tuple[Query, ...]
    values: Float[NDArray[np.float64], "n q"]
    """Probability that the Gaussian belongs to what the query means, in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Support:
    """Numbers of views that support or contradict an action point."""

    agree: int
    disagree: int
    unseen: int
    rejected_images: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """A box with orthonormal axes (rows of ``axes``) in world coordinates."""

    center: Float[NDArray[np.float64], " 3"]
    axes: Float[NDArray[np.float64], "3 3"]
    half_extents: Float[NDArray[np.float64], " 3"]


@dataclass(frozen=True, eq=False)
class Region:
    """A hypothesis of where to act for a query."""

    action_point: Float[NDArray[np.float64], " 3"]
    confidence: float
    support: Support
    box: OrientedBox


@dataclass(frozen=True, eq=False)
class NearestMiss:
    """The rejected gripper pose with the smallest penetration."""

    T_volume_gripper: Float[NDArray[np.float64], "4 4"]
    """Pose in the frame of the planner's volume."""
    opening: float
    """Distance between the pads, metres."""
    hits: Float[NDArray[np.float64], "n 3"]
    """Surface points in or too near the gripper on its approach, in the frame of the volume."""


@dataclass(frozen=True, eq=False)
class NoAnswer:
    """The reason why a query has no result."""

    reason: Reason
    detail: str
    """One sentence: the nearest miss and what would help."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Number of candidates that each check removed."""
    miss: NearestMiss | None = None
    """The pose that ``detail`` is about, if it is about a pose."""


# ── grasps ─────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, eq=False)
class JointPath:
    """Joint path of an arm to a grasp and up again, joint positions in radians, one row per step."""

    joints: tuple[str, ...]
    """Joint names in the order of the columns."""
    approach: Float[NDArray[np.float64], "a d"]
    """Path from the pre-grasp pose behind the grasp to the grasp."""
    lift: Float[NDArray[np.float64], "l d"]
    """Path from the grasp to the lifted pose."""
    limit_margin: float
    """Smallest distance to a joint limit along the path, radians."""
    manipulability: float
    """Smallest manipulability sqrt(det(J Jᵀ)) (Yoshikawa 1985); 0 at a singularity."""
    clearance: float
    """Smallest distance of a link to another link, the table or an observed surface, metres; at most 0.05."""

    @property
    def grasp(self) -> Float[NDArray[np.float64], " d"]:
        """Joint positions at which the fingers close."""
        return self.approach[-1]


@dataclass(frozen=True, eq=False)
class HandJoints:
    """Joint positions of a hand at a grasp, radians, and where it touches."""

    names: tuple[str, ...]
    """Joint names in the order of the positions."""
    pregrasp: Float[NDArray[np.float64], " j"]
    """Open, as on the approach."""
    grasp: Float[NDArray[np.float64], " j"]
    """The fingers touch."""
    squeeze: Float[NDArray[np.float64], " j"]
    """Targets of a position control that presses: inside the object."""
    contacts: Float[NDArray[np.float64], "n 3"]
    """World points on the surface that the hand touches."""
    links: tuple[str, ...]
    """Link that touches at each of them."""


@dataclass(frozen=True, eq=False)
class Grasp:
    """A gripper pose that closes on the region."""

    T_world_gripper: Float[NDArray[np.float64], "4 4"]
    width: float
    """Distance between the two contacts, metres; of a hand those of thumb and opposite finger."""
    approach_width: float | None = field(default=None, kw_only=True)
    """Distance between the pads that was checked on the approach, metres, to which a robot opens its gripper;
    None if the planner checked none."""
    score: float
    relevancy: float
    quality: float
    contacts: Float[NDArray[np.float64], "2 3"]
    approach_clearance: float
    """Smallest distance from the gripper to the scene along the approach, metres."""
    free_fully_open: bool | None = field(default=None, kw_only=True)
    """Whether the approach is also free with the gripper fully open; None if that was not checked."""
    approach_seen: float | None = field(default=None, kw_only=True)
    """Fraction of the volume of the approach that a camera looked through; None if that was not checked."""
    lift_clearance: float | None = None
    """Smallest distance from the closed gripper to the scene without the object along the lift, metres."""
    contacts_seen: tuple[bool, bool] = (True, True)
    """Whether each contact lies on a surface that a camera saw; otherwise its surface is inferred."""
    terms: Mapping[str, float] = field(default_factory=dict)
    """Terms of the quality by name, each in [0, 1]."""
    avoid_clearance: float | None = None
    """Smallest distance of the gripper to a region to avoid along the approach, metres; None without one."""
    joint_path: JointPath | None = None
    """Path of the arm to the grasp and up, None without an arm."""
    joints: HandJoints | None = None
    """Joint positions of a hand, whose palm frame ``T_world_gripper`` is then; None for a gripper."""


# ── places ─────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, eq=False)
class PlacePose:
    """A pose at which to set something down."""

    T_world_place: Float[NDArray[np.float64], "4 4"]
    """Origin on the surface, +z its outward unit normal, +x along the longest extent of the flat patch."""
    flat_radius: float
    """Radius of the observed, free and flat disc about the origin, world unit."""
    roughness: float
    """Standard deviation of the surface from its plane within the disc, world unit."""

    @property
    def normal(self) -> Float[NDArray[np.float64], " 3"]:
        """Outward unit normal of the surface, world."""
        return self.T_world_place[:3, 2]


@dataclass(frozen=True, eq=False)
class SurfaceCut:
    """The plane through the surface in which a gripper closes (y, right) and approaches (z, down)."""

    free: Bool[NDArray[np.bool_], "h w"]
    """Pixels that a camera looked through."""
    occupied: Bool[NDArray[np.bool_], "h w"]
    """Pixels in which a camera saw a surface, and those inside the table; the others are unknown."""
    pixel: float
    """Side of a pixel, metres; the gripper's origin is at the centre of the picture."""
    T_world_gripper: Float[NDArray[np.float64], "4 4"]
    opening: float
    """Distance between the pads on the approach, metres."""
    hits: Float[NDArray[np.float64], "n 3"]
    """World points that block the gripper; empty if it is free."""


@dataclass(frozen=True, eq=False)
class QueryResult:
    """The result of one query; without a region or without grasps it has a reason."""

    query: Query
    region: Region | None
    grasps: tuple[Grasp, ...] = ()
    alternatives: tuple[Region, ...] = ()
    reason: Reason | None = None
    detail: str | None = None
    place: PlacePose | None = None
    """The placement pose, for the role ``place`` only."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Number of grasp candidates that each check removed; empty unless there are no grasps."""
    cut: SurfaceCut | None = None
    """The surface at the best grasp, or at the nearest miss; not in grasps.json."""

    @property
    def action_point(self) -> Float[NDArray[np.float64], " 3"] | None:
        """World point to act on, metres; None with a ``reason``."""
        return None if self.region is None else self.region.action_point

    @property
    def confidence(self) -> float:
        """Probability in [0, 1] that the region is the one the query means; 0 without a region."""
        return 0.0 if self.region is None else self.region.confidence
