"""Nodes of the scene, drawn with viser and the same in all browsers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import viser
from jaxtyping import Float, UInt8

from point2act.core.types import Camera, GaussianScene, QueryResult, Region
from point2act.visualization.drawing import Color
from point2act.visualization.initial_camera import InitialCamera, find_initial_camera
from point2act.visualization.shapes import box_edges, pin
from point2act.visualization.splats import splats_of
from point2act.visualization.viewer.geometry_nodes import GeometryNodes
from point2act.visualization.viewer.grasp_nodes import GraspNodes
from point2act.visualization.viewer.node_layer import NodeLayer, wxyz
from point2act.visualization.viewer.panel import PARTS
from point2act.visualization.viewer.splat_nodes import SplatNodes
from point2act.visualization.viewer.worker import Worker

Opened = Callable[[viser.ClientHandle], None]
"""Called with the client that clicked."""

# Okabe and Ito's vermillion and orange, distinguishable with any common colour blindness.
_ACTION: Color = (213, 94, 0)
_ALTERNATIVE: Color = (230, 159, 0)
# Lengths as fractions of the distance between cameras and scene. Chosen.
_FRUSTUM, _PIN, _BALL, _EDGE, _CELL, _GROUND = 0.04, 0.16, 0.009, 0.004, 0.1, 2.0
# Side of a point of a fused surface, metres: they are a voxel of 2 mm apart and shall leave no gaps.
_SURFACE_POINT = 0.003
# viser's units from the cameras to the scene. The precision of covariances, the width of lines and the near
# plane are fixed in viser's units and suit scenes of a few metres.
_SIZE = 3.0


class SceneNodes:
    """Gaussians, cameras, the ground, regions and grasps; each part can be hidden."""

    def __init__(
        self, server: viser.ViserServer, scene: GaussianScene, poses: Sequence[np.ndarray], later: Worker
    ):
        """Draw a reduced set of Gaussians and the ground.

        Args:
            server: viser's server.
            scene: Gaussians, world frame.
            poses: ``T_world_cam`` of the cameras that will be drawn.
            later: Thread that sends Gaussians, and waits for browsers meanwhile.
        """
        self.server, self.poses = server, poses
        self.initial_camera: InitialCamera = find_initial_camera(scene, poses)
        self.unit = _SIZE / self.initial_camera.distance
        """viser's units per unit of the world. Only what is drawn is in viser's units."""
        server.scene.set_up_direction(tuple(self.initial_camera.up.tolist()))
        self.parts = {name: server.scene.add_frame(f"/{name}", show_axes=False) for name in PARTS}
        splats = splats_of(scene)
        splats = replace(
            splats, centers=self.unit * splats.centers, covariances=self.unit**2 * splats.covariances
        )
        self.gaussians = SplatNodes(server, splats, later)
        self.grasps = GraspNodes(server, self.unit)
        self.geometry = GeometryNodes(server, self.unit, self.initial_camera.distance)
        self._answer = NodeLayer(server, "answer", self.unit)
        self._lifted = NodeLayer(server, "gripper", self.unit)
        self._draw_ground()

    def show(self, part: str, shown: bool) -> None:
        """Show or hide one of ``parts``."""
        self.parts[part].visible = shown

    # ── ground and cameras ─────────────────────────────────────────────────────────────────────
    def _draw_ground(self) -> None:
        outlook = self.initial_camera
        size, cell = _SIZE * _GROUND, self.unit * _nice(_CELL * outlook.distance)
        self.server.scene.add_grid(
            "/ground/grid",
            width=size,
            height=size,
            plane="xy",
            cell_size=cell,
            section_size=5 * cell,
            cell_color=(120, 124, 132),
            section_color=(160, 164, 172),
            wxyz=wxyz(outlook.T_world_ground),
            # Just under the table: Gaussians lie on both sides of it.
            position=self.unit * (outlook.T_world_ground[:3, 3] - 0.004 * outlook.distance * outlook.up),
        )

    def draw_camera(
        self,
        number: int,
        camera: Camera,
        image: UInt8[np.ndarray, "h w 3"] | None,
        color: Color,
        opened: Opened,
    ) -> None:
        """Draw one camera, with its image if that is loaded."""
        handle = self.server.scene.add_camera_frustum(
            f"/cameras/{number:05}",
            fov=2 * float(np.arctan(camera.height / 2 / camera.fy)),
            aspect=camera.width / camera.height * camera.fy / camera.fx,
            scale=_SIZE * _FRUSTUM,
            color=color,
            image=image,
            jpeg_quality=70,
            wxyz=wxyz(self.poses[number]),
            position=self.unit * self.poses[number][:3, 3],
        )
        handle.on_click(lambda event: opened(event.client))

    # ── object in the gripper ────────────────────────────────────────────────────────────────────
    def lift_object(self, points: Float[np.ndarray, "n 3"], by: Float[np.ndarray, "3"]) -> None:
        """Draw an object's surface, in the colours of the scene, moved from its place.

        Args:
            points: Points of its surface where it stands, world, metres.
            by: How far it is moved, world, metres.
        """
        if not len(points) or not len(self.gaussians.splats):
            return
        if not self._lifted.nodes:
            colors = self.gaussians.colors_at(self.unit * points)
            self._lifted.add_points("object", points, colors, _SURFACE_POINT)
        T = np.eye(4)
        T[:3, 3] = by
        self._lifted.move("object", T)

    def put_object_back(self) -> None:
        """Remove the object that was drawn as lifted."""
        self._lifted.clear()

    # ── region ───────────────────────────────────────────────────────────────────────────────
    def draw_answer(self, result: QueryResult | None) -> None:
        """Draw a pin on the action point, the region's box, and smaller pins on alternatives."""
        with self._answer.redrawn():
            if result is not None:
                self._draw_alternatives(result)
            if result is not None and result.region is not None:
                self._draw_region(result.region)
                if result.place is not None:
                    long = self.initial_camera.distance
                    self._answer.add_frame("place", result.place.T_world_place, _PIN * long, _EDGE * long)

    def _draw_alternatives(self, result: QueryResult) -> None:
        for number, other in enumerate(result.alternatives):
            name, chance = f"alternative{number}", f"{other.confidence:.0%}"
            self._draw_pin(name, other.action_point, 0.6 * _PIN, _ALTERNATIVE, chance)

    def _draw_region(self, region: Region) -> None:
        edges = box_edges(region.box, _EDGE * self.initial_camera.distance)
        self._answer.add_mesh("box", edges, _ACTION)
        self._draw_pin("action", region.action_point, _PIN, _ACTION, f"{region.confidence:.0%}")

    def _draw_pin(
        self, name: str, point: Float[np.ndarray, "3"], length: float, color: Color, text: str
    ) -> None:
        """Draw a needle with a ball and a text; its length is a fraction of the cameras' distance."""
        up, distance = self.initial_camera.up, self.initial_camera.distance
        long, layer = length * distance, self._answer
        layer.add_mesh(f"{name}-needle", pin(point, up, length=long), color)
        layer.add_ball(f"{name}-ball", point + long * up, _BALL * distance, color)
        layer.add_label(f"{name}-label", text, point + 1.2 * long * up)


def _nice(length: float) -> float:
    """Return 1, 2 or 5 times a power of ten, near a length."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(power * min((1, 2, 5, 10), key=lambda step: abs(step - length / power)))
