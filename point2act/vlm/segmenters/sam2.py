"""SAM 2 by transformers, from Hugging Face or a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from point2act.core.errors import ModelError
from point2act.core.masks import CandidateMasks
from point2act.vlm.clients.weights import choose_device, fingerprint, first_line
from point2act.vlm.segmenters.embeddings import Embeddings


@dataclass(frozen=True, eq=False)
class _Loaded:
    processor: Any
    network: Any


class Sam2Segmenter:
    """SAM 2 (Ravi et al. 2024) by transformers' own classes; loaded at the first call.

    Args:
        model: Identifier on Hugging Face, or a folder with the weights and the processor.
        device: Device; None for cuda if available, else cpu.

    Raises:
        ModelError: The folder does not hold a model.
    """

    def __init__(self, model: str | Path, *, device: str | None = None):
        if isinstance(model, Path) and not (model / "config.json").is_file():
            raise ModelError(f"{model} is not a folder with a model: it has no config.json")
        self._model = model
        self._device = device
        self._loaded: _Loaded | None = None
        self._embeddings = Embeddings(self._encode)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model; for a folder, also a fingerprint of its files."""
        files = fingerprint(self._model) if isinstance(self._model, Path) else None
        name = self._model.name if isinstance(self._model, Path) else self._model
        return {"provider": "transformers", "model": name, "files": files}

    def segment(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        positive: Float[np.ndarray, "p 2"],
        negative: Float[np.ndarray, "n 2"],
    ) -> CandidateMasks:
        """Return SAM 2's three masks.

        Raises:
            ModelError: The model cannot be loaded, or fails.
        """
        import torch

        embeddings = self._embeddings.of(image)
        loaded = self._load()
        points = np.concatenate([positive, negative])
        labels = np.repeat([1, 0], [len(positive), len(negative)])
        size = image.shape[:2]
        inputs = loaded.processor(
            input_points=[[points.tolist()]],
            input_labels=[[labels.tolist()]],
            original_sizes=[list(size)],
            return_tensors="pt",
        )
        try:
            with torch.no_grad():
                found = loaded.network(
                    input_points=inputs["input_points"].to(loaded.network.device),
                    input_labels=inputs["input_labels"].to(loaded.network.device),
                    image_embeddings=embeddings,
                    multimask_output=True,
                )
        except (RuntimeError, MemoryError) as err:
            raise ModelError(f"{self._model} failed on an image of {size[1]}x{size[0]}: {err}") from err
        masks = loaded.processor.post_process_masks(found.pred_masks.cpu(), [list(size)])[0]
        scores = found.iou_scores.reshape(-1).double().cpu().numpy()
        return CandidateMasks(masks.reshape(-1, *size).numpy(), np.clip(scores, 0.0, 1.0))

    def _encode(self, image: UInt8[np.ndarray, "h w 3"]) -> Any:
        import torch

        loaded = self._load()
        pixels = loaded.processor(images=Image.fromarray(image), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            return loaded.network.get_image_embeddings(pixels.to(loaded.network.device))

    def _load(self) -> _Loaded:
        if self._loaded is None:
            self._loaded = _load(self._model, self._device)
        return self._loaded


def _load(model: str | Path, device: str | None) -> _Loaded:
    from transformers import Sam2Model, Sam2Processor

    files = str(model)
    where = choose_device(device)
    try:
        processor = Sam2Processor.from_pretrained(files)
        loaded: Any = Sam2Model.from_pretrained(files, output_loading_info=True)
        network, report = loaded
    except Exception as err:  # Third-party files make transformers raise anything.
        raise ModelError(
            f"{files} cannot be loaded as SAM 2: {first_line(err)}. Download it with 'hf download "
            "facebook/sam2.1-hiera-tiny --local-dir FOLDER' and name the folder with --masks.path"
        ) from err
    lacking = sorted(report["missing_keys"])
    if lacking:
        raise ModelError(
            f"the weights of {files} are incomplete: {len(lacking)} are missing, {lacking[0]} first"
        )
    return _Loaded(processor, network.to(where).eval())
