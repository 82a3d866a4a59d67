"""The region of a query that a perfect localization would find."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import invert, transform_points
from point2act.core.types import Region, Support
from point2act.physics.layout import Shape
from point2act.physics.scene import Scene, part_box


def true_region(scene: Scene, query: str) -> Region:
    """Return the region of a perfect localization: the part's box, and the point of it nearest to its centre.

    Args:
        scene: The scene at rest.
        query: Name of the query; its target is an object, not a fixture.
    """
    box = part_box(scene, query)
    target = scene.target(query)
    thing = next(thing for thing in scene.layout.things if thing.name == target.thing)
    T = scene.T_world_thing[thing.name]
    center = transform_points(invert(T), box.center[None])[0]
    shapes = [shape for part in thing.parts if target.part in ("", part.name) for shape in part.shapes]
    points = np.array([nearest_in(shape, center) for shape in shapes])
    nearest = points[np.linalg.norm(points - center, axis=1).argmin()]
    return Region(transform_points(T, nearest[None])[0], 1.0, Support(1, 0, 0), box)


def nearest_in(shape: Shape, point: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
    """Return the nearest point of a solid, in the object's frame; approximate for an ellipsoid."""
    x, y, z = (point - shape.center) @ shape.rotation
    half = shape.half_size
    if shape.kind == "box":
        local = np.clip([x, y, z], -half, half)
    elif shape.kind in ("ellipsoid", "sphere"):
        local = np.array([x, y, z]) / max(np.linalg.norm(np.array([x, y, z]) / half), 1.0)
    elif shape.kind == "cylinder":
        inward = min(1.0, half[0] / max(np.hypot(x, y), 1e-9))
        local = np.array([inward * x, inward * y, np.clip(z, -half[2], half[2])])
    else:
        middle = np.array([0.0, 0.0, np.clip(z, half[0] - half[2], half[2] - half[0])])
        away = np.array([x, y, z]) - middle
        local = middle + away * min(1.0, half[0] / max(float(np.linalg.norm(away)), 1e-9))
    return shape.center + shape.rotation @ local
