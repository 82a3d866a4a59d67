"""Simulated RGB-D sequences: a moving depth camera, and a thing that is moved while it is seen or hidden."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation, Slerp

from point2act.core.geometry import invert, transform
from point2act.core.mujoco_import import mujoco
from point2act.core.types import View
from point2act.physics.mjcf import wxyz
from point2act.physics.pictures import pinhole
from point2act.physics.scene import Scene, load_scene
from point2act.simulation.camera import SimView, WristConfig, render, wrist_camera, wrist_poses
from point2act.simulation.depth_sensors import SENSORS, read_depth
from point2act.simulation.sensor import SensorConfig, measured_color

FRAMES = 40
"""Frames of a sequence: four seconds at ten a second."""
EVENTS = ("still", "carried", "passed", "covered", "taken")
"""What happens: only the camera moves; the thing is lifted and put elsewhere within a second; an arm passes
before it; the camera is covered for a second; the thing is put elsewhere while the camera is covered."""
START, END = 12, 22
"""First frame of what happens, and the first one after it."""
_KEYS = 3
"""Poses of the wrist camera between which its path is interpolated."""
_LIFT = 0.10
"""Height of the way to the new place, metres."""
_AWAY = (0.05, 0.15)
"""Smallest and largest distance of the new place, metres."""
_TURN = 45.0
"""Largest turn about the vertical, degrees."""
_DRAWS = 200
_ARM_WIDTH, _ARM_DEPTH, _ARM_COLOR = 0.1, 0.75, (150, 110, 90)
"""Width of the arm in images, its depth relative to the thing's, and its colour."""


@dataclass(frozen=True, eq=False)
class SimulatedSequence:
    """A simulated sequence with its truth."""

    event: str
    thing: str
    shots: tuple[SimView, ...]
    click: tuple[float, float]
    """Pixel of the first view, the one farthest from the border of what is seen of the thing."""
    motions: tuple[Float[np.ndarray, "4 4"], ...]
    """``T_cam_thing`` of every frame: from the camera frame of the first view to that of this one."""
    hidden: Bool[np.ndarray, " n"]
    """Frames in which less than a third of the thing is seen of what the first frame shows."""

    @property
    def views(self) -> tuple[View, ...]:
        """The frames."""
        return tuple(shot.view for shot in self.shots)


def simulate_sequence(kind: str, seed: int, event: str) -> SimulatedSequence:
    """Simulate a sequence of a shipped scene with a D435-like camera; the seed draws the thing and all else.

    Args:
        kind: Name of the scene.
        seed: Seed of the scene, the camera's path, the thing and its new place.
        event: One of ``EVENTS``.
    """
    scene, rng = load_scene(kind, seed), np.random.default_rng([seed, EVENTS.index(event)])
    config = replace(wrist_camera("stereo"), views=_KEYS, sweep=60.0)
    camera = pinhole(config.size, config.focal)
    poses = _path(scene, config, rng)
    thing, click = _clicked(scene, poses[0], config, rng)
    T_world_thing = _places(scene, thing, event, rng)
    shots, visible = [], []
    for number, (T_world_cam, T) in enumerate(zip(poses, T_world_thing, strict=True)):
        now = replace(scene, T_world_thing={**scene.T_world_thing, thing: T})
        (color,), (depth,), (ids,) = render(now, [T_world_cam], camera)
        during = START <= number < END
        if during and event == "passed":
            _pass(color, depth, ids, (number - START + 0.5) / (END - START), depth[_own(now, thing, ids)])
        visible.append(np.count_nonzero(_own(now, thing, ids)))
        seen = measured_color(color, SensorConfig(), rng)
        read = read_depth(depth, color, ids, camera, SENSORS["stereo"], rng)
        if during and event in ("covered", "taken"):
            seen, read, visible[-1] = np.full_like(seen, 12), np.zeros_like(read), 0
        view = View(f"{number:03d}.png", camera, T_world_cam, seen, read)
        shots.append(SimView(view, ids, depth))
    first = invert(T_world_thing[0]) @ poses[0]
    motions = tuple(invert(pose) @ T @ first for pose, T in zip(poses, T_world_thing, strict=True))
    hidden = np.array(visible) < visible[0] / 3
    return SimulatedSequence(event, thing, tuple(shots), click, motions, hidden)


def _path(scene: Scene, config: WristConfig, rng: np.random.Generator) -> list[Float[np.ndarray, "4 4"]]:
    """Return camera poses through some poses of the wrist, at an even pace."""
    keys = wrist_poses(scene.layout.table.height, config, rng)
    at = np.linspace(0, _KEYS - 1, FRAMES)
    turns = Slerp(np.arange(_KEYS), Rotation.from_matrix([key[:3, :3] for key in keys]))(at).as_matrix()
    places = [np.interp(at, np.arange(_KEYS), [key[axis, 3] for key in keys]) for axis in range(3)]
    return [transform(turn, place) for turn, place in zip(turns, np.array(places).T, strict=True)]


def _clicked(
    scene: Scene, T_world_cam: Float[np.ndarray, "4 4"], config: WristConfig, rng: np.random.Generator
) -> tuple[str, tuple[float, float]]:
    """Draw one of the things that are well seen, and a click in the middle of what is seen of it."""
    (_,), (_,), (ids,) = render(scene, [T_world_cam], pinhole(config.size, config.focal))
    inner = {thing.name: _depth_within(_own(scene, thing.name, ids)) for thing in scene.layout.things}
    # Ten pixels across: what a person would click on.
    names = [name for name, distance in inner.items() if distance.max() > 5]
    name = str(rng.choice(names))
    row, column = np.unravel_index(int(inner[name].argmax()), ids.shape)
    return name, (float(column) + 0.5, float(row) + 0.5)


def _depth_within(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Return each pixel's distance from what is not in a mask, or is outside the image."""
    distance = np.asarray(distance_transform_edt(np.pad(mask, 1)))
    return distance[1:-1, 1:-1]


def _own(scene: Scene, thing: str, ids: np.ndarray) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of a thing."""
    return np.isin(ids, [number for number, (name, _) in enumerate(scene.parts) if name == thing])


def _places(scene: Scene, thing: str, event: str, rng: np.random.Generator) -> list[Float[np.ndarray, "4 4"]]:
    """Return the thing's pose in every frame."""
    start = scene.T_world_thing[thing]
    if event not in ("carried", "taken"):
        return [start] * FRAMES
    end = _new_place(scene, thing, rng)
    share = np.clip((np.arange(FRAMES) - START + 1) / (END - START), 0, 1)
    turns = Slerp([0, 1], Rotation.from_matrix([start[:3, :3], end[:3, :3]]))(share).as_matrix()
    places = start[:3, 3] + share[:, None] * (end[:3, 3] - start[:3, 3])
    places[:, 2] += _LIFT * np.sin(np.pi * share)
    return [transform(turn, place) for turn, place in zip(turns, places, strict=True)]


def _new_place(scene: Scene, thing: str, rng: np.random.Generator) -> Float[np.ndarray, "4 4"]:
    """Draw a pose on the table near the thing's at which it touches no other thing."""
    data, start = scene.start(scene.model), scene.T_world_thing[thing]
    half = np.array(scene.layout.table.size) / 2 - 0.05
    body = scene.model.body(thing).id
    for _ in range(_DRAWS):
        away, angle = rng.uniform(*_AWAY), rng.uniform(0, 2 * np.pi)
        turn = Rotation.from_euler("z", rng.uniform(-_TURN, _TURN), degrees=True).as_matrix()
        end = transform(turn @ start[:3, :3], start[:3, 3] + [away * np.cos(angle), away * np.sin(angle), 0])
        data.joint(thing).qpos[:] = [*end[:3, 3], *wxyz(end)]
        mujoco.mj_fwdPosition(scene.model, data)
        pairs = scene.model.geom_bodyid[data.contact.geom]
        touched = (pairs == body).any(axis=1) & (pairs > 0).all(axis=1)
        if (np.abs(end[:2, 3]) < half).all() and not touched.any():
            return end
    return start


def _pass(
    color: np.ndarray, depth: np.ndarray, ids: np.ndarray, share: float, own: Float[np.ndarray, " n"]
) -> None:
    """Draw an arm that passes from left to right, nearer than the thing."""
    if not len(own):
        return
    width = color.shape[1]
    left = round((share * (1 + _ARM_WIDTH) - _ARM_WIDTH) * width)
    columns = slice(max(left, 0), max(left + round(_ARM_WIDTH * width), 0))
    color[:, columns], depth[:, columns], ids[:, columns] = _ARM_COLOR, _ARM_DEPTH * float(own.min()), -1
