"""Small robot datasets in the published layouts, from views whose poses and intrinsics are known.

It shares no code with the readers: own rotations, own codes of depth, h5py, pyarrow, PyAV and OpenCV.
"""

from __future__ import annotations

import json
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import av
import cv2
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from point2act.core.types import View

SERIALS = {"wrist": "17225336", "ext1": "24013089", "ext2": "25047636"}
IDENTITY = "TRI+52ca9b6a+2023-11-07-15h-30m-09s"


def turn(axis: int, angle: float) -> np.ndarray:
    """The rotation about a fixed axis."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    return matrix


def fixed_axes(x: float, y: float, z: float) -> np.ndarray:
    """The rotation by x about x, then by y about y, then by z about z, all of them fixed."""
    return turn(2, z) @ turn(1, y) @ turn(0, x)


def six(T: np.ndarray) -> list[float]:
    """Position and angles about fixed axes: R = Rz Ry Rx, solved for the angles."""
    R = T[:3, :3]
    x, y, z = np.arctan2(R[2, 1], R[2, 2]), -np.arcsin(np.clip(R[2, 0], -1, 1)), np.arctan2(R[1, 0], R[0, 0])
    return [*T[:3, 3].tolist(), float(x), float(y), float(z)]


def opencv_K(view: View, scale: float = 1.0) -> tuple[float, float, float, float]:
    """(fx, fy, cx, cy) of an image ``scale`` times as large, with the centre of the first pixel at 0."""
    camera = view.camera
    return camera.fx * scale, camera.fy * scale, camera.cx * scale - 0.5, camera.cy * scale - 0.5


def matrix(K: tuple[float, float, float, float]) -> np.ndarray:
    return np.array([[K[0], 0, K[2]], [0, K[1], K[3]], [0, 0, 1]])


def write_json(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def write_video(path: Path, images: list[np.ndarray], codec: str, fps: int = 10) -> None:
    """Write colours, or 12-bit codes as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if codec == "mp4v":  # As DROID does, postprocessing/util/svo2mp4.py
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, images[0].shape[1::-1])
        for image in images:
            writer.write(image[..., ::-1])
        writer.release()
        return
    codes = images[0].dtype == np.uint16
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "gray12le" if codes else "yuv420p"
        stream.options = {"x265-params": "lossless=1:log-level=none"} if codes else {"crf": "10", "g": "2"}
        for image in images:
            frame = av.VideoFrame.from_ndarray(image, format="gray12le" if codes else "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def jpeg(rgb: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def png(image: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def millimetres(view: View) -> np.ndarray:
    assert view.depth is not None
    return np.round(view.depth * 1000).astype(np.uint16)


# ── DROID ──────────────────────────────────────────────────────────────────────────────────────
def write_droid(
    folder: Path,
    wrist: tuple[View, ...],
    outer: tuple[View, View],
    *,
    closes: int | None = None,
    depth: bool = False,
) -> None:
    """A raw episode, and the published calibrations in folder/calibration; the gripper closes at a step."""
    cameras = {"wrist": wrist, "ext1": (outer[0],) * len(wrist), "ext2": (outer[1],) * len(wrist)}
    for name, views in cameras.items():
        write_video(folder / f"recordings/MP4/{SERIALS[name]}.mp4", [view.rgb for view in views], "mp4v")
        for step, view in enumerate(views if depth else ()):
            path = folder / f"recordings/Depth/{SERIALS[name]}/{step}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(millimetres(view)))
    gripper = np.zeros(len(wrist))
    gripper[len(wrist) if closes is None else closes :] = 0.6
    with h5py.File(folder / "trajectory.h5", "w") as file:
        for name, views in cameras.items():
            poses = np.array([six(view.T_world_cam) for view in views])
            if name != "wrist":
                poses[:, 0] += 0.02  # The first calibrations were centimetres off
            file[f"observation/camera_extrinsics/{SERIALS[name]}_left"] = poses
        file["observation/robot_state/cartesian_position"] = np.zeros((len(wrist), 6))
        file["observation/robot_state/gripper_position"] = gripper
    names = {f"{name}_cam_serial": serial for name, serial in SERIALS.items()}
    write_json(folder / f"metadata_{IDENTITY}.json", {"uuid": IDENTITY, **names})
    fx, fy, cx, cy = opencv_K(wrist[0], 1280 / wrist[0].camera.width)
    K = {serial: [fx, cx, fy, cy] for serial in SERIALS.values()}
    better = {SERIALS[name]: six(cameras[name][0].T_world_cam) for name in ("ext1", "ext2")}
    write_json(folder / "calibration/intrinsics.json", {IDENTITY: K, "other": {}})
    write_json(
        folder / "calibration/cam2base_extrinsic_superset.json",
        {IDENTITY: {**better, "relative_path": "TRI/success/2023-11-07/Tue_Nov__7_15:30:09_2023"}},
    )


# ── LeRobot ────────────────────────────────────────────────────────────────────────────────────
def codes_of(depth: np.ndarray, low: float = 0.01, high: float = 10.0, shift: float = 3.5) -> np.ndarray:
    """12-bit logarithmic codes of depth in metres, by lerobot's formula."""
    share = (np.log(depth + shift) - np.log(low + shift)) / (np.log(high + shift) - np.log(low + shift))
    return np.clip(np.rint(share * 4095), 0, 4095).astype(np.uint16)


def write_lerobot(
    folder: Path,
    episodes: list[dict[str, tuple[View, ...]]],
    *,
    version: str = "v2.1",
    codec: str = "libx264",
    columns: dict[str, list[list[Any]]] | None = None,
) -> None:
    """Episodes of cameras by name, with poses, intrinsics and depth; further columns for each episode."""
    names = list(episodes[0])
    first = episodes[0][names[0]][0]
    size = [first.camera.height, first.camera.width]
    image = "image" if codec == "image" else "video"
    coded = {"is_depth_map": True, "video.depth_min": 0.01, "video.depth_max": 10.0, "video.shift": 3.5}
    features: dict[str, Any] = {}
    for name in names:
        features[f"observation.images.{name}"] = {
            "dtype": image,
            "shape": [*size, 3],
            "info": {"video.fps": 10},
        }
        info = {**coded, "video.use_log": True} if image == "video" else {"is_depth_map": True}
        features[f"observation.images.depth_{name}"] = {"dtype": image, "shape": [*size, 1], "info": info}
        features[f"observation.extrinsics.{name}"] = {"dtype": "float32", "shape": [16]}
        features[f"observation.intrinsics.{name}"] = {"dtype": "float32", "shape": [9]}
    features |= {
        key: {"dtype": "float32", "shape": [len(rows[0][0])]} for key, rows in (columns or {}).items()
    }
    shared = version == "v3.0"
    data = "chunk-{chunk_index:03d}/file-{file_index:03d}"
    data_path, video_path = f"data/{data}.parquet", f"videos/{{video_key}}/{data}.mp4"
    if not shared:
        data_path = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
        video_path = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
    info = {
        "codebase_version": version,
        "total_episodes": len(episodes),
        "chunks_size": 1000,
        "fps": 10,
        "data_path": data_path,
        "video_path": video_path,
        "features": features,
    }
    write_json(folder / "meta/info.json", info)
    tables, start = [], 0
    for number, cameras in enumerate(episodes):
        steps = len(cameras[names[0]])
        rows: dict[str, Any] = {"frame_index": list(range(steps)), "episode_index": [number] * steps}
        for name, views in cameras.items():
            poses = [view.T_world_cam.reshape(-1).tolist() for view in views]
            rows[f"observation.extrinsics.{name}"] = poses
            rows[f"observation.intrinsics.{name}"] = [
                matrix(opencv_K(view)).reshape(-1).tolist() for view in views
            ]
            if image == "image":
                rows[f"observation.images.{name}"] = [
                    {"bytes": png(view.rgb), "path": None} for view in views
                ]
                stored = [{"bytes": png(millimetres(view)), "path": None} for view in views]
                rows[f"observation.images.depth_{name}"] = stored
        rows |= {key: of_episodes[number] for key, of_episodes in (columns or {}).items()}
        tables.append(pa.table(rows))
    for name in names if image == "video" else ():
        for key, use in (
            (f"observation.images.{name}", codec),
            (f"observation.images.depth_{name}", "libx265"),
        ):
            films = [[codes_of(v.depth) if use == "libx265" else v.rgb for v in c[name]] for c in episodes]
            paths = {"video_key": key, "chunk_index": 0, "file_index": 0, "episode_chunk": 0}
            for number, film in enumerate([list(chain(*films))] if shared else films):
                write_video(folder / info["video_path"].format(**paths, episode_index=number), film, use)
    for number, table in enumerate([pa.concat_tables(tables)] if shared else tables):
        path = folder / info["data_path"].format(
            chunk_index=0, file_index=0, episode_chunk=0, episode_index=number
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
    if shared:
        located = []
        for number, table in enumerate(tables):
            row = {"episode_index": number, "length": len(table), "data/chunk_index": 0, "data/file_index": 0}
            for key in features:
                times = {"from_timestamp": start / 10, "to_timestamp": (start + len(table)) / 10}
                row |= {f"videos/{key}/{name}": value for name, value in times.items()}
                row |= {f"videos/{key}/chunk_index": 0, f"videos/{key}/file_index": 0}
            located.append(row)
            start += len(table)
        path = folder / "meta/episodes/chunk-000/file-000.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(located), path)


# ── HDF5 ───────────────────────────────────────────────────────────────────────────────────────
def write_robomimic(path: Path, views: tuple[View, ...]) -> None:
    """Two demos of a fixed camera, demo_10 and demo_9, and of one on the gripper."""
    with h5py.File(path, "w") as file:
        for name, view in (("demo_10", views[0]), ("demo_9", views[1])):
            group = file.create_group(f"data/{name}")
            for camera in ("agentview", "robot0_eye_in_hand"):
                group[f"obs/{camera}_image"] = np.array([view.rgb] * 3)
                group[f"obs/{camera}_depth"] = np.array([view.depth[..., None]] * 3)
            corner = matrix((view.camera.fx, view.camera.fy, view.camera.cx, view.camera.cy))
            cameras = {"intrinsics": corner.tolist(), "extrinsics": view.T_world_cam.tolist()}
            group.attrs["camera_info"] = json.dumps({"agentview": cameras, "robot0_eye_in_hand": cameras})


def write_maniskill(path: Path, views: tuple[View, ...]) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("traj_0/obs")
        group["sensor_data/hand_camera/rgb"] = np.array([view.rgb for view in views])
        group["sensor_data/hand_camera/depth"] = np.array(
            [millimetres(view)[..., None] for view in views]
        ).astype(np.int16)
        inverse = np.array([np.linalg.inv(view.T_world_cam)[:3] for view in views], dtype=np.float32)
        group["sensor_param/hand_camera/extrinsic_cv"] = inverse
        group["sensor_param/hand_camera/intrinsic_cv"] = np.array(
            [view.camera.K for view in views], np.float32
        )


def write_robotwin(path: Path, views: tuple[View, ...]) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("observation/head_camera")
        files = [jpeg(view.rgb) for view in views]
        group["rgb"] = np.array(files, dtype=f"S{max(map(len, files))}")
        group["depth"] = np.array([view.depth * 1000.0 for view in views], dtype=np.float64)
        group["extrinsic_cv"] = np.array([np.linalg.inv(view.T_world_cam)[:3] for view in views])
        group["intrinsic_cv"] = np.array([view.camera.K for view in views])


def write_act(path: Path, views: tuple[View, ...]) -> None:
    with h5py.File(path, "w") as file:
        file["observations/images/top"] = np.array([view.rgb for view in views])
        file["observations/qpos"] = np.zeros((len(views), 14))
