"""Grasps in the scene: a small fork for each, coloured by its score, and the gripper at the chosen one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import viser
from jaxtyping import Float

from point2act.core.types import Grasp
from point2act.grasping.antipodal.collision import planned_opening
from point2act.grasping.antipodal.motion import Moment
from point2act.grasping.grippers import Gripper
from point2act.visualization.drawing import Color, colorize
from point2act.visualization.shapes import Mesh, arrow, fork, merged, polyline, solid
from point2act.visualization.viewer.node_layer import NodeLayer

# Length of a fork's fingers and thickness of its bars, metres. Chosen: seen, and clicked, from a metre away.
_FORK, _BAR = 0.022, 0.0022
# Length and thickness of arrows, and their distance from the gripper, metres.
_ARROW, _THICK, _GAP = 0.06, 0.003, 0.006
_LINK = 0.03
"""Thickness of the links of an arm, metres."""
_PALM: Color = (92, 98, 110)
# Okabe and Ito's blue and bluish green, distinguishable with any common colour blindness.
_APPROACH: Color = (0, 114, 178)
_CLOSING: Color = (0, 158, 115)


class GraspNodes:
    """A fork for each grasp but the chosen one, which has the whole gripper, and arrows for its axes."""

    def __init__(self, server: viser.ViserServer, unit: float):
        """Start without grasps.

        Args:
            server: viser's server.
            unit: viser's units per unit of the world.
        """
        self.clicked: Callable[[int], None] = lambda number: None
        """Called with the number of a grasp whose fork is clicked, 0 being the best."""
        self._forks, self._gripper = NodeLayer(server, "grasps", unit), NodeLayer(server, "gripper", unit)
        self._arm = NodeLayer(server, "arm", unit)
        self._shown: tuple[Sequence[Grasp], Gripper | None] = ((), None)
        self._opening: float | None = None

    def draw(self, grasps: Sequence[Grasp], gripper: Gripper, chosen: int) -> None:
        """Draw all grasps, and the gripper at the chosen one, open as on the approach."""
        if grasps is not self._shown[0] or gripper is not self._shown[1]:
            self._shown, self._opening = (grasps, gripper), None
            self._draw_forks(grasps, gripper)
        if not grasps:
            self._gripper.clear()
            return
        for number, name in enumerate(self._forks.nodes):
            self._forks.nodes[name].visible = number != chosen
        grasp = grasps[chosen]
        opening = planned_opening(grasp, gripper, clearance=0.0)
        self._opening = None
        self.move(Moment(grasp.T_world_gripper, opening), gripper, grasp.score)

    def move(self, moment: Moment, gripper: Gripper, score: float) -> None:
        """Move the gripper to a moment of its motion."""
        if moment.opening == self._opening:
            for name in self._gripper.nodes:
                self._gripper.move(name, moment.T_world_gripper)
            return
        self._opening = moment.opening
        parts = {
            "fingers": (solid(gripper.fingers_at(moment.opening)), of_score(score)),
            "palm": (solid(gripper.body_at(moment.opening)), _PALM),
            "approach": (_approach(gripper, moment.opening), _APPROACH),
            "closing": (_closing(gripper, moment.opening), _CLOSING),
        }
        with self._gripper.redrawn():
            for name, (mesh, color) in parts.items():
                self._gripper.add_mesh(name, mesh, color, moment.T_world_gripper)

    def draw_arm(self, places: Float[np.ndarray, "p 3"] | None) -> None:
        """Draw an arm as bars from joint to joint; None for no arm.

        Args:
            places: Places of the base, the joints and the flange, world.
        """
        with self._arm.redrawn():
            if places is not None:
                self._arm.add_mesh("links", polyline(places, thickness=_LINK), _PALM)

    def _draw_forks(self, grasps: Sequence[Grasp], gripper: Gripper) -> None:
        with self._forks.redrawn():
            for number, grasp in enumerate(grasps):
                opening = planned_opening(grasp, gripper, clearance=0.0)
                mesh = fork(opening, length=_FORK, thickness=_BAR)
                color, pose = of_score(grasp.score), grasp.T_world_gripper
                handle = self._forks.add_mesh(f"{number:03}", mesh, color, pose)
                handle.on_click(partial(self._click, number))

    def _click(self, number: int, event: object) -> None:
        self.clicked(number)


def _approach(gripper: Gripper, opening: float) -> Mesh:
    """Return an arrow behind the gripper along its approach, gripper frame."""
    end = np.array([0.0, 0.0, gripper.boxes_at(opening).low[:, 2].min() - _GAP])
    return arrow(end - [0.0, 0.0, _ARROW], end, thickness=_THICK)


def _closing(gripper: Gripper, opening: float) -> Mesh:
    """Return two arrows beside the fingers along the axis in which they close, gripper frame."""
    side = np.array([0.0, gripper.fingers_at(opening).high[:, 1].max() + _GAP, 0.0])
    long = np.array([0.0, _ARROW / 2, 0.0])
    ends = [(side + long, side), (-side - long, -side)]
    return merged(arrow(start, end, thickness=_THICK) for start, end in ends)


def of_score(score: float) -> Color:
    """Return a colour of plasma without its ends, which dark and bright scenes hide."""
    red, green, blue = colorize(np.array([[0.15 + 0.7 * min(max(score, 0.0), 1.0)]]), "plasma")[0, 0].tolist()
    return red, green, blue
