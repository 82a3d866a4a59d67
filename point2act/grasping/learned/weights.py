"""Weights of the networks in safetensors files, half precision in the file and single precision in use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from point2act.core.errors import LearningError
from point2act.core.files import parse_json, write_bytes
from point2act.grasping.learned.embodiment import Embodiment
from point2act.grasping.learned.networks import GraspEvaluator, GraspFlow

VERSION = 3
"""Version of the files; another one is refused."""

_SHIPPED = Path(__file__).parent / "weights"

Network = TypeVar("Network", GraspEvaluator, GraspFlow)


def file_name(effector: str, kind: str) -> str:
    """Return the name of the file with the weights of a network, as ``allegro_flow.safetensors``."""
    return f"{effector}_{kind}.safetensors"


def write_network(path: Path, network: GraspEvaluator | GraspFlow, effector: str) -> None:
    """Write the weights of a network, with what is needed to build it, atomically.

    Args:
        path: File to write.
        network: The network.
        effector: Name of the gripper or hand that it is for.
    """
    document = {
        "version": VERSION,
        "kind": network.kind,
        "effector": effector,
        "embodiment": asdict(network.embodiment),
        "config": asdict(network.config),
    }
    tensors = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    write_bytes(path, save(tensors, {"point2act": json.dumps(document)}))


def read_network(path: Path, kind: type[Network]) -> Network:
    """Read a network; it is ready to be applied.

    Raises:
        LearningError: The file is damaged, of another version, or of another kind of network.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            document = parse_json((stored.metadata() or {})["point2act"])
            tensors = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
        return _built(path, kind, document, tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as err:
        raise LearningError(f"{path} is damaged ({err}): install point2act again, or train again") from err


def _built(
    path: Path, kind: type[Network], document: Mapping[str, object], tensors: Mapping[str, torch.Tensor]
) -> Network:
    if document["version"] != VERSION:
        raise LearningError(f"{path} is of another version: update point2act, or train again")
    if document["kind"] != kind.kind:
        raise LearningError(f"{path} has the weights of another network: give those of the {kind.kind}")
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise ValueError("not all weights are finite")
    embodiment = TypeAdapter(Embodiment).validate_python(document["embodiment"])
    config = TypeAdapter(kind.config_type).validate_python(document["config"])
    # Without memory: sizes in the file that do not match its weights are found before they are allocated.
    with torch.device("meta"):
        network = kind(embodiment, config)
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)


def load_evaluator(effector: str, folder: Path | None = None) -> GraspEvaluator | None:
    """Return the evaluator of a gripper or hand; None if there is none.

    Args:
        effector: Name of the gripper or hand.
        folder: Folder that ``point2act learn-grasps train`` wrote; None for the weights that ship.

    Raises:
        LearningError: The file is damaged.
    """
    return _read(folder or _SHIPPED, effector, GraspEvaluator)


def load_flow(effector: str, folder: Path | None = None) -> GraspFlow | None:
    """Return the flow of a hand; None if there is none. The arguments are those of ``load_evaluator``.

    Raises:
        LearningError: The file is damaged.
    """
    return _read(folder or _SHIPPED, effector, GraspFlow)


@lru_cache(maxsize=8)
def _read(folder: Path, effector: str, kind: type[Network]) -> Network | None:
    # Looked up in a list, since the name may come from the file of a user's hand.
    files = {path.name: path for path in folder.glob("*.safetensors")}
    path = files.get(file_name(effector, kind.kind))
    return None if path is None else read_network(path, kind)
