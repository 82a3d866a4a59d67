"""Motion of a grasp on the page: approach, closing and lift, with the object in the gripper."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from point2act.core.types import Grasp
from point2act.grasping.end_effector import EndEffector
from point2act.grasping.motion import Moment
from point2act.visualization.viewer import markdown
from point2act.visualization.viewer.panel import Panel, set_value
from point2act.visualization.viewer.scene_nodes import SceneNodes

# Poses of a played motion per second.
_RATE = 14.0


class GraspPlayer:
    """Plays the motion of one grasp, or shows a moment of it."""

    def __init__(
        self,
        nodes: SceneNodes,
        panel: Panel,
        grasp: Grasp,
        end_effector: EndEffector,
        moments: Sequence[Moment],
        held: Callable[[], Float[np.ndarray, "n 3"]],
        arm: Callable[[Float[np.ndarray, " d"]], Float[np.ndarray, "p 3"] | None],
    ):
        """Use a motion that is computed.

        Args:
            nodes: The scene.
            panel: Has the slider and the name of the phase.
            grasp: The grasp, world.
            end_effector: Gripper or hand of the grasp.
            moments: Its motion, world.
            held: Returns points on the surface of the object that is lifted, world. Called for the lift
                alone: a surface takes a second to fuse.
            arm: Returns the places of the arm's joints at joint positions (radians), world; None for no arm.
                Called for moments with joint positions.
        """
        self._nodes, self._panel, self._grasp, self._end_effector = nodes, panel, grasp, end_effector
        self._moments, self._held, self._arm = moments, held, arm

    def show_at(self, share: float) -> None:
        """Show the moment at a share of the motion, from 0 to 1."""
        self._show(round(share * (len(self._moments) - 1)))

    def play(self, going: Callable[[], bool]) -> None:
        """Play the motion while ``going`` returns True; the gripper or hand stays at the end."""
        for number in range(len(self._moments)):
            if not going():
                return
            set_value(self._panel.motion, round(number / (len(self._moments) - 1), 2))
            self._show(number)
            self._nodes.server.flush()
            time.sleep(1 / _RATE)

    def _show(self, number: int) -> None:
        moment, grasp = self._moments[number], self._grasp
        self._panel.phase.content = markdown.about_phase(number / (len(self._moments) - 1))
        held = self._held() if moment.holding else None
        with self._nodes.server.atomic():
            self._nodes.grasps.move(moment, self._end_effector, grasp.score)
            if moment.arm is not None:
                self._nodes.grasps.draw_arm(self._arm(moment.arm))
            if held is None:
                self._nodes.put_object_back()
            else:
                by = moment.T_world_gripper[:3, 3] - grasp.T_world_gripper[:3, 3]
                self._nodes.lift_object(held, by)
