"""What may be taken away, as the bytes of files."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import viser
from PIL import Image

from point2act.core.errors import Point2ActError
from point2act.core.types import GaussianScene
from point2act.data.points import write_points
from point2act.data.scene_ply import write_splat_ply
from point2act.grasping.grasps_json import write_grasps

if TYPE_CHECKING:
    from point2act.pipeline.interactive import InteractiveSession
else:
    # It brings torch, which is not needed to show a scene.
    InteractiveSession = Any

_SCREENSHOT = (1080, 1920)
"""Height and width, pixels."""


def grasps_json(interactive: InteractiveSession) -> bytes:
    """The grasps.json of everything that is acted on.

    Raises ``Point2ActError`` where nothing is.
    """
    answered = interactive.answered
    if answered is None:
        raise Point2ActError("there is nothing in grasps.json yet: ask for something first, under Find")
    capture = interactive.session.capture
    return _written(
        lambda path: write_grasps(
            path, answered.results, capture=capture, gripper=answered.gripper, plan=answered.plan
        )
    )


def points_json(interactive: InteractiveSession) -> bytes:
    """The points.json as it is now."""
    if not interactive.state.points.queries:
        raise Point2ActError("there is nothing in points.json yet: ask for something first, under Find")
    return _written(lambda path: write_points(path, interactive.state.points))


def splat_ply(scene: GaussianScene) -> bytes:
    """The Gaussians for any splat viewer."""
    return _written(lambda path: write_splat_ply(path, scene))


def screenshot(client: viser.ClientHandle) -> bytes:
    """What a person sees in the middle of their page, as PNG."""
    height, width = _SCREENSHOT
    picture = client.camera.get_render(height, width, transport_format="jpeg")
    packed = io.BytesIO()
    Image.fromarray(picture[..., :3]).save(packed, format="PNG")
    return packed.getvalue()


def send(client: viser.ClientHandle, filename: str, content: bytes) -> None:
    """Let a person's browser save a file."""
    save: Any = client.send_file_download
    # viser 1.x otherwise shows a link to press, and 0.2 knows no other way.
    now = {"save_immediately": True} if "save_immediately" in signature(save).parameters else {}
    save(filename, content, **now)


def _written(write: Callable[[Path], None]) -> bytes:
    """What a function writes to a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path)
        return path.read_bytes()
