"""Raw episodes of DROID, whose two outer cameras stand still and whose third one is on the wrist.

Layout and conventions are those of https://github.com/droid-dataset/droid: ``camera_extrinsics`` of the
trajectory are six numbers, position in metres and Euler angles about fixed axes (misc/transformations.py), of
the left camera (OpenCV axes) in the base frame (calibration/calibration_utils.py), for the wrist too
(robot_env.py). Image ``i`` of a recording is step ``i`` (recorded_multi_camera_wrapper.py). Better extrinsics
and the intrinsics, ``fx, cx, fy, cy``, are at https://huggingface.co/KarlP/droid, by the id of the episode.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError
from point2act.core.files import read_json
from point2act.core.types import Camera
from point2act.data.capture.images import is_float, read_depth
from point2act.data.importers.episodes.episode import NO_DEPTH, Episode, EpisodeCamera, Picture, pinhole
from point2act.data.importers.episodes.hdf5 import array_names, open_hdf5
from point2act.data.importers.episodes.poses import poses_from_rows
from point2act.data.importers.episodes.video import read_frames, video_length
from point2act.data.importers.folders import DEPTHS, named_files

if TYPE_CHECKING:
    import h5py

CAMERAS = ("wrist", "ext1", "ext2")
"""Names of the cameras in the metadata."""

_CALIBRATIONS = ("cam2base_extrinsic_superset.json", "cam2base_extrinsics.json")
"""Published extrinsics of outer cameras, the better ones first. Those of cam2cam_extrinsics.json have no
stated scale, and are not read."""

_HD720 = (720, 1280)
"""Size of the recordings (camera_readers/zed_camera.py), which the published intrinsics are for."""

_CLOSING = 0.05
"""Share of the gripper's stroke from which it counts as closing: a tenth of a second. Chosen."""


def read_droid(folder: Path, calibration: Path | None) -> Episode:
    """Read an episode of DROID's raw data; its pictures are read when they are written.

    Args:
        folder: Folder with metadata_*.json, trajectory.h5 and recordings/.
        calibration: Folder with files of huggingface.co/KarlP/droid, None to use the trajectory's own.

    Raises:
        CaptureError: A file is missing or invalid, or no camera has a recording and intrinsics.
    """
    metadata, identity = _metadata(folder)
    published = {} if calibration is None else _published(calibration, identity)
    with open_hdf5(folder / "trajectory.h5") as file:
        trajectory = {name: file[name] for name in array_names(file)}
        steps = len(_array(trajectory, "observation/robot_state/cartesian_position", folder))
        gripper = _array(trajectory, "observation/robot_state/gripper_position", folder)[()].reshape(-1)
        cameras, notes = [], []
        for name in CAMERAS:
            serial = str(metadata.get(f"{name}_cam_serial", ""))
            video = _recording(folder, serial)
            if video is None:
                notes.append(f"camera {name} ({serial}) has no MP4 recording and is left out")
                continue
            poses, note = _poses(trajectory, published, metadata, name, serial, steps)
            camera = _intrinsics(trajectory, published, serial, video, folder)
            cameras.append(_camera(folder, name, serial, video, camera, poses))
            notes.append(note)
    if not cameras:
        raise CaptureError(_nothing_recorded(folder))
    if not (folder / "recordings" / "Depth").is_dir():
        notes.append(NO_DEPTH)
    closing = np.flatnonzero(gripper > gripper[0] + _CLOSING)
    untouched = int(closing[0]) if len(closing) and closing[0] > 0 else None
    if untouched is not None:
        notes.append(f"the gripper closes at step {untouched} of {steps}: images before it are used (--last)")
    return Episode(tuple(cameras), tuple(notes), np.eye(4), untouched)


def _metadata(folder: Path) -> tuple[dict[str, Any], str]:
    """Return the metadata of an episode, and its id."""
    if not folder.is_dir():
        raise CaptureError(f"there is no folder {folder}: give the folder of a raw DROID episode")
    found = sorted(folder.glob("metadata_*.json"))
    if len(found) != 1:
        raise CaptureError(
            f"{folder} has {len(found)} files metadata_*.json and not one: give the folder of one raw DROID "
            "episode, with trajectory.h5 and recordings/"
        )
    metadata = read_json(found[0], CaptureError)
    if not isinstance(metadata, dict) or not any(f"{name}_cam_serial" in metadata for name in CAMERAS):
        raise CaptureError(f"{found[0]} names no cameras (wrist_cam_serial): download it again")
    return metadata, found[0].stem.removeprefix("metadata_")


def _published(folder: Path, identity: str) -> dict[str, dict[str, Any]]:
    """Return what the published files say about an episode, by file."""
    if not folder.is_dir():
        raise CaptureError(
            f"there is no folder {folder}: give the folder of the files from huggingface.co/KarlP/droid"
        )
    found = {}
    for name in ("intrinsics.json", *_CALIBRATIONS):
        if (folder / name).is_file():
            document = read_json(folder / name, CaptureError)
            entry = document.get(identity) if isinstance(document, dict) else None
            found[name] = entry if isinstance(entry, dict) else {}
    if not found:
        names = ", ".join(("intrinsics.json", *_CALIBRATIONS))
        raise CaptureError(f"{folder} has none of {names}: download them from huggingface.co/KarlP/droid")
    return found


def _array(trajectory: Mapping[str, h5py.Dataset], name: str, folder: Path) -> h5py.Dataset:
    if name not in trajectory or not len(trajectory[name]):
        raise CaptureError(
            f"{folder / 'trajectory.h5'} has no {name}: it has {', '.join(trajectory) or 'none'}"
        )
    return trajectory[name]


def _recording(folder: Path, serial: str) -> Path | None:
    """Return the video of a camera: of its left side, or of both side by side."""
    names = (f"{serial}.mp4", f"{serial}-stereo.mp4")
    return next((path for name in names if (path := folder / "recordings" / "MP4" / name).is_file()), None)


def _nothing_recorded(folder: Path) -> str:
    if any((folder / "recordings").glob("SVO/*.svo*")):
        return (
            f"{folder} has SVO recordings only, which need Stereolabs' ZED SDK: download recordings/MP4, or "
            "convert them with scripts/convert/svo_to_mp4.py of DROID"
        )
    return (
        f"{folder / 'recordings' / 'MP4'} has none of the episode's cameras: download the MP4 recordings too"
    )


def _poses(
    trajectory: Mapping[str, h5py.Dataset],
    published: Mapping[str, Mapping[str, Any]],
    metadata: Mapping[str, Any],
    name: str,
    serial: str,
    steps: int,
) -> tuple[Float[np.ndarray, "n 4 4"], str]:
    """Return T_base_cam at every step, and where it comes from."""
    key = f"observation/camera_extrinsics/{serial}_left"
    better = [file for file in _CALIBRATIONS if name != "wrist" and serial in published.get(file, {})]
    if better:
        source, values = better[0], published[better[0]][serial]
    elif key in trajectory:
        source, values = "trajectory.h5", trajectory[key][()]
    elif name != "wrist":
        source, values = "the metadata", metadata.get(f"{name}_cam_extrinsics")
    else:
        raise CaptureError(f"trajectory.h5 has no {key}, the pose of the wrist camera: download it again")
    try:
        rows = np.array(values, dtype=np.float64).reshape(-1, 6)
    except (TypeError, ValueError) as err:
        raise CaptureError(
            f"the extrinsics of camera {name} ({serial}) in {source} are not six numbers"
        ) from err
    poses = poses_from_rows(rows, "xyz_euler", f"the extrinsics of camera {name} in {source}")
    caveat = "" if better or name == "wrist" else ", which may be centimetres off (--calibration)"
    poses = np.repeat(poses, steps, axis=0) if len(poses) == 1 else poses[:steps]
    return poses, f"camera {name} ({serial}): pose from {source}{caveat}"


def _intrinsics(
    trajectory: Mapping[str, h5py.Dataset],
    published: Mapping[str, Mapping[str, Any]],
    serial: str,
    video: Path,
    folder: Path,
) -> Camera:
    place = f"{folder}: camera {serial}"
    entry: Any = published.get("intrinsics.json", {}).get(serial)
    key = f"observation/camera_intrinsics/{serial}_left"
    size, K_size = _size(video), _HD720
    if isinstance(entry, dict):
        K_size = (int(entry.get("height", K_size[0])), int(entry.get("width", K_size[1])))
        entry = entry.get("cameraMatrix")
    if entry is not None:
        try:
            fx, cx, fy, cy = (float(value) for value in entry)
        except (TypeError, ValueError) as err:
            raise CaptureError(
                f"{place}: its intrinsics are not fx, cx, fy, cy: download intrinsics.json again"
            ) from err
    elif key in trajectory:
        K = np.array(trajectory[key][0], dtype=np.float64).reshape(3, 3)
        fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    else:
        raise CaptureError(
            f"{place} has no intrinsics: download intrinsics.json from huggingface.co/KarlP/droid and give "
            "its folder with --calibration"
        )
    return pinhole((fx, fy, cx, cy), size, place, K_size=K_size)


def _size(video: Path) -> tuple[int, int]:
    """Return height and width of the left image of a recording."""
    picture = next(read_frames(video, [0]))
    return picture.shape[0], picture.shape[1] // (2 if video.stem.endswith("-stereo") else 1)


def _camera(
    folder: Path, name: str, serial: str, video: Path, camera: Camera, T_base_cams: Float[np.ndarray, "n 4 4"]
) -> EpisodeCamera:
    """Make a camera of the steps that were recorded, with depth if its folder exists."""
    depths = _depth_files(folder / "recordings" / "Depth" / serial)
    poses = T_base_cams[: video_length(video)].copy()
    if depths:
        poses[[step for step in range(len(poses)) if step not in depths]] = np.nan

    def read(steps: Sequence[int]) -> Iterator[Picture]:
        for step, picture in zip(steps, read_frames(video, steps), strict=True):
            depth = None
            if depths:
                depth = read_depth(depths[step], 1.0 if is_float(depths[step]) else 1e-3)
                if depth.shape != (camera.height, camera.width):
                    raise CaptureError(
                        f"{depths[step]} is {depth.shape[1]}x{depth.shape[0]} pixels and not "
                        f"{camera.width}x{camera.height}: export depth in the size of the video"
                    )
            yield np.ascontiguousarray(picture[:, : camera.width]), depth

    return EpisodeCamera(name, camera, poses, read)


def _depth_files(folder: Path) -> dict[int, Path]:
    """Return the depth files of a camera by step: 0.png, as postprocessing/util/svo2depth.py names them."""
    found = named_files(folder, DEPTHS) if folder.is_dir() else {}
    return {int(stem): path for stem, path in found.items() if stem.isdecimal()}
