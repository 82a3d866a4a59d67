"""Jobs as WebDataset shards: tar files whose members with the same name up to the first dot are a sample.

The conventions are those of https://github.com/webdataset/webdataset: ``views-000000.tar`` holds a sample for
each image, ``queries-000000.tar`` one for each query.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from point2act.core.types import View
from point2act.data.capture.write import depth_png, png_bytes
from point2act.fleet.datasets.contents import JobContent, QueryContent


def write_webdataset(contents: Iterable[JobContent], folder: Path, *, shard_bytes: int) -> None:
    """Write shards of images with answers and of queries with results.

    Args:
        contents: The jobs.
        folder: Folder to write to.
        shard_bytes: Size from which a shard is full.
    """
    with ExitStack() as stack:
        views = stack.enter_context(ShardWriter(folder, "views", shard_bytes))
        queries = stack.enter_context(ShardWriter(folder, "queries", shard_bytes))
        for job in contents:
            for number, view in enumerate(job.views):
                views.add(f"job{job.number:06d}-view{number:04d}", _view_sample(job, number, view))
            for number, query in enumerate(job.queries):
                queries.add(f"job{job.number:06d}-query{number:04d}", _query_sample(job, query))


class ShardWriter:
    """Appends samples to tar files of a bounded size; the same samples give the same bytes.

    Args:
        folder: Folder of the shards.
        name: Start of their names.
        shard_bytes: Size from which a shard is full.
    """

    def __init__(self, folder: Path, name: str, shard_bytes: int):
        self._folder, self._name, self._full = folder, name, shard_bytes
        self._tar: tarfile.TarFile | None = None
        self._count = 0

    def __enter__(self) -> ShardWriter:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the last shard."""
        self._finish()

    def add(self, key: str, sample: Mapping[str, bytes]) -> None:
        """Append a sample.

        Args:
            key: Its name, without a dot.
            sample: Its files, by extension.
        """
        if self._tar is None:
            path = self._folder / f"{self._name}-{self._count:06d}.tar"
            self._tar = tarfile.TarFile(path, "w", format=tarfile.USTAR_FORMAT)
            self._count += 1
        for extension, data in sample.items():
            # Without an owner and a time, which would differ each time.
            member = tarfile.TarInfo(f"{key}.{extension}")
            member.size = len(data)
            self._tar.addfile(member, io.BytesIO(data))
        if self._tar.offset >= self._full:
            self._finish()

    def _finish(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._tar = None


def _view_sample(job: JobContent, number: int, view: View) -> dict[str, bytes]:
    described = {
        "job": job.number,
        "capture": job.capture,
        "image": view.name,
        "K": view.camera.K.tolist(),
        "T_world_cam": view.T_world_cam.tolist(),
        "answers": [_answer(query, number) for query in job.queries],
    }
    sample = {"color.png": png_bytes(view.rgb), "json": _json(described)}
    return sample if view.depth is None else {**sample, "depth.png": depth_png(view.depth)}


def _answer(query: QueryContent, number: int) -> dict[str, Any]:
    points = query.pixels[number]
    return {
        "query": query.query.name,
        "text": query.query.text,
        "role": query.query.role,
        "points": None if points is None else points.tolist(),
    }


def _query_sample(job: JobContent, query: QueryContent) -> dict[str, bytes]:
    described = {"job": job.number, "capture": job.capture, **query.result, "trial": query.trial}
    sample = {"json": _json(described)}
    if query.field is not None:
        buffer = io.BytesIO()
        np.save(buffer, query.field)
        sample["field.npy"] = buffer.getvalue()
    return sample


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
