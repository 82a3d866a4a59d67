"""The list of a batch's results: results.jsonl, the same as a Parquet file, and a page."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from point2act.core.files import replacing, write_text
from point2act.fleet.manifest import Job
from point2act.fleet.store import RESULTS, Store
from point2act.visualization.report.rendering import asset, render

_log = logging.getLogger(__name__)

# Rows of the page's tables.
_FAILURES, _SLOWEST = 200, 10


@dataclass(frozen=True)
class Row:
    """How one job ended: a line of results.jsonl."""

    job: int
    """Index of the job in the manifest, from 0; blank lines do not count."""
    status: str
    """``done`` or ``failed``."""
    grasps: str | None
    """The grasps.json, relative to the store; None if the job failed."""
    error: str | None
    """Why it failed, one sentence; None if it is done."""
    seconds: float
    """Duration of the work on the job, whenever it was done."""
    stages: Mapping[str, float] = field(default_factory=dict, repr=False)
    """Seconds for each stage; not in the file."""

    def document(self) -> dict[str, int | str | float | None]:
        """Return the row as it is written."""
        return {key: value for key, value in vars(self).items() if key != "stages"}


def write_results(store: Store, jobs: Sequence[Job], rows: Sequence[Row]) -> None:
    """Write ``results.jsonl``, ``results.parquet`` where pyarrow is installed, and ``index.html``.

    Args:
        store: The store to write into.
        jobs: The jobs of the manifest.
        rows: How each of them ended.

    Raises:
        Point2ActError: A file cannot be written.
    """
    lines = (json.dumps(row.document(), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    write_text(store.folder / RESULTS, "".join(lines))
    if find_spec("pyarrow") is None:
        _log.warning(
            'results.parquet is not written: pyarrow is not installed (pip install "point2act[fleet]")'
        )
    else:
        _write_parquet(store, rows)
    write_text(store.folder / "index.html", _page(store, jobs, rows))


def _write_parquet(store: Store, rows: Sequence[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("job", pa.int64()),
            ("status", pa.string()),
            ("grasps", pa.string()),
            ("error", pa.string()),
            ("seconds", pa.float64()),
        ]
    )
    table = pa.Table.from_pylist([row.document() for row in rows], schema=schema)
    with replacing(store.folder / "results.parquet") as draft:
        pq.write_table(table, draft)


def _page(store: Store, jobs: Sequence[Job], rows: Sequence[Row]) -> str:
    stages: Counter[str] = Counter()
    for row in rows:
        stages.update(row.stages)
    failed = [(jobs[row.job], row) for row in rows if row.status == "failed"]
    slowest = sorted((row for row in rows if row.status == "done"), key=lambda row: -row.seconds)[:_SLOWEST]
    return render(
        "fleet.html",
        title=store.folder.resolve().name,
        style=asset("report.css"),
        total=len(rows),
        failed=failed[:_FAILURES],
        failures=len(failed),
        captures=len({job.capture for job in jobs}),
        seconds=sum(row.seconds for row in rows),
        stages=stages.most_common(),
        longest=max(stages.values(), default=1.0) or 1.0,
        slowest=[(jobs[row.job], row) for row in slowest],
    )
