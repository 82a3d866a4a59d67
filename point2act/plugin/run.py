"""Finished ``ns-train point2act`` runs: what their checkpoints hold, read without nerfstudio's pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nerfstudio.engine.trainer import TrainerConfig

from point2act.core.errors import RunError
from point2act.core.types import Query
from point2act.data.run_manifest import Poses
from point2act.data.view_loader import ViewLoader
from point2act.pipeline.finished_run import FinishedRun
from point2act.plugin.bridge import Similarity
from point2act.plugin.config_yaml import read_config
from point2act.splatting.gaussians import to_scene

_PREFIX = "_model."


@dataclass(frozen=True, eq=False)
class Saved:
    """The part of a checkpoint beside nerfstudio's tensors, in types that ``weights_only`` loading allows."""

    queries: tuple[Query, ...]
    """One per column of the relevancy."""
    capture: Path
    """Folder of the capture, absolute."""
    S_nerf_world: Similarity
    timings: Mapping[str, float]
    """Seconds per stage of the training."""
    views: tuple[str, ...] | None = None
    """Frames that were used, by name; None for all."""
    poses: Poses | None = None
    """Refined poses, world; None for the capture's own."""

    @staticmethod
    def empty() -> Saved:
        """Return the state before anything is loaded."""
        return Saved((), Path(), Similarity.from_matrix(np.eye(4)), {})

    @staticmethod
    def at_start(capture: Path, S_nerf_world: Similarity, queries: Sequence[Query]) -> Saved:
        """Return the state at the start of a training; the capture's path is made absolute."""
        return Saved(tuple(queries), capture.resolve(), S_nerf_world, {})

    def to_dict(self) -> dict[str, Any]:
        """Return plain strings, numbers and lists."""
        return {
            "queries": [asdict(query) for query in self.queries],
            "capture": str(self.capture),
            "S_nerf_world": self.S_nerf_world.matrix.tolist(),
            "timings": dict(self.timings),
            "views": None if self.views is None else list(self.views),
            "poses": None if self.poses is None else {name: T.tolist() for name, T in self.poses.items()},
        }

    @staticmethod
    def from_dict(state: dict[str, Any]) -> Saved:
        """Return the inverse of ``to_dict``; checkpoints of earlier versions lack the last two."""
        views, poses = state.get("views"), state.get("poses")
        return Saved(
            tuple(Query(**query) for query in state["queries"]),
            Path(state["capture"]),
            Similarity.from_matrix(np.array(state["S_nerf_world"])),
            state["timings"],
            None if views is None else tuple(views),
            None if poses is None else {name: np.array(T) for name, T in poses.items()},
        )


def load_run(config_path: Path | str) -> FinishedRun:
    """Read the newest checkpoint of a run and its capture.

    The config is YAML that names Python classes, as all of nerfstudio's: none of them is called, and the
    checkpoint is loaded as tensors and plain values alone (``weights_only``).

    Args:
        config_path: The run's config.yml.

    Raises:
        RunError: Config or checkpoint are missing, broken, or another method's.
        CaptureError: The capture cannot be read.
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
    except KeyError as err:
        raise RunError(f"{checkpoint} lacks {err}: train again with this version of point2act") from err
    pipeline: Any = config.pipeline
    # nerfstudio has read all files of the capture already.
    loader = ViewLoader(
        max_side=pipeline.datamanager.max_side, names=saved.views, poses=saved.poses, allow_outside=True
    )
    capture = loader.read(saved.capture)
    return FinishedRun(path.parent, scene, capture, loader, capture.metric, saved.timings)


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
    """Return the model's part of a checkpoint, on the CPU."""
    try:
        loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
        state = loaded["pipeline"]
    except Exception as err:
        why = " ".join(str(err).split())
        raise RunError(f"{checkpoint} cannot be read ({why}): it may be incomplete, so train again") from err
    return {key.removeprefix(_PREFIX): value for key, value in state.items() if key.startswith(_PREFIX)}
