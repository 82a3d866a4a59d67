"""The nouns of point2act: plain frozen dataclasses over numpy arrays.

Lengths are metres, angles radians, image sizes ``(height, width)``, quaternions ``wxyz``, and
``T_a_b`` maps points from frame b to frame a. Cameras are OpenCV's (+x right, +y down, +z forward).
Pixels are continuous: ``(0, 0)`` is the top-left corner of the image and the centre of the top-left
pixel is ``(0.5, 0.5)``. Depth is z-depth, along the optical axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

ProgressCallback = Callable[[int, int], None]
"""Called with ``(done, total)`` as work advances."""

Role = Literal["grasp", "place", "avoid"]
"""What the robot is to do with the thing asked for."""

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
    """How the image on disk departs from a pinhole.

    ``coefficients`` are in OpenCV's order: ``(k1, k2, p1, p2, k3, k4, k5, k6)`` for ``"opencv"``,
    ``(k1, k2, k3, k4)`` for ``"fisheye"``.
    """

    model: Literal["opencv", "fisheye"] = "opencv"
    coefficients: tuple[float, ...] = ()
    crop_radius: float | None = None
    """Pixels further than this from the image's centre show the inside of a fisheye lens, not the scene."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One entry of ``transforms.json``: files and calibration, no pixels yet."""

    name: str
    """``file_path`` as written in ``transforms.json``; points.json refers to images by it."""
    image_path: Path
    depth_path: Path | None
    mask_path: Path | None
    camera: Camera
    """Of the image on disk."""
    lens: Lens
    T_world_cam: Float[NDArray[np.float64], "4 4"]


@dataclass(frozen=True, eq=False)
class Capture:
    """A folder of posed images, read but not loaded."""

    folder: Path
    frames: tuple[Frame, ...]
    depth_unit: float
    """Metres for one unit of the 16-bit depth images."""
    point_cloud_path: Path | None
    T_base_world: Float[NDArray[np.float64], "4 4"] | None
    metric: bool
    """Whether lengths are known to be metres. A capture without depth has an unknown scale."""

    @property
    def base(self) -> Float[NDArray[np.float64], "3"] | None:
        """Where the robot's base stands, world; None where the capture does not say."""
        T = self.T_base_world
        return None if T is None else -T[:3, :3].T @ T[:3, 3]


@dataclass(frozen=True, eq=False)
class View:
    """One image ready for use: undistorted, possibly resized."""

    name: str
    camera: Camera
    T_world_cam: Float[NDArray[np.float64], "4 4"]
    rgb: UInt8[NDArray[np.uint8], "h w 3"]
    depth: Float[NDArray[np.floating], "h w"] | None = None
    """Metres, 0 where there is no reading."""
    mask: Bool[NDArray[np.bool_], "h w"] | None = None
    """True where the image may be used."""

    @property
    def T_cam_world(self) -> Float[NDArray[np.float64], "4 4"]:
        """World to camera."""
        return np.linalg.inv(self.T_world_cam)


# ── points ─────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, eq=False)
class Query:
    """A thing asked for, in words."""

    name: str
    text: str
    role: Role = "grasp"


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model, a file or a person said about one query in one image."""

    image: str
    query: str
    points: Float[NDArray[np.float64], "n 2"]
    """Pixels of the image on disk, ``(x, y)``; none when not visible."""
    visible: bool = True
    model: str = ""
    raw: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Target:
    """What a step of a plan needs to find, and why."""

    query: Query
    object: str
    """The whole thing, in words."""
    part: str | None
    """Where on it, in words; None for all of it."""
    reason: str
    """Why it is this that the instruction asks for: a short sentence."""


@dataclass(frozen=True, eq=False)
class Step:
    """One action of a plan, and what has to be found for it."""

    action: str
    """What is done, in words."""
    targets: tuple[Target, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """An instruction taken apart into steps."""

    instruction: str
    steps: tuple[Step, ...]
    model: str = ""
    """Who took it apart."""

    @property
    def queries(self) -> tuple[Query, ...]:
        """What has to be found for all steps, in their order, each once."""
        named = {target.query.name: target.query for step in self.steps for target in step.targets}
        return tuple(named.values())


@dataclass(frozen=True, eq=False)
class PointSet:
    """All queries and all answers of one points.json."""

    queries: tuple[Query, ...]
    answers: tuple[Answer, ...]
    plan: Plan | None = None
    """What the queries are for, where an instruction was taken apart into them."""


# ── scene ──────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, eq=False)
class GaussianScene:
    """3D Gaussians in the capture's world frame, in activated form (no logits, no logarithms)."""

    means: Float[NDArray[np.float64], "n 3"]
    quats: Float[NDArray[np.float64], "n 4"]
    """wxyz, unit length."""
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
    """How much each Gaussian is what was asked for, one column per query."""

    queries: tuple[Query, ...]
    values: Float[NDArray[np.float64], "n q"]
    """In [0, 1]: the evidence for, over all evidence and the prior."""
    evidence: Float[NDArray[np.float64], "n q"]
    """How many views really saw the Gaussian and said something about the query."""


@dataclass(frozen=True, eq=False)
class Support:
    """Which views back an action point."""

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
    """Where to act: one hypothesis for a query."""

    action_point: Float[NDArray[np.float64], " 3"]
    confidence: float
    support: Support
    box: OrientedBox


@dataclass(frozen=True, eq=False)
class NoAnswer:
    """An empty result and why."""

    reason: Reason
    detail: str


# ── grasps ─────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, eq=False)
class JointPath:
    """An arm's way to a grasp and up, joint positions in radians; a step of the path from row to row."""

    joints: tuple[str, ...]
    """Names, in the order of the columns."""
    approach: Float[NDArray[np.float64], "a d"]
    """From straight behind the grasp to the grasp itself."""
    lift: Float[NDArray[np.float64], "l d"]
    """From the grasp to where it is held up."""
    limit_margin: float
    """Smallest distance to a joint limit, radians."""
    manipulability: float
    """Smallest root of det(J Jᵀ) (Yoshikawa 1985); 0 at a singularity."""
    clearance: float
    """Smallest distance between a link and another, the table or what was seen, metres; 0.05 at most."""

    @property
    def grasp(self) -> Float[NDArray[np.float64], " d"]:
        """Where the fingers close."""
        return self.approach[-1]


@dataclass(frozen=True, eq=False)
class Grasp:
    """One way to close the gripper on the region."""

    T_world_gripper: Float[NDArray[np.float64], "4 4"]
    width: float
    """Distance between the contacts, metres."""
    score: float
    relevancy: float
    quality: float
    contacts: Float[NDArray[np.float64], "2 3"]
    approach_clearance: float
    """Smallest distance from the hand to the scene along the approach, metres."""
    lift_clearance: float | None = None
    """Smallest distance from the closed hand to the scene without the object along the lift, metres."""
    contacts_seen: tuple[bool, bool] = (True, True)
    """Whether a camera saw each contact; the surface of the others is inferred."""
    terms: Mapping[str, float] = field(default_factory=dict)
    """What the quality is made of, by name, each in [0, 1]."""
    avoid_clearance: float | None = None
    """Smallest distance from the hand to a region to avoid along the approach, metres; None without one."""
    joint_path: JointPath | None = None
    """How the arm that was named goes there and up; None without one."""


# ── places ─────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, eq=False)
class PlacePose:
    """Where to set something down."""

    T_world_place: Float[NDArray[np.float64], "4 4"]
    """Origin on the surface, +z its outward unit normal, +x along the longest extent of the flat patch."""
    flat_radius: float
    """Radius of the disc about the origin that is seen, free and flat, in the world's unit."""
    roughness: float
    """Standard deviation of the surface about its plane in that disc, in the world's unit."""

    @property
    def normal(self) -> Float[NDArray[np.float64], " 3"]:
        """Outward unit normal of the surface, world."""
        return self.T_world_place[:3, 2]


@dataclass(frozen=True, eq=False)
class QueryResult:
    """Everything found for one query. ``action_point`` is None, or grasps are empty, with a reason."""

    query: Query
    region: Region | None
    grasps: tuple[Grasp, ...] = ()
    alternatives: tuple[Region, ...] = ()
    reason: Reason | None = None
    detail: str | None = None
    place: PlacePose | None = None
    """For the role ``place`` only."""

    @property
    def action_point(self) -> Float[NDArray[np.float64], " 3"] | None:
        """World point to act on, metres; None with a ``reason``."""
        return None if self.region is None else self.region.action_point

    @property
    def confidence(self) -> float:
        """Probability in [0, 1] that the region is the one the query means; 0 without a region."""
        return 0.0 if self.region is None else self.region.confidence
