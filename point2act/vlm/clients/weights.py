"""Loading a model's processor and weights by transformers, with errors that say what to do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from point2act.core.errors import ModelError
from point2act.vlm.clients.adapters import add_adapter
from point2act.vlm.clients.client import PointingModel


@dataclass(frozen=True, eq=False)
class Weights:
    """A loaded model."""

    processor: Any
    network: Any
    ends: frozenset[int]
    """Ids of the tokens that end a reply."""


def load_weights(model: PointingModel, *, device: str | None, dtype: str, path: Path | None) -> Weights:
    """Load a model by transformers' own classes, for greedy decoding; code that comes with it is never run.

    Args:
        model: The model.
        device: Device; None for cuda if available, else cpu.
        dtype: Precision of the weights.
        path: Folder with the files; None for the model's identifier on Hugging Face, downloaded if missing.

    Raises:
        ModelError: The model cannot be loaded.
    """
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    device = choose_device(device)
    files = str(path or model.model)
    try:
        # Has the clearest error for an unknown model.
        AutoConfig.from_pretrained(files, trust_remote_code=False)
        processor = AutoProcessor.from_pretrained(files, trust_remote_code=False)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            files, dtype=getattr(torch, dtype), trust_remote_code=False, output_loading_info=True
        )
        network, report = loaded
        network = network.to(device).eval()
    except Exception as err:  # Third-party files make transformers raise anything.
        raise ModelError(_why(err, model, device, path)) from err
    # transformers initialises missing weights at random, and such a model replies with nonsense.
    lacking = sorted(report["missing_keys"])
    if lacking:
        raise ModelError(
            f"the weights of {files} are incomplete: {len(lacking)} are missing, such as {lacking[0]}. "
            "Download them again, or try another version of transformers"
        )
    if model.adapter is not None:
        add_adapter(network, model.adapter)
    return Weights(processor, network, _decode_greedily(network))


def out_of_memory(err: Exception) -> bool:
    """Return whether an error of torch means that memory is exhausted."""
    import torch

    # The allocator of CPU memory has no error class of its own.
    processor = isinstance(err, RuntimeError) and "DefaultCPUAllocator" in str(err)
    return processor or isinstance(err, (torch.cuda.OutOfMemoryError, MemoryError))


def first_line(err: Exception) -> str:
    """Return the first line of an error; some of transformers' and torch's go on for pages."""
    return next(iter(str(err).strip().splitlines()), type(err).__name__)[:300].rstrip(".:")


def fingerprint(folder: Path) -> str:
    """Return a hash of the names, sizes and times of the files in a folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    listing = [f"{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in files]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()


def choose_device(wanted: str | None) -> str:
    """Return the device of this name; by default cuda if available, else cpu.

    Raises:
        ModelError: There is no such device.
    """
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
    """Switch to greedy decoding; return the ids of the tokens that end a reply.

    The publisher's other settings stay, such as Qwen's mild penalty on repetition.
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
    """Return why a model could not be loaded, and what to do."""
    files, folder = path or model.model, "" if path is None else f" --local-dir {path}"
    elsewhere = "or serve it elsewhere and give its address with --server"
    if out_of_memory(err):
        return (
            f"{files} does not fit into the memory of {device}: close other programs, use a smaller "
            f"model, {elsewhere}. It needs {model.memory}"
        )
    if isinstance(err, OSError):
        advice = f"Download it first with 'hf download {model.model}{folder}', {elsewhere}"
        return f"{files} cannot be read or downloaded: {first_line(err)}. {advice}"
    if isinstance(err, (ValueError, KeyError, ImportError)):
        advice = f"Try 'pip install -U transformers', {elsewhere}"
        return f"the transformers that is installed cannot run {files}: {first_line(err)}. {advice}"
    advice = f"Download it again with 'hf download {model.model}{folder}', {elsewhere}"
    return f"{files} cannot be loaded: {first_line(err)}. {advice}"
