"""A run as a recording for Foxglove (https://foxglove.dev): images, depth, answers, Gaussians, grasps.

Messages have Foxglove's own types. View number k is recorded at k seconds; what does not change is recorded
at 0.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.spatial.transform import Rotation

from point2act.core.errors import ResultsError
from point2act.core.files import replacing
from point2act.core.geometry import transform
from point2act.core.types import GaussianScene, OrientedBox, View
from point2act.grasping.end_effector import EndEffector, boxes_at
from point2act.visualization.drawing import PALETTE, Color
from point2act.visualization.recordings.contents import (
    PALE,
    RecordedQuery,
    ScenePoints,
    depth_millimetres,
    scene_points,
)

_WORLD, _CAMERA = "world", "camera"
"""Names of the frames; the camera's is OpenCV's, as Foxglove expects it."""
_SECOND = 10**9
_POINT = np.dtype([("position", "<f4", 3), ("color", "u1", 4)])
"""A point of a cloud: x, y, z in metres, then red, green, blue, alpha."""
_BALL = 0.012
"""Diameter of an action point, metres."""
_DOT = 9.0
"""Diameter of an answer in the image, pixels."""


def write_mcap(
    path: Path,
    scene: GaussianScene,
    views: Sequence[View],
    queries: Sequence[RecordedQuery],
    gripper: EndEffector,
) -> None:
    """Write an .mcap file that Foxglove opens.

    Args:
        path: File to write, atomically.
        scene: Gaussians, world.
        views: Views at their refined poses.
        queries: What was asked and found.
        gripper: Gripper or hand of the grasps.

    Raises:
        ResultsError: Foxglove's library is not installed.
    """
    try:
        import foxglove
    except ImportError as err:
        raise ResultsError(
            f'Foxglove\'s library cannot be loaded ({err}): pip install "point2act[foxglove]"'
        ) from err
    with replacing(path) as draft:
        # Its own context: channels of other recordings of this process do not write to this file.
        context = foxglove.Context()
        with foxglove.open_mcap(draft, allow_overwrite=True, context=context):
            recorder = _Recorder(foxglove, context)
            recorder.log_scene(scene_points(scene, queries))
            for index, one in enumerate(queries):
                recorder.log_result(one, gripper, PALETTE[index % len(PALETTE)])
            for number, view in enumerate(views):
                recorder.log_view(view, number, queries)


class _Recorder:
    """The channels of one recording."""

    def __init__(self, foxglove: Any, context: Any):
        self._messages, self._channels, self._context = foxglove.messages, foxglove.channels, context
        self._open: dict[str, Any] = {}

    def _log(self, topic: str, message: Any, seconds: int = 0) -> None:
        if topic not in self._open:
            channel = getattr(self._channels, f"{type(message).__name__}Channel")
            self._open[topic] = channel(topic, context=self._context)
        self._open[topic].log(message, log_time=seconds * _SECOND)

    def log_scene(self, points: ScenePoints) -> None:
        """Record the Gaussians as a point cloud for each of their colours."""
        kinds = self._messages.PackedElementFieldNumericType
        fields = [
            self._messages.PackedElementField(name=name, offset=offset, type=kind)
            for name, offset, kind in (
                ("x", 0, kinds.Float32),
                ("y", 4, kinds.Float32),
                ("z", 8, kinds.Float32),
                ("red", 12, kinds.Uint8),
                ("green", 13, kinds.Uint8),
                ("blue", 14, kinds.Uint8),
                ("alpha", 15, kinds.Uint8),
            )
        ]
        for name, colors in points.colors.items():
            packed = np.zeros(len(colors), _POINT)
            packed["position"], packed["color"][:, :3], packed["color"][:, 3] = points.centers, colors, 255
            cloud = self._messages.PointCloud(
                timestamp=self._time(0),
                frame_id=_WORLD,
                pose=self._pose(np.eye(4)),
                point_stride=_POINT.itemsize,
                fields=fields,
                data=packed.tobytes(),
            )
            self._log(f"/{name}", cloud)

    def log_result(self, one: RecordedQuery, gripper: EndEffector, color: Color) -> None:
        """Record the action point and the gripper at every grasp, the best one in colour."""
        entities = []
        if one.action_point is not None:
            T = np.eye(4)
            T[:3, 3] = one.action_point
            pose, shade = self._pose(T), self._color(color)
            size = self._messages.Vector3(x=_BALL, y=_BALL, z=_BALL)
            ball = self._messages.SpherePrimitive(pose=pose, size=size, color=shade)
            label = self._messages.TextPrimitive(
                pose=pose, billboard=True, font_size=2 * _BALL, color=shade, text=one.query.text
            )
            entities.append(self._entity("action point", spheres=[ball], texts=[label]))
        for number, (T_world_gripper, posture, _) in enumerate(one.grasps):
            boxes, shade = boxes_at(gripper, posture), PALE if number else color
            cubes = self._cubes(T_world_gripper, boxes, shade, number == 0)
            entities.append(self._entity(f"grasp {number + 1}", cubes=cubes))
        self._log(f"/results/{one.query.name}", self._messages.SceneUpdate(entities=entities))

    def log_view(self, view: View, number: int, queries: Sequence[RecordedQuery]) -> None:
        """Record a view's camera, images and answers."""
        camera, messages = view.camera, self._messages
        stamp = {"timestamp": self._time(number), "frame_id": _CAMERA}
        position, orientation = self._position_orientation(view.T_world_cam)
        moved = messages.FrameTransform(
            timestamp=self._time(number),
            parent_frame_id=_WORLD,
            child_frame_id=_CAMERA,
            translation=position,
            rotation=orientation,
        )
        self._log("/tf", moved, number)
        size = {"width": camera.width, "height": camera.height}
        P = np.hstack([camera.K, np.zeros((3, 1))])
        calibration = messages.CameraCalibration(
            **stamp, **size, K=camera.K.ravel().tolist(), P=P.ravel().tolist(), R=np.eye(3).ravel().tolist()
        )
        self._log("/camera/calibration", calibration, number)
        image = messages.CompressedImage(**stamp, data=_jpeg(view.rgb), format="jpeg")
        self._log("/camera/image", image, number)
        if view.depth is not None:
            depth = depth_millimetres(view.depth).astype("<u2")
            raw = messages.RawImage(
                **stamp, **size, encoding="16UC1", step=2 * camera.width, data=depth.tobytes()
            )
            self._log("/camera/depth", raw, number)
        self._log("/camera/answers", self._answers(number, queries), number)

    def _answers(self, number: int, queries: Sequence[RecordedQuery]) -> Any:
        """Return the answers in one view as circles in the image."""
        circles = []
        for index, one in enumerate(queries):
            answer, color = one.pixels[number], self._color(PALETTE[index % len(PALETTE)])
            for x, y in np.zeros((0, 2)) if answer is None else answer:
                circle = self._messages.CircleAnnotation(
                    timestamp=self._time(number),
                    position=self._messages.Point2(x=float(x), y=float(y)),
                    diameter=_DOT,
                    thickness=2.0,
                    outline_color=color,
                )
                circles.append(circle)
        return self._messages.ImageAnnotations(circles=circles)

    def _cubes(
        self, T_world_gripper: np.ndarray, boxes: Sequence[OrientedBox], color: Color, best: bool
    ) -> list[Any]:
        cubes = []
        for box in boxes:
            T = T_world_gripper @ transform(box.axes.T, box.center)
            x, y, z = (2 * box.half_extents).tolist()
            size = self._messages.Vector3(x=x, y=y, z=z)
            shade = self._color(color, 0.9 if best else 0.15)
            cubes.append(self._messages.CubePrimitive(pose=self._pose(T), size=size, color=shade))
        return cubes

    def _entity(
        self, name: str, *, spheres: Sequence[Any] = (), texts: Sequence[Any] = (), cubes: Sequence[Any] = ()
    ) -> Any:
        return self._messages.SceneEntity(
            timestamp=self._time(0),
            frame_id=_WORLD,
            id=name,
            lifetime=self._messages.Duration(0),
            spheres=list(spheres),
            texts=list(texts),
            cubes=list(cubes),
        )

    def _pose(self, T: Float[np.ndarray, "4 4"]) -> Any:
        position, orientation = self._position_orientation(T)
        return self._messages.Pose(position=position, orientation=orientation)

    def _position_orientation(self, T: Float[np.ndarray, "4 4"]) -> tuple[Any, Any]:
        x, y, z = T[:3, 3].tolist()
        qx, qy, qz, qw = Rotation.from_matrix(T[:3, :3]).as_quat().tolist()
        return self._messages.Vector3(x=x, y=y, z=z), self._messages.Quaternion(x=qx, y=qy, z=qz, w=qw)

    def _color(self, color: Color, alpha: float = 1.0) -> Any:
        red, green, blue = (channel / 255 for channel in color)
        return self._messages.Color(r=red, g=green, b=blue, a=alpha)

    def _time(self, seconds: int) -> Any:
        return self._messages.Timestamp(seconds)


def _jpeg(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "jpeg", quality=90)
    return buffer.getvalue()
