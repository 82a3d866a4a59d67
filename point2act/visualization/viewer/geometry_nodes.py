"""What grasps are planned on: the fused surface at the region, and what blocks the nearest miss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import viser
from jaxtyping import Float

from point2act.core.types import SurfaceCut
from point2act.grasping.end_effector import EndEffector, boxes_at
from point2act.visualization.drawing import Color
from point2act.visualization.shapes import wireframe
from point2act.visualization.viewer.node_layer import NodeLayer

if TYPE_CHECKING:
    from point2act.pipeline.fused_surface import SurfaceCloud
else:
    # Imports torch, which is not needed to show a scene.
    SurfaceCloud = Any

# Okabe and Ito's sky blue, reddish purple and vermillion, distinguishable with any common colour blindness.
_SURFACE: Color = (86, 180, 233)
_UNSEEN: Color = (204, 121, 167)
# What is not the object, and where light comes from, world: aside of every usual direction up.
_AROUND: Color = (150, 158, 168)
_LIGHT = np.array([2.0, 3.0, 6.0]) / 7.0
_BLOCKS: Color = (213, 94, 0)
# Side of a point, relative to the distance of the cameras to the scene. Chosen.
_SIDE, _LARGE = 0.0025, 0.006
# Thickness of the bars of a gripper that is blocked, metres.
_BAR = 0.0016


class GeometryNodes:
    """Points of the surface and of borders of unseen space, points that block, and the gripper there."""

    def __init__(self, server: viser.ViserServer, unit: float, distance: float):
        """Start without points.

        Args:
            server: viser's server.
            unit: viser's units per unit of the world.
            distance: Distance of the cameras to the scene, unit of the world.
        """
        self._layer, self._distance = NodeLayer(server, "geometry", unit), distance

    def draw(self, surface: SurfaceCloud | None, cut: SurfaceCut | None, gripper: EndEffector) -> None:
        """Draw the surface and, if the best pose is blocked, what blocks it and the gripper there."""
        with self._layer.redrawn():
            if surface is not None:
                self._draw_points("surface", surface.points, _shaded(surface))
                self._draw_points("unseen", surface.unseen, _UNSEEN)
            if cut is not None and len(cut.hits):
                self._layer.add_points("blocks", cut.hits, _BLOCKS, _LARGE * self._distance)
                bars = wireframe(boxes_at(gripper, np.array([cut.opening])), _BAR)
                self._layer.add_mesh("miss", bars, _BLOCKS, cut.T_world_gripper)

    def _draw_points(
        self, name: str, points: Float[np.ndarray, "n 3"], color: Color | Float[np.ndarray, "n 3"]
    ) -> None:
        if len(points):
            self._layer.add_points(name, points, color, _SIDE * self._distance)


def _shaded(surface: SurfaceCloud) -> Float[np.ndarray, "n 3"]:
    """Return a colour in [0, 1] for each point of a surface: the object's or the surroundings', shaded.

    Half Lambert shading, ``(1 + normal · light) / 2``, is dark nowhere on the side that is seen.
    """
    own = np.where(surface.on_object[:, None], _SURFACE, _AROUND) / 255
    return own * (0.3 + 0.35 * (1 + surface.normals @ _LIGHT))[:, None]
