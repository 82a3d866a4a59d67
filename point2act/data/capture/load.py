"""Loading of frames as undistorted, resized views, and conversion of pixels between frame and view."""

from __future__ import annotations

from dataclasses import astuple
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Shaped, UInt8
from PIL import Image

from point2act.core.errors import CaptureError
from point2act.core.geometry import from_tangents, pixel_centers, to_tangents
from point2act.core.types import Camera, Capture, Frame, Lens, ProgressCallback, View
from point2act.data.capture import distortion
from point2act.data.capture.images import read_depth, read_mask, read_rgb
from point2act.data.capture.memory import check_memory


def load_view(capture: Capture, frame: Frame, *, max_side: int | None = None) -> View:
    """Load one frame as a pinhole view.

    Undistortion keeps the intrinsics and the size of the image on disk, then both are reduced: what a barrel
    lens shows beyond the pinhole's corners is lost, and where a pincushion or fisheye lens shows nothing the
    mask is False. Colours are bilinear and averaged by area, depth (metres) and mask are nearest, so that no
    values between two surfaces arise. The mask combines the mask file, the alpha channel and the lens; it is
    None if every pixel may be used.

    Args:
        capture: The capture, for the unit of depth.
        frame: The frame.
        max_side: Maximum longer side of the view, pixels; None keeps the size.

    Raises:
        CaptureError: An image is broken or depth is not 16-bit; the message names the file.
    """
    if frame.pixels is not None:
        return frame.pixels if max_side is None else shrink_view(frame.pixels, max_side)
    camera = frame.camera
    rgb, mask = read_rgb(frame.image_path)
    _check_size(frame, rgb)
    if frame.mask_path is not None:
        painted = read_mask(frame.mask_path)
        mask = painted if mask is None else mask & painted
    depth = None
    if frame.depth_path is not None:
        depth = _nearest(read_depth(frame.depth_path, capture.depth_unit), camera.height, camera.width)
    if not distortion.is_pinhole(frame.lens):
        rgb, depth, mask = _undistort(frame, rgb, depth, mask)
    view = View(frame.name, camera, frame.T_world_cam, rgb, depth, mask)
    if max_side is not None:
        view = shrink_view(view, max_side)
    if view.mask is not None and view.mask.all():
        return View(view.name, view.camera, view.T_world_cam, view.rgb, view.depth)
    return view


def load_views(
    capture: Capture, *, max_side: int | None = None, extra: int = 0, progress: ProgressCallback | None = None
) -> tuple[View, ...]:
    """Load every frame, see ``load_view``.

    Args:
        capture: The capture.
        max_side: Maximum longer side of a view, pixels.
        extra: Memory that the caller needs in addition, bytes per pixel of all views.
        progress: Called after each frame.

    Raises:
        CaptureError: A file is broken, or (before anything is loaded) the free memory is too small.
    """
    check_memory(capture.frames, max_side=max_side, extra=extra)
    views = []
    for frame in capture.frames:
        views.append(load_view(capture, frame, max_side=max_side))
        if progress is not None:
            progress(len(views), len(capture.frames))
    _resampling.cache_clear()
    return tuple(views)


def read_image(frame: Frame) -> UInt8[np.ndarray, "h w 3"]:
    """Return the image on disk as stored: distorted, full size, EXIF orientation not applied.

    Raises ``CaptureError`` if the file is broken or has changed its size.
    """
    if frame.pixels is not None:
        return frame.pixels.rgb
    rgb, _ = read_rgb(frame.image_path)
    _check_size(frame, rgb)
    return rgb


def disk_to_view(frame: Frame, view: View, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Convert pixels ``(x, y)`` of the image on disk (distorted, full size) to pixels of a view of the frame.

    The result may lie outside the view; it is finite even for pixels that no ray reaches.
    """
    return from_tangents(view.camera, distortion.ray_tangents(frame.camera, frame.lens, pixels))


def view_to_disk(frame: Frame, view: View, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Convert pixels of a view to pixels of the image on disk; the inverse of ``disk_to_view``."""
    rays = to_tangents(view.camera, pixels)
    if not distortion.is_pinhole(frame.lens):
        rays = distortion.distort(frame.lens, rays)
    return from_tangents(frame.camera, rays)


def _check_size(frame: Frame, rgb: UInt8[np.ndarray, "h w 3"]) -> None:
    if rgb.shape[:2] != (frame.camera.height, frame.camera.width):
        raise CaptureError(f"{frame.image_path} changed its size since it was read: read the capture again")


def _undistort(
    frame: Frame,
    rgb: UInt8[np.ndarray, "h w 3"],
    depth: Float[np.ndarray, "h w"] | None,
    mask: Bool[np.ndarray, "h w"] | None,
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "h w"] | None, Bool[np.ndarray, "h w"]]:
    """Resample to a pinhole with the same intrinsics; the mask is True where the lens saw the ray."""
    import cv2

    where, nearest, seen = _resampling(astuple(frame.camera), astuple(frame.lens))
    if not seen.any():
        raise CaptureError(
            f"{frame.image_path}: its distortion coefficients {frame.lens.coefficients} leave nothing of the "
            "image: write those of this camera model"
        )
    # Pixels that the lens did not see repeat the border, so that resizing mixes no black into their
    # neighbours.
    rgb = cv2.remap(rgb, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore
    if depth is not None:
        depth = np.where(seen, depth.take(nearest), np.float32(0))
    return rgb, depth, seen.copy() if mask is None else seen & mask.take(nearest)


@lru_cache(maxsize=1)
def _resampling(
    numbers: tuple[Any, ...], lens_numbers: tuple[Any, ...]
) -> tuple[Float32[np.ndarray, "h w 2"], Int32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Return each pinhole pixel's position on disk as cv2 has it, the pixel there, and whether it is seen.

    Cached for the next frame, which mostly has the same camera: this takes many times as long as the
    resampling.
    """
    camera, distorted = Camera(*numbers), Lens(*lens_numbers)
    rays = to_tangents(camera, pixel_centers(camera.height, camera.width).reshape(-1, 2))
    sources = from_tangents(camera, distortion.distort(distorted, rays))
    seen = distortion.reaches(distorted, rays) & _on_disk(camera, distorted, sources)
    sources = np.clip(sources, 0.0, [camera.width, camera.height]).reshape(camera.height, camera.width, 2)
    columns = np.minimum(sources[..., 0].astype(np.int32), camera.width - 1)
    rows = np.minimum(sources[..., 1].astype(np.int32), camera.height - 1)
    # cv2 puts pixel centres at whole numbers.
    where = (sources - 0.5).astype(np.float32)
    return where, rows * np.int32(camera.width) + columns, seen.reshape(columns.shape)


def _on_disk(camera: Camera, distorted: Lens, pixels: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
    """Return which pixels lie in the image on disk and in the circle of a fisheye image."""
    size = np.array([camera.width, camera.height])
    there = ((pixels >= 0) & (pixels < size)).all(axis=1)
    if distorted.crop_radius is None:
        return there
    return there & (np.linalg.norm(pixels - size / 2, axis=1) < distorted.crop_radius)


def shrink_view(view: View, max_side: int) -> View:
    """Reduce a larger view: colours averaged by area, depth and mask nearest, with matching intrinsics.

    Raises ``CaptureError`` if ``max_side``, the longer side in pixels, is not positive.
    """
    camera = view.camera
    if max_side < 1:
        raise CaptureError(f"max_side is {max_side}: give 1 or more")
    if max_side >= max(camera.height, camera.width):
        return view
    scale = max_side / max(camera.height, camera.width)
    height, width = (max(1, round(side * scale)) for side in (camera.height, camera.width))
    x, y = width / camera.width, height / camera.height
    small = Camera(camera.fx * x, camera.fy * y, camera.cx * x, camera.cy * y, height, width)
    rgb = np.asarray(Image.fromarray(view.rgb).resize((width, height), Image.Resampling.BOX))
    depth = None if view.depth is None else _nearest(view.depth, height, width)
    mask = None if view.mask is None else _nearest(view.mask, height, width)
    return View(view.name, small, view.T_world_cam, rgb, depth, mask)


def _nearest(image: Shaped[np.ndarray, "h w"], height: int, width: int) -> Shaped[np.ndarray, "h2 w2"]:
    """Resize with nearest-neighbour sampling at the centres of the new pixels."""
    if image.shape == (height, width):
        return image
    rows = ((np.arange(height) + 0.5) * image.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * image.shape[1] / width).astype(int)
    return image[rows[:, None], columns]
