"""Alignment of a structure-from-motion result: z up, in metres if the scale is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import frame_from_axes, invert, transform_points
from point2act.core.types import Frame
from point2act.data.importers.metric_scale import MetricScale
from point2act.data.importers.sfm import SfmModel


def align_model(structure: SfmModel, measure: MetricScale | None) -> SfmModel:
    """Rotate and scale a model: z is the normal of the markers' plane, or the mean up of the cameras.

    The origin is the first marker, or the median point; lengths are metres with a scale.
    """
    board = None if measure is None else measure.T_structure_board
    T_structure_world = _upright(structure) if board is None else board
    scale = 1.0 if measure is None else measure.metres
    T_world_structure = invert(T_structure_world)
    return replace(
        structure,
        frames=tuple(_moved(frame, T_world_structure, scale) for frame in structure.frames),
        points=scale * transform_points(T_world_structure, structure.points),
    )


def _moved(frame: Frame, T_world_structure: Float[np.ndarray, "4 4"], scale: float) -> Frame:
    T_world_cam = T_world_structure @ frame.T_world_cam
    T_world_cam[:3, 3] *= scale
    return replace(frame, T_world_cam=T_world_cam)


def _upright(structure: SfmModel) -> Float[np.ndarray, "4 4"]:
    """Return a frame with z along the mean upward direction and x along the rows of the first photograph."""
    up = mean_up(structure.frames)
    x = structure.frames[0].T_world_cam[:3, 0]
    # The rows of a first photograph that was turned by 90 degrees have no horizontal direction.
    if np.linalg.norm(np.cross(up, x)) < 1e-6:
        x = np.cross(up, structure.frames[0].T_world_cam[:3, 2])
    return frame_from_axes(np.median(structure.points, axis=0), up, x)


def mean_up(frames: Sequence[Frame]) -> Float[np.ndarray, " 3"]:
    """Return the mean upward direction of the cameras, unit length; the first one's if they cancel out."""
    ups = -np.array([frame.T_world_cam[:3, 1] for frame in frames])
    mean = ups.mean(axis=0)
    length = np.linalg.norm(mean)
    return mean / length if length > 1e-3 else ups[0]
