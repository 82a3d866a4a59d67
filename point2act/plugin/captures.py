"""The capture behind a nerfstudio dataparser's outputs, and the frames of each split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataparserOutputs
from nerfstudio.data.dataparsers.nerfstudio_dataparser import Nerfstudio

from point2act.core.errors import CaptureError
from point2act.core.types import Capture, Frame, Lens
from point2act.data.capture import read_capture
from point2act.plugin.bridge import Similarity, camera_of, poses_of

Cloud = tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]
"""Points, and their colours in [0, 1]."""

_LENSES = {CameraType.PERSPECTIVE.value: "opencv", CameraType.FISHEYE.value: "fisheye"}


@dataclass(frozen=True, eq=False)
class Source:
    """A capture, its transform to nerfstudio's frame, and nerfstudio's frames per split."""

    capture: Capture
    S_nerf_world: Similarity
    splits: tuple[tuple[Frame, ...], ...]
    """One tuple of frames for each of the dataparser's outputs, in the same order."""
    cloud: Cloud | None = None
    """Points that the dataparser read, in the world frame."""


def read_source(dataparser: DataParser, splits: Sequence[DataparserOutputs]) -> Source:
    """Read the capture behind a dataparser's outputs.

    A ``transforms.json`` is read by ``read_capture``, which also knows the depth's unit, the robot's base and
    the names that points.json refers to; the world is that file's frame. For every other format the world is
    the frame of the original data, before nerfstudio has oriented and scaled it.

    Raises:
        CaptureError: A camera is neither pinhole nor fisheye, or the first split, the training's, is empty.
    """
    folder = Path(dataparser.config.data)
    if not splits[0].image_filenames:
        raise CaptureError(f"{folder} has no image left to train on: add images, or train on --eval-mode all")
    if not isinstance(dataparser, Nerfstudio):
        return _read_parsed(folder, splits)
    # nerfstudio has read all files of the capture already.
    capture = read_capture(folder, allow_outside=True)
    frames = tuple(_matching_frames(capture, outputs) for outputs in splits)
    T_nerf_cams = np.concatenate([poses_of(outputs.cameras) for outputs in splits])
    T_world_cams = np.array([frame.T_world_cam for split in frames for frame in split])
    return Source(capture, Similarity.between(T_nerf_cams, T_world_cams), frames)


def _matching_frames(capture: Capture, outputs: DataparserOutputs) -> tuple[Frame, ...]:
    """Return the capture's frames of a split's images; a reduced copy is recognised by its file name."""
    by_path = {frame.image_path.resolve(): frame for frame in capture.frames}
    by_name = {frame.image_path.name: frame for frame in capture.frames}
    found = [by_path.get(path.resolve()) or by_name.get(path.name) for path in outputs.image_filenames]
    if None in found:
        raise CaptureError(
            f"{outputs.image_filenames[found.index(None)]} is not an image of {capture.folder}: "
            "let the dataparser and transforms.json name the same files"
        )
    return tuple(frame for frame in found if frame is not None)


def _read_parsed(folder: Path, splits: Sequence[DataparserOutputs]) -> Source:
    """Make a capture from a dataparser's outputs alone."""
    first = splits[0]
    transform = first.dataparser_transform.cpu().numpy().astype(np.float64)
    S_nerf_world = Similarity.from_dataparser(transform, float(first.dataparser_scale))
    frames = tuple(_parsed_frames(folder, outputs, S_nerf_world.inverse()) for outputs in splits)
    unique = {frame.name: frame for split in frames for frame in split}
    capture = Capture(
        folder=folder,
        frames=tuple(unique.values()),
        depth_unit=float(first.metadata.get("depth_unit_scale_factor", 1e-3)),
        point_cloud_path=None,
        T_base_world=None,
        metric=any(frame.depth_path is not None for frame in unique.values()),
    )
    return Source(capture, S_nerf_world, frames, _cloud(first, S_nerf_world.inverse()))


def _cloud(outputs: DataparserOutputs, S_world_nerf: Similarity) -> Cloud | None:
    points = outputs.metadata.get("points3D_xyz")
    if points is None:
        return None
    colors = outputs.metadata["points3D_rgb"].cpu().numpy() / 255.0
    return S_world_nerf.move_points(points.cpu().numpy().astype(np.float64)), colors


def _parsed_frames(folder: Path, outputs: DataparserOutputs, S_world_nerf: Similarity) -> tuple[Frame, ...]:
    paths = outputs.image_filenames
    masks = outputs.mask_filenames or [None] * len(paths)
    depths = outputs.metadata.get("depth_filenames") or [None] * len(paths)
    poses = poses_of(outputs.cameras)
    return tuple(
        Frame(
            name=_name(path, folder),
            image_path=path,
            depth_path=depth,
            mask_path=mask,
            camera=camera_of(outputs.cameras[i]),
            lens=_lens(outputs.cameras[i], path),
            T_world_cam=S_world_nerf.move_pose(poses[i]),
        )
        for i, (path, depth, mask) in enumerate(zip(paths, depths, masks, strict=True))
    )


def _name(path: Path, folder: Path) -> str:
    """Return the name that points.json uses for an image: its path from the data folder."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _lens(camera: Cameras, path: Path) -> Lens:
    """Return a camera's distortion. nerfstudio keeps (k1, k2, k3, k4, p1, p2), with k4 = 0 for pinholes."""
    model = _LENSES.get(int(camera.camera_type.item()))
    if model is None:
        kind = CameraType(int(camera.camera_type.item())).name
        raise CaptureError(f"{path} was taken with a {kind} camera: use pinhole or fisheye images")
    if camera.distortion_params is None:
        return Lens()
    k1, k2, k3, k4, p1, p2 = (float(value) for value in camera.distortion_params.flatten())
    return Lens("fisheye", (k1, k2, k3, k4)) if model == "fisheye" else Lens("opencv", (k1, k2, p1, p2, k3))
