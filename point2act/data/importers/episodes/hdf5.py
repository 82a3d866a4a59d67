"""Episodes in HDF5 files, such as robomimic's, ManiSkill's, RoboTwin's and ACT's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from point2act.core.errors import CaptureError
from point2act.data.importers.episodes.episode import Episode
from point2act.data.importers.episodes.mapping import (
    Mapping,
    find_cameras,
    listed,
    load_mapping,
    read_episode,
)

if TYPE_CHECKING:
    import h5py

SHIPPED = ("maniskill", "robotwin", "robomimic", "act")
"""Shipped mappings, tried in this order."""

_ATTRIBUTE = "@"
"""Start of a key that leads into a JSON attribute of the episode's group: ``@camera_info/front/pose``."""


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading. Raises ``CaptureError`` if that fails, also while it is read."""
    try:
        import h5py
    except ImportError as err:
        raise CaptureError(f'HDF5 files cannot be read ({err}): pip install "point2act[datasets]"') from err
    if not path.is_file():
        raise CaptureError(f"there is no file {path}: give an HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError) as err:
        raise CaptureError(f"{path} cannot be read as HDF5 ({err}): copy or download it again") from err


def array_names(group: h5py.Group) -> list[str]:
    """Return the paths of the arrays in a group, without those that lie in other files."""
    import h5py

    found: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not item.is_virtual and not item.external:
            found.append(name)

    group.visititems(visit)
    return found


class Hdf5Episode:
    """The arrays of a group of an HDF5 file, by their paths."""

    def __init__(self, group: h5py.Group, place: str) -> None:
        self.place = place
        self._group = group
        self._names = array_names(group)

    def keys(self) -> Sequence[str]:
        """Return the paths of the arrays."""
        return self._names

    def has(self, key: str) -> bool:
        """Return whether there is an array, or a value in a JSON attribute."""
        return self._attribute(key) is not None if key.startswith(_ATTRIBUTE) else key in self._names

    def color_keys(self) -> Sequence[str]:
        """Return the paths of the arrays."""
        return self._names

    def numbers(self, key: str) -> Shaped[np.ndarray, "..."]:
        """Return an array of numbers. Raises ``CaptureError`` for others."""
        values = self._attribute(key) if key.startswith(_ATTRIBUTE) else self._array(key)[()]
        try:
            return np.array(values, dtype=np.float64)
        except (TypeError, ValueError) as err:
            raise CaptureError(
                f"{self.place}: {key} does not hold numbers ({err}): name another key"
            ) from err

    def length(self, key: str) -> int:
        """Return the number of images."""
        shape = self._array(key).shape
        if not shape or not shape[0]:
            raise CaptureError(
                f"{self.place}: {key} has the shape {shape} and not one image a step: name another key"
            )
        return shape[0]

    def images(self, key: str, steps: Sequence[int]) -> Iterator[Shaped[np.ndarray, "..."]]:
        """Yield images, decoded if they are stored as files (JPEG or PNG)."""
        array = self._array(key)
        for step in steps:
            image = array[step]
            yield _decoded(image, f"{self.place}: {key}[{step}]") if array.ndim <= 2 else image

    def depth_unit(self, key: str) -> float | None:
        """Return None: HDF5 files do not say."""
        return None

    def _array(self, key: str) -> h5py.Dataset:
        if key not in self._names:
            raise CaptureError(f"{self.place} has no array {key}: it has {listed(self._names)}")
        return self._group[key]

    def _attribute(self, key: str) -> Any:
        """Return the value on a path in a JSON attribute, None if there is none."""
        name, *steps = key.removeprefix(_ATTRIBUTE).split("/")
        try:
            value = json.loads(self._group.attrs.get(name, "null"))
        except (TypeError, ValueError):
            return None
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        return value


def _decoded(image: Any, place: str) -> Shaped[np.ndarray, "..."]:
    try:
        data = (
            bytes(image) if isinstance(image, (bytes, np.bytes_)) else np.asarray(image, np.uint8).tobytes()
        )
        with Image.open(BytesIO(data), formats=("JPEG", "PNG")) as picture:
            return np.asarray(picture)
    except (TypeError, ValueError, OSError, SyntaxError, Image.DecompressionBombError) as err:
        raise CaptureError(
            f"{place} is no image ({err}): name the key of images, or of JPEG or PNG files"
        ) from err


@contextmanager
def read_hdf5(path: Path, mapping: Mapping | None, episode: int) -> Iterator[Episode]:
    """Open an episode of an HDF5 file, whose pictures can be read until the block ends.

    Args:
        path: The file.
        mapping: Which of its arrays are what; None for the first shipped mapping that finds colours.
        episode: Number of the episode in the file, in the order of the names.

    Raises:
        CaptureError: There is no such episode, or no camera has colours, intrinsics and poses.
    """
    with open_hdf5(path) as file:
        if mapping is not None:
            yield read_episode(_episode(file, path, mapping, episode), mapping)
            return
        name, shipped = _fitting_mapping(file, path)
        found = read_episode(_episode(file, path, shipped, episode), shipped)
        yield Episode(found.cameras, (f"mapping {name}", *found.notes))


def _fitting_mapping(file: h5py.File, path: Path) -> tuple[str, Mapping]:
    """Return the first shipped mapping that finds colours in a file, and its name."""
    for name in SHIPPED:
        shipped = load_mapping(name)
        if shipped.episodes is None or _groups(file, shipped.episodes):
            source = _episode(file, path, shipped, 0)
            if any(find_cameras(source, shipped)):
                return name, shipped
    raise CaptureError(
        f"{path} has the arrays of none of {', '.join(SHIPPED)}: name its colours, intrinsics and poses in a "
        f"TOML file with --mapping; it has {listed(array_names(file))}"
    )


def _episode(file: h5py.File, path: Path, mapping: Mapping, episode: int) -> Hdf5Episode:
    groups = [""] if mapping.episodes is None else _groups(file, mapping.episodes)
    if not 0 <= episode < len(groups):
        raise CaptureError(
            f"{path} has no episode {episode}: it has {len(groups)} groups {mapping.episodes or '/'}, "
            "numbered from 0"
        )
    name = groups[episode]
    return Hdf5Episode(file[name] if name else file, f"{path}/{name}".rstrip("/"))


def _groups(file: h5py.File, pattern: str) -> list[str]:
    """Return the groups that fit a pattern like ``data/demo_*``, numbers in numeric order."""
    import h5py

    holder, _, last = pattern.rpartition("/")
    if holder and holder not in file:
        return []
    group = file[holder] if holder else file
    wanted = re.compile(re.escape(last).replace(r"\*", ".*"))
    names = [
        name
        for name in (group if isinstance(group, h5py.Group) else ())
        if wanted.fullmatch(name) and isinstance(group.get(name), h5py.Group)
    ]
    names.sort(
        key=lambda name: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
    )
    return [f"{holder}/{name}".lstrip("/") for name in names]
