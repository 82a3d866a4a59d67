"""What is known of the scene while a plan runs: where things are, and which one is held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from point2act.acting.constraints.region_features import RegionFeatures
from point2act.acting.constraints.scene_state import SceneState
from point2act.acting.control.constraint_task import StateAt
from point2act.acting.execution.on_table import above, upright
from point2act.acting.execution.perception import Observation
from point2act.acting.execution.scenery import Scenery
from point2act.acting.execution.stages import GraspChoice
from point2act.core.constraints import Point
from point2act.core.geometry import (
    box_points,
    distance_to_box,
    invert,
    transform_box,
    transform_points,
    upright_axes,
)
from point2act.core.types import OrientedBox

# Distance of the gripper's middle from a region at which it hides the thing, so that the tracker errs: until
# the fingers have closed the thing is taken to stay. Chosen.
_HIDDEN = 0.03
# Distance from the middle of the fingertips at a planned grasp within which boxes are not kept away from.
# Chosen: half the largest opening of a Panda.
_PLANNED = 0.04
# Distance by which a thing has moved that is worth a note, metres. Chosen: ten times the noise of a pose.
_NOTED = 0.02
# Distance between the boxes of two things below which one may lean on the other, metres, and number of points
# along each side of a box between which it is measured. Chosen.
_LEANS, _ALONG = 0.02, 5
# Change of its height below which a thing lies as it was found, metres. Chosen: above the noise of a pose.
_LEVEL = 0.005
# Motion of a thing from one image to the next that needs a second image, metres. Chosen: a thing that was
# moved is there in the second one too, a mistake of the tracker is not.
_STEP = 0.03


@dataclass(frozen=True, eq=False)
class TaskScene:
    """What a plan acts on, as it was first seen, in the frame of the arm's base."""

    features: Mapping[str, RegionFeatures]
    """Keypoints and axes of the region of each query."""
    things: Mapping[str, str]
    """Name of the thing that each query's region is on: they move together."""
    grasps: Mapping[str, tuple[GraspChoice, ...]]
    """Grasps of each query to grasp, best first."""
    scenery: Scenery = field(default_factory=Scenery)
    """Boxes around everything else that stands there."""
    table: Float[np.ndarray, "4"] | None = None
    """Plane ``(n, d)``: ``n @ x + d`` is the height of x above it, metres."""

    def regions_of(self, thing: str) -> list[str]:
        """Return the queries whose regions are on a thing."""
        return [query for query, one in self.things.items() if one == thing]


class SceneMemory:
    """Where everything is, by the latest image and by the gripper."""

    def __init__(self, scene: TaskScene, max_width: float = np.inf):
        """Start with everything where it was found.

        Args:
            scene: What was found.
            max_width: Largest opening of the gripper, metres.
        """
        self.scene, self._max_width = scene, max_width
        self._motion: dict[str, Float[np.ndarray, "4 4"]] = {
            thing: np.eye(4) for thing in scene.things.values()
        }
        self.lost: set[str] = set()
        """Things that the latest image does not show."""
        self._jumps: dict[str, Float[np.ndarray, "4 4"]] = {}
        self._noted: dict[str, Float[np.ndarray, " 3"]] = {}
        self._held: tuple[str, Float[np.ndarray, "4 4"]] | None = None
        # What the gripper has set down may lean on something beside it.
        self._handled: set[str] = set()

    @property
    def held(self) -> frozenset[str]:
        """Queries whose thing is in the gripper."""
        if self._held is None:
            return frozenset()
        return frozenset(self.scene.regions_of(self._held[0]))

    def carried(self, T_base_gripper: Float[np.ndarray, "4 4"]) -> dict[str, Float[np.ndarray, "4 4"]]:
        """Return the motion of the thing in the gripper since it was found, by its name, at a pose of it."""
        return {} if self._held is None else {self._held[0]: T_base_gripper @ self._held[1]}

    def hold(self, query: str, T_base_gripper: Float[np.ndarray, "4 4"]) -> None:
        """Let a query's thing move with the gripper from now on, and nothing else."""
        self.release(T_base_gripper)
        thing = self.scene.things[query]
        self._held = thing, invert(T_base_gripper) @ self._motion[thing]
        self._handled.add(thing)

    def release(self, T_base_gripper: Float[np.ndarray, "4 4"]) -> None:
        """Leave what is held where it is."""
        if self._held is not None:
            thing = self._held[0]
            self._motion[thing] = T_base_gripper @ self._held[1]
            self._noted[thing] = transform_points(self._motion[thing], self._center(thing))
        self._held = None

    def see(
        self, seen: Mapping[str, Observation], T_base_gripper: Float[np.ndarray, "4 4"]
    ) -> dict[str, float]:
        """Take over what an image shows of things that are neither held nor hidden by the gripper.

        Args:
            seen: Where each thing is, by its name.
            T_base_gripper: Pose of the gripper when the image was taken.

        Returns:
            How far things have moved that moved noticeably since they were last returned, metres.
        """
        held = None if self._held is None else self._held[0]
        free = [
            thing
            for thing in seen
            if thing != held and self._distance(thing, T_base_gripper[:3, 3]) > _HIDDEN
        ]
        self.lost = {thing for thing in free if seen[thing].lost}
        for thing in free:
            motion = self._on_table(thing, seen[thing].motion)
            if motion is not None and self._confirmed(thing, motion):
                self._motion[thing] = motion
        return {thing: away for thing in free if (away := self._moved(thing)) > _NOTED}

    def relocate(self, query: str, scene: TaskScene) -> str:
        """Let a query mean what it means in another scene; return the name of its thing.

        Its thing stands where it was found: what is held instead is released before.

        Args:
            query: The query.
            scene: The same scene, in which it was located anew.
        """
        thing, old = self.scene.things[query], self.scene
        grasps = {name: scene.grasps[name] if name == query else known for name, known in old.grasps.items()}
        features = {**old.features, query: scene.features[query]}
        self.scene = replace(old, features=features, grasps=grasps, scenery=scene.scenery)
        self._motion[thing] = np.eye(4)
        self._handled.discard(thing)
        self._jumps.pop(thing, None)
        self._noted.pop(thing, None)
        self.lost.discard(thing)
        return thing

    def _moved(self, thing: str) -> float:
        """Return the distance from where a thing was noted last, and note it if it is far."""
        place = transform_points(self._motion[thing], self._center(thing))
        away = float(np.linalg.norm(place - self._noted.setdefault(thing, self._center(thing))))
        if away > _NOTED:
            self._noted[thing] = place
        return away

    def _confirmed(self, thing: str, motion: Float[np.ndarray, "4 4"]) -> bool:
        """Return whether a thing has moved little since the latest image, or a second one shows it there."""
        center = np.append(self._center(thing), 1.0)
        places = [T @ center for T in (self._motion[thing], self._jumps.pop(thing, self._motion[thing]))]
        if min(float(np.linalg.norm(motion @ center - place)) for place in places) <= _STEP:
            return True
        self._jumps[thing] = motion
        return False

    def _on_table(
        self, thing: str, motion: Float[np.ndarray, "4 4"] | None
    ) -> Float[np.ndarray, "4 4"] | None:
        """Return a measured motion of what stands on the table, None where it cannot be."""
        table = self.scene.table
        if table is None or motion is None:
            return motion
        if thing not in self._handled or not self._may_lean(thing, motion):
            motion = upright(motion, self._center(thing), table[:3])
        bottoms = [self.scene.features[query].points["bottom"] for query in self.scene.regions_of(thing)]
        return above(motion, np.stack(bottoms), table)

    def _may_lean(self, thing: str, motion: Float[np.ndarray, "4 4"]) -> bool:
        """Return whether something stands beside a thing at a pose, or it is up in the air.

        What leans is higher, or lower, than what lies on the table.
        """
        table, center = self.scene.table, self._center(thing)
        assert table is not None
        if abs(float((transform_points(motion, center) - center) @ table[:3])) < _LEVEL:
            return False
        own = [
            transform_box(motion, self.scene.features[query].box) for query in self.scene.regions_of(thing)
        ]
        lowest = min(float((box_points(box, _ALONG) @ table[:3] + table[3]).min()) for box in own)
        others = self.obstacles(frozenset(self.scene.regions_of(thing)))
        return lowest > _LEANS or any(_apart(box, other) < _LEANS for box in own for other in others)

    def _center(self, thing: str) -> Float[np.ndarray, " 3"]:
        return self.scene.features[self.scene.regions_of(thing)[0]].box.center

    def _distance(self, thing: str, place: Float[np.ndarray, " 3"]) -> float:
        """Return the distance of a place from the regions on a thing, metres."""
        state = self.state_at(0.0, {})(np.eye(4))
        return min(
            float(distance_to_box(place[None], state.box(query))[0]) for query in self.scene.regions_of(thing)
        )

    def state_at(self, width: float, starts: Mapping[Point, Float[np.ndarray, " 3"]]) -> StateAt:
        """Return the state by the pose of the gripper: what is held moves with it.

        Args:
            width: Distance between the pads, metres.
            starts: Where points were at the start of the stage.
        """
        things, features, table = self.scene.things, self.scene.features, self.scene.table
        widest = self._max_width
        fixed, held, in_gripper = dict(self._motion), self.held, self._held
        axes = np.eye(3) if table is None else upright_axes(table[:3])

        def state(T_base_gripper: Float[np.ndarray, "4 4"]) -> SceneState:
            moved = fixed if in_gripper is None else {**fixed, in_gripper[0]: T_base_gripper @ in_gripper[1]}
            motion = {query: moved[thing] for query, thing in things.items()}
            return SceneState(T_base_gripper, width, features, motion, held, starts, axes, widest)

        return state

    def if_held(
        self, choice: GraspChoice, width: float, starts: Mapping[Point, Float[np.ndarray, " 3"]]
    ) -> StateAt:
        """Return the state as it would be with a grasp's thing in the gripper.

        Args:
            choice: The grasp.
            width: Distance between the pads, metres.
            starts: Where points were at the start of the stage.
        """
        other = SceneMemory(self.scene, self._max_width)
        other._motion = dict(self._motion)
        other.hold(choice.query, self.pose_of(choice))
        return other.state_at(width, starts)

    def pose_of(self, choice: GraspChoice) -> Float[np.ndarray, "4 4"]:
        """Return where a grasp is now."""
        return self._motion[self.scene.things[choice.query]] @ choice.T_world_gripper

    def obstacles(self, without: frozenset[str], planned: GraspChoice | None = None) -> list[OrientedBox]:
        """Return the boxes of all things but those of some queries, and of the scenery.

        Args:
            without: The queries.
            planned: A grasp: boxes at its fingertips are left out where nothing has moved since it was
                planned, since the plan has checked it against the surface, which a box only contains.
        """
        left_out = {self.scene.things[query] for query in without | self.held}
        scene = self.scene
        found = [
            *((thing, scene.features[query].box) for query, thing in scene.things.items()),
            *((thing, box) for thing, boxes in scene.scenery.rests.items() for box in boxes),
        ]
        placed = [(self._motion[thing], box) for thing, box in found if thing not in left_out]
        boxes = [transform_box(T, box) for T, box in placed if not self._planned_beside(planned, T, box)]
        still = [box for box in scene.scenery.boxes if not self._planned_beside(planned, np.eye(4), box)]
        return boxes + still

    def rests(self, queries: frozenset[str]) -> list[OrientedBox]:
        """Return the boxes of the things of some queries beyond their regions, but for what is held."""
        things = {self.scene.things[query] for query in queries - self.held}
        return [
            transform_box(self._motion[thing], box)
            for thing in sorted(things)
            for box in self.scene.scenery.rests.get(thing, ())
        ]

    def _planned_beside(
        self, choice: GraspChoice | None, motion: Float[np.ndarray, "4 4"], box: OrientedBox
    ) -> bool:
        """Return whether a grasp was planned beside a box that has moved since by ``motion``."""
        if choice is None:
            return False
        tip = choice.T_world_gripper[:3, 3]
        own = self._motion[self.scene.things[choice.query]]
        shift = transform_points(own, tip) - transform_points(motion, tip)
        return (
            float(distance_to_box(tip[None], box)[0]) <= _PLANNED and float(np.linalg.norm(shift)) <= _NOTED
        )


def _apart(a: OrientedBox, b: OrientedBox) -> float:
    """Return about how far two boxes are apart, metres: from a grid of points in either."""
    ways = ((a, b), (b, a))
    return min(float(distance_to_box(box_points(one, _ALONG), other).min()) for one, other in ways)
