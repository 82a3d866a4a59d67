"""Simulated scenes as real cameras would record them, the grasps that are planned there, and their trials."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from benchmarks.common.tables import KINDS
from benchmarks.common.unfitted import unfitted_session
from benchmarks.real.recordings import COUNTS, middle_views
from point2act.core.geometry import invert, transform_points
from point2act.core.types import Capture, Grasp, NoAnswer, PointSet, QueryResult, Region, View
from point2act.data.capture import read_capture
from point2act.data.capture.view_selection import keep_frames
from point2act.data.points import read_points
from point2act.grasping.antipodal.plan import plan_grasps
from point2act.grasping.grippers import Gripper, load_gripper
from point2act.grasping.tsdf import fuse_local
from point2act.pipeline.session import Session
from point2act.simulation import (
    CLEAN,
    CaptureConfig,
    PoseErrorConfig,
    Scene,
    TrialConfig,
    WristConfig,
    capture_scene,
    load_scene,
    part_box,
    true_poses,
    try_grasp,
    wrist_camera,
)


@dataclass(frozen=True)
class Condition:
    """Camera, poses and scenes of a row of the table."""

    name: str
    wrist: WristConfig
    scenes: tuple[str, ...] = KINDS
    drift: tuple[float, float] = (0.0, 0.0)
    """Range from which the drift of each table is drawn, metres."""


_STEREO = wrist_camera("stereo")
CONDITIONS = (
    Condition("stereo", _STEREO),
    Condition("structured_light", replace(wrist_camera("structured_light"), distance=(1.5, 2.0))),
    Condition(
        "structured_light_drift",
        replace(wrist_camera("structured_light"), pose_error=PoseErrorConfig(hand_eye=0.005)),
        drift=(0.005, 0.015),
    ),
    Condition("pose_error", replace(_STEREO, pose_error=PoseErrorConfig(hand_eye=0.01)), drift=(0.01, 0.03)),
    Condition("one_view", replace(_STEREO, views=1)),
    Condition("shelf_and_bin", _STEREO, scenes=("shelf", "bin")),
)


@dataclass(frozen=True)
class Outcome:
    """Result of one query on one table by one method."""

    condition: str
    seed: int
    query: str
    method: str
    """``ours``, or ``plain``: the same planner on one TSDF of all views, without selection or alignment."""
    inside: bool
    """Whether the action point lies in the box of the part."""
    near: bool
    """Whether it is at most 1 cm from it."""
    detail: str
    lifted: bool = False
    by_part: bool = False
    lifted_open: bool = False
    """Whether it is lifted with the gripper fully open on the approach."""
    lifted_as_recorded: bool = False
    """Whether it is lifted where the recorded poses say, without ``common_motion``."""


def measure_table(condition: Condition, seed: int) -> list[Outcome]:
    """Simulate a table, plan for one of its queries with both methods, and try the best grasps."""
    gripper = load_gripper("panda")
    with tempfile.TemporaryDirectory() as name:
        scene, capture, points = _simulated(condition, seed, Path(name))
        session = unfitted_session(capture)
        (localized,) = session.localize(points)
        (ours,) = session.plan([localized], gripper=gripper)
        plain = plain_grasps(session, localized.region, gripper)
        T_true_world = _true_motion(session)
    methods = {"ours": ours.grasps, "plain": plain}
    return [
        _tried(scene, condition, seed, method, replace(ours, grasps=grasps), gripper, T_true_world)
        for method, grasps in methods.items()
    ]


def lifts_by_views(condition: Condition, seed: int) -> tuple[bool, ...]:
    """Return whether the best grasp lifts with 1, 3, 8 and all views of one table; see ``COUNTS``."""
    gripper, lifted = load_gripper("panda"), []
    with tempfile.TemporaryDirectory() as name:
        scene, capture, points = _simulated(condition, seed, Path(name))
        for count in COUNTS:
            few = capture if count is None else keep_frames(capture, middle_views(capture, points, count))
            session = unfitted_session(few)
            names = {view.name for view in session.views}
            answers = tuple(answer for answer in points.answers if answer.image in names)
            (result,) = session.ask(replace(points, answers=answers), gripper=gripper).results
            T_true_world = _true_motion(session)
            lifted.append(_tried(scene, condition, seed, "ours", result, gripper, T_true_world).lifted)
    return tuple(lifted)


def _simulated(condition: Condition, seed: int, folder: Path) -> tuple[Scene, Capture, PointSet]:
    """Capture a table, and draw one of its queries."""
    scene = load_scene(condition.scenes[seed % len(condition.scenes)], seed)
    rng = np.random.default_rng(seed)
    errors = replace(condition.wrist.pose_error, drift=rng.uniform(*condition.drift))
    config = CaptureConfig(wrist=replace(condition.wrist, pose_error=errors), pointing=CLEAN)
    capture_scene(scene, folder, config, np.random.default_rng(seed))
    capture = read_capture(folder)
    return scene, capture, _one_query(capture, rng)


def _true_motion(session: Session) -> Float[np.ndarray, "4 4"]:
    """Return ``common_motion`` of the session's views; no motion where the recorded poses are true."""
    truth, frames = true_poses(session.capture.folder), session.capture.frames
    if all(np.allclose(truth[frame.name], frame.T_world_cam) for frame in frames):
        return np.eye(4)
    return common_motion(session.views, truth)


def plain_grasps(session: Session, region: Region | NoAnswer, gripper: Gripper) -> tuple[Grasp, ...]:
    """Return the planner's grasps on one TSDF of all views at the session's poses."""
    if isinstance(region, NoAnswer):
        return ()
    views = [session.full_size(view) for view in session.views]
    depths = [view.depth for view in views if view.depth is not None]
    volume = fuse_local(views, depths, region.action_point)
    grasps, _ = plan_grasps(volume, region, gripper, rng=np.random.default_rng(0))
    return grasps


def common_motion(
    views: Sequence[View], truth: Mapping[str, Float[np.ndarray, "4 4"]]
) -> Float[np.ndarray, "4 4"]:
    """Return the mean motion from the views' poses to the true ones.

    What all views share cannot be seen in them. A robot whose own motion has the same error executes grasps
    as if it were taken out; one that measures better does not.
    """
    motions = np.array([truth[view.name] @ invert(view.T_world_cam) for view in views])
    eyes = np.array([view.T_world_cam[:3, 3] for view in views])
    T = np.eye(4)
    T[:3, :3] = Rotation.from_matrix(motions[:, :3, :3]).mean().as_matrix()
    moved = np.einsum("nij,nj->ni", motions[:, :3, :3], eyes) + motions[:, :3, 3]
    T[:3, 3] = moved.mean(axis=0) - T[:3, :3] @ eyes.mean(axis=0)
    return T


def _one_query(capture: Capture, rng: np.random.Generator) -> PointSet:
    """Return the points of one query, drawn among those to grasp that have an answer."""
    points = read_points(capture.folder / "points.json", capture)
    answered = {answer.query for answer in points.answers if len(answer.points)}
    queries = [query for query in points.queries if query.role == "grasp" and query.name in answered]
    query = queries[rng.integers(len(queries))]
    return PointSet((query,), tuple(answer for answer in points.answers if answer.query == query.name))


def _tried(
    scene: Scene,
    condition: Condition,
    seed: int,
    method: str,
    result: QueryResult,
    gripper: Gripper,
    T_true_world: Float[np.ndarray, "4 4"],
) -> Outcome:
    """Try the best grasp of a result, opened as planned and fully."""
    query, box = result.query.name, part_box(scene, result.query.name)
    away = np.inf
    if result.region is not None:
        point = transform_points(T_true_world, result.region.action_point[None])[0]
        away = float(
            np.linalg.norm(np.maximum(np.abs(box.axes @ (point - box.center)) - box.half_extents, 0))
        )
    about = {
        "condition": condition.name,
        "seed": seed,
        "query": f"{scene.name}/{query}",
        "method": method,
        "inside": away == 0,
        "near": away <= 0.01,
    }
    if not result.grasps:
        return Outcome(**about, detail=result.detail or "")
    recorded = result.grasps[0]
    best = replace(recorded, T_world_gripper=T_true_world @ recorded.T_world_gripper)
    config = TrialConfig(pictures=False)
    planned = try_grasp(scene, query, best, gripper, config)
    moved = not np.allclose(T_true_world, np.eye(4))
    as_recorded = try_grasp(scene, query, recorded, gripper, config) if moved else planned
    fully = try_grasp(scene, query, replace(best, approach_width=gripper.max_width), gripper, config)
    return Outcome(
        **about,
        lifted=planned.success,
        by_part=planned.by_part,
        lifted_open=fully.success,
        lifted_as_recorded=as_recorded.success,
        detail=f"{planned.outcome}, score {best.score:.2f}",
    )
