"""Preparation of photographs and of the sharpest frames of a video for COLMAP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from point2act.core.errors import CaptureError
from point2act.core.types import ProgressCallback

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_FILM_WIDTH = 36.0  # Millimetres: EXIF's FocalLengthIn35mmFilm is for film of 36x24.

_SHARPNESS_SIDE = 640
"""Longer side in pixels at which the sharpness of video frames is compared. Chosen for low noise."""


@dataclass(frozen=True)
class Photo:
    """An upright, resized copy of a photograph on disk."""

    name: str
    """File name of the original."""
    path: Path
    height: int
    width: int
    scale: float
    """Pixels of the copy per pixel of the original."""
    focal: float | None
    """Focal length in pixels from EXIF, None without it."""


def list_photos(folder: Path) -> tuple[Path, ...]:
    """List the photographs of a folder by name. Raises ``CaptureError`` for fewer than three."""
    if not folder.is_dir():
        raise CaptureError(f"there is no folder {folder}: give the folder of your photographs")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
    found = [path for path in found if not path.name.startswith(".")]
    if len(found) < 3:
        raise CaptureError(
            f"{folder} has {len(found)} photographs ({', '.join(_SUFFIXES)}): give three or more, of "
            "one scene"
        )
    stems = [path.stem.casefold() for path in found]
    twice = next((path for path in found if stems.count(path.stem.casefold()) > 1), None)
    if twice is not None:
        raise CaptureError(f"{folder} has several photographs called {twice.stem}: name each differently")
    return tuple(found)


def prepare_photos(
    paths: Sequence[Path], folder: Path, max_side: int, *, progress: ProgressCallback | None = None
) -> tuple[Photo, ...]:
    """Copy photographs into a folder, turned upright by EXIF, the longer side at most ``max_side`` pixels.

    Raises ``CaptureError`` for a file that cannot be read.
    """
    if max_side < 1:
        raise CaptureError(f"--max-side is {max_side}: give 1 or more")
    folder.mkdir(parents=True, exist_ok=True)
    photos = []
    for index, path in enumerate(paths):
        photos.append(_developed(path, folder / f"{index:05}.png", max_side))
        if progress is not None:
            progress(index + 1, len(paths))
    return tuple(photos)


def extract_sharp_frames(
    video: Path, count: int, folder: Path, *, progress: ProgressCallback | None = None
) -> tuple[Path, ...]:
    """Write the sharpest frame of each of ``count`` equally long parts of a video as upright PNG files.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al. 2000). The video is read twice, because
    the frame count of a file is often wrong. Raises ``CaptureError`` for a file that is not a video.
    """
    import cv2

    if count < 3:
        raise CaptureError(f"--frames is {count}: give 3 or more")
    sharpness = _sharpness(video, progress)
    stretches = np.array_split(np.arange(len(sharpness)), min(count, len(sharpness)))
    chosen = {int(stretch[np.argmax(sharpness[stretch])]) for stretch in stretches}
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    reader = cv2.VideoCapture(str(video))
    for index in range(len(sharpness)):
        reader.grab()
        if index in chosen:
            paths.append(folder / f"{video.stem}_{index:06}.png")
            _, picture = reader.retrieve()
            cv2.imwrite(str(paths[-1]), picture, (cv2.IMWRITE_PNG_COMPRESSION, 1))
    reader.release()
    return tuple(paths)


def _sharpness(video: Path, progress: ProgressCallback | None) -> np.ndarray:
    """Return the sharpness of every frame of a video."""
    import cv2

    if not video.is_file():
        raise CaptureError(f"there is no file {video}: give a video")
    reader = cv2.VideoCapture(str(video))
    claimed = int(reader.get(cv2.CAP_PROP_FRAME_COUNT))
    found = []
    while True:
        there, picture = reader.read()
        if not there:
            break
        gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        scale = min(1.0, _SHARPNESS_SIDE / max(gray.shape))
        small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found.append(cv2.Laplacian(small, cv2.CV_64F).var())
        if progress is not None:
            progress(len(found), max(claimed, len(found)))
    reader.release()
    if len(found) < 3:
        raise CaptureError(
            f"{video} gives {len(found)} frames: give a video that OpenCV can decode, like H.264"
        )
    return np.array(found)


def _developed(path: Path, target: Path, max_side: int) -> Photo:
    try:
        with Image.open(path) as file:
            focal = _focal(file)
            picture = ImageOps.exif_transpose(file).convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as err:
        raise CaptureError(f"{path} cannot be read ({err}): copy or export it again, or remove it") from err
    longer = max(picture.size)
    picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    picture.save(target, compress_level=1)
    scale = max(picture.size) / longer
    pixels = None if focal is None else focal * max(picture.size)
    return Photo(path.name, target, picture.height, picture.width, scale, pixels)


def _focal(image: Image.Image) -> float | None:
    """Return the focal length from EXIF in longer sides of the image."""
    details = image.getexif().get_ifd(ExifTags.IFD.Exif)
    film = details.get(ExifTags.Base.FocalLengthIn35mmFilm)
    return float(film) / _FILM_WIDTH if film else None
