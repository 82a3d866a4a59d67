"""Grasps of a hand on a fused surface: force closure on the region that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float

from point2act.core.geometry import transform_points
from point2act.core.types import Grasp, HandJoints, NoAnswer, ProgressCallback, Region
from point2act.grasping.antipodal.avoid import Avoid
from point2act.grasping.antipodal.boundary import BoundaryConfig
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.hands.candidates import candidates
from point2act.grasping.hands.checks import CheckCounts, HandGrasp, check_grasps, contact_pair
from point2act.grasping.hands.energies import model_of
from point2act.grasping.hands.execution import Execute, Executor
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.kinematics import kinematics_of
from point2act.grasping.hands.ranking import distinct, grasp_score, is_proven, judged, relevancy_of
from point2act.grasping.hands.scene_field import scene_field
from point2act.grasping.hands.task import HandConfig, HandTask, hand_task


def plan_hand_grasps(
    volume: LocalVolume,
    region: Region,
    hand: Hand,
    *,
    relevancy: tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]] | None = None,
    avoid: Sequence[Avoid] = (),
    boundary: BoundaryConfig = BoundaryConfig(),
    config: HandConfig = HandConfig(),
    executor: Executor | None = None,
    device: str = "cpu",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    """Plan grasps of a hand near the action point of a region.

    Space that no camera observed counts as solid. The hand approaches along its +z axis, open as
    ``joints.pregrasp``, and closes to ``joints.grasp``, where its fingers touch.

    Args:
        volume: TSDF around the action point, see ``fuse_local``.
        region: Region of the query, world.
        hand: The hand.
        relevancy: World points and their relevancy in [0, 1]; None for the distance to the region's box.
        avoid: Regions that the hand keeps away from.
        boundary: Surface points and the object.
        config: Planner.
        executor: What executes the best grasps before they are ordered, such as ``execute_measured``; None
            to order them by force closure only.
        device: Device of the optimisation; another one gives other last digits.
        seed: Seed of all random numbers.
        progress: Called with the steps done and all steps.

    Returns:
        Grasps in the world frame, best first; if there are none, the reason.
    """
    if executor is None:
        config = replace(config, executions=0)
    task = hand_task(volume, region, hand, relevancy=relevancy, avoid=avoid, boundary=boundary, config=config)
    if isinstance(task, NoAnswer):
        return (), task
    found, counts = _search(task, executor, device, np.random.default_rng(seed), progress)
    if not found:
        return (), _why_none(task, counts)
    return tuple(_grasp(task, one) for one in found), None


def _search(
    task: HandTask,
    executor: Executor | None,
    device: str,
    rng: np.random.Generator,
    progress: ProgressCallback | None,
) -> tuple[list[HandGrasp], CheckCounts]:
    """Return the best distinct grasps of some rounds, and what the checks rejected.

    Rounds end with enough grasps or, if they are executed, with one that held the object by the part.
    """
    config = task.config
    dtype = torch.float32
    model = model_of(kinematics_of(task.hand, device=device, dtype=dtype), spacing=config.surface_spacing)
    field = scene_field(
        task.volume,
        task.surface,
        task.solid,
        task.probability,
        task.boxes_to_avoid(),
        config=config.distances,
    ).to(device, dtype)
    execute = None if executor is None else executor(task)
    found: list[HandGrasp] = []
    counts, tick = CheckCounts(), None
    for grasps, tick in candidates(task, model, field, rng, progress):
        kept, rejected = check_grasps(grasps, model, field, task.solid, config=config.checks)
        counts = counts + rejected
        found = distinct(task, [*found, *judged(task, kept)])
        if execute is not None:
            found = _executed(task, found, config.executions, execute, tick)
        if _is_enough(task, found):
            break
    else:
        if execute is not None:  # what was not executed is no better than what failed
            rest = None if tick is None else partial(_after, tick, config.executions)
            found = _executed(task, found, len(found), execute, rest)
    return found, counts


def _after(progress: ProgressCallback, done: int, step: int, total: int) -> None:
    """Report steps that follow ``done`` others."""
    progress(done + step, done + total)


def _is_enough(task: HandTask, found: list[HandGrasp]) -> bool:
    """Return whether the best has held the object by the part or, if none was executed, there are enough.

    Of what a network proposes, one is: it is for where a second counts.
    """
    if any(one.execution is not None for one in found):
        return is_proven(found[0])
    return len(found) >= (1 if task.config.head == "learned" else task.config.max_grasps)


def _executed(
    task: HandTask,
    found: list[HandGrasp],
    count: int,
    execute: Execute,
    progress: ProgressCallback | None,
) -> list[HandGrasp]:
    """Execute new grasps, the best first, until one holds the object by the part; order all of them.

    Grasps that touch a presumed surface are left out: what is behind an object in one image has no points.
    """
    ordered: list[HandGrasp] = []
    done, proven = 0, False
    for one in found:
        if done < count and not proven and one.execution is None and _seen(task, one).all():
            one = replace(one, execution=execute(_grasp(task, one)))
            done, proven = done + 1, is_proven(one)
            if progress is not None:
                progress(done, count)
        ordered.append(one)
    return distinct(task, ordered)


def _seen(task: HandTask, found: HandGrasp) -> Bool[np.ndarray, " n"]:
    """Return which contacts are on a surface that was observed."""
    return task.surface.seen[task.surface.tree.query(found.points)[1]]


def _grasp(task: HandTask, found: HandGrasp) -> Grasp:
    """Return a grasp in the world frame."""
    T, hand = task.volume.T_world_volume, task.hand
    score, quality, terms = grasp_score(task, found)
    contacts = transform_points(T, found.points)
    pair = list(contact_pair(hand, found))
    seen = _seen(task, found)[pair]
    return Grasp(
        T_world_gripper=np.asarray(T @ found.T_volume_palm, dtype=np.float64),
        width=float(np.linalg.norm(contacts[pair[0]] - contacts[pair[1]])),
        score=score,
        relevancy=relevancy_of(found),
        quality=quality,
        contacts=contacts[pair],
        approach_clearance=found.clearance,
        contacts_seen=(bool(seen[0]), bool(seen[1])),
        terms=terms,
        avoid_clearance=None,
        joints=HandJoints(
            names=hand.joints.names,
            pregrasp=found.pregrasp,
            grasp=found.positions,
            squeeze=found.squeeze,
            contacts=contacts,
            links=tuple(hand.links[link] for link in hand.contacts.link[found.touching]),
        ),
    )


def _why_none(task: HandTask, counts: CheckCounts) -> NoAnswer:
    """Return the reason for an empty result, from what the checks rejected most."""
    span, width = task.hand.max_width, _narrowest(task)
    if width > span:
        return NoAnswer(
            "too_wide",
            f"the object is {1e3 * width:.0f} mm wide at the action point, the hand spans {1e3 * span:.0f} "
            "mm; try a narrower part",
            counts.named(),
        )
    blocked = {
        "the table, its neighbours or unseen space are in the way: clear what is beside it, or add views of "
        "the hidden sides": counts.surroundings,
        "the open hand cannot approach: clear what is in front of it, or grasp another part": counts.approach,
        "the fingers or the palm would be inside the object: try a narrower part": counts.object,
    }
    if sum(blocked.values()):
        why = max(blocked, key=lambda text: blocked[text])
        return NoAnswer("all_collide", f"every hand pose that holds is rejected: {why}", counts.named())
    return NoAnswer(
        "no_contact_pair",
        f"none of {counts.tried} hand poses holds it: the fingers find no opposite surfaces within reach; "
        "try another part, or add views of the hidden sides",
        counts.named(),
    )


def _narrowest(task: HandTask) -> float:
    """Return the smallest extent of the object around the action point, metres."""
    points = task.surface.points[task.surface.on_object]
    near = points[np.linalg.norm(points - task.action_point, axis=1) < task.volume.half_size]
    if len(near) < 3:
        return 0.0
    centered = near - near.mean(axis=0)
    axes = np.linalg.svd(centered, full_matrices=False)[2]
    return float(np.ptp(centered @ axes.T, axis=0).min())
