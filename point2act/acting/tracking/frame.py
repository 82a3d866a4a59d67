"""A colour image with depth, as the tracker compares it with what it follows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from point2act.core.geometry import at_pixels, back_project, inside, project
from point2act.core.types import Camera, View

# Largest difference between a pixel and where the flow back from its target ends, pixels: those beyond it are
# hidden in one of the images (the forward-backward check of Kalal et al. 2010). Chosen.
_ROUND_TRIP = 2.0


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """An image with depth; all points are in the camera frame, metres."""

    camera: Camera
    rgb: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    """z-depth in metres, 0 without a reading."""

    @classmethod
    def of(cls, view: View) -> TrackedFrame:
        """Take the colours and the depth of a view."""
        assert view.depth is not None
        return cls(view.camera, view.rgb, view.depth)

    @cached_property
    def gray(self) -> UInt8[np.ndarray, "h w"]:
        """Brightness."""
        return cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY)

    @cached_property
    def lab(self) -> Float32[np.ndarray, "h w 3"]:
        """Colours in CIELAB."""
        return cv2.cvtColor(self.rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)

    def pixels(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        """Project points."""
        return project(self.camera, np.eye(4), points)[0]

    def points(
        self, pixels: Float[np.ndarray, "n 2"], depth: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n 3"]:
        """Return the points of pixels at z-depths."""
        return back_project(self.camera, np.eye(4), pixels, depth.astype(float))

    def readings(self, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
        """Return the depth at pixels, 0 outside the image."""
        return np.where(inside(self.camera, pixels), at_pixels(self.depth, pixels), 0.0)


@dataclass(frozen=True, eq=False)
class Flow:
    """Motion of every pixel from one frame to the next."""

    motion: Float32[np.ndarray, "h w 2"]
    reliable: Bool[np.ndarray, "h w"]
    """Whether the flow back from where a pixel moves ends near it."""


def optical_flow(first: TrackedFrame, second: TrackedFrame) -> Flow:
    """Estimate dense optical flow by inverse search (DIS, Kroeger et al. 2016), in both directions."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    nothing = np.zeros((*first.gray.shape, 2), np.float32)
    forward = search.calc(first.gray, second.gray, nothing.copy())
    backward = search.calc(second.gray, first.gray, nothing)
    height, width = first.gray.shape
    row, column = np.mgrid[:height, :width].astype(np.float32)
    back = cv2.remap(backward, column + forward[..., 0], row + forward[..., 1], cv2.INTER_LINEAR)
    return Flow(forward, np.linalg.norm(forward + back, axis=2) < _ROUND_TRIP)
