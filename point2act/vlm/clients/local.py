"""Ask a model that runs in this process, by transformers."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from point2act.core.errors import ModelError
from point2act.vlm.clients.client import PointingModel, Reply, Request
from point2act.vlm.clients.weights import Weights, first_line, load_weights, out_of_memory

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalConfig:
    """A model that runs here."""

    device: str | None = None
    """Where it runs: cuda, cuda:1, mps or cpu; by default cuda where there is one, else cpu."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Precision of its weights. float32 takes twice the memory; without a GPU it reads images and prompts
    2.7 times as fast where the processor has no bfloat16 arithmetic (one layer of a 2B model, two cores with
    AVX-512), and writes as fast."""
    path: Path | None = None
    """Folder with its weights and processor, in place of the download from Hugging Face."""


class LocalClient:
    """Asks a model by transformers' own classes; code that comes with weights is never run.

    The weights are loaded at the first question, and decoding is greedy: the same question has the same
    answer. A request's schema is not enforced.
    """

    def __init__(self, model: PointingModel, *, config: LocalConfig = LocalConfig()):
        if not model.local:
            raise ModelError(
                f"{model.model} ({model.name}) does not run here: serve it, and say where with --server"
            )
        if config.path is not None and not (config.path / "config.json").is_file():
            raise ModelError(f"{config.path} is not a folder with a model: it has no config.json")
        self._model = model
        self._config = config
        self._lock = threading.Lock()
        self._weights: Weights | None = None
        self._failure = ""

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model, its precision and its longest reply; for a folder, also which files lie there.

        Left out is what changes replies no more than rounding does: the device, and the libraries. So is
        the revision on Hugging Face, which is unknown before the model was downloaded.
        """
        path = self._config.path
        return {
            "provider": "transformers",
            "model": self._model.model,
            "dtype": self._config.dtype,
            "max_tokens": self._model.max_tokens,
            "files": None if path is None else _fingerprint(path),
        }

    @property
    def concurrency(self) -> int:
        """One: a second request would only wait, or run the device out of memory."""
        return 1

    def ask(self, request: Request) -> Reply:
        """Answer; ``seconds`` is without the loading of the model.

        Raises ``ModelError`` where the model cannot be loaded (which is tried once),
        cannot take the images, or needs more memory than there is.
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
    """Images and then the words, as the model's own processor prepares them."""
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
            f"{model.model} cannot take the question with {request.sizes} ({first_line(err)}): send "
            "another image, or serve it and say where with --server"
        ) from err


def _text(weights: Weights, written: list[int]) -> str:
    """The reply up to its end. Special tokens stay: Qwen2-VL writes its boxes with them."""
    stop = next((k for k, token in enumerate(written) if token in weights.ends), len(written))
    tokenizer = weights.processor.tokenizer
    return tokenizer.decode(written[:stop], skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _input_sizes(processor: Any, inputs: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """The images' sizes after resizing, from Qwen's grids of patches; empty for models without."""
    grids = inputs.get("image_grid_thw")
    if grids is None:
        return ()
    patch = processor.image_processor.patch_size
    return tuple((rows * patch, columns * patch) for _, rows, columns in grids.tolist())


def _fingerprint(folder: Path) -> str:
    """A hash of the names, sizes and times of the files in a folder: a cheap sign that they were changed."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    listing = [f"{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in files]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()
