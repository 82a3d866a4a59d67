"""Opening a segmenter: SAM 2 from Hugging Face, from a folder of transformers, or from .onnx files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from point2act.core.errors import ModelError
from point2act.vlm.clients.cache import default_folder
from point2act.vlm.segmenters.cache import CachedSegmenter, prepare_folder
from point2act.vlm.segmenters.onnx_files import OnnxSegmenter, has_onnx_files
from point2act.vlm.segmenters.sam2 import Sam2Segmenter
from point2act.vlm.segmenters.segmenter import FunctionSegmenter, Segmenter, SegmentFunction


@dataclass(frozen=True)
class SegmenterConfig:
    """Segmenter of --masks, and the cache of its masks."""

    path: Path | None = None
    """Folder of SAM 2: either one with config.json, as transformers saves it, or one with an encoder and a
    decoder as .onnx or .ort files. By default --masks.model is downloaded."""
    model: str = "facebook/sam2.1-hiera-tiny"
    """Identifier of a SAM 2 on Hugging Face."""
    device: str | None = None
    """Device of a model of transformers: cuda, mps or cpu; by default cuda if available, else cpu."""
    cache: Path | None = None
    """Folder of cached masks; by default point2act/masks in the user's cache folder."""
    remember: bool = True
    """Cache masks, so that the same points in an image are segmented only once."""


def open_segmenter(config: SegmenterConfig = SegmenterConfig()) -> Segmenter:
    """Find a segmenter; its weights are loaded when it is first used.

    Raises:
        ModelError: The folder holds no SAM 2, or a library is missing.
    """
    opened = _open(config)
    if not config.remember:
        return opened
    folder = config.cache or default_folder().with_name("masks")
    prepare_folder(folder)
    return CachedSegmenter(opened, folder)


def as_segmenter(given: Segmenter | SegmentFunction | None) -> Segmenter | None:
    """Return a segmenter as it is, a plain function as one, and None for None."""
    return given if given is None or isinstance(given, Segmenter) else FunctionSegmenter(given)


def _open(config: SegmenterConfig) -> Segmenter:
    path = config.path
    if path is None:
        return Sam2Segmenter(config.model, device=config.device)
    if not path.is_dir():
        raise ModelError(f"{path} is no folder: --masks.path names one with SAM 2 in it")
    if has_onnx_files(path):
        return OnnxSegmenter(path)
    return Sam2Segmenter(path, device=config.device)
