"""Fit of the weights of the grasp quality to trials of the planner's own poses in physics.

``python -m benchmarks.grasps.fit_quality --json FILE`` executes collision-free poses on the tuning cases, and
prints ``QualityWeights`` and how well they predict. Cases in FILE are not repeated, so that a run can be
interrupted and resumed; an empty range of seeds only fits. Use one FILE per planner.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from benchmarks.common.tables import perturbed
from benchmarks.grasps.cases import CONDITIONS, SEEDS, Case, case, grasp_at
from benchmarks.grasps.quality_weights import Attempt, report
from benchmarks.grasps.tables import QUERY, table_rng
from benchmarks.grasps.trials import OFF
from point2act.core.errors import SimulationError
from point2act.core.files import read_json, write_json
from point2act.core.geometry import invert, transform_points
from point2act.core.threads import configure_threads
from point2act.grasping.antipodal.boundary import solid_points, surface_points
from point2act.grasping.antipodal.contact_pairs import ContactPairs, find_contact_pairs
from point2act.grasping.antipodal.evaluation import GraspTask, ScoredPoses, add_clearances, score_poses
from point2act.grasping.antipodal.plan import GraspConfig
from point2act.grasping.antipodal.pose_sampling import PoseCounts, Poses, sample_free_poses
from point2act.grasping.grippers import Gripper, load_gripper
from point2act.grasping.tsdf import fuse_local
from point2act.physics.mjcf import build
from point2act.simulation import Scene, TrialConfig, try_grasp

SETTINGS = {condition.setting.name: condition.setting for condition in CONDITIONS.values()}
SLIPPERY, HEAVY, POSE_ERROR = 0.35, 0.35, 0.5
"""Probability that objects are slippery, that they weigh twice as much, that the gripper's pose is off."""
FRICTION = 0.3
"""Friction of slippery objects, as in the condition ``slippery``."""


def attempts(opened: Case, gripper: Gripper, count: int) -> list[Attempt]:
    """Execute some collision-free poses of a case under random conditions; none if no pose is free."""
    rng = table_rng(opened.setting, opened.seed)
    found = free(opened, gripper, rng)
    if found is None:
        return []
    task, pairs, poses = found
    config = GraspConfig()
    judged = score_poses(task, pairs, poses, PoseCounts(), config=config)
    some = judged.only(drawn(judged.score, count, rng))
    closer = add_clearances(task, pairs, some, config=config)
    # As in the planner, whose palm was checked against subsampled points.
    closer = closer.only(np.flatnonzero(closer.approach_clearance >= config.poses.table_margin))
    return [_attempt(opened, task, pairs, closer, index, rng) for index in range(len(closer))]


def free(
    opened: Case, gripper: Gripper, rng: np.random.Generator
) -> tuple[GraspTask, ContactPairs, Poses] | None:
    """Return all collision-free poses of the planner, from the smallest radius that has any."""
    config, region = GraspConfig(), opened.region
    volume = fuse_local(opened.views, opened.depths, region.action_point)
    middle = transform_points(invert(volume.T_world_volume), region.action_point[None])[0]
    surface = surface_points(volume, middle, config=config.boundary)
    solid = solid_points(volume, surface, config=config.boundary)
    task = GraspTask(volume, surface, solid, region, middle, gripper, None, (), None)
    opens, ways = config.pairs, config.poses
    for radius in opens.start_radii:
        widest = gripper.max_width
        pairs = find_contact_pairs(
            volume, surface, middle, radius=radius, max_width=widest, config=opens, rng=rng
        )
        poses, _ = sample_free_poses(volume, solid, pairs, gripper, clearance=opens.clearance, config=ways)
        if len(poses):
            return task, pairs, poses
    return None


def drawn(score: Float[np.ndarray, " n"], count: int, rng: np.random.Generator) -> Int[np.ndarray, " m"]:
    """Return distinct indices, half of them from the best quarter, the others from all that remain."""
    best = np.argsort(-score, kind="stable")[: -(-len(score) // 4)]
    good = rng.choice(best, min(count // 2, len(best)), replace=False)
    others = np.setdiff1d(np.arange(len(score)), good)
    return np.concatenate([good, rng.choice(others, min(count - len(good), len(others)), replace=False)])


def _attempt(
    opened: Case,
    task: GraspTask,
    pairs: ContactPairs,
    judged: ScoredPoses,
    index: int,
    rng: np.random.Generator,
) -> Attempt:
    slippery, heavy, pose_error = (bool(chance) for chance in rng.random(3) < (SLIPPERY, HEAVY, POSE_ERROR))
    heavy = heavy and opened.setting.mass == 1.0  # otherwise the object is heavy already
    T_volume_gripper = np.eye(4)
    T_volume_gripper[:3, :3] = judged.poses.rotations[index]
    T_volume_gripper[:3, 3] = judged.poses.origins[index]
    pose = task.volume.T_world_volume @ T_volume_gripper
    if pose_error:
        pose = perturbed(pose, rng, shift=OFF[0], turn=OFF[1])
    grasp = grasp_at(pose, float(pairs.widths[judged.poses.pair[index]]))
    scene = altered(opened.scene, FRICTION if slippery else None, 2.0 if heavy else 1.0)
    trial = try_grasp(scene, QUERY, grasp, task.gripper, TrialConfig(pictures=False))
    return Attempt(
        opened.setting.name,
        opened.seed,
        opened.target.thing,
        opened.target.part,
        slippery,
        heavy,
        pose_error,
        trial.outcome,
        trial.success,
        judged.terms.of(index),
    )


def altered(scene: Scene, friction: float | None, mass: float) -> Scene:
    """Return the scene with objects of another friction and a multiple of their mass."""
    things = tuple(
        replace(thing, mass=mass * thing.mass, friction=friction or thing.friction)
        for thing in scene.layout.things
    )
    layout = replace(scene.layout, things=things)
    return replace(scene, layout=layout, model=build(layout))


def main(argv: Sequence[str] | None = None) -> None:
    """Execute poses, write the results of each case as it completes, and print the fit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grasps.fit_quality", description=main.__doc__)
    parser.add_argument(
        "--seeds", nargs=2, type=int, default=(0, 40), metavar=("FROM", "TO"), help="TO is left out"
    )
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--poses", type=int, default=12, help="poses a case")
    parser.add_argument(
        "--json", type=Path, required=True, metavar="FILE", help="what was tried, and is gone on with"
    )
    arguments = parser.parse_args(argv)
    configure_threads()
    path, gripper = arguments.json, load_gripper("panda")
    done = read_json(path, SimulationError) if path.is_file() else []
    before = {(entry["setting"], entry["seed"]) for entry in done}
    for seed in (SEEDS["tune"] + number for number in range(*arguments.seeds)):
        for name in arguments.settings:
            if (name, seed) in before:
                continue
            start = time.perf_counter()
            tried = attempts(case(SETTINGS[name], seed), gripper, arguments.poses)
            done.append({"setting": name, "seed": seed, "tried": [asdict(one) for one in tried]})
            write_json(path, done)
            held = sum(one.lifted for one in tried)
            took = time.perf_counter() - start
            print(f"{name} {seed}: {held} of {len(tried)} in {took:.0f} s", file=sys.stderr, flush=True)
    print(report([Attempt(**one) for entry in done for one in entry["tried"]]))


if __name__ == "__main__":
    main()
