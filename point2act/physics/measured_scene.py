"""The measured surface around a region as a scene in MuJoCo: a small sphere below every point.

Spheres follow a curved surface where boxes of voxels would be too large by up to half of one, and need no
decomposition into convex pieces as meshes do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import ConvexHull, KDTree, QhullError

from point2act.core.geometry import frame_from_normal, transform, transform_points
from point2act.core.types import Query
from point2act.grasping.antipodal.boundary import field_gradients
from point2act.grasping.hands.task import HandTask
from point2act.physics.layout import (
    Fixture,
    Jitter,
    Part,
    QueryTarget,
    SceneLayout,
    SceneObject,
    Shape,
    Table,
)
from point2act.physics.scene import Scene, at_rest

OBJECT, QUERY = "object", "region"
LEVELS = 10
"""Parts of the object: the spheres of part ``i`` have a probability of ``i / LEVELS`` or more."""
_FEET, _FREE = 0.02, 0.0005
"""Distance between the spheres that an object stands on, and height of the others over them, metres."""
_SEAT = 0.005
"""Height over the table from which an object gets a seat, and height of what rests on it, metres."""
_TINY = 1e-6
_AROUND = 0.3
"""Distance from the action point up to which other things are built, metres: a hand and its lift."""


@dataclass(frozen=True)
class MeasuredConfig:
    """The measured surface in physics."""

    radius: float = 0.004
    """Radius of the spheres, metres."""
    # Between two spheres the surface is at most 1.4 mm too low: r - sqrt(r² - (spacing / 2)²).
    spacing: float = 0.006
    """Smallest distance between the points of two spheres, metres."""
    density: float = 650.0
    """Mass of an object for the volume of its convex hull, kilograms per cubic metre."""
    # Median of 28 household objects of the benchmark's tuning seeds; steel tools have 1500 to 5000.
    min_mass: float = 0.03
    """Smallest mass, kilograms."""
    max_mass: float = 1.4
    """Largest mass of what is taken for one object, kilograms."""
    # Things of a heap that touch are measured as one: 1.6 to 4.2 kg on 13 tuning tables, single objects up to
    # 0.8.
    friction: float = 0.5
    """Coefficient of friction, as in the planner's force closure."""


def measured_scene(
    task: HandTask, config: MeasuredConfig = MeasuredConfig()
) -> tuple[Scene, Float[np.ndarray, "4 4"]] | None:
    """Build the object at a region as a free body, with all else that was measured nearby fixed around it.

    Args:
        task: The region, and the surface and the table around it.
        config: Spheres, mass and friction.

    Returns:
        The scene, whose z axis is up, and ``T_scene_world``; None for a heap, in which no object is known by
        itself.
    """
    points = task.solid.points[task.solid.on_object & _near(task)]
    mass = _mass(points, config)
    if mass > config.max_mass:
        return None
    T_scene_world = _upright(task)
    T_scene_volume = T_scene_world @ task.volume.T_world_volume
    kept = points[spaced(points, config.spacing)]
    level = np.minimum((LEVELS * task.probability(kept)).astype(int), LEVELS - 1)
    centers = _below(task, kept, T_scene_volume, config)
    center = centers.mean(axis=0)
    parts = tuple(
        _part(str(number), centers[level == number] - center, config.radius) for number in np.unique(level)
    )
    thing = SceneObject(OBJECT, mass, config.friction, (0.0, 0.0), 0.0, parts)
    layout = SceneLayout(
        name="measured surface",
        source="",
        table=Table(size=(2.0, 2.0)),
        jitter=Jitter(),
        things=(thing,),
        targets=(QueryTarget(Query(QUERY, "the region"), OBJECT, ""),),
        fixtures=_surroundings(task, centers, T_scene_volume, config),
    )
    return at_rest(layout, 0, {OBJECT: transform(np.eye(3), center)}), T_scene_world


def spaced(points: Float[np.ndarray, "n 3"], spacing: float) -> Bool[np.ndarray, " n"]:
    """Return which points remain if every point removes the later ones that are nearer than ``spacing``."""
    if not len(points):
        return np.ones(0, bool)
    tree, kept = KDTree(points), np.ones(len(points), bool)
    for index, near in enumerate(tree.query_ball_point(points, spacing, return_sorted=True)):
        if kept[index]:
            kept[[other for other in near if other > index]] = False
    return kept


def _upright(task: HandTask) -> Float[np.ndarray, "4 4"]:
    """Return ``T_scene_world``: z is up, and the table is where a layout has it, below the action point."""
    volume, goal = task.volume, task.region.action_point
    turn = frame_from_normal(volume.up[None])[0].T
    if volume.table is None:  # the object stands on its own lowest point
        own = transform_points(volume.T_world_volume, task.solid.points[task.solid.on_object])
        height = float(((goal - own) @ volume.up).max())
    else:
        height = float(goal @ volume.table[:3] + volume.table[3])
    foot = goal - height * volume.up
    return transform(turn, np.array([0.0, 0.0, Table().height]) - turn @ foot)


def _near(task: HandTask) -> Bool[np.ndarray, " n"]:
    return np.linalg.norm(task.solid.points - task.action_point, axis=1) < _AROUND


def _below(
    task: HandTask,
    points: Float[np.ndarray, "n 3"],
    T_scene_volume: Float[np.ndarray, "4 4"],
    config: MeasuredConfig,
) -> Float[np.ndarray, "n 3"]:
    """Return centres of spheres that touch the surface at points from inside, not below the table."""
    inside = points - config.radius * field_gradients(task.volume, points)
    centers = transform_points(T_scene_volume, inside)
    lowest = Table().height + config.radius
    low = np.flatnonzero(centers[:, 2] < lowest)
    # It stands on few of them: every sphere that touches the table costs six constraints in each step.
    centers[low, 2] = np.where(spaced(centers[low], _FEET), lowest, lowest + _FREE)
    return centers


def _surroundings(
    task: HandTask,
    own: Float[np.ndarray, "n 3"],
    T_scene_volume: Float[np.ndarray, "4 4"],
    config: MeasuredConfig,
) -> tuple[Fixture, ...]:
    """Return the measured points of other things, and a seat, as one fixed body; none if there are none.

    What overlaps the object's spheres ``own`` is left out: it would hold the object or push it away.
    """
    points = task.solid.points[~task.solid.on_object & _near(task)]
    others = _below(task, points[spaced(points, config.spacing)], T_scene_volume, config)
    centers = np.concatenate([others, _seat(own, config)])
    centers = centers[KDTree(own).query(centers)[0] > 2 * config.radius - _TINY]
    if not len(centers):
        return ()
    part = _part("all", centers - [0.0, 0.0, Table().height], config.radius)
    return (Fixture("surroundings", config.friction, (0.0, 0.0, 0.0), 0.0, (part,)),)


def _seat(own: Float[np.ndarray, "n 3"], config: MeasuredConfig) -> Float[np.ndarray, "m 3"]:
    """Return spheres below the lowest ones of an object that does not reach the table; none if it does.

    The stem of a glass may be too thin to be measured: without a seat its bowl would fall.
    """
    height = own[:, 2] - Table().height - config.radius
    lowest = own[height < height.min() + _SEAT]
    seat = lowest[spaced(lowest, _FEET)] - [0.0, 0.0, 2 * config.radius]
    return seat if height.min() > _SEAT else seat[:0]


def _part(name: str, centers: Float[np.ndarray, "n 3"], radius: float) -> Part:
    spheres = tuple(Shape("sphere", np.full(3, radius), center, np.eye(3)) for center in centers)
    return Part(name, (0.6, 0.6, 0.62), "", 0.1, 1.0, spheres)


def _mass(points: Float[np.ndarray, "n 3"], config: MeasuredConfig) -> float:
    """Estimate the mass of an object from the convex hull of its measured points."""
    try:
        volume = float(ConvexHull(points).volume)
    except (QhullError, ValueError):  # a flat object, or too few points
        volume = 0.0
    return max(config.min_mass, config.density * volume)
