"""Client of a model that runs in this process, by transformers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from point2act.core.errors import ModelError
from point2act.vlm.clients.adapters import check_adapter
from point2act.vlm.clients.client import PointingModel, Reply, Request
from point2act.vlm.clients.weights import Weights, fingerprint, first_line, load_weights, out_of_memory

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalConfig:
    """Device, precision and files of a model that runs in this process."""

    device: str | None = None
    """Device: cuda, cuda:1, mps or cpu; by default cuda if available, else cpu."""
    # Without a GPU and bfloat16 arithmetic, float32 reads images and prompts 2.7 times as fast and writes as
    # fast (one layer of a 2B model, two cores with AVX-512).
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Precision of the weights. float32 takes twice the memory, and is faster on processors without bfloat16
    arithmetic."""
    path: Path | None = None
    """Folder with the model's weights and processor, in place of the download from Hugging Face."""


class LocalClient:
    """Client of a model loaded by transformers' own classes; code that comes with weights is never run.

    The weights are loaded at the first request, and decoding is greedy: the same request gets the same
    reply. A request's schema is not enforced.

    Args:
        model: The model.
        config: Device, precision and files.

    Raises:
        ModelError: transformers does not support the model, or a folder does not hold it or its adapter.
    """

    def __init__(self, model: PointingModel, *, config: LocalConfig = LocalConfig()):
        if not model.local:
            raise ModelError(
                f"transformers does not support {model.model} ({model.name}): serve it, and give its "
                "address with --server"
            )
        if config.path is not None and not (config.path / "config.json").is_file():
            raise ModelError(f"{config.path} is not a folder with a model: it has no config.json")
        check_adapter(model)
        self._model = model
        self._config = config
        self._lock = threading.Lock()
        self._weights: Weights | None = None
        self._failure = ""

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model, its precision and longest reply; for a folder or adapter, a fingerprint of its files.

        The device and the versions of the libraries are omitted: they change replies no more than rounding
        does. So is the revision on Hugging Face, which is unknown before the download.
        """
        path = self._config.path
        identity = {
            "provider": "transformers",
            "model": self._model.model,
            "dtype": self._config.dtype,
            "max_tokens": self._model.max_tokens,
            "files": None if path is None else fingerprint(path),
        }
        adapter = self._model.adapter
        return identity if adapter is None else identity | {"adapter": fingerprint(adapter)}

    @property
    def concurrency(self) -> int:
        """One: a second request would only wait, or exhaust the device's memory."""
        return 1

    def ask(self, request: Request) -> Reply:
        """Generate a reply; its ``seconds`` do not include loading the model.

        Raises:
            ModelError: The model cannot be loaded (which is tried once), cannot process the images, or runs
                out of memory.
        """
        with self._lock:
            reply = _answer(self._load(), request, self._model)
        _log.debug(
            "%s, %s (%s): answered in %.2f s, %d tokens read, %d written",
            *(self._model.model, request.about, request.sizes, reply.seconds, *reply.tokens),
        )
        return reply

    def _load(self) -> Weights:
        if self._failure:
            raise ModelError(self._failure)
        if self._weights is None:
            config = self._config
            try:
                self._weights = load_weights(
                    self._model, device=config.device, dtype=config.dtype, path=config.path
                )
            except ModelError as err:
                self._failure = str(err)
                raise
        return self._weights


def _answer(weights: Weights, request: Request, model: PointingModel) -> Reply:
    start = time.perf_counter()
    network = weights.network
    inputs = _inputs(weights, request, model)
    asked = inputs["input_ids"].shape[1]
    try:
        inputs = inputs.to(network.device, dtype=network.dtype)
        tokens = network.generate(**inputs, max_new_tokens=request.max_tokens or model.max_tokens)
        written = tokens[0, asked:].tolist()
    except (RuntimeError, MemoryError) as err:
        advice = "a smaller image_side in its file, or a smaller model" if out_of_memory(err) else "--server"
        raise ModelError(
            f"{model.model} failed on {request.sizes} ({network.device}, {first_line(err)}): try {advice}"
        ) from err
    return Reply(
        _text(weights, written),
        time.perf_counter() - start,
        input_sizes=_input_sizes(weights.processor, inputs),
        tokens=(asked, len(written)),
    )


def _inputs(weights: Weights, request: Request, model: PointingModel) -> Any:
    """Return the inputs that the model's own processor makes of the images and the prompt."""
    content: list[dict[str, Any]] = [
        {"type": "image", "image": Image.fromarray(image)} for image in request.images
    ]
    content.append({"type": "text", "text": request.prompt})
    try:
        return weights.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
        )
    except ValueError as err:
        raise ModelError(
            f"{model.model} cannot process the request with {request.sizes} ({first_line(err)}): send "
            "another image, or serve it and give its address with --server"
        ) from err


def _text(weights: Weights, written: list[int]) -> str:
    """Return the reply up to its end. Special tokens stay: Qwen2-VL writes its boxes with them."""
    stop = next((k for k, token in enumerate(written) if token in weights.ends), len(written))
    tokenizer = weights.processor.tokenizer
    return tokenizer.decode(written[:stop], skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _input_sizes(processor: Any, inputs: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Return the images' sizes after resizing, from Qwen's grids of patches; empty for other models."""
    grids = inputs.get("image_grid_thw")
    if grids is None:
        return ()
    patch = processor.image_processor.patch_size
    return tuple((rows * patch, columns * patch) for _, rows, columns in grids.tolist())
