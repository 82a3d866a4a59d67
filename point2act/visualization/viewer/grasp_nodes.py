"""Grasps in the scene: a small fork for each, coloured by its score, and all of the chosen one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import viser
from jaxtyping import Float

from point2act.core.types import Grasp
from point2act.grasping.end_effector import (
    EndEffector,
    closes_in_plane,
    drawn_posture,
    fingers_at,
    palm_at,
    two_fingers,
)
from point2act.grasping.motion import Moment
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
    """A fork for each grasp but the chosen one, which has the whole gripper or hand, and arrows."""

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
        self._shown: tuple[Sequence[Grasp], EndEffector | None] = ((), None)
        self._posture: Float[np.ndarray, " p"] | None = None

    def draw(self, grasps: Sequence[Grasp], end_effector: EndEffector, chosen: int) -> None:
        """Draw all grasps, and at the chosen one a gripper as on the approach, or a hand that touches."""
        if grasps is not self._shown[0] or end_effector is not self._shown[1]:
            self._shown = (grasps, end_effector)
            self._draw_forks(grasps, end_effector)
        self._posture = None
        if not grasps:
            self._gripper.clear()
            return
        for number, name in enumerate(self._forks.nodes):
            self._forks.nodes[name].visible = number != chosen
        grasp = grasps[chosen]
        moment = Moment(grasp.T_world_gripper, drawn_posture(grasp, end_effector))
        self.move(moment, end_effector, grasp.score)

    def move(self, moment: Moment, end_effector: EndEffector, score: float) -> None:
        """Move the gripper or the hand to a moment of its motion."""
        if self._posture is not None and np.array_equal(moment.posture, self._posture):
            for name in self._gripper.nodes:
                self._gripper.move(name, moment.T_world_gripper)
            return
        self._posture = moment.posture
        fingers = solid(fingers_at(end_effector, moment.posture))
        palm = solid(palm_at(end_effector, moment.posture))
        parts = {
            "fingers": (fingers, of_score(score)),
            "palm": (palm, _PALM),
            "approach": (_approach(merged([palm, fingers])), _APPROACH),
        }
        if closes_in_plane(end_effector):
            parts["closing"] = (_closing(fingers), _CLOSING)
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

    def _draw_forks(self, grasps: Sequence[Grasp], end_effector: EndEffector) -> None:
        with self._forks.redrawn():
            for number, grasp in enumerate(grasps):
                pose, opening = two_fingers(grasp, end_effector)
                mesh = fork(opening, length=_FORK, thickness=_BAR)
                handle = self._forks.add_mesh(f"{number:03}", mesh, of_score(grasp.score), pose)
                handle.on_click(partial(self._click, number))

    def _click(self, number: int, event: object) -> None:
        self.clicked(number)


def _approach(whole: Mesh) -> Mesh:
    """Return an arrow behind a gripper or a hand along its approach, gripper frame."""
    end = np.array([0.0, 0.0, whole.vertices[:, 2].min() - _GAP])
    return arrow(end - [0.0, 0.0, _ARROW], end, thickness=_THICK)


def _closing(fingers: Mesh) -> Mesh:
    """Return two arrows beside a gripper's fingers along the axis in which they close, gripper frame."""
    side = np.array([0.0, fingers.vertices[:, 1].max() + _GAP, 0.0])
    long = np.array([0.0, _ARROW / 2, 0.0])
    ends = [(side + long, side), (-side - long, -side)]
    return merged(arrow(start, end, thickness=_THICK) for start, end in ends)


def of_score(score: float) -> Color:
    """Return a colour of plasma without its ends, which dark and bright scenes hide."""
    red, green, blue = colorize(np.array([[0.15 + 0.7 * min(max(score, 0.0), 1.0)]]), "plasma")[0, 0].tolist()
    return red, green, blue
