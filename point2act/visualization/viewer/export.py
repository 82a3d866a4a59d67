"""Files that can be downloaded from the page, as bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import viser

from point2act.core.errors import Point2ActError
from point2act.core.types import GaussianScene
from point2act.data.capture.write import png_bytes
from point2act.data.points import write_points
from point2act.data.scene_ply import write_splat_ply
from point2act.grasping.grasps_json import write_grasps
from point2act.visualization.viewer.renders import Renders

if TYPE_CHECKING:
    from point2act.pipeline.interactive import InteractiveSession
else:
    # Imports torch, which is not needed to show a scene.
    InteractiveSession = Any

_SCREENSHOT_SIZE = (1080, 1920)
"""Height and width, pixels."""


def grasps_json(interactive: InteractiveSession) -> bytes:
    """Encode the results of every planned query as grasps.json.

    Raises:
        Point2ActError: No query is planned yet.
    """
    answered = interactive.answered
    if answered is None:
        raise Point2ActError("grasps.json would be empty: add a query first, under Find")
    capture = interactive.session.capture
    return _written(
        lambda path: write_grasps(
            path, answered.results, capture=capture, gripper=answered.gripper, plan=answered.plan
        )
    )


def points_json(interactive: InteractiveSession) -> bytes:
    """Encode all queries and answers as points.json.

    Raises:
        Point2ActError: There is no query yet.
    """
    if not interactive.state.points.queries:
        raise Point2ActError("points.json would be empty: add a query first, under Find")
    return _written(lambda path: write_points(path, interactive.state.points))


def splat_ply(scene: GaussianScene) -> bytes:
    """Encode the Gaussians as a PLY file of 3D Gaussian splatting."""
    return _written(lambda path: write_splat_ply(path, scene))


def screenshot(client: viser.ClientHandle, renders: Renders) -> bytes:
    """Render the scene as a browser shows it, as PNG."""
    return png_bytes(renders.take(client, *_SCREENSHOT_SIZE))


def send(client: viser.ClientHandle, filename: str, content: bytes) -> None:
    """Send a file to a browser, which saves it."""
    save: Any = client.send_file_download
    # By default viser 1.x shows a link instead; 0.2 does not know the option.
    options = {"save_immediately": True} if "save_immediately" in signature(save).parameters else {}
    save(filename, content, **options)


def _written(write: Callable[[Path], None]) -> bytes:
    """Return what a function writes to a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path)
        return path.read_bytes()
