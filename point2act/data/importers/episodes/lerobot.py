"""Episodes of LeRobot datasets, versions 2.0, 2.1 and 3.0.

The layouts are those of lerobot/datasets (utils.py, dataset_metadata.py, depth_utils.py, configs/video.py) in
https://github.com/huggingface/lerobot: 2.x has a parquet file and videos for each episode, 3.0 has several
episodes in a file, which meta/episodes locates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Shaped, UInt16
from PIL import Image

from point2act.core.errors import CaptureError
from point2act.core.files import brief, read_json
from point2act.data.importers.episodes.video import read_codes, read_frames

if TYPE_CHECKING:
    import pyarrow

_SEPARATE = ("v2.0", "v2.1")
_SHARED = "v3.0"

_QMAX = 4095
"""Largest 12-bit code of depth."""

_UNITS = {"mm": 1e-3, "m": 1.0}


class LeRobotEpisode:
    """An episode of a LeRobot dataset, whose arrays are the features of meta/info.json."""

    def __init__(self, folder: Path, episode: int) -> None:
        """Read the description of a dataset.

        Args:
            folder: The dataset.
            episode: Number of the episode.

        Raises:
            CaptureError: The folder is no LeRobot dataset of a known version, or has no such episode.
        """
        self.place = str(folder)
        self._folder, self._number = folder, episode
        self._info = _read_info(folder)
        self._features: dict[str, dict[str, Any]] = self._info["features"]
        total = self._info.get("total_episodes", 0)
        if not 0 <= episode < total:
            raise CaptureError(f"{folder} has no episode {episode}: it has {total}, numbered from 0")
        self._shared = self._info["codebase_version"] == _SHARED
        self._row = self._located() if self._shared else {}
        self._steps = len(self._column("frame_index"))
        if not self._steps:
            raise CaptureError(
                f"{folder} has no frames of episode {episode}: download its files in data/ too"
            )

    def keys(self) -> Sequence[str]:
        """Return the names of the features."""
        return list(self._features)

    def has(self, key: str) -> bool:
        """Return whether there is a feature."""
        return key in self._features

    def color_keys(self) -> Sequence[str]:
        """Return the names of the image and video features that are not depth."""
        return [
            key
            for key, feature in self._features.items()
            if feature.get("dtype") in ("image", "video") and not _is_depth(feature)
        ]

    def numbers(self, key: str) -> Shaped[np.ndarray, "..."]:
        """Return a feature at every step. Raises ``CaptureError`` if it does not hold numbers."""
        try:
            return np.array(self._column(key).to_pylist(), dtype=np.float64)
        except (TypeError, ValueError) as err:
            raise CaptureError(
                f"{self.place}: {key} does not hold numbers ({err}): name another feature"
            ) from err

    def length(self, key: str) -> int:
        """Return the number of steps."""
        return self._steps

    def images(self, key: str, steps: Sequence[int]) -> Iterator[Shaped[np.ndarray, "..."]]:
        """Yield colours as 8 bits; depth in metres from videos, and as stored from images."""
        feature = self._features[key]
        if feature.get("dtype") == "image":
            for image in self._column(key).take(list(steps)).to_pylist():
                yield self._stored_image(image, key)
            return
        if feature.get("dtype") != "video":
            raise CaptureError(
                f"{self.place}: {key} holds {feature.get('dtype')} and no images: name another feature"
            )
        path, start = self._video(key)
        if _is_depth(feature):
            for codes in read_codes(path, steps, start=start):
                yield depth_from_codes(codes, feature.get("info") or {}, f"{self.place}: {key}")
        else:
            yield from read_frames(path, steps, start=start)

    def depth_unit(self, key: str) -> float | None:
        """Return the metres per unit of image features; those of videos are metres already."""
        return (
            None
            if self._is_video(key)
            else _UNITS.get(str((self._features[key].get("info") or {}).get("depth_unit")))
        )

    def _is_video(self, key: str) -> bool:
        return self._features[key].get("dtype") == "video"

    def _stored_image(self, image: Any, key: str) -> Shaped[np.ndarray, "..."]:
        data = image.get("bytes") if isinstance(image, dict) else None
        try:
            if data is None:
                raise ValueError("the file holds no bytes")
            with Image.open(BytesIO(data), formats=("JPEG", "PNG", "TIFF")) as picture:
                return np.asarray(picture)
        except (ValueError, OSError, SyntaxError, Image.DecompressionBombError) as err:
            raise CaptureError(
                f"{self.place}: an image of {key} cannot be read ({err}): download it again"
            ) from err

    def _video(self, key: str) -> tuple[Path, float]:
        """Return the file of a video feature and the time at which the episode starts."""
        if not self._shared:
            return self._path("video_path", video_key=key), 0.0
        try:
            chunk, file, start = (
                self._row[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index", "from_timestamp")
            )
        except KeyError as err:
            raise CaptureError(
                f"{self.place}/meta/episodes has no column {err}: download meta/ again"
            ) from err
        return self._path("video_path", video_key=key, chunk_index=chunk, file_index=file), float(start)

    def _column(self, key: str) -> pyarrow.ChunkedArray:
        """Read a feature of this episode from its parquet file."""
        if self._shared:
            indices = {name: self._row[f"data/{name}"] for name in ("chunk_index", "file_index")}
            path = self._path("data_path", **indices)
        else:
            path = self._path("data_path")
        return _read_table(path, [key], self._number).column(key)

    def _located(self) -> dict[str, Any]:
        """Return the row of meta/episodes that locates this episode."""
        for path in sorted((self._folder / "meta" / "episodes").glob("*/*.parquet")):
            table = _read_table(path, None, self._number)
            if len(table):
                return table.to_pylist()[0]
        raise CaptureError(
            f"{self.place}/meta/episodes has no row of episode {self._number}: download meta/ again"
        )

    def _path(self, name: str, **values: Any) -> Path:
        """Fill in a path of info.json, which must stay in the folder."""
        chunk = self._number // max(int(self._info.get("chunks_size", 1000)), 1)
        values = {"episode_chunk": chunk, "episode_index": self._number, **values}
        try:
            relative = PurePosixPath(str(self._info[name]).format_map(values))
        except (KeyError, IndexError, ValueError, AttributeError) as err:
            raise CaptureError(
                f"{self.place}/meta/info.json: {name} cannot be filled in ({err}): fix it"
            ) from err
        if relative.is_absolute() or ".." in relative.parts:
            raise CaptureError(
                f"{self.place}/meta/info.json: {name} leads out of the dataset to {relative}: fix it"
            )
        return self._folder / relative


def depth_from_codes(
    codes: UInt16[np.ndarray, "h w"], info: dict[str, Any], place: str
) -> Float[np.ndarray, "h w"]:
    """Return depth in metres from 12-bit codes; code 0, the nearest depth or nothing, is no reading.

    Args:
        codes: The codes, as ``quantize_depth`` of lerobot/datasets/depth_utils.py makes them.
        info: The feature's ``info`` with video.depth_min, depth_max and shift in metres, and use_log.
        place: Name of the feature, for errors.

    Raises:
        CaptureError: A number is missing.
    """
    try:
        low, high, shift = (float(info[f"video.{name}"]) for name in ("depth_min", "depth_max", "shift"))
        logarithmic = bool(info["video.use_log"])
    except (KeyError, TypeError, ValueError) as err:
        raise CaptureError(
            f"{place} does not say how depth is coded ({err}): write it into info.json"
        ) from err
    share = codes.astype(np.float64) / _QMAX
    if logarithmic:
        depth = np.exp(np.log(low + shift) + share * np.log((high + shift) / (low + shift))) - shift
    else:
        depth = low + share * (high - low)
    return np.where(codes > 0, depth, 0.0)


def _is_depth(feature: dict[str, Any]) -> bool:
    """Return whether LeRobot takes a feature for depth (dataset_metadata.py, depth_keys)."""
    info, video = (feature.get(name) or {} for name in ("info", "video_info"))
    return any((info.get("is_depth_map"), info.get("video.is_depth_map"), video.get("video.is_depth_map")))


def _read_info(folder: Path) -> dict[str, Any]:
    path = folder / "meta" / "info.json"
    if not path.is_file():
        raise CaptureError(f"there is no {path}: give the folder of a LeRobot dataset")
    info = read_json(path, CaptureError)
    version = info.get("codebase_version") if isinstance(info, dict) else None
    if version not in (*_SEPARATE, _SHARED):
        raise CaptureError(
            f"{path} has the codebase_version {brief(version)}: {', '.join((*_SEPARATE, _SHARED))} are read; "
            "convert the dataset with LeRobot"
        )
    features = info.get("features")
    if not isinstance(features, dict) or not all(isinstance(feature, dict) for feature in features.values()):
        raise CaptureError(f"{path} does not describe its features: download it again")
    return info


def _read_table(path: Path, columns: list[str] | None, episode: int) -> pyarrow.Table:
    """Read the rows of an episode from a parquet file."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as err:
        raise CaptureError(
            f'parquet files cannot be read ({err}): pip install "point2act[datasets]"'
        ) from err
    if not path.is_file():
        raise CaptureError(f"there is no file {path}: download the episode's files in data/ and meta/ too")
    try:
        return parquet.read_table(path, columns=columns, filters=[("episode_index", "=", episode)])
    except (pyarrow.ArrowException, OSError) as err:
        raise CaptureError(f"{path} cannot be read as parquet ({str(err)[:200]}): download it again") from err
