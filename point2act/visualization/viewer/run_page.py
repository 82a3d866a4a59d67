"""A page that shows a robot's run while it lasts: what its camera measures, and what happens."""

from __future__ import annotations

import numpy as np
import viser

from point2act.core.geometry import back_project, pixel_centers
from point2act.core.types import View
from point2act.visualization.viewer.markdown import plain
from point2act.visualization.viewer.node_layer import wxyz
from point2act.visualization.viewer.panel import set_theme
from point2act.visualization.viewer.serving import ViewerConfig, serve, url_of

# Pixels of an image that are one point of the cloud, along each side: 19 000 points of 640x480, which a
# browser takes over five times a second. Chosen.
_STRIDE = 4
# Side of a point, metres: the distance of such points at a depth of 0.9 m.
_POINT = 0.004
# Distance of a browser's first place from the camera, to its right, metres: the image covers nothing. Chosen.
_ASIDE = 0.3
# Lines of what happened that are shown, the latest first.
_LINES = 12


class RunPage:
    """The page, at ``url`` until it is closed."""

    def __init__(self, title: str, config: ViewerConfig = ViewerConfig()):
        """Start to serve.

        Args:
            title: What is carried out.
            config: Address of the page.

        Raises:
            Point2ActError: The host is not an address of this machine.
        """
        self._server = serve(config)
        set_theme(self._server.gui)
        self._server.gui.set_panel_label(title)
        self._server.scene.set_up_direction("+z")
        self._now = self._server.gui.add_markdown("")
        self._past = self._server.gui.add_markdown("")
        self._lines: list[str] = []
        self._eye: tuple[np.ndarray, np.ndarray] | None = None
        self._server.on_client_connect(self._place)
        self.url = url_of(self._server)
        """Address for a browser on this machine."""

    @property
    def texts(self) -> tuple[str, str]:
        """What happened last, and what before it; Markdown."""
        return self._now.content, self._past.content

    def show(self, view: View) -> None:
        """Show what a camera measures: its surface points in colour, and its image in its frustum.

        Args:
            view: Colour and depth; the world is the frame of the robot's base.
        """
        assert view.depth is not None
        pixels = pixel_centers(view.camera.height, view.camera.width)[::_STRIDE, ::_STRIDE].reshape(-1, 2)
        depth = view.depth[::_STRIDE, ::_STRIDE].ravel()
        measured = np.isfinite(depth) & (depth > 0)
        points = back_project(view.camera, view.T_world_cam, pixels[measured], depth[measured])
        colors = view.rgb[::_STRIDE, ::_STRIDE].reshape(-1, 3)[measured]
        if self._eye is None and measured.any():
            middle = np.median(points, axis=0)
            aside = _ASIDE * view.T_world_cam[:3, 0]
            self._eye = view.T_world_cam[:3, 3] + aside, middle
            for client in self._server.get_clients().values():
                self._place(client)
        scene, camera = self._server.scene, view.camera
        with self._server.atomic():
            scene.add_point_cloud("/surface", points, colors, point_size=_POINT)
            scene.add_camera_frustum(
                "/camera",
                fov=2 * np.arctan(camera.height / (2 * camera.fy)),
                aspect=camera.width / camera.height,
                scale=0.1,
                image=view.rgb[::2, ::2],
                wxyz=wxyz(view.T_world_cam),
                position=view.T_world_cam[:3, 3],
            )

    def note(self, seconds: float, kind: str, detail: str) -> None:
        """Show a line as the latest of what happened.

        Args:
            seconds: Time since the start of the run.
            kind: What kind of thing, in a word.
            detail: One sentence.
        """
        line = f"{seconds:.1f} s **{plain(kind)}** {plain(detail)}"
        self._now.content = line
        self._past.content = "\n\n".join(self._lines[: -_LINES - 1 : -1])
        self._lines.append(line)

    def _place(self, client: viser.ClientHandle) -> None:
        """Let a browser see the scene from beside the robot's camera, from the first image on."""
        if self._eye is not None:
            client.camera.position, client.camera.look_at = self._eye

    def close(self) -> None:
        """End the page."""
        self._server.stop()
