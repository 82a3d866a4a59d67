"""Nodes of the scene, drawn with viser and the same in all browsers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import viser
import viser.transforms
from jaxtyping import Float, UInt8

from point2act.core.types import Camera, GaussianScene, Grasp, QueryResult
from point2act.grasping.antipodal.collision import planned_opening
from point2act.grasping.antipodal.motion import Moment
from point2act.grasping.grippers import Gripper
from point2act.visualization.drawing import Color, colorize
from point2act.visualization.initial_camera import InitialCamera, find_initial_camera
from point2act.visualization.shapes import Mesh, box_edges, pin, solid, wireframe
from point2act.visualization.splats import Splats, paint, sketch, splats_of
from point2act.visualization.viewer.panel import PARTS

Opened = Callable[[viser.ClientHandle], None]
"""Called with the client that clicked."""

# Okabe and Ito's vermillion and orange, distinguishable with any common colour blindness.
_ACTION: Color = (213, 94, 0)
_ALTERNATIVE: Color = (230, 159, 0)
# Lengths as fractions of the distance between cameras and scene. Chosen.
_FRUSTUM, _PIN, _BALL, _EDGE, _CELL, _GROUND = 0.04, 0.16, 0.009, 0.004, 0.1, 2.0
# Thickness of the bars that palms, and grippers of other grasps, are drawn with, metres. (viser draws no
# Gaussians behind transparent meshes.)
_BAR = 0.0016
# viser's units from the cameras to the scene. The precision of covariances, the width of lines and the near
# plane are fixed in viser's units and suit scenes of a few metres.
_SIZE = 3.0
_Painted = tuple[Float[np.ndarray, " n"] | None, float, float]
_PLAIN: _Painted = (None, 0.0, 0.0)
"""Colours without relevancy."""
# Number of Gaussians that are shown first. Chosen: a browser that draws in software shows 3000 after 3.6
# to 5.7 s, 10 000 after 4.5 to 5.7 and 30 000 after 6.3 to 8.8 (2 cores, from the start of a viser server).
_SKETCH = 4000
# Poses of a played motion per second.
_RATE = 14.0


class SceneNodes:
    """Gaussians, cameras, the ground, regions and grasps; each part can be hidden."""

    def __init__(self, server: viser.ViserServer, scene: GaussianScene, poses: Sequence[np.ndarray]):
        """Draw a reduced set of Gaussians and the ground.

        Args:
            server: viser's server.
            scene: Gaussians, world frame.
            poses: ``T_world_cam`` of the cameras that will be drawn.
        """
        self.server, self.poses = server, poses
        self.initial_camera: InitialCamera = find_initial_camera(scene, poses)
        self.unit = _SIZE / self.initial_camera.distance
        """viser's units per unit of the world. Only what is drawn is in viser's units."""
        splats = splats_of(scene)
        self.splats = replace(
            splats, centers=self.unit * splats.centers, covariances=self.unit**2 * splats.covariances
        )
        """Gaussians in viser's units."""
        self._repaints = 0
        self._painted: _Painted = _PLAIN
        self._shown: tuple[Sequence[Grasp], Gripper | None, int] = ((), None, 0)
        self._drawn: dict[str, list[Any]] = {"answer": [], "grasps": [], "gripper": []}
        server.scene.set_up_direction(tuple(self.initial_camera.up.tolist()))
        self.parts = {name: server.scene.add_frame(f"/{name}", show_axes=False) for name in PARTS}
        self._sketched = len(self.splats) > _SKETCH
        self._draw_splats(sketch(self.splats, _SKETCH))
        self._draw_ground()

    def show(self, part: str, shown: bool) -> None:
        """Show or hide one of ``parts``."""
        self.parts[part].visible = shown

    # ── Gaussians ──────────────────────────────────────────────────────────────────────────────
    def draw_all(self) -> None:
        """Draw all Gaussians, unless they are drawn already."""
        if self._sketched:
            self._sketched = False
            self._draw_splats(self.splats)

    def paint(self, relevancy: Float[np.ndarray, " n"] | None, *, blend: float, threshold: float) -> None:
        """Colour the Gaussians.

        Args:
            relevancy: One number for each Gaussian of the scene; None for their own colours.
            blend: See ``splats.paint``.
            threshold: See ``splats.paint``.
        """
        wanted = _PLAIN if relevancy is None else (relevancy, blend, threshold)
        # Every change sends all Gaussians to all browsers.
        if relevancy is self._painted[0] and wanted[1:] == self._painted[1:]:
            return
        self._painted, colors = wanted, self.splats.colors
        if relevancy is not None:
            colors = paint(colors, relevancy[self.splats.kept], blend=blend, threshold=threshold)
        self._sketched = False
        self._draw_splats(replace(self.splats, colors=colors))

    def _draw_splats(self, splats: Splats) -> None:
        if not len(splats):
            return
        before, self._repaints = self._repaints, self._repaints + 1
        # Each time under a new name: viser 0.2 does not update the colours of a node.
        name = f"/scene/splats{self._repaints}"
        self._add_splats(name, splats.centers, splats.covariances, splats.colors, splats.opacities)
        if before:
            # The old ones are removed after the new ones are sent. viser keeps the last message under a name
            # for later browsers: let that be small. In 1.x this also removes the node that has the name.
            small = np.zeros((1, 3)), np.eye(3)[None], np.zeros((1, 3)), np.zeros((1, 1))
            self._add_splats(f"/scene/splats{before}", *small).remove()

    def _add_splats(
        self,
        name: str,
        centers: Float[np.ndarray, "n 3"],
        covariances: Float[np.ndarray, "n 3 3"],
        colors: Float[np.ndarray, "n 3"],
        opacities: Float[np.ndarray, "n 1"],
    ) -> Any:
        api: Any = self.server.scene
        # viser 0.2 has it under a private name.
        add = api.add_gaussian_splats if hasattr(api, "add_gaussian_splats") else api._add_gaussian_splats
        return add(name, centers, covariances, colors, opacities)

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
            wxyz=_wxyz(outlook.T_world_ground),
            # Just under the table: Gaussians lie on both sides of it.
            position=self.unit * (outlook.T_world_ground[:3, 3] - 0.004 * outlook.distance * outlook.up),
        )

    # ── cameras ────────────────────────────────────────────────────────────────────────────────
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
            wxyz=_wxyz(self.poses[number]),
            position=self.unit * self.poses[number][:3, 3],
        )
        handle.on_click(lambda event: opened(event.client))

    # ── region ───────────────────────────────────────────────────────────────────────────────
    def draw_answer(self, result: QueryResult | None) -> None:
        """Draw a pin on the action point, the region's box, and smaller pins on alternatives."""
        self._clear("answer")
        if result is None:
            return
        long = self.initial_camera.distance
        alternatives = [(other.action_point, f"{other.confidence:.0%}") for other in result.alternatives]
        for number, (point, chance) in enumerate(alternatives):
            self._draw_pin(f"alternative{number}", point, 0.6 * _PIN * long, _ALTERNATIVE, chance)
        if result.region is None:
            return
        found = result.region
        self._draw_pin("action", found.action_point, _PIN * long, _ACTION, f"{found.confidence:.0%}")
        edges = box_edges(found.box, _EDGE * long)
        self._draw("answer", "box", edges, _ACTION)
        if result.place is not None:
            self._draw_place(result.place.T_world_place)

    def _draw_place(self, T_world_place: Float[np.ndarray, "4 4"]) -> None:
        frame = self.server.scene.add_frame(
            "/answer/place",
            axes_length=_SIZE * _PIN,
            axes_radius=_SIZE * _EDGE,
            wxyz=_wxyz(T_world_place),
            position=self.unit * T_world_place[:3, 3],
        )
        self._drawn["answer"].append(frame)

    def _draw_pin(
        self, name: str, point: Float[np.ndarray, "3"], length: float, color: Color, text: str
    ) -> None:
        up, scene = self.initial_camera.up, self.server.scene
        self._draw("answer", f"{name}/needle", pin(point, up, length=length), color)
        top, above = self.unit * (point + length * up), self.unit * (point + 1.2 * length * up)
        ball = scene.add_icosphere(f"/answer/{name}/ball", radius=_SIZE * _BALL, color=color, position=top)
        label = scene.add_label(f"/answer/{name}/label", text, position=above)
        self._drawn["answer"] += [ball, label]

    # ── grasps ─────────────────────────────────────────────────────────────────────────────────
    def draw_grasps(self, grasps: Sequence[Grasp], gripper: Gripper, chosen: int) -> None:
        """Draw the gripper at each grasp, open as on the approach; the chosen one has solid fingers.

        The colour shows the score.
        """
        wanted = (grasps, gripper, chosen)
        if grasps is self._shown[0] and gripper is self._shown[1] and chosen == self._shown[2]:
            return
        self._shown = wanted
        self._clear("grasps")
        self._clear("gripper")
        for number, grasp in enumerate(grasps):
            color, opening = _of_score(grasp.score), planned_opening(grasp, gripper, clearance=0.0)
            if number == chosen:
                self._draw_gripper(gripper, opening, color, grasp.T_world_gripper)
            else:
                bars = wireframe(gripper.boxes_at(opening), _BAR)
                self._draw("grasps", f"{number:03}", bars, color, grasp.T_world_gripper)

    def _draw_gripper(
        self, gripper: Gripper, opening: float, color: Color, T_world_gripper: Float[np.ndarray, "4 4"]
    ) -> None:
        """Draw the chosen gripper; its palm does not hide the object."""
        self._draw("gripper", "fingers", solid(gripper.fingers_at(opening)), color, T_world_gripper)
        self._draw("gripper", "palm", wireframe(gripper.body_at(opening), _BAR), color, T_world_gripper)

    def play(
        self, moments: Sequence[Moment], gripper: Gripper, score: float, going: Callable[[], bool]
    ) -> None:
        """Play a gripper's motion while ``going`` returns True; the gripper stays at the last pose."""
        opening = None
        self._shown = ((), None, 0)
        for moment in moments:
            if not going():
                return
            T = moment.T_world_gripper
            if moment.opening != opening:
                opening = moment.opening
                self._clear("gripper")
                self._draw_gripper(gripper, opening, _of_score(score), T)
            else:
                for handle in self._drawn["gripper"]:
                    handle.wxyz, handle.position = _wxyz(T), self.unit * T[:3, 3]
            self.server.flush()
            time.sleep(1 / _RATE)

    def _draw(
        self,
        part: str,
        name: str,
        mesh: Mesh,
        color: Color,
        T_world_mesh: Float[np.ndarray, "4 4"] | None = None,
    ) -> None:
        T = np.eye(4) if T_world_mesh is None else T_world_mesh
        handle = self.server.scene.add_mesh_simple(
            f"/{part}/{name}",
            self.unit * mesh.vertices,
            mesh.faces,
            color=color,
            flat_shading=True,
            wxyz=_wxyz(T),
            position=self.unit * T[:3, 3],
        )
        self._drawn[part].append(handle)

    def _clear(self, part: str) -> None:
        for handle in self._drawn[part]:
            handle.remove()
        self._drawn[part] = []


def _of_score(score: float) -> Color:
    """Return a colour of plasma without its ends, which dark and bright scenes hide."""
    red, green, blue = colorize(np.array([[0.15 + 0.7 * min(max(score, 0.0), 1.0)]]), "plasma")[0, 0].tolist()
    return red, green, blue


def _wxyz(T: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4"]:
    return viser.transforms.SO3.from_matrix(T[:3, :3]).wxyz


def _nice(length: float) -> float:
    """Return 1, 2 or 5 times a power of ten, near a length."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(power * min((1, 2, 5, 10), key=lambda step: abs(step - length / power)))
