"""Parallel-jaw grippers as boxes, read from TOML files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import Field

from point2act.core import config_files
from point2act.core.documents import Length, Text, TomlTable, Vector, check
from point2act.core.errors import GripperError

# Rotation of a parallel gripper around its approach that exchanges the fingers.
HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
# Largest distance of the closed finger's inner face from y = 0, metres.
_PAD_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Boxes:
    """Axis-aligned boxes in one frame, metres."""

    center: Float[np.ndarray, "b 3"]
    half: Float[np.ndarray, "b 3"]
    """Half the sides."""

    @staticmethod
    def of(*boxes: tuple[Sequence[float], Sequence[float]]) -> Boxes:
        """Return boxes from their centres and half sides."""
        rows = np.array(boxes, dtype=float).reshape(-1, 2, 3)
        return Boxes(rows[:, 0], rows[:, 1])

    @property
    def low(self) -> Float[np.ndarray, "b 3"]:
        """Corners with the smallest coordinates."""
        return self.center - self.half

    @property
    def high(self) -> Float[np.ndarray, "b 3"]:
        """Corners with the largest coordinates."""
        return self.center + self.half

    def __len__(self) -> int:
        return len(self.center)

    def __iter__(self) -> Iterator[tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]]:
        """Iterate over centres and half sides."""
        return zip(self.center, self.half, strict=True)

    def __getitem__(self, rows: slice) -> Boxes:
        return Boxes(self.center[rows], self.half[rows])

    def __add__(self, others: Boxes) -> Boxes:
        return Boxes(np.concatenate([self.center, others.center]), np.concatenate([self.half, others.half]))

    def moved(self, by: Sequence[float] | Float[np.ndarray, "3"] | Float[np.ndarray, "b 3"]) -> Boxes:
        """Return the boxes translated by one vector, or by one each."""
        return Boxes(self.center + by, self.half)

    def on_both_sides(self) -> Boxes:
        """Return the boxes, then their mirror images at y = 0."""
        return self + Boxes(self.center * [1, -1, 1], self.half)


@dataclass(frozen=True, eq=False)
class Gripper:
    """A parallel-jaw gripper.

    Frame: the origin is the midpoint between the pads' centres, +z is the direction of approach, and the
    fingers close along y. ``finger`` and ``link`` describe the +y side, with y measured from the surface of
    its pad; at opening w a finger is translated by +w/2, and its mirror image by -w/2.

    With a linkage the pads also move forwards as they close, so that the palm moves back in this frame.
    ``link`` and ``body`` are described at the fully open gripper, where the palm is nearest.
    """

    name: str
    max_width: float
    """Largest distance between the pads, metres."""
    pad_size: tuple[float, float]
    """Width along x and length along z of the flat pad, metres; centred on the origin."""
    finger: Boxes
    """Boxes that move with the pad."""
    body: Boxes
    """Boxes that move with the mounting face: palm and flange."""
    max_force: float
    """Largest force of a finger, newtons."""
    source: str = ""
    """Origin of the numbers."""
    link: Boxes = field(default_factory=Boxes.of)
    """Boxes of a linkage, which move a fraction of the fingertip's way."""
    follow: Float[np.ndarray, " l"] = field(default_factory=lambda: np.zeros(0))
    """Fraction for each link, between 0 (moves with the palm) and 1 (moves with the fingertip)."""
    mount: tuple[tuple[float, float], ...] = ()
    """Rows of opening and distance of the mounting face, on the robot's flange, behind the pads' centres,
    metres. Openings ascend; empty if unknown."""

    def mount_at(self, opening: float) -> float | None:
        """Return the distance of the mounting face behind the pads' centres, metres; None if unknown.

        Linear interpolation between the rows of ``mount``, constant beyond them.
        """
        if not self.mount:
            return None
        openings, distances = zip(*self.mount, strict=True)
        return float(np.interp(opening, openings, distances))

    def fingers_at(self, opening: float) -> Boxes:
        """Return the finger on the +y side, then its mirror image, at an opening in metres."""
        return self.finger.moved([0.0, opening / 2, 0.0]).on_both_sides()

    def body_at(self, opening: float) -> Boxes:
        """Return links, palm and flange at an opening in metres.

        A linkage keeps its pads parallel, so a point on a bar moves a constant fraction of the pads' way.
        """
        back, closed = self._setback(opening), (self.max_width - opening) / 2
        out, forth = self.max_width / 2 - self.follow * closed, (self.follow - 1) * back
        links = self.link.moved(np.stack([np.zeros_like(out), out, forth], axis=1))
        return links.on_both_sides() + self.body.moved([0.0, 0.0, -back])

    def boxes_at(self, opening: float) -> Boxes:
        """Return the whole gripper at an opening in metres: the fingers first."""
        return self.fingers_at(opening) + self.body_at(opening)

    def _setback(self, opening: float) -> float:
        """Return how far the palm moves back from the pads relative to the open gripper, metres."""
        here, opened = self.mount_at(opening), self.mount_at(self.max_width)
        return 0.0 if here is None or opened is None else here - opened


class _Box(TomlTable):
    """Write a box as center and half_extents."""

    center: Vector
    half_extents: tuple[Length, Length, Length] = Field(
        strict=False, description="write a list of 3 positive numbers in metres"
    )

    def pair(self) -> tuple[Sequence[float], Sequence[float]]:
        """Return centre and half sides."""
        return self.center, self.half_extents


class _Link(_Box):
    """Write a link as center, half_extents and follow."""

    follow: float = Field(
        gt=0,
        lt=1,
        description="write the fraction of the fingertip's way that it moves, between 0 and 1; what moves "
        "all of it is a [[finger]]",
    )


_Behind = Annotated[
    float, Field(gt=0, description="write a positive distance, the mounting face lies behind the pads")
]
_Row = Annotated[
    tuple[float, _Behind], Field(strict=False, description="write a row [opening, distance] in metres")
]


class _GripperFile(TomlTable):
    """A file of ``configs/grippers``."""

    name: Text
    max_width: Length
    pad_size: tuple[Length, Length] = Field(
        strict=False, description="write a list of 2 positive lengths in metres"
    )
    max_force: float = Field(gt=0, description="write one positive number, newtons")
    source: Text
    mount: list[_Row] = Field([], description="write a list of [opening, distance] in metres")
    finger: list[_Box] = Field(min_length=1, description="write at least one [[finger]]")
    link: list[_Link] = Field([], description="write [[link]] tables")
    body: list[_Box] = Field(min_length=1, description="write at least one [[body]]")


def load_gripper(name_or_path: str | Path) -> Gripper:
    """Load a gripper.

    Args:
        name_or_path: Name of a shipped gripper or path of a TOML file, see ``configs/grippers/README.md``.

    Raises:
        GripperError: The file is wrong; names the file, the key and what to write there.
    """
    path, table = config_files.load("grippers", name_or_path, GripperError)
    found = check(_GripperFile, table, GripperError, place=str(path))
    gripper = Gripper(
        name=found.name,
        max_width=found.max_width,
        pad_size=found.pad_size,
        finger=Boxes.of(*map(_Box.pair, found.finger)),
        body=Boxes.of(*map(_Box.pair, found.body)),
        max_force=found.max_force,
        source=found.source,
        link=Boxes.of(*map(_Box.pair, found.link)),
        follow=np.array([link.follow for link in found.link], dtype=float),
        mount=tuple(found.mount),
    )
    _check_mount(path, gripper)
    _check_geometry(path, gripper)
    return gripper


def _check_mount(path: Path, gripper: Gripper) -> None:
    openings = [row[0] for row in gripper.mount]
    if any(here >= after for here, after in pairwise(openings)):
        raise GripperError(f"{path}: 'mount' has the openings {openings}: write the rows in ascending order")
    if len(openings) > 1 and (openings[0] != 0 or openings[-1] != gripper.max_width):
        raise GripperError(
            f"{path}: 'mount' goes from opening {openings[0]:g} to {openings[-1]:g}: start with 0 and end "
            f"with max_width, {gripper.max_width:g}; or write one row if the pads do not move forwards"
        )


def _check_geometry(path: Path, gripper: Gripper) -> None:
    inner = float(gripper.finger.low[:, 1].min())
    if abs(inner) > _PAD_TOLERANCE:
        raise GripperError(
            f"{path}: the inner face of [[finger]] lies at y = {1e3 * inner:.1f} mm: describe the finger on "
            "the +y side of the closed gripper, whose pad touches y = 0"
        )
    links = gripper.body_at(0.0)[: len(gripper.link)]
    for low, high in zip(links.low, links.high, strict=True):
        if low[1] < -_PAD_TOLERANCE:
            raise GripperError(
                f"{path}: the [[link]] that ends {1e3 * high[2]:.0f} mm before the pads' centres meets that "
                "of the other finger when closed: make it thinner or its follow smaller"
            )
    tip, front = float(gripper.finger.high[:, 2].max()), float(gripper.body.high[:, 2].max())
    if front >= tip:
        raise GripperError(
            f"{path}: [[body]] reaches z = {1e3 * front:.1f} mm, past the fingertips at {1e3 * tip:.1f} mm: "
            "+z is the direction of approach and the origin lies between the pads"
        )
