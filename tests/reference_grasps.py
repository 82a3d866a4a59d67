"""Analytic bodies with exact signed distances, a ray caster over them, and the grasp head's slow twins."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from point2act.core.types import Camera, OrientedBox, Region, Support, View
from point2act.grasping.antipodal.boundary import SurfacePoints
from point2act.grasping.antipodal.volume import LocalVolume


@dataclass(frozen=True, eq=False)
class Solid:
    """A rigid body: ``kind`` and ``size`` in its own frame, posed by ``T_world_body``.

    box: half extents; sphere: (radius,); cylinder along z: (radius, half height); floor: (), z <= 0.
    """

    kind: str
    size: tuple[float, ...]
    T_world_body: np.ndarray

    def moved(self, T: np.ndarray) -> Solid:
        return Solid(self.kind, self.size, T @ self.T_world_body)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance (n,) of world points (n, 3), positive outside."""
        local = (points - self.T_world_body[:3, 3]) @ self.T_world_body[:3, :3]
        if self.kind == "sphere":
            return np.linalg.norm(local, axis=1) - self.size[0]
        if self.kind == "floor":
            return local[:, 2]
        if self.kind == "cylinder":
            over = np.stack([np.linalg.norm(local[:, :2], axis=1), np.abs(local[:, 2])], axis=1) - self.size
        else:
            over = np.abs(local) - self.size
        return np.linalg.norm(np.maximum(over, 0), axis=1) + np.minimum(over.max(axis=1), 0)

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Outward unit normals (n, 3) by central differences."""
        h = 1e-6
        slope = [self.distance(points + h * e) - self.distance(points - h * e) for e in np.eye(3)]
        gradient = np.stack(slope, axis=1)
        return gradient / np.linalg.norm(gradient, axis=1, keepdims=True)


def at(x: float, y: float, z: float, yaw: float = 0.0) -> np.ndarray:
    T = np.eye(4)
    c, s = np.cos(yaw), np.sin(yaw)
    T[:2, :2] = [[c, -s], [s, c]]
    T[:3, 3] = [x, y, z]
    return T


def tilted(x: float, y: float, z: float, roll: float) -> np.ndarray:
    """A pose turned about the x axis."""
    T = np.eye(4)
    c, s = np.cos(roll), np.sin(roll)
    T[1:3, 1:3] = [[c, -s], [s, c]]
    T[:3, 3] = [x, y, z]
    return T


FLOOR = Solid("floor", (), np.eye(4))


def scene_distance(solids: list[Solid], points: np.ndarray) -> np.ndarray:
    return np.min([solid.distance(points) for solid in solids], axis=0)


def entry(solid: Solid, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """First parameter t > 0 where origin + t * ray (n, 3) enters the solid, inf where it does not."""
    rotation = solid.T_world_body[:3, :3]
    o, d = (origin - solid.T_world_body[:3, 3]) @ rotation, rays @ rotation
    with np.errstate(divide="ignore", invalid="ignore"):
        if solid.kind == "floor":
            t = np.where(d[:, 2] < 0, -o[2] / d[:, 2], np.inf)
            return np.where(t > 0, t, np.inf)
        if solid.kind == "sphere":
            return _quadric(o, d, solid.size[0], 3)[0]
        if solid.kind == "cylinder":
            near, far = _quadric(o, d, solid.size[0], 2)
            low, high = _slab(o[2:], d[:, 2:], np.array(solid.size[1:]))
            near, far = np.maximum(near, low), np.minimum(far, high)
        else:
            near, far = _slab(o, d, np.array(solid.size))
        return np.where((near < far) & (near > 0), near, np.inf)


def _quadric(o, d, radius, n):
    a, b, c = (d[:, :n] ** 2).sum(1), d[:, :n] @ o[:n], (o[:n] ** 2).sum() - radius**2
    q = b * b - a * c
    root = np.sqrt(np.maximum(q, 0))
    return np.where(q > 0, (-b - root) / a, np.inf), np.where(q > 0, (-b + root) / a, -np.inf)


def _slab(o, d, half):
    t = np.stack([(-half - o) / d, (half - o) / d])
    return np.nanmax(t.min(0), axis=1), np.nanmin(t.max(0), axis=1)


def look_at(eye: np.ndarray, target: np.ndarray, up: np.ndarray) -> np.ndarray:
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, up)
    x /= np.linalg.norm(x)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = np.stack([x, np.cross(z, x), z], axis=1), eye
    return T


def render_depth(solids: list[Solid], camera: Camera, T_world_cam: np.ndarray) -> np.ndarray:
    """z-depth (h, w) by exact ray casting: rays have a unit z component, so t is z-depth."""
    v, u = np.mgrid[: camera.height, : camera.width] + 0.5
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], axis=-1)
    rays = rays.reshape(-1, 3) @ T_world_cam[:3, :3].T
    t = np.min([entry(solid, T_world_cam[:3, 3], rays) for solid in solids], axis=0)
    return np.where(np.isfinite(t), t, 0.0).reshape(camera.height, camera.width)


CAMERA = Camera(300.0, 300.0, 160.3, 119.6, 240, 320)


def ring(target, n=12, radius=0.5, heights=(0.2, 0.45), arc=2 * np.pi, start=0.0) -> list[np.ndarray]:
    """Poses on an arc around a target, alternating between two heights over it."""
    angles = start + np.linspace(0, arc, n, endpoint=False)
    eyes = [[np.cos(a) * radius, np.sin(a) * radius, heights[i % 2]] for i, a in enumerate(angles)]
    return [look_at(np.array(target) + e, np.array(target), np.array([0.0, 0.0, 1.0])) for e in eyes]


def capture(solids, poses, T_new_world=np.eye(4), noise=0.0, seed=0):
    """Views without colour and their depth images, in a world moved by ``T_new_world``."""
    rng = np.random.default_rng(seed)
    views, depths = [], []
    for i, pose in enumerate(poses):
        depth = render_depth(solids, CAMERA, pose)
        depth = np.where(depth > 0, depth + noise * rng.standard_normal(depth.shape), 0.0)
        rgb = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
        views.append(View(f"images/{i:04d}.png", CAMERA, T_new_world @ pose, rgb))
        depths.append(depth)
    return views, depths


def region_at(point, T_new_world=np.eye(4), half=0.015) -> Region:
    point = T_new_world[:3, :3] @ np.asarray(point, float) + T_new_world[:3, 3]
    box = OrientedBox(point, T_new_world[:3, :3].T.copy(), np.full(3, half))
    return Region(point, 0.9, Support(10, 0, 2), box)


def exact_volume(solids, point, *, obstacles=None, hidden=None, r=81, voxel=0.002) -> LocalVolume:
    """What perfect cameras on all sides would leave: true distances, seen but deep inside and where
    ``hidden`` says so of world points. The frame is the world's, moved to the point."""
    point = np.asarray(point, float)
    axis = (np.arange(r) - (r - 1) / 2) * voxel
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3) + point
    distance = scene_distance(solids, grid)
    observed = distance > -2 * voxel
    if hidden is not None:
        observed &= ~hidden(grid)
    T = np.eye(4)
    T[:3, 3] = point
    return LocalVolume(
        tsdf=np.clip(distance, -2 * voxel, 2 * voxel).astype(np.float32).reshape(r, r, r),
        observed=observed.reshape(r, r, r),
        T_world_volume=T,
        voxel=voxel,
        truncation=2 * voxel,
        obstacles=np.zeros((0, 3)) if obstacles is None else obstacles,
        table=np.array([0.0, 0.0, 1.0, 0.0]) if any(s.kind == "floor" for s in solids) else None,
        towards_cameras=np.array([0.0, 0.0, 1.0]),
    )


def filled(center, half, spacing=0.004) -> np.ndarray:
    """Points all through a box, its faces among them."""
    axes = [np.linspace(c - h, c + h, int(2 * h / spacing) + 2) for c, h in zip(center, half, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def shell(solid: Solid, spacing=0.002) -> SurfacePoints:
    """Points on all faces of a box, with their true normals, all of them seen and the object."""
    points = filled(np.zeros(3), np.array(solid.size), spacing)
    over = np.abs(points) - solid.size
    face = np.abs(over) < 1e-9
    points, face = points[face.sum(axis=1) == 1], face[face.sum(axis=1) == 1]
    normals = np.sign(points) * face
    T = solid.T_world_body
    flags = np.ones(len(points), bool)
    return SurfacePoints(points @ T[:3, :3].T + T[:3, 3], normals @ T[:3, :3].T, flags, flags)


def shell_of(solid: Solid, spacing=0.003) -> np.ndarray:
    """Points just inside the surface of a cylinder."""
    radius, half = solid.size
    points = filled(np.zeros(3), np.array([radius, radius, half]), spacing)
    points = points @ solid.T_world_body[:3, :3].T + solid.T_world_body[:3, 3]
    distance = solid.distance(points)
    return points[(distance < 0) & (distance > -1.5 * spacing)]


# ── slow twins ─────────────────────────────────────────────────────────────────────────────────
def box_distance(point, center, half) -> float:
    """Distance from a point to a solid box, by the closest point of the box."""
    closest = [min(max(p, c - h), c + h) for p, c, h in zip(point, center, half, strict=True)]
    return float(np.linalg.norm(np.subtract(point, closest)))


def trilinear(grid, index) -> float:
    """The value at a fractional index inside the grid."""
    low = [min(int(np.floor(i)), n - 2) for i, n in zip(index, grid.shape, strict=True)]
    total = 0.0
    for corner in itertools.product((0, 1), repeat=3):
        weight = np.prod(
            [(i - lo) if c else 1 - (i - lo) for i, lo, c in zip(index, low, corner, strict=True)]
        )
        total += weight * grid[tuple(lo + c for lo, c in zip(low, corner, strict=True))]
    return float(total)


def unseen_share(volume, gripper, opening, rotation, origin) -> float:
    """Share of a fingertip's grid, on both fingers, whose nearest voxel no camera saw."""
    center, half = max(gripper.finger, key=lambda box: box[0][2] + box[1][2])
    low, high = center - half - [0, 0, 0.02], center + half
    unseen, count = 0, 0
    for x, y, z in itertools.product(*np.linspace(low, high, 5).T):
        for side in (-1, 1):
            local = rotation @ [x, side * (y + opening / 2), z] + origin
            i, j, k = np.rint((local + volume.half_size) / volume.voxel).astype(int)
            inside = min(i, j, k) >= 0 and max(i, j, k) < volume.tsdf.shape[0]
            unseen += inside and not volume.observed[i, j, k]
            count += 1
    return unseen / count


def closed_pads(points, normals, rotation, origin, pad_size, width, opening, config) -> list[dict]:
    """What pads that close at one pose hold, on the -y and on the +y side, point by point."""
    patches = []
    for side in (-1, 1):
        met = []
        for point, normal in zip(points, normals, strict=True):
            x, y, z = (float((point - origin) @ rotation[:, i]) for i in range(3))
            if abs(x) > pad_size[0] / 2 or abs(z) > pad_size[1] / 2:
                continue
            if side * (normal @ rotation[:, 1]) <= config.min_facing_cosine:
                continue
            if width / 2 - config.max_overclosing <= side * y <= opening / 2:
                met.append((side * y, x, z, normal @ rotation))
        first = max((m[0] for m in met), default=None)
        held = [m for m in met if m[0] >= first - config.compliance]
        xs, zs = [m[1] for m in held] or [0.0], [m[2] for m in held] or [0.0]
        patches.append(
            {
                "touched": bool(held),
                "center": [np.mean(xs), side * (first or 0.0), np.mean(zs)],
                "normal": np.mean([m[3] for m in held] or [np.zeros(3)], axis=0),
                "count": len(held),
                "length": max(zs) - min(zs),
                "breadth": max(xs) - min(xs),
            }
        )
    return patches


def deepest(points, boxes) -> float:
    """How deep the deepest point lies inside a box, by the nearest of its faces; negative outside."""
    depths = []
    for point, (center, half) in itertools.product(points, zip(boxes.center, boxes.half, strict=True)):
        depths.append(min(h - abs(p - c) for p, c, h in zip(point, center, half, strict=True)))
    return max(depths, default=-np.inf)


def fused(views, depths, points, truncation) -> tuple[np.ndarray, np.ndarray]:
    """Truncated signed distances of world points and how many views each comes from, point by point."""
    values, counts = np.zeros(len(points)), np.zeros(len(points), int)
    for n, point in enumerate(points):
        readings = []
        for view, depth in zip(views, depths, strict=True):
            x, y, z = np.linalg.inv(view.T_world_cam)[:3] @ [*point, 1.0]
            column = np.floor(view.camera.fx * x / z + view.camera.cx) if z > 0 else -1
            row = np.floor(view.camera.fy * y / z + view.camera.cy) if z > 0 else -1
            if not (0 <= column < view.camera.width and 0 <= row < view.camera.height):
                continue
            measured = depth[int(row), int(column)]
            ray = [
                (column + 0.5 - view.camera.cx) / view.camera.fx,
                (row + 0.5 - view.camera.cy) / view.camera.fy,
                1.0,
            ]
            distance = (measured - z) * np.linalg.norm(ray)
            if measured > 0 and distance > -truncation:
                readings.append(min(distance, truncation))
        values[n], counts[n] = np.mean(readings) if readings else 0.0, len(readings)
    return values, counts
