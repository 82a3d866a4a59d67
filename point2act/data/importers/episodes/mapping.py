"""Which arrays of a dataset are colours, depth, intrinsics and poses of its cameras: a mapping, from TOML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from pydantic import Field

from point2act.core import config_files
from point2act.core.documents import Text, TomlTable, check
from point2act.core.errors import CaptureError
from point2act.core.geometry import invert, opengl_to_opencv
from point2act.data.importers.episodes.episode import NO_DEPTH, Episode, EpisodeCamera, Picture, pinhole
from point2act.data.importers.episodes.poses import PoseFormat, intrinsics, pose_rows, poses_from_rows

_ANY = "{camera}"
"""Stands for the name of a camera in the keys of a table, which then describes all cameras that it fits."""

_MAX_DEPTH = 1e7
"""Metres; larger values mark pixels without a reading, as in the readers of depth files."""

_LISTED = 40
"""Number of keys that an error lists. Chosen."""

_Numbers = Annotated[list[float] | list[list[float]], Field(min_length=3)]
_Size = Annotated[tuple[int, int], Field(strict=False, description="write [height, width] in pixels")]


class CameraTable(TomlTable):
    """Write a [[camera]] table with color, intrinsics and pose."""

    color: Text
    """Key of the colours."""
    without: Text | None = None
    """Part of the names of cameras that this table does not describe, though {camera} may stand for them."""
    name: Text | None = None
    """Name of the camera in the capture; by default {camera}, or the last part of ``color``."""
    depth: Text | None = None
    depth_unit: Annotated[float, Field(gt=0, description="write the metres per unit of depth")] | None = None
    """None for millimetres of integers and metres of floats."""
    intrinsics: Annotated[
        Text | _Numbers, Field(description="write a key, [fx, fy, cx, cy] or a 3x3 matrix, in pixels")
    ]
    intrinsics_size: _Size | None = None
    """Size that the intrinsics are for, None for that of the images."""
    first_pixel: Annotated[float, Field(ge=0, le=0.5, description="write 0 or 0.5")] = 0.0
    """What cx and cy count as the centre of the first pixel."""
    pose: Annotated[Text | _Numbers, Field(description="write a key, a 4x4 matrix, or 6 or 7 numbers")]
    """Pose of the camera in the world; with ``gripper``, in the gripper."""
    pose_format: PoseFormat = "auto"
    pose_direction: Literal["camera_to_world", "world_to_camera"] = "camera_to_world"
    pose_axes: Literal["opencv", "opengl"] = "opencv"
    gripper: Text | None = None
    """Key of the pose of the gripper that carries the camera."""
    gripper_format: PoseFormat = "auto"
    gripper_columns: (
        Annotated[
            tuple[int, int],
            Field(strict=False, description="write [first, end] of the columns with the pose"),
        ]
        | None
    ) = None
    bgr: bool = False
    """Whether colours are stored blue first."""
    upside_down: bool = False
    """Whether the last row is the top of the images, as in MuJoCo's buffers."""

    @property
    def keys(self) -> list[str]:
        """Keys that must be in the dataset."""
        return [key for key in (self.color, self.intrinsics, self.pose, self.gripper) if isinstance(key, str)]


class Mapping(TomlTable):
    """The cameras of a dataset."""

    episodes: Text | None = None
    """Pattern of the groups of an HDF5 file that are episodes; None if the file is one."""
    camera: list[CameraTable] = Field(min_length=1, description="write at least one [[camera]] table")


@runtime_checkable
class Source(Protocol):
    """An episode of a dataset, whose arrays have keys."""

    place: str
    """What it is called in errors."""

    def keys(self) -> Sequence[str]:
        """Return the keys of all arrays."""

    def has(self, key: str) -> bool:
        """Return whether there is an array with this key."""

    def color_keys(self) -> Sequence[str]:
        """Return the keys of what may be colours."""

    def numbers(self, key: str) -> Shaped[np.ndarray, "..."]:
        """Return an array of numbers."""

    def length(self, key: str) -> int:
        """Return the number of images under a key."""

    def images(self, key: str, steps: Sequence[int]) -> Iterator[Shaped[np.ndarray, "..."]]:
        """Yield the images of ascending steps: colours as 8 bits, or depth."""

    def depth_unit(self, key: str) -> float | None:
        """Return the metres per unit of depth if the dataset says."""


@dataclass(frozen=True)
class _Missing:
    """A camera that cannot be used."""

    name: str
    keys: tuple[str, ...]


def listed(keys: Sequence[str]) -> str:
    """Return the keys of a dataset as text, the first of many."""
    more = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return f"{', '.join(keys[:_LISTED]) or 'none'}{more}"


def load_mapping(name_or_path: str | Path) -> Mapping:
    """Load a mapping by its shipped name (``robomimic``) or from a TOML file. Raises ``CaptureError``."""
    path, table = config_files.load("mappings", name_or_path, CaptureError)
    return check(Mapping, table, CaptureError, place=str(path))


def read_episode(source: Source, mapping: Mapping) -> Episode:
    """Read the cameras of an episode.

    Args:
        source: The episode.
        mapping: Which of its arrays are what.

    Raises:
        CaptureError: No camera has colours, intrinsics and poses; says what is missing and which keys exist.
    """
    usable, missing = find_cameras(source, mapping)
    if not usable:
        raise CaptureError(_nothing_usable(source, mapping, missing))
    notes = tuple(
        f"camera {one.name!r} is left out: there is no {' and no '.join(one.keys)}" for one in missing
    )
    if all(table.depth is None for table in usable.values()):
        notes += (NO_DEPTH,)
    cameras = tuple(_camera(source, name, table) for name, table in usable.items())
    return Episode(cameras, notes)


def find_cameras(source: Source, mapping: Mapping) -> tuple[dict[str, CameraTable], tuple[_Missing, ...]]:
    """Return the first table that fits each camera of a dataset, and the cameras that none fits."""
    usable: dict[str, CameraTable] = {}
    missing: dict[str, _Missing] = {}
    for pattern in mapping.camera:
        for name, table in _expanded(pattern, source):
            absent = tuple(key for key in table.keys if not source.has(key))
            if not absent:
                usable.setdefault(name, table)
            if name not in missing or len(absent) < len(missing[name].keys):
                missing[name] = _Missing(name, absent)
    return usable, tuple(one for name, one in missing.items() if name not in usable)


def _expanded(table: CameraTable, source: Source) -> Iterator[tuple[str, CameraTable]]:
    """Yield a table for each camera whose colours fit its key."""
    if _ANY not in table.color:
        yield table.name or re.split(r"[/.]", table.color)[-1], table
        return
    pattern = re.compile(re.escape(table.color).replace(re.escape(_ANY), "([^/]+)", 1))
    for key in source.color_keys():
        found = pattern.fullmatch(key)
        if found and (table.without is None or table.without not in found[1]):
            words = {
                field: value.replace(_ANY, found[1])
                for field, value in table.model_dump(exclude_unset=True).items()
                if isinstance(value, str)
            }
            filled = table.model_copy(update=words)
            if filled.depth is not None and not source.has(filled.depth):
                filled = filled.model_copy(update={"depth": None})
            yield found[1], filled


def _nothing_usable(source: Source, mapping: Mapping, missing: Sequence[_Missing]) -> str:
    if missing:
        first, others = missing[0], [one.name for one in missing[1:]]
        too = f" (nor do {', '.join(others)})" if others else ""
        problem = f"camera {first.name!r} has no {' and no '.join(first.keys)}{too}"
    else:
        problem = (
            f"there are no colours under {' or '.join(dict.fromkeys(map(_color_words, mapping.camera)))}"
        )
    return (
        f"{source.place}: {problem}: give intrinsics and poses in a TOML file with --mapping, by these keys "
        f"or as numbers; the dataset has {listed(source.keys())}"
    )


def _color_words(table: CameraTable) -> str:
    return table.color if table.without is None else f"{table.color} without {table.without}"


def _camera(source: Source, name: str, table: CameraTable) -> EpisodeCamera:
    place = f"{source.place}: camera {name!r}"
    T_world_cams = _poses(source, table, place)
    first = next(_colors(source, table, [0]))
    size = (first.shape[0], first.shape[1])
    K = source.numbers(table.intrinsics) if isinstance(table.intrinsics, str) else np.array(table.intrinsics)
    camera = pinhole(
        intrinsics(K, place), size, place, K_size=table.intrinsics_size, first_pixel=table.first_pixel
    )

    def read(steps: Sequence[int]) -> Iterator[Picture]:
        depths = _depths(source, table, steps)
        for rgb in _colors(source, table, steps):
            depth = next(depths, None)
            if rgb.shape[:2] != size or (depth is not None and depth.shape != size):
                raise CaptureError(
                    f"{place}: its images are not all of {size[1]}x{size[0]} pixels, depth included"
                )
            yield rgb, depth

    return EpisodeCamera(name, camera, T_world_cams, read)


def _poses(source: Source, table: CameraTable, place: str) -> Float[np.ndarray, "n 4 4"]:
    """Return T_world_cam at every step of the colours."""
    steps = source.length(table.color)
    values = source.numbers(table.pose) if isinstance(table.pose, str) else np.array(table.pose)
    poses = _given_poses(values, table.pose_format, f"{place}: pose")
    if table.pose_direction == "world_to_camera":
        poses = np.array([invert(T) for T in poses])
    if table.pose_axes == "opengl":
        poses = np.array([opengl_to_opencv(T) for T in poses])
    if table.gripper is not None:
        rows = source.numbers(table.gripper)
        if table.gripper_columns is not None:
            rows = rows.reshape(len(rows), -1)[:, slice(*table.gripper_columns)]
        poses = _given_poses(rows, table.gripper_format, f"{place}: gripper") @ poses
    return np.repeat(poses, steps, axis=0) if len(poses) == 1 else poses[:steps]


def _given_poses(
    values: Shaped[np.ndarray, "..."], form: PoseFormat, place: str
) -> Float[np.ndarray, "n 4 4"]:
    rows = pose_rows(values)
    if rows is None:
        raise CaptureError(
            f"{place} has the shape {values.shape}: a pose is a 4x4 or 3x4 matrix, or 6 or 7 numbers, one or "
            "one for each step"
        )
    return poses_from_rows(rows, form, place)


def _colors(source: Source, table: CameraTable, steps: Sequence[int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    for image in source.images(table.color, steps):
        if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
            image = image.transpose(1, 2, 0)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise CaptureError(
                f"{source.place}: {table.color} holds images of {image.dtype} and shape {image.shape}: "
                "colours are three channels of 8 bits"
            )
        image = image[..., ::-1] if table.bgr else image
        yield np.ascontiguousarray(image[::-1] if table.upside_down else image)


def _depths(source: Source, table: CameraTable, steps: Sequence[int]) -> Iterator[Float[np.ndarray, "h w"]]:
    """Yield depth in metres, 0 without a reading; nothing if there is no depth."""
    if table.depth is None:
        return
    if not source.has(table.depth):
        raise CaptureError(
            f"{source.place} has no {table.depth}: leave depth out of the mapping, or name another key"
        )
    known = table.depth_unit or source.depth_unit(table.depth)
    for image in source.images(table.depth, steps):
        single = np.squeeze(
            image, axis=tuple(axis for axis in (0, -1) if image.ndim == 3 and image.shape[axis] == 1)
        )
        if single.ndim != 2:
            raise CaptureError(
                f"{source.place}: {table.depth} holds images of shape {image.shape}: depth is one number a "
                "pixel"
            )
        unit = known or (1.0 if single.dtype.kind == "f" else 1e-3)
        metres = single.astype(np.float64) * unit
        metres = np.where((metres > 0) & (metres <= _MAX_DEPTH), metres, 0.0).astype(np.float32)
        yield np.ascontiguousarray(metres[::-1] if table.upside_down else metres)
