"""Writing of recordings and structure-from-motion results as checked capture folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from point2act.core.errors import CaptureError
from point2act.core.files import check_free, new_folder, read_json, write_json
from point2act.core.types import Capture, ProgressCallback
from point2act.data.capture import CaptureWriter, load_views, read_capture, write_capture
from point2act.data.importers.recording import Recording, load_frame

if TYPE_CHECKING:  # pycolmap takes seconds to load, and RGB-D needs none
    from point2act.data.importers.sfm import SfmModel

T = TypeVar("T")


def check_output_free(output: Path) -> None:
    """Raise ``CaptureError`` if ``output`` exists and is not an empty folder."""
    check_free(output, CaptureError)


@contextmanager
def new_capture(output: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``output`` at the end of the block if it holds a valid capture.

    Raises ``CaptureError`` at once if ``output`` exists.
    """
    with new_folder(output, CaptureError) as folder:
        yield folder
        read_capture(folder)


def write_recording(
    output: Path, recording: Recording, *, progress: ProgressCallback | None = None
) -> Capture:
    """Write a recording as a capture, with one view in memory at a time.

    Raises ``CaptureError`` for files that cannot be read, and if ``output`` exists.
    """
    base = recording.T_base_world
    with new_capture(output) as folder, CaptureWriter(folder, T_base_world=base) as writer:
        for done, recorded in enumerate(recording.frames, start=1):
            writer.add(load_frame(recording, recorded))
            if progress is not None:
                progress(done, len(recording.frames))
    return read_capture(output)


def write_structure(output: Path, model: SfmModel, *, metric: bool) -> Capture:
    """Write registered photographs, undistorted, and their points as a capture; raises as ``new_capture``.

    ``metric`` records whether lengths are metres.
    """
    with new_capture(output) as folder:
        photos = model.frames[0].image_path.parent
        views = load_views(Capture(photos, model.frames, 1e-3, None, None, metric=metric))
        write_capture(folder, views, point_cloud=(model.points, model.colors))
        mark_metric(folder, metric=metric)
    return read_capture(output)


def mark_metric(folder: Path, *, metric: bool) -> None:
    """Record in a capture's transforms.json whether its lengths are metres."""
    path = folder / "transforms.json"
    write_json(path, {"metric": metric, **read_json(path, CaptureError)})


def subsample(items: Sequence[T], every: int, max_items: int | None) -> tuple[T, ...]:
    """Return every n-th item; of those at most ``max_items``, evenly spread from the first to the last."""
    for name, number in (("--every", every), ("--max-frames", 1 if max_items is None else max_items)):
        if number < 1:
            raise CaptureError(f"{name} is {number}: give 1 or more")
    kept = tuple(items[::every])
    if max_items is None or len(kept) <= max_items:
        return kept
    step = (len(kept) - 1) / max(max_items - 1, 1)
    return tuple(kept[round(index * step)] for index in range(max_items))
