"""Scene of coloured patches on a plane, seen by a ring of cameras, with all parts and areas known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from synthetic import look_at

from point2act.core.geometry import invert, project, transform_points
from point2act.core.types import Camera, View
from point2act.localization.part_tree import Parts, outermost
from point2act.localization.visibility import Visibility, part_visibility

CAMERA = Camera(fx=300.0, fy=290.0, cx=165.0, cy=118.0, height=240, width=320)
SPACING = 0.005
TILE = 0.1

Shape = Callable[[np.ndarray], np.ndarray]
"""Function from (n, 2) points on the plane to levels: 1 at the border of a patch, less inside."""


def disc(x: float, y: float, radius: float = 0.02) -> Shape:
    return lambda at: np.linalg.norm(at - [x, y], axis=1) / radius


def ring(x: float, y: float, radius: float, width: float) -> Shape:
    return lambda at: np.abs(np.linalg.norm(at - [x, y], axis=1) - radius) / (width / 2)


def bar(x: float, y: float, length: float, width: float) -> Shape:
    return lambda at: np.abs((at - [x, y]) / [length / 2, width / 2]).max(axis=1)


@dataclass(frozen=True, eq=False)
class PlanarScene:
    parts: Parts
    """Parts: every patch, then the inner half of every patch, then tiles of the plane."""
    views: list[View]
    covered: np.ndarray
    """Pixels that each point covers in each view, (v, n)."""
    depths: list[np.ndarray]

    @property
    def visibility(self) -> Visibility:
        return part_visibility(self.parts, self.views, self.covered)

    def middle(self, part: int) -> np.ndarray:
        return self.parts.points[self.parts.members(part)].mean(axis=0)

    def pixel(self, view: int, place: np.ndarray) -> np.ndarray:
        """Return the pixel of a point in a view, (1, 2)."""
        seen = self.views[view]
        return project(seen.camera, seen.T_world_cam, place[None])[0]

    def hide(self, part: int, views: Sequence[int]) -> PlanarScene:
        """Return the scene with an occluder in front of a part in some views."""
        covered = self.covered.copy()
        covered[np.array(views)[:, None], self.parts.members(part)] = 0
        return replace(self, covered=covered)


def planar_scene(shapes: Sequence[Shape], views: int, *, T: np.ndarray | None = None, scale: float = 1.0):
    """Return patches on the plane z = 0, half a unit from the cameras, scaled and transformed by ``T``."""
    T = np.eye(4) if T is None else T
    ticks = np.arange(-0.2, 0.2, SPACING) + SPACING / 2
    at = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    levels = np.stack([shape(at) for shape in shapes])
    patch = np.where((levels <= 1).any(axis=0), levels.argmin(axis=0), len(shapes))
    tile = np.floor((at + 0.2) / TILE) @ [4, 1]
    order = np.lexsort((np.where(patch < len(shapes), levels.min(axis=0), tile), patch))
    runs = [np.flatnonzero(patch[order] == number) for number in range(len(shapes))]
    cores = [run[levels[number, order[run]] <= 0.5] for number, run in enumerate(runs)]
    plain = patch[order] == len(shapes)
    tiles = [np.flatnonzero(plain & (tile[order] == number)) for number in range(16)]
    ranges = np.array([(run[0], run[-1] + 1) for run in [*runs, *cores, *tiles]])
    prior = np.repeat([0.95 / (2 * len(shapes)), 0.05 / 16], [2 * len(shapes), 16])
    flat = scale * np.concatenate([at, np.zeros((len(at), 1))], axis=1)
    things = patch < len(shapes)
    first, end = ranges.T
    objects = outermost(order, first, end)
    parts = Parts(transform_points(T, flat), order, first, end, prior, things, objects, distance=0.5 * scale)
    seen = _ring_of_views(views, T, scale)
    covered = np.stack([_covered(flat, SPACING * scale, invert(T) @ view.T_world_cam) for view in seen])
    return PlanarScene(parts, seen, covered, [_plane_depth(invert(T) @ view.T_world_cam) for view in seen])


def _ring_of_views(count: int, T: np.ndarray, scale: float) -> list[View]:
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False) + 0.1
    eyes = scale * np.stack([0.3 * np.cos(angles), 0.3 * np.sin(angles), np.full(count, 0.4)], axis=1)
    blank = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    return [View(f"{i}.png", CAMERA, T @ look_at(eye, np.zeros(3)), blank) for i, eye in enumerate(eyes)]


def _covered(flat: np.ndarray, spacing: float, T_plane_cam: np.ndarray) -> np.ndarray:
    """Return the projected area of one cell of the plane, pixels."""
    z = transform_points(invert(T_plane_cam), flat)[:, 2]
    height = T_plane_cam[2, 3]
    return np.where(z > 0, CAMERA.fx * CAMERA.fy * spacing**2 * height / np.abs(z) ** 3, 0.0)


def _plane_depth(T_plane_cam: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[0 : CAMERA.height, 0 : CAMERA.width] + 0.5
    rays = np.stack([(x - CAMERA.cx) / CAMERA.fx, (y - CAMERA.cy) / CAMERA.fy, np.ones_like(x)], axis=-1)
    return -T_plane_cam[2, 3] / (rays @ T_plane_cam[2, :3])
