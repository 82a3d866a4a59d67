"""A finished ``ns-train point2act`` run, read back without nerfstudio's pipeline or the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nerfstudio.engine.trainer import TrainerConfig

from point2act.core.errors import RunError
from point2act.core.types import GaussianScene, RelevancyField
from point2act.plugin.config_yaml import read_config
from point2act.plugin.saved import Saved
from point2act.splatting.gaussians import to_scene

_PREFIX = "_model."


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """What training found, in the capture's world frame."""

    scene: GaussianScene
    relevancy: RelevancyField | None
    """None for a run without points."""
    capture: Path
    """The folder that was trained on, absolute."""
    config: TrainerConfig
    timings: Mapping[str, float]
    """Seconds per stage of the training."""


def load_run(config_path: Path | str) -> TrainedRun:
    """Read the newest checkpoint of a run by its ``config.yml``.

    The config is YAML that names Python classes, as all of nerfstudio's: nothing that it names is called, and
    the checkpoint is loaded as tensors and plain values alone (``weights_only``).
    Raises ``RunError`` where config or checkpoint are missing, broken, or another method's.
    """
    path = Path(config_path)
    config = _read_config(path)
    checkpoint = _newest_checkpoint(path.parent / config.relative_model_dir)
    state = _read_state(checkpoint)
    try:
        saved = Saved.from_dict(state["_extra_state"])
        parameters = {
            name.removeprefix("gauss_params."): tensor
            for name, tensor in state.items()
            if name.startswith("gauss_params.")
        }
        scene = saved.S_nerf_world.inverse().move_scene(to_scene(parameters))
        relevancy = None
        if saved.queries:
            values, evidence = (state[name].cpu().numpy() for name in ("relevancy", "evidence"))
            relevancy = RelevancyField(saved.queries, values, evidence)
    except KeyError as err:
        raise RunError(f"{checkpoint} lacks {err}: train again with this version of point2act") from err
    return TrainedRun(scene, relevancy, saved.capture, config, saved.timings)


def _read_config(path: Path) -> TrainerConfig:
    if not path.is_file():
        raise RunError(f"{path} does not exist: give the config.yml that ns-train wrote")
    try:
        config = read_config(path)
    except Exception as err:
        why = " ".join(str(err).split())
        raise RunError(f"{path} is no nerfstudio config ({why}): give the one ns-train wrote") from err
    if not isinstance(config, TrainerConfig) or config.method_name != "point2act":
        method = config.method_name if isinstance(config, TrainerConfig) else type(config).__name__
        raise RunError(f"{path} is of {method}, not of a point2act run: train with ns-train point2act")
    return config


def _newest_checkpoint(folder: Path) -> Path:
    found = sorted(folder.glob("step-*.ckpt"))
    if not found:
        raise RunError(f"{folder} holds no checkpoint: let ns-train finish, or train again")
    return found[-1]


def _read_state(checkpoint: Path) -> dict[str, Any]:
    """The model's part of a checkpoint, on the CPU."""
    try:
        loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
        state = loaded["pipeline"]
    except Exception as err:
        why = " ".join(str(err).split())
        raise RunError(f"{checkpoint} cannot be read ({why}): it may be cut off, so train again") from err
    return {key.removeprefix(_PREFIX): value for key, value in state.items() if key.startswith(_PREFIX)}
