"""Grasps of a hand on a fused surface: force closure on the region that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import KDTree

from point2act.core.geometry import distance_to_box, invert, transform_points
from point2act.core.types import Grasp, HandJoints, NoAnswer, OrientedBox, ProgressCallback, Region
from point2act.grasping.antipodal.avoid import Avoid
from point2act.grasping.antipodal.boundary import (
    BoundaryConfig,
    SolidPoints,
    SurfacePoints,
    solid_points,
    surface_points,
)
from point2act.grasping.antipodal.failure_reasons import no_surface_near, nothing_stands_out
from point2act.grasping.antipodal.volume import LocalVolume, observed_at
from point2act.grasping.hands.checks import (
    CheckConfig,
    CheckCounts,
    HandGrasp,
    check_grasps,
    contact_pair,
)
from point2act.grasping.hands.energies import EnergyConfig, Grasps, HandModel, model_of
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.kinematics import kinematics_of
from point2act.grasping.hands.optimization import OptimizationConfig, optimize
from point2act.grasping.hands.scene_field import FieldConfig, SceneField, scene_field
from point2act.grasping.hands.starts import StartConfig, draw_starts, slot_choices


@dataclass(frozen=True)
class HandConfig:
    """Planning of grasps for a hand."""

    distances: FieldConfig = field(default_factory=FieldConfig)
    """Signed distances of the surface."""
    starts: StartConfig = field(default_factory=StartConfig)
    """Start poses."""
    energies: EnergyConfig = field(default_factory=EnergyConfig)
    """Weights of the energies."""
    optimization: OptimizationConfig = field(default_factory=OptimizationConfig)
    """Schedule of the optimisation."""
    checks: CheckConfig = field(default_factory=CheckConfig)
    """Tolerances of the checks."""
    num_starts: int = 256
    """Start poses that are optimised together."""
    rounds: int = 2
    """Largest number of batches; another one follows while there are fewer than ``max_grasps``."""
    max_grasps: int = 16
    """Largest number of returned grasps."""
    surface_spacing: float = 0.016
    """Distance between points of the hand's surface in the optimisation, metres."""
    # Smaller than a finger; the checks look at every point of the surface.
    reach: float = 0.03
    """Largest distance of the surface to the action point, metres."""
    start_sigma: float = 0.03
    """Standard deviation of the distance from the action point to where palms are placed, metres."""
    relevancy_radius: float = 0.010
    """Radius over which relevancy is averaged, metres."""
    use_region: bool = True
    """Whether contacts are drawn to the region, and grasps on it preferred."""
    full_margin: float = 0.08
    """Margin of force closure from which a grasp is as good as can be."""
    full_clearance: float = 0.02
    """Clearance on the approach from which more does not count, metres."""
    min_separation: float = 0.02
    """Smallest distance between palms of returned grasps of similar orientation, metres."""
    min_angle: float = 0.35
    """Smallest angle between palms of returned grasps at similar positions, radians."""


@dataclass(frozen=True, eq=False)
class _Task:
    """Input of planning at one region."""

    volume: LocalVolume
    surface: SurfacePoints
    solid: SolidPoints
    region: Region
    action_point: Float[np.ndarray, "3"]
    hand: Hand
    relevancy: tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]] | None
    avoid: Sequence[Avoid]
    config: HandConfig

    def boxes_to_avoid(self) -> tuple[OrientedBox, ...]:
        """Return the regions to avoid in the volume frame."""
        T = invert(self.volume.T_world_volume)
        boxes = [one.box for one in self.avoid]
        return tuple(
            OrientedBox(transform_points(T, box.center[None])[0], box.axes @ T[:3, :3].T, box.half_extents)
            for box in boxes
        )

    def probability(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Return the region's probability at points of the volume frame, relative to the best nearby."""
        world = transform_points(self.volume.T_world_volume, points)
        if not self.config.use_region:
            return np.ones(len(points))
        radius = self.config.relevancy_radius
        if self.relevancy is None:
            return np.exp(-0.5 * (distance_to_box(world, self.region.box) / radius) ** 2)
        places, values = self.relevancy
        if not len(places):
            return np.zeros(len(points))
        best = values[np.linalg.norm(places - self.region.action_point, axis=1) < 2 * radius]
        most = float(np.percentile(best, 90)) if len(best) else float(values.max())
        count = min(8, len(places))
        distance, index = KDTree(places).query(world, k=count)
        distance, index = distance.reshape(len(world), count), index.reshape(len(world), count)
        # The nearest always counts: where Gaussians are sparse none may be within the radius.
        weight = np.where(np.arange(count) == 0, 1.0, distance < radius)
        mean = (weight * values[index]).sum(axis=1) / weight.sum(axis=1)
        return np.clip(mean / max(most, 1e-6), 0, 1)


def plan_hand_grasps(
    volume: LocalVolume,
    region: Region,
    hand: Hand,
    *,
    relevancy: tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]] | None = None,
    avoid: Sequence[Avoid] = (),
    boundary: BoundaryConfig = BoundaryConfig(),
    config: HandConfig = HandConfig(),
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
        device: Device of the optimisation; another one gives other last digits.
        seed: Seed of all random numbers.
        progress: Called with the steps done and all steps.

    Returns:
        Grasps in the world frame, best first; if there are none, the reason.
    """
    action_point = transform_points(invert(volume.T_world_volume), region.action_point[None])[0]
    surface = surface_points(volume, action_point, config=boundary)
    missing = no_surface_near(surface, action_point, config.reach)
    if missing is not None:
        return (), missing
    if not surface.on_object.any():
        return (), nothing_stands_out(config.reach)
    solid = solid_points(volume, surface, config=boundary)
    task = _Task(volume, surface, solid, region, action_point, hand, relevancy, avoid, config)
    found, counts = _search(task, device, np.random.default_rng(seed), progress)
    if not found:
        return (), _why_none(task, counts)
    return tuple(_grasp(task, one) for one in found), None


def _search(
    task: _Task, device: str, rng: np.random.Generator, progress: ProgressCallback | None
) -> tuple[list[HandGrasp], CheckCounts]:
    """Return the best distinct grasps of some rounds, and what the checks rejected."""
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
    center = task.solid.centroid(task.action_point)
    found: list[HandGrasp] = []
    counts = CheckCounts()
    steps = config.optimization.iterations
    for number in range(config.rounds):
        tick = None
        if progress is not None:
            tick = _shifted(progress, number * steps, config.rounds * steps)
        grasps = _optimized(task, model, field, rng, tick)
        kept, rejected = check_grasps(grasps, model, field, task.solid, center, config=config.checks)
        counts = counts + rejected
        found = _distinct(task, [*found, *kept])
        if len(found) >= config.max_grasps:
            break
    return found, counts


def _shifted(progress: ProgressCallback, done: int, total: int) -> ProgressCallback:
    return lambda step, _: progress(done + step, total)


def _optimized(
    task: _Task,
    model: HandModel,
    field: SceneField,
    rng: np.random.Generator,
    progress: ProgressCallback | None,
) -> Grasps:
    """Draw start poses and minimise their energies; the best first."""
    config, like = task.config, model.kinematics.low
    own = task.surface.on_object
    points = task.surface.points[own]
    near = np.exp(-0.5 * ((points - task.action_point) ** 2).sum(axis=1) / config.start_sigma**2)
    up = task.volume.up @ task.volume.T_world_volume[:3, :3]
    starts = draw_starts(
        task.hand,
        points,
        task.surface.normals[own],
        near * (0.01 + task.probability(points)),
        up,
        config.num_starts,
        config=config.starts,
        rng=rng,
    )
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    slots = [torch.as_tensor(slot, device=like.device) for slot in slot_choices(task.hand)]
    grasps, energy = optimize(
        starts.to(like),
        slots,
        model,
        field,
        weights=config.energies,
        config=config.optimization,
        generator=generator,
        progress=progress,
    )
    return grasps.only(energy.argsort(stable=True))


def _score(task: _Task, grasp: HandGrasp) -> tuple[float, float, dict[str, float]]:
    """Return score, quality and the terms of a grasp."""
    config = task.config
    terms = {
        "closure": float(np.clip(grasp.margin / config.full_margin, 0, 1)),
        "clearance": float(np.clip(grasp.clearance / config.full_clearance, 0, 1)),
        "contacts": min(1.0, len(grasp.touching) / 4),
    }
    quality = 0.6 * terms["closure"] + 0.2 * terms["clearance"] + 0.2 * terms["contacts"]
    return quality * (0.3 + 0.7 * _relevancy(grasp)), quality, terms


def _relevancy(grasp: HandGrasp) -> float:
    """Return the region's probability at the contacts, weighted by their forces."""
    return float(grasp.probability @ grasp.share / max(grasp.share.sum(), 1e-9))


def _distinct(task: _Task, grasps: list[HandGrasp]) -> list[HandGrasp]:
    """Return the best grasps, none too similar to a better one (non-maximum suppression)."""
    config = task.config
    chosen: list[HandGrasp] = []
    for grasp in sorted(grasps, key=lambda one: -_score(task, one)[0]):
        if len(chosen) == config.max_grasps:
            break
        if not any(_similar(grasp.T_volume_palm, other.T_volume_palm, config) for other in chosen):
            chosen.append(grasp)
    return chosen


def _similar(one: Float[np.ndarray, "4 4"], other: Float[np.ndarray, "4 4"], config: HandConfig) -> bool:
    apart = np.linalg.norm(one[:3, 3] - other[:3, 3])
    cosine = (np.trace(one[:3, :3].T @ other[:3, :3]) - 1) / 2
    return bool(apart < config.min_separation and cosine > np.cos(config.min_angle))


def _grasp(task: _Task, found: HandGrasp) -> Grasp:
    """Return a grasp in the world frame."""
    T, hand = task.volume.T_world_volume, task.hand
    score, quality, terms = _score(task, found)
    contacts = transform_points(T, found.points)
    pair = list(contact_pair(hand, found))
    seen = observed_at(task.volume, found.points[pair] + task.volume.voxel * found.normals[pair])
    return Grasp(
        T_world_gripper=np.asarray(T @ found.T_volume_palm, dtype=np.float64),
        width=float(np.linalg.norm(contacts[pair[0]] - contacts[pair[1]])),
        score=score,
        relevancy=_relevancy(found),
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


def _why_none(task: _Task, counts: CheckCounts) -> NoAnswer:
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


def _narrowest(task: _Task) -> float:
    """Return the smallest extent of the object around the action point, metres."""
    points = task.surface.points[task.surface.on_object]
    near = points[np.linalg.norm(points - task.action_point, axis=1) < task.volume.half_size]
    if len(near) < 3:
        return 0.0
    centered = near - near.mean(axis=0)
    axes = np.linalg.svd(centered, full_matrices=False)[2]
    return float(np.ptp(centered @ axes.T, axis=0).min())
