"""What grasps are planned on: depth around the region, and what blocks the nearest miss."""

from __future__ import annotations

import numpy as np
import viser
from jaxtyping import Float

from point2act.core.types import SurfaceCut
from point2act.grasping.grippers import Gripper
from point2act.visualization.drawing import Color
from point2act.visualization.shapes import wireframe
from point2act.visualization.viewer.node_layer import NodeLayer

# Okabe and Ito's sky blue and vermillion, distinguishable with any common colour blindness.
_DEPTH: Color = (86, 180, 233)
_BLOCKS: Color = (213, 94, 0)
# Side of a point, relative to the distance of the cameras to the scene. Chosen.
_SIDE, _LARGE = 0.0025, 0.006
# Thickness of the bars of a gripper that is blocked, metres.
_BAR = 0.0016


class GeometryNodes:
    """Points of the depth, points that block, and the gripper that they block."""

    def __init__(self, server: viser.ViserServer, unit: float, distance: float):
        """Start without points.

        Args:
            server: viser's server.
            unit: viser's units per unit of the world.
            distance: Distance of the cameras to the scene, unit of the world.
        """
        self._layer, self._distance = NodeLayer(server, "geometry", unit), distance

    def draw(self, depth: Float[np.ndarray, "n 3"], cut: SurfaceCut | None, gripper: Gripper) -> None:
        """Draw depth as points and, if the best pose is blocked, what blocks it and the gripper there."""
        with self._layer.redrawn():
            if len(depth):
                self._layer.add_points("depth", depth, _DEPTH, _SIDE * self._distance)
            if cut is not None and len(cut.hits):
                self._layer.add_points("blocks", cut.hits, _BLOCKS, _LARGE * self._distance)
                bars = wireframe(gripper.boxes_at(cut.opening), _BAR)
                self._layer.add_mesh("miss", bars, _BLOCKS, cut.T_world_gripper)
