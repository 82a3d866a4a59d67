"""SAM 2 by onnxruntime, from a folder with an encoder and a decoder.

The files are exports of SAM 2 (Ravi et al. 2024) as they are in circulation for browsers: the encoder takes
``image`` (1, 3, 1024, 1024), normalised by ImageNet's mean and deviation, and gives ``image_embed``,
``high_res_feats_0`` and ``high_res_feats_1``; the decoder takes these, ``point_coords``, ``point_labels``,
``mask_input`` and ``has_mask_input``, and gives logits (1, 3, 256, 256) and predicted overlaps (1, 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from point2act.core.errors import ModelError
from point2act.core.masks import CandidateMasks
from point2act.vlm.clients.weights import first_line
from point2act.vlm.segmenters.embeddings import Embeddings

_SIDE = 1024
_MASK = 256
# Of ImageNet, as in SAM2Transforms of the reference implementation.
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)
_INPUTS = {"image_embed", "high_res_feats_0", "high_res_feats_1", "point_coords", "point_labels"}


class OnnxSegmenter:
    """SAM 2 in onnxruntime, on the CPU; the files are loaded at the first call.

    Args:
        folder: Folder with one file ``*encoder*`` and one ``*decoder*``, each ``.onnx`` or ``.ort``.

    Raises:
        ModelError: The folder does not have them, or onnxruntime is not installed.
    """

    def __init__(self, folder: Path):
        self._encoder_path, self._decoder_path = _file(folder, "encoder"), _file(folder, "decoder")
        _onnxruntime()
        self._encoder: Any = None
        self._decoder: Any = None
        self._embeddings = Embeddings(self._encode)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Names, sizes and times of the files."""
        files = [self._encoder_path, self._decoder_path]
        stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        return {"provider": "onnxruntime", "files": [list(each) for each in stats]}

    def segment(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        positive: Float[np.ndarray, "p 2"],
        negative: Float[np.ndarray, "n 2"],
    ) -> CandidateMasks:
        """Return SAM 2's three masks.

        Raises:
            ModelError: The files are no export of SAM 2.
        """
        height, width = image.shape[:2]
        points = np.concatenate([positive, negative]) * [_SIDE / width, _SIDE / height]
        labels = np.repeat([1.0, 0.0], [len(positive), len(negative)])
        inputs = {
            **self._embeddings.of(image),
            "point_coords": points[None].astype(np.float32),
            "point_labels": labels[None].astype(np.float32),
            "mask_input": np.zeros((1, 1, _MASK, _MASK), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
        }
        try:
            logits, overlaps = self._decoder.run(["masks", "iou_predictions"], inputs)
        except Exception as err:  # onnxruntime's errors have no common class.
            raise ModelError(f"{self._decoder_path} failed: {first_line(err)}") from err
        masks = np.stack([enlarge(each, height, width) > 0 for each in logits[0]])
        return CandidateMasks(masks, np.clip(overlaps[0].astype(np.float64), 0.0, 1.0))

    def _encode(self, image: UInt8[np.ndarray, "h w 3"]) -> dict[str, Any]:
        self._load()
        square = np.asarray(Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))
        pixels = (square.astype(np.float32) / 255 - _MEAN) / _DEVIATION
        names = [output.name for output in self._encoder.get_outputs()]
        found = self._encoder.run(names, {"image": pixels.transpose(2, 0, 1)[None]})
        return dict(zip(names, found, strict=True))

    def _load(self) -> None:
        if self._decoder is None:
            self._encoder, decoder = _open(self._encoder_path), _open(self._decoder_path)
            names = {each.name for each in decoder.get_inputs()}
            if not names >= _INPUTS or [each.name for each in self._encoder.get_inputs()] != ["image"]:
                raise ModelError(
                    f"{self._encoder_path} and {self._decoder_path.name} are no export of SAM 2 that is "
                    f"known here: the encoder has to take 'image', the decoder {', '.join(sorted(_INPUTS))}"
                )
            self._decoder = decoder


def enlarge(
    logits: Float[np.ndarray, "a b"], height: int, width: int
) -> Float[np.ndarray, "{height} {width}"]:
    """Resize a map of logits bilinearly."""
    image = Image.fromarray(np.ascontiguousarray(logits, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def has_onnx_files(folder: Path) -> bool:
    """Return whether a folder has files for ``OnnxSegmenter``."""
    return bool(_found(folder, "encoder") and _found(folder, "decoder"))


def _found(folder: Path, role: str) -> list[Path]:
    return sorted(path for path in folder.glob(f"*{role}*") if path.suffix in (".onnx", ".ort"))


def _file(folder: Path, role: str) -> Path:
    found = _found(folder, role)
    if len(found) != 1:
        what = "none" if not found else ", ".join(path.name for path in found)
        raise ModelError(f"{folder} needs one file *{role}*.onnx or .ort of SAM 2, and has {what}")
    return found[0]


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as err:
        raise ModelError("masks from .onnx files need onnxruntime: pip install 'point2act[masks]'") from err
    return onnxruntime


def _open(path: Path) -> Any:
    runtime = _onnxruntime()
    options = runtime.SessionOptions()
    options.enable_cpu_mem_arena = False  # It keeps several GiB between images, and saves little time.
    options.log_severity_level = 3  # Errors alone: shapes that an optimised file repeats are no news.
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as err:  # onnxruntime's errors have no common class.
        raise ModelError(f"{path} cannot be loaded by onnxruntime: {first_line(err)}") from err
