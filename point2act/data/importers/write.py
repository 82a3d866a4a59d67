"""Views → a capture folder that appears when it is whole and checked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from point2act.core.errors import CaptureError, Point2ActError
from point2act.core.files import read_json, write_json
from point2act.core.types import Capture, ProgressCallback
from point2act.data.capture import CaptureWriter, load_views, read_capture, write_capture
from point2act.data.importers.recording import Recording, load_frame

if TYPE_CHECKING:  # pycolmap takes seconds to load, and RGB-D needs none
    from point2act.data.importers.sfm import SfmModel

T = TypeVar("T")


def check_output_free(output: Path) -> None:
    """Raise ``CaptureError`` where a capture cannot be put because something is there."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise CaptureError(f"{output} already exists: choose another --output, or delete it")


@contextmanager
def new_capture(output: Path) -> Iterator[Path]:
    """A folder to write a capture into, which takes its place when the block ends and the capture reads well.

    Raises ``CaptureError`` at once where the place is taken.
    """
    check_output_free(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as draft:
            folder = Path(draft) / "capture"
            folder.mkdir()
            yield folder
            read_capture(folder)
            os.replace(folder, output)
    except OSError as err:
        raise Point2ActError(f"{output} cannot be written ({err}): choose another --output") from err


def write_recording(
    output: Path, recording: Recording, *, progress: ProgressCallback | None = None
) -> Capture:
    """Write a recording as a capture: one view in memory at a time; ``progress(done, total)`` after each.

    Raises ``CaptureError`` for files that cannot be read, and where ``output`` holds something.
    """
    with new_capture(output) as folder, CaptureWriter(folder) as writer:
        for done, shot in enumerate(recording.shots, start=1):
            writer.add(load_frame(recording, shot))
            if progress is not None:
                progress(done, len(recording.shots))
    return read_capture(output)


def write_structure(output: Path, structure: SfmModel, *, metric: bool) -> Capture:
    """Write placed photographs, undistorted, and their points as a capture.

    ``metric`` says whether lengths are metres; the capture keeps it. Raises as ``new_capture``.
    """
    with new_capture(output) as folder:
        photos = structure.frames[0].image_path.parent
        views = load_views(Capture(photos, structure.frames, 1e-3, None, None, metric=metric))
        write_capture(folder, views, point_cloud=(structure.points, structure.colors))
        mark_metric(folder, metric=metric)
    return read_capture(output)


def mark_metric(folder: Path, *, metric: bool) -> None:
    """Say in a capture's transforms.json whether its lengths are metres."""
    path = folder / "transforms.json"
    write_json(path, {"metric": metric, **read_json(path, CaptureError)})


def subsample(items: Sequence[T], every: int, at_most: int | None) -> tuple[T, ...]:
    """Every n-th item; of those, spread evenly from the first to the last, as many as wanted at most."""
    for name, number in (("--every", every), ("--max-frames", 1 if at_most is None else at_most)):
        if number < 1:
            raise CaptureError(f"{name} is {number}: ask for 1 or more")
    kept = tuple(items[::every])
    if at_most is None or len(kept) <= at_most:
        return kept
    step = (len(kept) - 1) / max(at_most - 1, 1)
    return tuple(kept[round(index * step)] for index in range(at_most))
