"""Faults that are injected into simulated captures, each with the codes of findings that detect it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
from jaxtyping import UInt8
from scipy.spatial.transform import Rotation

from point2act.core.types import View

Inject = Callable[[list[View], np.random.Generator], tuple[list[View], tuple[str, ...]]]
"""Function from views to faulty views, and the names of the faulty ones; no names if all are faulty."""

NOISE = 2.0
"""Standard deviation of the noise that is added again after a blur: that of the simulated camera."""

OFF = ("poses_off", "pose_off_alone", "pose_convention")


@dataclass(frozen=True)
class Fault:
    """One fault of a capture."""

    name: str
    inject: Inject
    codes: tuple[str, ...]
    """Codes of findings that detect the fault if they name a faulty image."""


def poses_off(
    views: list[View], rng: np.random.Generator, *, shift: float, turn: float
) -> tuple[list[View], tuple]:
    """Move every camera by metres and turn it by degrees, each in a random direction."""
    return [replace(view, T_world_cam=_moved(view, rng, shift, turn)) for view in views], ()


def one_off(views: list[View], rng: np.random.Generator, *, shift: float) -> tuple[list[View], tuple]:
    """Move one camera."""
    return _some(views, rng, 1, lambda view: replace(view, T_world_cam=_moved(view, rng, shift, 0.0)))


def depth_shifted(views: list[View], rng: np.random.Generator, *, pixels: float) -> tuple[list[View], tuple]:
    """Shift depth against colour by pixels of 640, in the same direction for all views."""
    angle = rng.uniform(0, 2 * np.pi)
    length = pixels / 640 * max(views[0].rgb.shape[:2])
    way = round(length * np.sin(angle)), round(length * np.cos(angle))
    return [replace(view, depth=_rolled(view.depth, way)) for view in views], ()


def blurred(views: list[View], rng: np.random.Generator, *, sigma: float) -> tuple[list[View], tuple]:
    """Defocus three images, by pixels of 320."""
    sigma = sigma * max(views[0].rgb.shape[:2]) / 320
    return _some(views, rng, 3, lambda view: _painted(view, cv2.GaussianBlur(view.rgb, (0, 0), sigma), rng))


def shaken(views: list[View], rng: np.random.Generator, *, length: int) -> tuple[list[View], tuple]:
    """Blur three images by motion, by pixels of 320, each in a random direction."""
    length = round(length * max(views[0].rgb.shape[:2]) / 320)

    def shake(view: View) -> View:
        kernel = np.zeros((length, length), np.float32)
        angle, half = rng.uniform(0, np.pi), (length - 1) / 2
        for along in np.linspace(-half, half, 4 * length):
            kernel[round(half + along * np.sin(angle)), round(half + along * np.cos(angle))] = 1
        return _painted(view, cv2.filter2D(view.rgb, -1, kernel / kernel.sum()), rng)

    return _some(views, rng, 3, shake)


def exposed(views: list[View], rng: np.random.Generator, *, gain: float) -> tuple[list[View], tuple]:
    """Make two images brighter or darker."""
    return _some(views, rng, 2, lambda view: _painted(view, np.clip(view.rgb * gain, 0, 255), None))


def depth_swapped(views: list[View], rng: np.random.Generator) -> tuple[list[View], tuple]:
    """Swap the depth of two views."""
    i, j = rng.choice(len(views), 2, replace=False)
    spoilt = list(views)
    spoilt[i] = replace(views[i], depth=views[j].depth)
    spoilt[j] = replace(views[j], depth=views[i].depth)
    return spoilt, (views[i].name, views[j].name)


def depth_scaled(views: list[View], rng: np.random.Generator, *, factor: float) -> tuple[list[View], tuple]:
    """Write depth in another unit."""
    return [replace(view, depth=np.float32(factor) * _depth(view)) for view in views], ()


def doubled(views: list[View], rng: np.random.Generator) -> tuple[list[View], tuple]:
    """Add one view twice, under two names."""
    view = views[rng.integers(len(views))]
    copy = replace(view, name=f"{view.name}-copy")
    return [*views, copy], (view.name, copy.name)


def copied(views: list[View], rng: np.random.Generator) -> tuple[list[View], tuple]:
    """Replace one image and its depth by those of another."""
    i, j = rng.choice(len(views), 2, replace=False)
    spoilt = list(views)
    spoilt[j] = replace(views[j], rgb=views[i].rgb, depth=views[i].depth)
    return spoilt, (views[j].name,)


def zoomed(views: list[View], rng: np.random.Generator, *, factor: float) -> tuple[list[View], tuple]:
    """Write a wrong focal length."""
    spoilt = []
    for view in views:
        camera = replace(view.camera, fx=factor * view.camera.fx, fy=factor * view.camera.fy)
        spoilt.append(replace(view, camera=camera))
    return spoilt, ()


def other_axes(views: list[View], rng: np.random.Generator) -> tuple[list[View], tuple]:
    """Write OpenCV's camera axes in place of OpenGL's."""
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    return [replace(view, T_world_cam=view.T_world_cam @ flip) for view in views], ()


def untouched(views: list[View], rng: np.random.Generator) -> tuple[list[View], tuple]:
    """Leave the capture unchanged."""
    return views, ()


_POSES = ((0.001, 0.2), (0.003, 0.5), (0.010, 2.0))

FAULTS = (
    *(
        Fault(f"poses off by {1000 * m:.0f} mm, {d}°", partial(poses_off, shift=m, turn=d), OFF)
        for m, d in _POSES
    ),
    Fault("one view off by 5 cm", partial(one_off, shift=0.05), OFF),
    *(
        Fault(f"depth shifted by {p} px of 640", partial(depth_shifted, pixels=p), ("registration",))
        for p in (4, 10, 49)
    ),
    Fault("3 views blurred by 2 px", partial(blurred, sigma=2.0), ("blur",)),
    Fault("3 views moved by 9 px", partial(shaken, length=9), ("blur",)),
    Fault("2 views at 1.5 times the light", partial(exposed, gain=1.5), ("exposure",)),
    Fault("2 views at 0.6 times the light", partial(exposed, gain=0.6), ("exposure",)),
    Fault("depth of 2 views swapped", depth_swapped, ("depth_of_other_view",)),
    Fault("depth unit 10 times too large", partial(depth_scaled, factor=10.0), ("depth_scale",)),
    Fault("depth unit 10 times too small", partial(depth_scaled, factor=0.1), ("depth_scale",)),
    Fault("a view there twice", doubled, ("duplicate",)),
    Fault("a view in place of another", copied, ("same_picture_other_pose",)),
    Fault("focal length 5 % too long", partial(zoomed, factor=1.05), ("focal_length",)),
    Fault("focal length 5 % too short", partial(zoomed, factor=0.95), ("focal_length",)),
    Fault("OpenCV's camera axes", other_axes, ("pose_convention",)),
)

ORIGINAL = Fault("as captured", untouched, ())


def _some(
    views: Sequence[View], rng: np.random.Generator, count: int, change: Callable[[View], View]
) -> tuple[list[View], tuple[str, ...]]:
    chosen = set(rng.choice(len(views), count, replace=False).tolist())
    spoilt = [change(view) if index in chosen else view for index, view in enumerate(views)]
    return spoilt, tuple(views[index].name for index in sorted(chosen))


def _moved(view: View, rng: np.random.Generator, shift: float, turn: float) -> np.ndarray:
    T = view.T_world_cam.copy()
    way, axis = (v / np.linalg.norm(v) for v in rng.standard_normal((2, 3)))
    T[:3, 3] += shift * way
    T[:3, :3] = T[:3, :3] @ Rotation.from_rotvec(np.deg2rad(turn) * axis).as_matrix()
    return T


def _rolled(depth: np.ndarray | None, way: tuple[int, int]) -> np.ndarray:
    """Shift by rows and columns; no reading at the border."""
    assert depth is not None
    moved = np.zeros_like(depth)
    (down, right), (height, width) = way, depth.shape
    target = np.s_[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)]
    source = np.s_[max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]
    moved[target] = depth[source]
    return moved


def _depth(view: View) -> np.ndarray:
    assert view.depth is not None
    return view.depth


def _painted(view: View, rgb: np.ndarray, rng: np.random.Generator | None) -> View:
    """Replace the image; add noise if a generator is given."""
    noise = 0.0 if rng is None else NOISE * rng.standard_normal(rgb.shape)
    pixels: UInt8[np.ndarray, "h w 3"] = np.clip(np.round(rgb + noise), 0, 255).astype(np.uint8)
    return replace(view, rgb=pixels)
