"""Jobs as Parquet tables: images, answers, results, grasps, trials and fields, joined by job and query.

The only module of this package beside ``lerobot`` that imports pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from point2act.core.errors import FleetError
from point2act.data.capture.write import depth_png, png_bytes
from point2act.fleet.datasets.contents import JobContent, QueryContent

if TYPE_CHECKING:
    import pyarrow

# Rows that are kept in memory, and written as a row group.
_ROWS = 256


def write_parquet(contents: Iterable[JobContent], folder: Path) -> None:
    """Write ``images``, ``answers``, ``results``, ``grasps``, ``trials`` and ``fields``, each a .parquet.

    Args:
        contents: The jobs. The images of a capture are written once.
        folder: Folder to write to.

    Raises:
        FleetError: pyarrow is not installed.
    """
    with ExitStack() as stack:
        tables = {
            name: stack.enter_context(TableWriter(folder / f"{name}.parquet", schema))
            for name, schema in _schemas().items()
        }
        written: set[tuple[str, ...]] = set()
        for job in contents:
            images = (job.capture, *(view.name for view in job.views))
            if images not in written:
                written.add(images)
                _add_images(tables["images"], job)
            for query in job.queries:
                _add_query(tables, job, query)


class TableWriter:
    """Appends rows to a Parquet file, of which few are in memory.

    Args:
        path: File to write.
        schema: Columns of the table.
    """

    def __init__(self, path: Path, schema: pyarrow.Schema):
        from pyarrow import parquet

        self._writer = parquet.ParquetWriter(path, schema)
        self._schema = schema
        self._rows: list[Mapping[str, Any]] = []

    def __enter__(self) -> TableWriter:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file."""
        self.close()

    def close(self) -> None:
        """Write the last rows, and finish the file."""
        self._flush()
        self._writer.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row, a value for each column; a missing one is null."""
        self._rows.append(row)
        if len(self._rows) == _ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow

        if self._rows:
            self._writer.write_table(pyarrow.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []


def import_pyarrow() -> Any:
    """Return pyarrow. Raises ``FleetError`` if it is not installed."""
    try:
        import pyarrow
    except ImportError as err:
        raise FleetError(f'Parquet cannot be written ({err}): pip install "point2act[fleet]"') from err
    return pyarrow


def _schemas() -> dict[str, pyarrow.Schema]:
    pa = import_pyarrow()
    number, text, floats = pa.float64(), pa.string(), pa.list_(pa.float64())
    asked = {"job": pa.int64(), "capture": text, "query": text}
    columns: dict[str, dict[str, Any]] = {
        "images": {
            "capture": text,
            "image": text,
            "color_png": pa.binary(),
            "depth_png": pa.binary(),
            "K": floats,
            "T_world_cam": floats,
        },
        "answers": {**asked, "text": text, "role": text, "image": text, "points": pa.list_(floats)},
        "results": {**asked, "text": text, "role": text, "action_point": floats, "confidence": number}
        | {"reason": text},
        "grasps": {**asked, "rank": pa.int64(), "T_world_gripper": floats, "width": number}
        | {"approach_width": number, "score": number, "relevancy": number, "quality": number},
        "trials": {**asked, "success": pa.bool_(), "outcome": text},
        "fields": {**asked, "centers": pa.list_(pa.float32()), "relevancy": pa.list_(pa.float32())},
    }
    return {name: pa.schema(list(kinds.items())) for name, kinds in columns.items()}


def _add_images(images: TableWriter, job: JobContent) -> None:
    for view in job.views:
        images.add(
            {
                "capture": job.capture,
                "image": view.name,
                "color_png": png_bytes(view.rgb),
                "depth_png": None if view.depth is None else depth_png(view.depth),
                "K": view.camera.K.ravel(),
                "T_world_cam": view.T_world_cam.ravel(),
            }
        )


def _add_query(tables: Mapping[str, TableWriter], job: JobContent, query: QueryContent) -> None:
    asked = {"job": job.number, "capture": job.capture, "query": query.query.name}
    words = {"text": query.query.text, "role": query.query.role}
    for view, points in zip(job.views, query.pixels, strict=True):
        if points is not None:
            tables["answers"].add({**asked, **words, "image": view.name, "points": list(points)})
    found = {name: query.result[name] for name in ("action_point", "confidence", "reason")}
    tables["results"].add({**asked, **words, **found})
    for rank, grasp in enumerate(query.result["grasps"]):
        pose = [value for row in grasp["T_world_gripper"] for value in row]
        tables["grasps"].add({**grasp, **asked, "rank": rank, "T_world_gripper": pose})
    if query.trial is not None:
        tables["trials"].add({**asked, **query.trial, "query": query.query.name})
    if query.field is not None:
        tables["fields"].add({**asked, "centers": query.field[:, :3].ravel(), "relevancy": query.field[:, 3]})
