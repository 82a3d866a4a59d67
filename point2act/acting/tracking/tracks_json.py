"""Results file tracks.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from point2act.acting.tracking.tracker import Track
from point2act.core.errors import ResultsError
from point2act.core.files import read_json, write_json


def write_tracks(path: Path | str, recording: Path, frames: Mapping[str, Sequence[Track]]) -> None:
    """Write tracks.json, checked against its schema, atomically.

    Args:
        path: File to write.
        recording: Folder of the recording.
        frames: Where all things are, by the file name of the colour image, in order; pixels of that file.

    Raises:
        ResultsError: A number is not finite; nothing is written.
    """
    from point2act.acting.tracking.tracks_document import TracksDocument
    from point2act.core.documents import check

    content = {
        "version": 1,
        "recording": recording.resolve().as_posix(),
        "frame": "camera",
        "frames": [
            {"image": image, "things": [_entry(track) for track in tracks]}
            for image, tracks in frames.items()
        ],
    }
    place = f"{path} was not written, its tracks are wrong (please report it)"
    write_json(Path(path), check(TracksDocument, content, ResultsError, place=place).model_dump())


def read_tracks(path: Path | str) -> dict[str, Any]:
    """Read a tracks.json; raises ``ResultsError`` if it violates its schema."""
    from point2act.acting.tracking.tracks_document import TracksDocument
    from point2act.core.documents import check

    document = read_json(path, ResultsError)
    check(TracksDocument, document, ResultsError, place=f"{path} is not a tracks.json")
    return document


def _entry(track: Track) -> dict[str, Any]:
    return {
        "name": track.name,
        "state": track.state,
        "score": round(float(np.clip(track.score, 0, 1)), 3),
        "pixel": [round(float(value), 2) for value in track.pixel],
        "position": [round(float(value), 5) for value in track.position],
    }
