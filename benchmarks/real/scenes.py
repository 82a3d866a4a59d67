"""Real scenes recorded by others: four RGB-D frames of a table and two point clouds.

They lie in a folder beside the repository and are not part of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from benchmarks.real.clouds import read_cloud, view_of_cloud
from point2act.core.geometry import back_project, inside, pixel_centers, project
from point2act.core.types import Answer, Camera, PointSet, Query, View
from point2act.data.capture import write_capture
from point2act.data.points import write_points


@dataclass(frozen=True)
class PixelQuery:
    """A query with its position in the first view."""

    name: str
    text: str
    pixel: tuple[float, float]
    """Pixel in the scene's first view."""


@dataclass(frozen=True, eq=False)
class RealScene:
    """Measured views and their queries."""

    name: str
    views: tuple[View, ...]
    asks: tuple[PixelQuery, ...]

    @property
    def depths(self) -> list[Float[np.ndarray, "_h _w"]]:
        """Depth of all views, metres, 0 where there is no reading."""
        return [view.depth for view in self.views if view.depth is not None]

    def place(self, ask: PixelQuery) -> Float[np.ndarray, "3"]:
        """Return the reading nearest to the pixel, world frame."""
        view, depth = self.views[0], self.depths[0]
        pixels = pixel_centers(*depth.shape)[depth > 0]
        depth = depth[depth > 0].astype(float)
        nearest = [np.linalg.norm(pixels - ask.pixel, axis=1).argmin()]
        return back_project(view.camera, view.T_world_cam, pixels[nearest], depth[nearest])[0]

    def write(self, folder: Path) -> None:
        """Write a capture with its points.json."""
        write_capture(folder, self.views)
        answers = [answer for ask in self.asks for answer in self._answers(ask)]
        queries = tuple(Query(ask.name, ask.text) for ask in self.asks)
        write_points(folder / "points.json", PointSet(queries, tuple(answers)))

    def _answers(self, ask: PixelQuery) -> list[Answer]:
        """Return the pixel in the first view, and the projections of its reading in the others."""
        answers = [Answer(self.views[0].name, ask.name, np.array([ask.pixel], float))]
        for view in self.views[1:]:
            pixels, _ = project(view.camera, view.T_world_cam, self.place(ask)[None])
            pixels = pixels[inside(view.camera, pixels)]
            answers.append(Answer(view.name, ask.name, pixels, visible=len(pixels) > 0))
        return answers


FRAMES = {
    "blue_mug": (
        PixelQuery("handle", "the handle of the blue mug", (404, 203)),
        PixelQuery("body", "the blue mug", (322, 265)),
    ),
    "red_mug": (
        PixelQuery("handle", "the handle of the red mug", (250, 258)),
        PixelQuery("rim", "the rim of the red mug", (352, 234)),
        PixelQuery("body", "the red mug", (352, 280)),
    ),
    "green_bowl": (
        PixelQuery("side", "the right side of the rim of the bowl", (429, 235)),
        PixelQuery("front", "the front of the rim of the bowl", (335, 272)),
    ),
    "mustard": (
        PixelQuery("cap", "the cap of the mustard bottle", (430, 130)),
        PixelQuery("bottle", "the mustard bottle", (415, 240)),
    ),
}
"""Pixels chosen by a person."""

TABLE_MUG = (
    PixelQuery("handle", "the handle of the mug", (270, 101)),
    PixelQuery("body", "the mug", (204, 110)),
)
SPRAY_CAN = (PixelQuery("can", "the spray can", (57, 80)),)

CLOUD_FOCAL = 700.0
"""Focal length of the virtual cameras, pixels: a point of either cloud covers one to two of them."""
AROUND = 6
"""Number of virtual cameras around the spray can, whose cloud shows it from all sides."""
AWAY = (0.35, 0.30)
"""Distance of the cameras beside and above the can, metres."""


def scenes(data: Path) -> tuple[RealScene, ...]:
    """Return all scenes from the folder that holds ``mug_frames`` and ``clouds``."""
    frames = [frame_scene(data, name) for name in FRAMES]
    return (*frames, table_mug(data), spray_can(data, 1), spray_can(data, AROUND))


def frame_scene(data: Path, name: str) -> RealScene:
    """Return one RGB-D frame of the table; its camera frame is the world."""
    folder = data / "mug_frames"
    lens = json.loads((folder / f"{name}_camera.json").read_text(encoding="utf-8"))
    rgb = np.array(Image.open(folder / f"{name}_color.png").convert("RGB"))
    depth = np.array(Image.open(folder / f"{name}_depth.png")) * lens["depth_unit_m"]
    # The camera's manufacturer has the centre of the first pixel at 0.
    camera = Camera(lens["fx"], lens["fy"], lens["cx"] + 0.5, lens["cy"] + 0.5, *depth.shape)
    view = View("images/0000.png", camera, np.eye(4), rgb, depth.astype(np.float32))
    return RealScene(name, (view,), FRAMES[name])


def table_mug(data: Path) -> RealScene:
    """Return a mug on a table, in the frame of the camera that recorded the cloud."""
    cloud = read_cloud(data / "clouds" / "table_mug.pcd")
    view = view_of_cloud("images/0000.png", cloud, np.eye(4), CLOUD_FOCAL)
    return RealScene("table_mug", (view,), TABLE_MUG)


def spray_can(data: Path, count: int) -> RealScene:
    """Return a can in mid-air, rendered by ``count`` cameras around its upright axis."""
    cloud = read_cloud(data / "clouds" / "krylon.pcd")
    angles = 2 * np.pi * np.arange(count) / count
    eyes = [np.array([AWAY[0] * np.cos(angle), AWAY[0] * np.sin(angle), AWAY[1]]) for angle in angles]
    views = [
        view_of_cloud(f"images/{number:04}.png", cloud, upright_camera(eye), CLOUD_FOCAL)
        for number, eye in enumerate(eyes)
    ]
    return RealScene(f"spray_can_{count}", tuple(views), SPRAY_CAN)


def upright_camera(eye: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """Return T_world_cam of a camera that faces the origin, with z up; not from straight above."""
    forward = -eye / np.linalg.norm(eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    T = np.eye(4)
    T[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    T[:3, 3] = eye
    return T
