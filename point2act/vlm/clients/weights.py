"""Load a model's processor and weights by transformers, or say why not and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from point2act.core.errors import ModelError
from point2act.vlm.clients.client import PointingModel


@dataclass(frozen=True, eq=False)
class Weights:
    """What transformers made of a model's files."""

    processor: Any
    network: Any
    ends: frozenset[int]
    """Tokens at which a reply ends."""


def load_weights(model: PointingModel, *, device: str | None, dtype: str, path: Path | None) -> Weights:
    """Load a model by transformers' own classes, for greedy decoding; code that comes with it is never run.

    ``device`` None is cuda where there is one, else cpu. The files are those of the folder ``path``, or of
    the model's identifier on Hugging Face, which are downloaded unless they are there. Raises
    ``ModelError``.
    """
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    device = _device(device)
    files = str(path or model.model)
    try:
        AutoConfig.from_pretrained(
            files, trust_remote_code=False
        )  # says it best where it knows no such model
        processor = AutoProcessor.from_pretrained(files, trust_remote_code=False)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            files, dtype=getattr(torch, dtype), trust_remote_code=False, output_loading_info=True
        )
        network, report = loaded
        network = network.to(device).eval()
    except Exception as err:  # whatever files of others make transformers raise
        raise ModelError(_why(err, model, device, path)) from err
    # transformers makes up what the files lack, and such a model answers nonsense.
    lacking = sorted(report["missing_keys"])
    if lacking:
        raise ModelError(
            f"the weights of {files} are incomplete: {len(lacking)} are not there, such as {lacking[0]}. "
            "Download them again, or try another version of transformers"
        )
    return Weights(processor, network, _decode_greedily(network))


def out_of_memory(err: Exception) -> bool:
    """Whether an error of torch says that there is too little memory."""
    import torch

    # The allocator for the processor's own memory has no error of its own.
    processor = isinstance(err, RuntimeError) and "DefaultCPUAllocator" in str(err)
    return processor or isinstance(err, (torch.cuda.OutOfMemoryError, MemoryError))


def first_line(err: Exception) -> str:
    """What an error says first; some of transformers' and torch's go on for pages."""
    return next(iter(str(err).strip().splitlines()), type(err).__name__)[:300].rstrip(".:")


def _device(wanted: str | None) -> str:
    import torch

    if wanted is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=wanted)
    except (RuntimeError, AssertionError, NotImplementedError) as err:
        reason = first_line(err)
        raise ModelError(
            f"device '{wanted}' cannot be used ({reason}): use cpu, cuda, cuda:1 or mps"
        ) from err
    return wanted


def _decode_greedily(network: Any) -> frozenset[int]:
    """Take the likeliest token always, whatever the publisher samples with; returns what ends a reply.

    The rest of the publisher's settings stays, Qwen's mild penalty on repetition for example.
    """
    settings = network.generation_config
    settings.do_sample = False
    for sampling in ("temperature", "top_p", "top_k", "min_p", "typical_p"):
        setattr(settings, sampling, None)
    settings.max_length = None
    ends = settings.eos_token_id
    ends = [ends] if isinstance(ends, int) else list(ends or ())
    if settings.pad_token_id is None and ends:
        settings.pad_token_id = ends[0]
    return frozenset(ends)


def _why(err: Exception, model: PointingModel, device: str, path: Path | None) -> str:
    """Why a model could not be loaded, and what to do."""
    files, folder = path or model.model, "" if path is None else f" --local-dir {path}"
    elsewhere = "or serve it elsewhere and say where with --server"
    if out_of_memory(err):
        return (
            f"{files} does not fit into the memory of {device}: close what else runs there, use a smaller "
            f"model, {elsewhere}. It takes {model.memory}"
        )
    if isinstance(err, OSError):
        advice = f"Download it first with 'hf download {model.model}{folder}', {elsewhere}"
        return f"{files} cannot be had: {first_line(err)}. {advice}"
    if isinstance(err, (ValueError, KeyError, ImportError)):
        advice = f"Try 'pip install -U transformers', {elsewhere}"
        return f"the transformers that is installed cannot run {files}: {first_line(err)}. {advice}"
    advice = f"Download it again with 'hf download {model.model}{folder}', {elsewhere}"
    return f"{files} cannot be loaded: {first_line(err)}. {advice}"
