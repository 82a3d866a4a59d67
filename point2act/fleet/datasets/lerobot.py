"""Jobs as a LeRobot dataset, version 3.0: an episode for each query, a frame for each image.

The layout is that of lerobot/datasets (utils.py, dataset_metadata.py) in https://github.com/huggingface/lerobot.
Poses, intrinsics and depth have the names that ``configs/mappings/lerobot.toml`` reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from point2act.core.errors import FleetError
from point2act.core.files import write_json
from point2act.core.types import Camera, View
from point2act.data.capture.write import depth_png, png_bytes
from point2act.fleet.datasets.contents import JobContent, QueryContent
from point2act.fleet.datasets.tables import TableWriter, import_pyarrow

if TYPE_CHECKING:
    import pyarrow

# Frames have no times: a capture stands still. LeRobot needs a rate.
_FPS = 1
_CAMERA = "camera"
_COLOR, _DEPTH = f"observation.images.{_CAMERA}", f"observation.images.depth_{_CAMERA}"
_POINTS = 8
"""Points of an answer that a frame holds; further ones are left out. Chosen."""
_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
_POSE = ("x", "y", "z", "qw", "qx", "qy", "qz")

_NUMBERS: dict[str, tuple[str, int, Sequence[str] | None]] = {
    f"observation.extrinsics.{_CAMERA}": ("float32", 16, None),
    f"observation.intrinsics.{_CAMERA}": ("float32", 9, None),
    "answer.points": ("float32", 2 * _POINTS, None),
    "answer.count": ("int64", 1, None),
    "action": ("float32", 8, (*_POSE, "width")),
    "action_point": ("float32", 3, ("x", "y", "z")),
    "confidence": ("float32", 1, None),
    "grasp.count": ("int64", 1, None),
    "grasp.score": ("float32", 1, None),
    "trial.success": ("int64", 1, None),
    "timestamp": ("float32", 1, None),
    "frame_index": ("int64", 1, None),
    "episode_index": ("int64", 1, None),
    "index": ("int64", 1, None),
    "task_index": ("int64", 1, None),
}
"""Type, number and names of the values of each feature that is no image."""


@dataclass
class _Written:
    """What was written so far."""

    size: tuple[int, int] | None = None
    depth: bool = False
    tasks: dict[str, int] = field(default_factory=dict)
    """Index of each task by its words."""
    episodes: list[dict[str, Any]] = field(default_factory=list)
    frames: int = 0


def write_lerobot(contents: Iterable[JobContent], folder: Path) -> None:
    """Write a dataset with its images in Parquet.

    Args:
        contents: The jobs, whose images have one size, and depth in all of them or in none.
        folder: Folder to write to.

    Raises:
        FleetError: The images differ in size or depth, or pyarrow is not installed.
    """
    import_pyarrow()
    written, writer = _Written(), None
    path = folder / _DATA.format(chunk_index=0, file_index=0)
    path.parent.mkdir(parents=True)
    try:
        for job in contents:
            _check_alike(job, written)
            if writer is None:
                writer = TableWriter(path, _schema(written.depth))
            images = [_images(view) for view in job.views]
            for query in job.queries:
                for row in _episode(job, query, images, written):
                    writer.add(row)
    finally:
        if writer is not None:
            writer.close()
    _write_description(folder, written)


def _check_alike(job: JobContent, written: _Written) -> None:
    """Refuse images that have not the size and the kind of the first one."""
    for view in job.views:
        size, depth = (view.camera.height, view.camera.width), view.depth is not None
        if written.size is None:
            written.size, written.depth = size, depth
        if (size, depth) != (written.size, written.depth):
            raise FleetError(
                f"{job.capture}/{view.name} has {_kind(size, depth)}, and the first image "
                f"{_kind(written.size, written.depth)}: LeRobot needs them alike, so export captures of one "
                "kind, or choose webdataset or parquet"
            )


def _kind(size: tuple[int, int], depth: bool) -> str:
    return f"{size[1]}x{size[0]} pixels {'with' if depth else 'without'} depth"


def _images(view: View) -> dict[str, Any]:
    """Return the values of a frame that do not depend on the query."""
    found = {
        _COLOR: {"bytes": png_bytes(view.rgb), "path": None},
        f"observation.extrinsics.{_CAMERA}": view.T_world_cam.ravel(),
        f"observation.intrinsics.{_CAMERA}": _K(view.camera).ravel(),
    }
    if view.depth is not None:
        found[_DEPTH] = {"bytes": depth_png(view.depth), "path": None}
    return found


def _K(camera: Camera) -> Float[np.ndarray, "3 3"]:
    """Return the intrinsics as OpenCV has them, with the centre of the first pixel at 0."""
    return camera.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]


def _episode(
    job: JobContent, query: QueryContent, images: Sequence[Mapping[str, Any]], written: _Written
) -> Iterator[dict[str, Any]]:
    """Yield the frames of a query, and count them."""
    task = written.tasks.setdefault(query.query.text, len(written.tasks))
    number, start = len(written.episodes), written.frames
    written.frames += len(images)
    written.episodes.append(
        {
            "episode_index": number,
            "tasks": [query.query.text],
            "length": len(images),
            "dataset_from_index": start,
            "dataset_to_index": written.frames,
            "job": job.number,
            "query": query.query.name,
            **dict.fromkeys(("data/chunk_index", "data/file_index"), 0),
            **dict.fromkeys(("meta/episodes/chunk_index", "meta/episodes/file_index"), 0),
        }
    )
    found = _found(query)
    for step, image in enumerate(images):
        indices = {"frame_index": step, "episode_index": number, "index": start + step, "task_index": task}
        yield {**image, **_answer(query, step), **found, **indices, "timestamp": step / _FPS}


def _answer(query: QueryContent, step: int) -> dict[str, Any]:
    """Return the points in an image, filled up with -1, and their number: -1 if it was not asked."""
    points = query.pixels[step]
    filled = np.full((_POINTS, 2), -1.0)
    if points is not None:
        filled[: len(points)] = points[:_POINTS]
    return {"answer.points": filled.ravel(), "answer.count": -1 if points is None else len(points)}


def _found(query: QueryContent) -> dict[str, Any]:
    """Return the place and the best grasp, zeros where there is none, and -1 where it was not tried."""
    grasps, point = query.result["grasps"], query.result["action_point"]
    best = grasps[0] if grasps else None
    return {
        "action": np.zeros(8) if best is None else [*_pose(best["T_world_gripper"]), best["width"]],
        "action_point": point or np.zeros(3),
        "confidence": query.result["confidence"] or 0.0,
        "grasp.count": len(grasps),
        "grasp.score": 0.0 if best is None else best["score"],
        "trial.success": -1 if query.trial is None else int(query.trial["success"]),
    }


def _pose(T: Sequence[Sequence[float]]) -> Float[np.ndarray, "7"]:
    """Return position and quaternion, wxyz with w not negative."""
    matrix = np.array(T, dtype=float)
    x, y, z, w = Rotation.from_matrix(matrix[:3, :3]).as_quat(canonical=True)
    return np.array([*matrix[:3, 3], w, x, y, z])


def _schema(depth: bool) -> pyarrow.Schema:
    pa = import_pyarrow()
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = [(name, image) for name in ((_COLOR, _DEPTH) if depth else (_COLOR,))]
    for name, (kind, count, _) in _NUMBERS.items():
        number = pa.float32() if kind == "float32" else pa.int64()
        columns.append((name, number if count == 1 else pa.list_(number, count)))
    return pa.schema(columns)


def _write_description(folder: Path, written: _Written) -> None:
    """Write meta/: the features, the tasks and where each episode lies."""
    pa = import_pyarrow()
    from pyarrow import parquet

    assert written.size is not None
    write_json(folder / "meta" / "info.json", _info(written))
    tasks = pa.table({"task_index": list(written.tasks.values()), "task": list(written.tasks)})
    # LeRobot reads the words from the index of a pandas table.
    index = {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object"}
    marked = {"index_columns": ["task"], "column_indexes": [], "columns": [{**index, "metadata": None}]}
    tasks = tasks.replace_schema_metadata({"pandas": json.dumps(marked)})
    parquet.write_table(tasks, folder / "meta" / "tasks.parquet")
    path = folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    path.parent.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(written.episodes), path)


def _info(written: _Written) -> dict[str, Any]:
    assert written.size is not None
    features: dict[str, Any] = {
        _COLOR: {"dtype": "image", "shape": [*written.size, 3], "names": ["height", "width", "channels"]}
    }
    if written.depth:
        info = {"is_depth_map": True, "depth_unit": "mm"}
        features[_DEPTH] = {**features[_COLOR], "shape": [*written.size, 1], "info": info}
    for name, (kind, count, names) in _NUMBERS.items():
        features[name] = {"dtype": kind, "shape": [count], "names": None if names is None else list(names)}
    return {
        "codebase_version": "v3.0",
        "robot_type": None,
        "total_episodes": len(written.episodes),
        "total_frames": written.frames,
        "total_tasks": len(written.tasks),
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": _FPS,
        "splits": {"train": f"0:{len(written.episodes)}"},
        "data_path": _DATA,
        "video_path": _VIDEO,
        "features": features,
        "point2act_version": version("point2act"),
    }
