"""Simulated captures on disk, with the scene to replay them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import SimulationError
from point2act.core.files import read_json, write_bytes, write_json
from point2act.core.types import Grasp, HandJoints
from point2act.data.capture import write_capture
from point2act.data.points import write_points
from point2act.grasping.grasps_json import read_grasps
from point2act.grasping.grippers import Gripper
from point2act.grasping.hands.hand import Hand
from point2act.physics.hand_trial import HandTrial, HandTrialConfig, try_hand_grasp
from point2act.physics.layout import read_layout
from point2act.physics.scene import Scene, at_rest, part_box
from point2act.physics.trial import Trial, TrialConfig, try_grasp
from point2act.simulation.camera import SimView, WristConfig, render_views
from point2act.simulation.pointing import PointingConfig, answer

SCENE_FILE = "scene.json"
LAYOUT_FILE = "scene.toml"


@dataclass(frozen=True)
class CaptureConfig:
    """Parameters of a simulated capture."""

    wrist: WristConfig = field(default_factory=WristConfig)
    """Camera and its path."""
    pointing: PointingConfig = field(default_factory=PointingConfig)
    """Error model of the pointing model."""


def capture_scene(scene: Scene, folder: Path | str, config: CaptureConfig, rng: np.random.Generator) -> None:
    """Write a capture folder, with scene.json and scene.toml as ground truth.

    Only trials and benchmarks read the ground truth.

    Args:
        folder: Folder to write: images, depth, transforms.json, points.json.
        rng: Generator of all noise.
    """
    folder = Path(folder)
    shots = render_views(scene, config.wrist, rng)
    points = answer(scene, shots, config.pointing, rng)
    write_capture(folder, [shot.view for shot in shots], T_base_world=scene.T_base_world)
    write_points(folder / "points.json", points)
    write_truth(folder, scene, config, shots)


def write_truth(folder: Path, scene: Scene, config: CaptureConfig, shots: Sequence[SimView]) -> None:
    """Write scene.json and scene.toml, from which ``captured_scene`` loads the scene of a capture."""
    write_bytes(folder / LAYOUT_FILE, scene.layout.source.encode("utf-8"))
    write_json(folder / SCENE_FILE, _document(scene, config, shots))


def true_poses(folder: Path | str) -> dict[str, Float[np.ndarray, "4 4"]]:
    """Return the true pose (T_world_cam) of each image of a simulated capture, by its name.

    Raises:
        SimulationError: if the folder was not written by ``capture_scene``, or by an earlier version.
    """
    path = Path(folder) / SCENE_FILE
    document = read_json(path, SimulationError)
    if "T_world_cam" not in document:
        raise SimulationError(f"{path} lacks the poses 'T_world_cam': capture the scene again")
    return {name: np.array(T, dtype=float) for name, T in document["T_world_cam"].items()}


def captured_scene(folder: Path | str) -> Scene:
    """Load the scene that a capture folder was rendered from, with its objects at the same poses.

    Raises:
        SimulationError: if the folder was not written by ``capture_scene``.
    """
    folder = Path(folder)
    document = read_json(folder / SCENE_FILE, SimulationError)
    layout = read_layout(folder / LAYOUT_FILE)
    try:
        layout = replace(layout, name=str(document["scene"]))
        poses = {name: np.array(T, dtype=float) for name, T in document["T_world_thing"].items()}
        if poses.keys() != {thing.name for thing in layout.things}:
            raise KeyError("a pose for each object")
        return at_rest(layout, int(document["seed"]), poses)
    except (KeyError, TypeError, ValueError) as err:
        raise SimulationError(f"{folder / SCENE_FILE} lacks {err}: capture the scene again") from err


def try_grasps_file(
    folder: Path | str, grasps_path: Path | str, gripper: Gripper, config: TrialConfig | None = None
) -> list[Trial]:
    """Execute the best grasp of every query in a grasps.json in the scene of a simulated capture.

    Each query with the role ``grasp`` starts from a new copy of the scene. A query without a grasp has the
    outcome ``no_grasp``.
    """
    scene = captured_scene(folder)
    return [
        try_grasp(scene, name, grasp, gripper, config)
        if grasp is not None
        else Trial(name, False, "no_grasp", False, "", 0.0, ())
        for name, grasp in _best_grasps(grasps_path)
    ]


def try_hand_grasps_file(
    folder: Path | str, grasps_path: Path | str, hand: Hand, config: HandTrialConfig = HandTrialConfig()
) -> list[HandTrial]:
    """Execute the best grasp of every query in a hand's grasps.json in the scene of a simulated capture.

    Each query with the role ``grasp`` starts from a new copy of the scene. A query without a grasp has the
    outcome ``no_grasp``.
    """
    scene = captured_scene(folder)
    return [
        try_hand_grasp(scene, name, grasp, hand, config)
        if grasp is not None
        else HandTrial(name, "no_grasp", False, False, 0, False, ())
        for name, grasp in _best_grasps(grasps_path)
    ]


def _best_grasps(path: Path | str) -> Iterator[tuple[str, Grasp | None]]:
    """Yield the name and the best grasp of every query in a grasps.json that asks for one."""
    for result in read_grasps(path)["results"]:
        if result["query"]["role"] == "grasp":
            grasps = result["grasps"]
            yield result["query"]["name"], grasp_from_json(grasps[0]) if grasps else None


def grasp_from_json(entry: Mapping[str, Any]) -> Grasp:
    """Read the fields of a grasp in a grasps.json that a trial needs."""
    return Grasp(
        T_world_gripper=np.array(entry["T_world_gripper"], dtype=float),
        width=float(entry["width"]),
        approach_width=entry.get("approach_width"),  # earlier versions wrote none
        score=float(entry["score"]),
        relevancy=float(entry["relevancy"]),
        quality=float(entry["quality"]),
        contacts=np.array(entry["contacts"], dtype=float),
        approach_clearance=float(entry["approach_clearance"]),
        joints=_joints(entry["joints"]) if entry.get("joints") else None,
    )


def _joints(entry: Mapping[str, Any]) -> HandJoints:
    """Read the joint positions of a hand."""
    positions = {name: np.array(entry[name], dtype=float) for name in ("pregrasp", "grasp", "squeeze")}
    contacts = np.array(entry["contacts"], dtype=float)
    return HandJoints(
        names=tuple(entry["names"]), contacts=contacts, links=tuple(entry["links"]), **positions
    )


def _document(scene: Scene, config: CaptureConfig, shots: Sequence[SimView]) -> dict[str, Any]:
    truth = {
        target.query.name: {"object": target.thing, "part": target.part}
        | {name: array.tolist() for name, array in vars(part_box(scene, target.query.name)).items()}
        for target in scene.layout.targets
    }
    return {
        "version": 1,
        "scene": scene.name,
        "seed": scene.seed,
        "pointing": config.pointing.name,
        "depth_sensor": config.wrist.depth_sensor,
        "pose_error": asdict(config.wrist.pose_error),
        "table_height": scene.layout.table.height,
        "T_world_thing": {name: T.tolist() for name, T in scene.T_world_thing.items()},
        "truth": truth,
        "T_world_cam": {shot.view.name: shot.pose.tolist() for shot in shots},
    }
