"""Shards of training data: the labelled grasps of one region in a NumPy archive."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.errors import LearningError
from point2act.core.files import read_bytes, write_bytes
from point2act.grasping.learned.cloud import LocalCloud
from point2act.grasping.records import Records

VERSION = 1
"""Version of the files; another one is refused."""


@dataclass(frozen=True, eq=False)
class LabelledGrasps(Records):
    """Grasps that were planned at one region and executed in physics, in the frame of the cloud."""

    T_cloud_gripper: Float[np.ndarray, "g 4 4"]
    """Planned poses of the gripper or palm."""
    pregrasp: Float[np.ndarray, "g j"]
    """Joint positions on the approach, radians; the distance between a gripper's pads, metres."""
    joints: Float[np.ndarray, "g j"]
    """The same at the grasp."""
    score: Float[np.ndarray, " g"]
    """Score by which the planner orders them."""
    free: Bool[np.ndarray, " g"]
    """Whether the approach met nothing; the pose was executed with an error, see ``LabelConfig``."""
    lifted: Bool[np.ndarray, " g"]
    shaken: Bool[np.ndarray, " g"]
    """Whether it was also held when it was shaken."""
    by_part: Bool[np.ndarray, " g"]
    """Whether it was lifted by the part that was asked for."""

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True)
class Source:
    """Where the grasps of a shard are from."""

    effector: str
    """Name of the gripper or hand."""
    family: str
    """Family of the object."""
    seed: int
    """Seed of the object and its table."""
    part: str
    """The part that was asked for; empty for the whole object."""


@dataclass(frozen=True, eq=False)
class Shard:
    """The cloud and the labelled grasps of one region."""

    source: Source
    cloud: LocalCloud
    grasps: LabelledGrasps


def write_shard(path: Path, shard: Shard) -> None:
    """Write a shard; the file is there as a whole or not at all."""
    arrays = {f"cloud_{name}": values for name, values in _small(shard.cloud).items()}
    arrays |= {f"grasp_{name}": values for name, values in _small(shard.grasps).items()}
    document = json.dumps({"version": VERSION, **asdict(shard.source)})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, document=np.array(document), **arrays)
    write_bytes(path, buffer.getvalue())


def read_shard(path: Path) -> Shard:
    """Read a shard.

    Raises:
        LearningError: The file is damaged, or of another version.
    """
    try:
        with np.load(io.BytesIO(read_bytes(path, LearningError))) as stored:
            document = json.loads(str(stored["document"]))
            if document.pop("version") != VERSION:
                raise LearningError(f"{path} is of another version: generate the data anew")
            cloud = LocalCloud(**_fields(stored, "cloud_", LocalCloud))
            grasps = LabelledGrasps(**_fields(stored, "grasp_", LabelledGrasps))
            return Shard(Source(**document), cloud, grasps)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as err:
        raise LearningError(f"{path} is damaged ({err}): delete it and generate the data again") from err


def read_shards(folder: Path) -> Iterator[Shard]:
    """Yield the shards of a folder in the order of their names.

    Raises:
        LearningError: There are none, or one is damaged.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise LearningError(f"{folder} has no shards: write them with point2act learn-grasps generate")
    yield from map(read_shard, paths)


def _small(record: LocalCloud | LabelledGrasps) -> dict[str, np.ndarray]:
    """Return the arrays with numbers of single precision."""
    arrays = {field.name: getattr(record, field.name) for field in fields(record)}
    return {
        name: array if array.dtype == bool else array.astype(np.float32) for name, array in arrays.items()
    }


def _fields(stored: Mapping[str, Any], prefix: str, record: type[Records]) -> dict[str, np.ndarray]:
    """Return the arrays of a record with numbers of double precision."""
    arrays = {field.name: stored[prefix + field.name] for field in fields(record)}  # type: ignore[arg-type]
    if len({len(array) for array in arrays.values()}) > 1:
        raise ValueError("its arrays differ in length")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("not all numbers are finite")
    return {
        name: array if array.dtype == bool else array.astype(np.float64) for name, array in arrays.items()
    }
