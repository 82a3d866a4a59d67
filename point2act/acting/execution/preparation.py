"""From a localized scene to what a plan acts on: features, grasps and things, in the arm's base frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from point2act.acting.constraints.grid_cells import with_cells
from point2act.acting.constraints.region_features import (
    RegionFeatures,
    features_of,
    surface_of,
    with_hole,
    with_rim,
)
from point2act.acting.execution.distinct_things import distinct_things
from point2act.acting.execution.scene_memory import TaskScene
from point2act.acting.execution.scenery import find_scenery
from point2act.acting.execution.stages import grasp_choices
from point2act.acting.tracking.thing import Thing, thing_at, thing_of
from point2act.core import constraints
from point2act.core.constraints import Axis, Point
from point2act.core.errors import PlanError
from point2act.core.geometry import (
    at_pixels,
    fit_box,
    inside,
    invert,
    project,
    transform_box,
    transform_points,
)
from point2act.core.types import NoAnswer, Plan, PointSet, View
from point2act.grasping.antipodal.score import PreferenceConfig
from point2act.grasping.grippers import Gripper
from point2act.localization.part_tree import Parts
from point2act.localization.segmentation import segment_view
from point2act.pipeline.fused_surface import fuse_region
from point2act.pipeline.query import AnswerConfig, Localization
from point2act.pipeline.session import Session

# Height of the lowest observed point over the table below which its thing stands there, metres. Chosen.
_UNSEEN = 0.015
# Features that a region has if it has an opening, and if there is a hole through it.
_RIM, _HOLE = ("rim", "rim_normal"), ("hole", "hole_axis")
# Weight of approaches from above and away from the base: the arm then hides less, and stays clear of the
# table. Chosen.
_PREFERRED = 0.4
# Largest difference of a point's depth from a reading that shows it, metres. Chosen.
_SHOWN = 0.015


@dataclass(frozen=True, eq=False)
class Source:
    """What a task was prepared from."""

    session: Session
    points: PointSet
    gripper: Gripper
    config: AnswerConfig


@dataclass(frozen=True, eq=False)
class PreparedTask:
    """A plan with the scene that it acts on."""

    plan: Plan
    scene: TaskScene
    surfaces: Mapping[str, Float[np.ndarray, "_ 3"]]
    """Surface points of every query's region, base frame."""
    source: Source | None = None
    """With it queries can be located anew."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the things, each once."""
        return tuple(dict.fromkeys(self.scene.things.values()))

    def things(self, view: View) -> dict[str, Thing]:
        """Find the things that a view of the robot's camera shows, to follow them from there on.

        Args:
            view: Colour and depth; its pose is in the base frame.
        """
        parts = segment_view(view)
        found: dict[str, Thing] = {}
        for thing in self.names:
            queries = self.scene.regions_of(thing)
            surface = np.concatenate([self.surfaces[query] for query in queries])
            pixel = _shown(view, surface)
            if pixel is not None:
                in_camera = transform_points(view.T_cam_world, surface)
                found[thing] = _thing(view, pixel, thing, parts, in_camera)
        return found


def prepare(
    session: Session, points: PointSet, plan: Plan, gripper: Gripper, config: AnswerConfig = AnswerConfig()
) -> PreparedTask:
    """Locate everything that a plan names, and plan its grasps.

    Args:
        session: The scene; its capture gives the pose of the arm's base.
        points: Answers to the queries of the plan.
        plan: Steps with constraints.
        gripper: The gripper to plan for.
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
    things = {target.query.name: target.object for step in plan.steps for target in step.targets}
    located = {one.query.name: one for one in distinct_things(list(located.values()), things)}
    up, table = _support(list(located.values()), config)
    to_grasp = [one for one in located.values() if one.query.role == "grasp"]
    results = {one.query.name: one for one in session.plan(to_grasp, config=config, gripper=gripper)}
    for result in results.values():
        if not result.grasps:
            raise PlanError(f"there is no grasp for '{result.query.text}': {result.detail}")
    found = {name: features_of(one, up) for name, one in located.items()}
    for name in _missing(plan, found, _RIM):
        found[name] = with_rim(found[name], located[name], up)
    for name in _missing(plan, found, _HOLE):
        found[name] = with_hole(found[name], located[name], up)
    own = {name: surface_of(one)[0] for name, one in located.items()}
    found = {name: replace(on_table(one, table), box=fit_box(own[name])) for name, one in found.items()}
    _check_features(plan, found)
    surfaces = {name: transform_points(T_base_world, surface) for name, surface in own.items()}
    features = {
        name: with_cells(moved(one, T_base_world), surfaces[name], T_base_world[:3, :3] @ up)
        for name, one in found.items()
    }
    grasps = {
        name: grasp_choices(name, result.grasps, T_base_world, gripper) for name, result in results.items()
    }
    in_base = None if table is None else table @ invert(T_base_world)
    context = next(iter(located.values())).context
    everything = transform_points(T_base_world, context.scene.means[context.solid])
    on_things = {
        thing: np.concatenate([surfaces[name] for name, one in things.items() if one == thing])
        for thing in things.values()
    }
    scene = TaskScene(features, things, grasps, find_scenery(everything, in_base, on_things), in_base)
    return PreparedTask(plan, scene, surfaces, Source(session, points, gripper, config))


def acting_config(gripper: str) -> AnswerConfig:
    """Return how queries are answered for a robot: grasps from above, and away from its base, come first.

    Args:
        gripper: Name of a gripper, or path of its file.
    """
    config = AnswerConfig(gripper=gripper)
    score = config.grasp.evaluation.score
    score = replace(score, preference=PreferenceConfig(from_above=_PREFERRED, away_from_base=_PREFERRED))
    evaluation = replace(config.grasp.evaluation, score=score)
    return replace(config, grasp=replace(config.grasp, evaluation=evaluation))


def on_table(features: RegionFeatures, table: Float[np.ndarray, "4"] | None) -> RegionFeatures:
    """Return features with the bottom of what stands on the table on its plane: cameras see it from above.

    Args:
        features: Features, world.
        table: Plane ``(n, d)``, world, metres; None without a table.
    """
    if table is None:
        return features
    bottom = features.points["bottom"]
    height = float(table[:3] @ bottom + table[3])
    if not 0 < height < _UNSEEN:
        return features
    return replace(features, points={**features.points, "bottom": bottom - height * table[:3]})


def _missing(plan: Plan, found: Mapping[str, RegionFeatures], names: Sequence[str]) -> set[str]:
    """Return the queries that lack features of some names to which a plan refers."""
    return {
        feature.of
        for step in plan.steps
        for one in step.constraints
        for feature in constraints.features_of(one)
        if feature.name in names and feature.of in found and not _has(found[feature.of], feature)
    }


def _has(features: RegionFeatures, feature: Point | Axis) -> bool:
    return feature.name in (features.points if isinstance(feature, Point) else features.axes)


def _check_features(plan: Plan, features: Mapping[str, RegionFeatures]) -> None:
    for number, step in enumerate(plan.steps):
        for one in step.constraints:
            for feature in constraints.features_of(one):
                if feature.of not in features:
                    continue
                if not _has(features[feature.of], feature):
                    what = "hole" if feature.name in _HOLE else "opening"
                    raise PlanError(f"step {number + 1} needs '{feature}', but no {what} was seen there")


def moved(features: RegionFeatures, T: Float[np.ndarray, "4 4"]) -> RegionFeatures:
    """Return features in another frame.

    Args:
        features: Features in frame b.
        T: ``T_a_b``.
    """
    return RegionFeatures(
        {name: transform_points(T, point) for name, point in features.points.items()},
        {name: T[:3, :3] @ axis for name, axis in features.axes.items()},
        transform_box(T, features.box),
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


def _thing(
    view: View, pixel: tuple[float, float], name: str, parts: Parts, surface: Float[np.ndarray, "n 3"]
) -> Thing:
    """Return the thing at a pixel; what is as flat as the table is known by its surface alone."""
    beside = np.linalg.norm(project(view.camera, np.eye(4), surface)[0] - pixel, axis=1)
    away = np.linalg.norm(parts.points - surface[beside.argmin()], axis=1)
    if parts.things[away.argmin()]:
        return thing_at(view, pixel, name, parts)
    return thing_of(view, surface, pixel, name)


def _shown(view: View, points: Float[np.ndarray, "n 3"]) -> tuple[float, float] | None:
    """Return the pixel nearest to the middle of the surface points that a view shows; None without any."""
    pixels, depth = project(view.camera, view.T_world_cam, points)
    assert view.depth is not None
    seen = inside(view.camera, pixels) & (np.abs(at_pixels(view.depth, pixels) - depth) < _SHOWN)
    if not seen.any():
        return None
    shown = pixels[seen]
    nearest = shown[np.linalg.norm(shown - np.median(shown, axis=0), axis=1).argmin()]
    return float(nearest[0]), float(nearest[1])
