"""From a localized scene to what a plan acts on: features, grasps and things, in the frame of the arm's base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.acting.execution.scene_memory import TaskScene
from point2act.acting.execution.stages import grasp_choices
from point2act.acting.region_features import RegionFeatures, features_of, surface_of
from point2act.acting.thing import Thing, thing_at
from point2act.core.errors import PlanError
from point2act.core.geometry import at_pixels, inside, invert, project, transform_points
from point2act.core.types import NoAnswer, OrientedBox, Plan, PointSet, View
from point2act.localization.segmentation import segment_view
from point2act.pipeline.fused_surface import fuse_region
from point2act.pipeline.query import AnswerConfig, Localization
from point2act.pipeline.session import Session

# Largest difference of a point's depth from a reading that shows it, metres. Chosen.
_SHOWN = 0.015


@dataclass(frozen=True, eq=False)
class PreparedTask:
    """A plan with the scene that it acts on."""

    plan: Plan
    scene: TaskScene
    surfaces: Mapping[str, Float[np.ndarray, "_ 3"]]
    """Surface points of every query's region, base frame."""

    def things(self, view: View) -> dict[str, Thing]:
        """Find the things in a view of the robot's camera, to follow them from there on.

        Args:
            view: Colour and depth; its pose is in the base frame.

        Raises:
            PlanError: The view does not show a thing.
        """
        parts = segment_view(view)
        found: dict[str, Thing] = {}
        for thing in dict.fromkeys(self.scene.things.values()):
            queries = [query for query, one in self.scene.things.items() if one == thing]
            pixel = _shown(view, np.concatenate([self.surfaces[query] for query in queries]))
            if pixel is None:
                raise PlanError(f"the robot's camera does not show the {thing}: move the camera")
            found[thing] = thing_at(view, pixel, thing, parts)
        return found


def prepare(
    session: Session, points: PointSet, plan: Plan, max_width: float, config: AnswerConfig = AnswerConfig()
) -> PreparedTask:
    """Locate everything that a plan names, and plan its grasps.

    Args:
        session: The scene; its capture gives the pose of the arm's base.
        points: Answers to the queries of the plan.
        plan: Steps with constraints.
        max_width: Largest opening of the gripper, metres.
        config: How queries are answered.

    Raises:
        PlanError: A query has no region or no grasp, or the pose of the arm's base is unknown.
    """
    T_base_world = session.capture.T_base_world
    if T_base_world is None:
        raise PlanError(
            f"{session.capture.folder / 'transforms.json'} does not give the arm's pose: write 'T_base_world'"
        )
    names = {query.name for query in plan.queries}
    located = {
        one.query.name: one for one in session.localize(points, config=config) if one.query.name in names
    }
    for one in located.values():
        if isinstance(one.region, NoAnswer):
            raise PlanError(f"'{one.query.text}' was not found: {one.region.detail}")
    up, table = _support(list(located.values()), config)
    results = {one.query.name: one for one in session.plan(list(located.values()), config=config)}
    for result in results.values():
        if result.query.role == "grasp" and not result.grasps:
            raise PlanError(f"there is no grasp for '{result.query.text}': {result.detail}")
    features = {name: moved(features_of(one, up), T_base_world) for name, one in located.items()}
    things = {target.query.name: target.object for step in plan.steps for target in step.targets}
    grasps = {
        name: grasp_choices(name, result.grasps, T_base_world, max_width) for name, result in results.items()
    }
    in_base = None if table is None else table @ invert(T_base_world)
    surfaces = {name: transform_points(T_base_world, surface_of(one)[0]) for name, one in located.items()}
    return PreparedTask(plan, TaskScene(features, things, grasps, in_base), surfaces)


def moved(features: RegionFeatures, T: Float[np.ndarray, "4 4"]) -> RegionFeatures:
    """Return features in another frame.

    Args:
        features: Features in frame b.
        T: ``T_a_b``.
    """
    box = OrientedBox(
        transform_points(T, features.box.center), features.box.axes @ T[:3, :3].T, features.box.half_extents
    )
    return RegionFeatures(
        {name: transform_points(T, point) for name, point in features.points.items()},
        {name: T[:3, :3] @ axis for name, axis in features.axes.items()},
        box,
    )


def _support(
    located: Sequence[Localization], config: AnswerConfig
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, "4"] | None]:
    """Return the upward direction and the plane of the table at the first region that has one."""
    up = None
    for one in located:
        assert not isinstance(one.region, NoAnswer)
        volume = next(fuse_region(one.context, one.region, config=config))
        if volume.table is not None:
            return volume.up, volume.table
        up = volume.up if up is None else up
    assert up is not None
    return up, None


def _shown(view: View, points: Float[np.ndarray, "n 3"]) -> tuple[float, float] | None:
    """Return the pixel of the surface point nearest to the middle of those that a view shows; None if none."""
    pixels, depth = project(view.camera, view.T_world_cam, points)
    assert view.depth is not None
    seen = inside(view.camera, pixels) & (np.abs(at_pixels(view.depth, pixels) - depth) < _SHOWN)
    if not seen.any():
        return None
    shown = pixels[seen]
    nearest = shown[np.linalg.norm(shown - np.median(shown, axis=0), axis=1).argmin()]
    return float(nearest[0]), float(nearest[1])
