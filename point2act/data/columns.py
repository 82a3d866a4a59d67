"""Arrays of the frames of an episode as a table, with columns as LeRobot names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from point2act.core.errors import Point2ActError
from point2act.core.files import replacing


def write_columns(
    path: Path | str,
    frames: Sequence[Mapping[str, Shaped[np.ndarray, "..."]]],
    *,
    episode: int = 0,
    rate: float = 30.0,
) -> None:
    """Write arrays of the frames of an episode as a parquet file, atomically.

    Each frame is a row, and each array a list, nested by its dimensions. LeRobot's ``episode_index``,
    ``frame_index`` and ``timestamp`` (seconds) are added.

    Args:
        path: File to write.
        frames: Arrays of each frame by the names of their columns, the same in all frames, such as
            ``localization.features.crop_columns`` returns.
        episode: Number of the episode.
        rate: Frames per second.

    Raises:
        Point2ActError: Frames have other columns than the first one, pyarrow is missing, or the file cannot
            be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as err:
        raise Point2ActError(
            f'parquet files cannot be written ({err}): pip install "point2act[datasets]"'
        ) from err
    if not frames or any(frame.keys() != frames[0].keys() for frame in frames):
        raise Point2ActError(f"{path} was not written: give frames that all have the same columns")
    columns = {name: [frame[name].tolist() for frame in frames] for name in frames[0]}
    types = {name: _nested(frames[0][name], pyarrow) for name in columns}
    arrays = {name: pyarrow.array(values, types[name]) for name, values in columns.items()}
    numbers = np.arange(len(frames))
    arrays |= {
        "episode_index": pyarrow.array(np.full(len(frames), episode)),
        "frame_index": pyarrow.array(numbers),
        "timestamp": pyarrow.array((numbers / rate).astype(np.float32)),
    }
    with replacing(path) as draft:
        parquet.write_table(pyarrow.table(arrays), draft)


def _nested(array: Shaped[np.ndarray, "..."], pyarrow: Any) -> Any:
    """Return the type of a column: lists in lists of the array's numbers."""
    kind = pyarrow.from_numpy_dtype(array.dtype)
    for _ in range(array.ndim):
        kind = pyarrow.list_(kind)
    return kind
