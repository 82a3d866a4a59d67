"""Input of the planning of a hand's grasps at one region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from point2act.core.geometry import box_falloff, invert, transform_box, transform_points
from point2act.core.types import Head, NoAnswer, OrientedBox, Region
from point2act.grasping.antipodal.avoid import Avoid
from point2act.grasping.antipodal.boundary import (
    BoundaryConfig,
    SolidPoints,
    SurfacePoints,
    solid_points,
    surface_points,
)
from point2act.grasping.antipodal.failure_reasons import no_surface_near, nothing_stands_out
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.hands.checks import CheckConfig
from point2act.grasping.hands.energies import EnergyConfig
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.optimization import OptimizationConfig
from point2act.grasping.hands.scene_field import FieldConfig
from point2act.grasping.hands.starts import StartConfig
from point2act.grasping.learned.cloud import LocalCloud, local_cloud

# Weight of starts beside the region, relative to those on it. Chosen.
_ELSEWHERE = 0.01

SHORT = OptimizationConfig(
    iterations=60,
    redraw=8,
    temperature=0.0,
    halving=((3, 0.25), (8, 0.5), (25, 0.5)),
)
"""Schedule for proposals: a few steps show which quarter of them is worth more."""


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
    head: Head = "auto"
    """Where grasps come from: the optimisation of random starts (``analytic``), the short one of what a
    network proposes (``learned``), or ``both``, the proposals first. But for ``analytic``, the prediction of
    another network counts as well. ``auto`` is both where there are weights for the hand, else analytic."""
    weights: Path | None = None
    """Folder of the networks, as ``point2act learn-grasps train`` writes it; None for those that ship."""
    # On 16 tuning tables 64 leave 6 grasps and 256 leave 8, in the same time; as many random starts 4 and 7.
    proposals: int = 256
    """Grasps that the network proposes; the best quarter of them is refined."""
    refinement: OptimizationConfig = field(default_factory=lambda: SHORT)
    """Schedule of their optimisation."""
    num_starts: int = 256
    """Start poses that are optimised together."""
    # On 19 of 55 tuning tables nothing was proven in two batches; a third one solved two, a fourth one none.
    # On 58 other tables a third one lifted more, but not by the part.
    rounds: int = 2
    """Largest number of batches; another one follows while there are fewer than ``max_grasps``, none for the
    head ``learned``, or the best of those that were executed did not hold the object by the part."""
    # On twelve tuning tables where the first batch held by no part, 4 solved two more than 1.
    focus: float = 4.0
    """Factor on the weight of the region's energy in every second batch."""
    max_grasps: int = 16
    """Largest number of returned grasps."""
    executions: int = 8
    """Grasps of a batch that are executed on the measured surface before they are ordered, until one holds
    the object by the part; 0 for none."""
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
    # Chosen on labelled grasps of the families of learned grasps, which no figure of hands is from.
    full_payload: float = 8.0
    """Weight that is held in each direction from which more does not count, newtons."""
    full_clearance: float = 0.02
    """Clearance on the approach from which more does not count, metres."""
    min_separation: float = 0.02
    """Smallest distance between palms of returned grasps of similar orientation, metres."""
    min_angle: float = 0.35
    """Smallest angle between palms of returned grasps at similar positions, radians."""


@dataclass(frozen=True, eq=False)
class HandTask:
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
        return tuple(transform_box(T, one.box) for one in self.avoid)

    @cached_property
    def cloud(self) -> LocalCloud:
        """The surface and the region's probability, for networks."""
        return local_cloud(self.surface, self.probability).thinned()

    def start_weights(
        self, points: Float[np.ndarray, "n 3"], probability: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """Return how often grasps start at points of the object: near the action point, on the region.

        Args:
            points: Points of the object, volume frame.
            probability: The region's probability there.
        """
        away = ((points - self.action_point) ** 2).sum(axis=1)
        return np.exp(-0.5 * away / self.config.start_sigma**2) * (_ELSEWHERE + probability)

    def probability(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Return the region's probability at points of the volume frame, relative to the best nearby."""
        world = transform_points(self.volume.T_world_volume, points)
        if not self.config.use_region:
            return np.ones(len(points))
        radius = self.config.relevancy_radius
        if self.relevancy is None:
            return box_falloff(world, self.region.box, radius)
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


def hand_task(
    volume: LocalVolume,
    region: Region,
    hand: Hand,
    *,
    relevancy: tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]] | None = None,
    avoid: Sequence[Avoid] = (),
    boundary: BoundaryConfig = BoundaryConfig(),
    config: HandConfig = HandConfig(),
) -> HandTask | NoAnswer:
    """Extract the object at the action point of a region; the reason if there is none.

    The arguments are those of ``plan_hand_grasps``. The head of the task is never ``auto``.
    """
    config = replace(config, head=chosen_head(hand, config))
    action_point = transform_points(invert(volume.T_world_volume), region.action_point[None])[0]
    surface = surface_points(volume, action_point, config=boundary)
    missing = no_surface_near(surface, action_point, config.reach)
    if missing is not None:
        return missing
    if not surface.on_object.any():
        return nothing_stands_out(config.reach)
    solid = solid_points(volume, surface, config=boundary)
    if not solid.on_object.any():
        return nothing_stands_out(config.reach)
    return HandTask(volume, surface, solid, region, action_point, hand, relevancy, avoid, config)


def chosen_head(hand: Hand, config: HandConfig) -> Head:
    """Return the head that is configured or, for ``auto``, the one that measures best for a hand."""
    if config.head != "auto":
        return config.head
    from point2act.grasping.learned.embodiment import embodiment_of
    from point2act.grasping.learned.weights import load_flow

    flow = load_flow(hand.name, config.weights)
    # A file of one's own may have the name of a hand that ships.
    return "both" if flow is not None and flow.embodiment == embodiment_of(hand) else "analytic"
