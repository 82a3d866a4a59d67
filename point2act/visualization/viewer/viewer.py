"""Viewer for any number of browsers: what users do becomes jobs of a drawing and a planning thread."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import Point2ActError
from point2act.core.types import Frame, GaussianScene, Role
from point2act.visualization.viewer.callbacks import Callbacks
from point2act.visualization.viewer.clients import Client
from point2act.visualization.viewer.markdown import WHAT_TO_DO
from point2act.visualization.viewer.page import Page
from point2act.visualization.viewer.panel import build_panel, set_value
from point2act.visualization.viewer.photos import BrowserCamera
from point2act.visualization.viewer.planner_thread import Notify, PlannerThread
from point2act.visualization.viewer.scene_nodes import SceneNodes
from point2act.visualization.viewer.serving import ViewerConfig, serve, url_of
from point2act.visualization.viewer.state_text import from_text
from point2act.visualization.viewer.worker import Worker

if TYPE_CHECKING:
    from point2act.pipeline.interactive import InteractiveSession
else:
    # Imports torch, which is not needed to show a scene.
    InteractiveSession = Any


class Viewer:
    """A page with a scene.

    A reduced set of Gaussians is shown at once; ``start`` connects the session that answers queries. One
    thread draws, one plans and one sends Gaussians, so the page stays responsive. All methods for users
    return at once.
    """

    def __init__(
        self,
        scene: GaussianScene,
        frames: Sequence[Frame],
        *,
        title: str,
        grippers: Sequence[str],
        asks: bool = False,
        config: ViewerConfig = ViewerConfig(),
    ):
        """Serve the page.

        Args:
            scene: Gaussians, world frame.
            frames: Cameras, world frame.
            title: Heading of the panel.
            grippers: Names of the grippers and hands that can be chosen.
            asks: Whether the session will have a model to ask.
            config: Address of the page.

        Raises:
            Point2ActError: The address cannot be served.
        """
        self._draw = Worker("draw", self._failed)
        self._later = Worker("gaussians", self._failed)
        self._planner: PlannerThread | None = None
        self.clients: dict[int, Client] = {}
        """Browsers that are open, by their number."""
        self._motion: object = None
        self.connected = threading.Event()
        self.server = serve(config)
        images = tuple(frame.name for frame in frames)
        panel = build_panel(self.server, title=title, images=images, grippers=tuple(grippers), asks=asks)
        nodes = SceneNodes(self.server, scene, [frame.T_world_cam for frame in frames], self._later)
        nodes.grasps.clicked = self.choose_grasp
        for part, box in panel.shown.items():
            nodes.show(part, box.value)
        self.page = Page(nodes, panel, scene, frames)
        self.scene = scene
        Callbacks(self)

    @property
    def url(self) -> str:
        """Address of the page."""
        return url_of(self.server)

    def start(self, interactive: InteractiveSession, *, command: Callable[[], str]) -> None:
        """Connect a session: every query is localized and planned.

        Args:
            interactive: Session that answers the queries.
            command: Returns the command line that reproduces the shown grasps.
        """
        notify = Notify(self._refresh, self.choose, self._busy, self.notify, self._failed)
        self._draw.do(self.page.nodes.gaussians.draw_all)
        self._draw.do(lambda: self.page.start(interactive, command))
        self._planner = PlannerThread(interactive, notify, lambda: self.page.query)
        self._draw.do(self._planner.plan_all)

    def wait_for_browser(self, *, timeout: float, drawing: float) -> None:
        """Wait for a browser, and until it has drawn the reduced set of Gaussians; then send all of them.

        Args:
            timeout: Longest wait for a browser, seconds.
            drawing: Time that the browser gets for drawing, seconds.
        """
        if self.connected.wait(timeout):
            time.sleep(drawing)
        self._draw.do(self.page.nodes.gaussians.draw_all)

    def settle(self, timeout: float = 60.0) -> bool:
        """Wait until all threads are idle, and return whether each was within ``timeout`` seconds."""
        planner = [] if self._planner is None else [self._planner.worker]
        return all(worker.settle(timeout) for worker in (self._draw, *planner, self._draw, self._later))

    def stop(self) -> None:
        """Stop the server and all threads."""
        self._motion = None
        if self._planner is not None:
            self._planner.worker.end()
        self._draw.end()
        self._later.end()
        self.server.stop()

    # ── actions of users ───────────────────────────────────────────────────────────────────────
    def choose(self, query: str) -> None:
        """Show another query, by its name."""
        self._draw.do(lambda: self._choose(query))

    def add(self, text: str, role: Role, *, ask: bool) -> None:
        """Add a query; with ``ask`` the model is asked for points, else the user points."""
        self._plan(lambda planner: planner.add_query(text, role, ask=ask))

    def point(self, image: str, pixel: Float[np.ndarray, "2"] | None) -> None:
        """Point at the object of the shown query: a pixel of the image on disk, or None for "not visible"."""
        self._change_points(lambda query, interactive: interactive.point(query, image, pixel))

    def point_in_scene(self, origin: Float[np.ndarray, "3"], direction: Float[np.ndarray, "3"]) -> None:
        """Point at the object of the shown query: the first surface along a ray in the world."""
        self._change_points(lambda query, interactive: interactive.point_in_scene(query, origin, direction))

    def undo(self) -> None:
        """Take back the last change of the user's answers."""
        self._plan(lambda planner: planner.undo())

    def retract(self, image: str) -> None:
        """Remove the user's answer about the shown query in an image."""
        self._change_points(lambda query, interactive: interactive.retract(query, image))

    def set_gripper(self, gripper: str) -> None:
        """Plan for another gripper or hand; grasps of the earlier one are no longer shown."""
        self._motion = None
        self._draw.do(lambda: self.page.await_gripper(gripper))
        self._plan(lambda planner: planner.set_gripper(gripper))

    def keep(self, client: Client) -> None:
        """Write the line that stands for what a browser shows."""
        self._draw.do(lambda: self.page.keep(client.camera()))

    def restore(self, client: Client, text: str) -> None:
        """Show what a line from the page stands for: query, gripper or hand, grasp and a browser's camera."""

        def show() -> None:
            state = from_text(text)
            self.page.restore(state)
            if state.camera is not None:
                client.look(state.camera)
            # Otherwise its grasps are planned already.
            if self.page.awaited is not None:
                self.set_gripper(state.gripper)

        self._draw.do(show)

    def choose_grasp(self, number: int) -> None:
        """Show another grasp, 0 being the best."""
        self._motion = None
        self._draw.do(lambda: self.page.choose_grasp(number), instead_of="grasp")

    def play(self) -> None:
        """Play the motion of the shown grasp, until it ends or something else is drawn."""
        motion = self._motion = object()
        self._draw.do(lambda: self.page.play(lambda: self._motion is motion and not self._draw.waiting))

    def scrub(self) -> None:
        """Show the moment of the motion to which the slider is moved."""
        self._motion = None
        self._draw.do(self.page.scrub, instead_of="scrub")

    def repaint(self) -> None:
        """Colour the Gaussians according to the sliders."""
        self._draw.do(self.page.paint, instead_of="paint")

    def show(self, part: str, shown: bool) -> None:
        """Show or hide a part of the scene."""
        self._draw.do(self.page.draw_geometry)
        self.page.nodes.show(part, shown)

    def open(self, client: Client, image: str) -> None:
        """Open a photograph in a browser."""
        self._draw.do(lambda: self.page.open(client, image))

    def turn_photographs(self, offset: int) -> None:
        """Show earlier or later photographs in the strip."""
        self._draw.do(lambda: self.page.turn(offset))

    def look(self, client: Client, camera: BrowserCamera) -> None:
        """Look from another camera in a browser."""
        self._draw.do(lambda: client.look(camera))

    def draw_photo(self, client: Client) -> None:
        """Draw the open photograph of a browser again."""
        self._draw.do(lambda: self.page.draw_photo(client))

    def export(self, encode: Callable[[InteractiveSession], bytes], send: Callable[[bytes], None]) -> None:
        """Finish planning for every query, then encode and send a file."""
        self._plan(lambda planner: planner.export(encode, send))

    def _plan(self, action: Callable[[PlannerThread], None]) -> None:
        if self._planner is None:
            self.notify("The images are still being loaded: wait a moment.")
        else:
            action(self._planner)

    def _change_points(self, change: Callable[[str, InteractiveSession], object]) -> None:
        query = self.page.query
        if query is None:
            self.notify("Add a query first, under Find.")
        else:
            self._plan(lambda planner: planner.change_points(query, partial(change, query)))

    # ── drawing and messages ───────────────────────────────────────────────────────────────────
    def _refresh(self) -> None:
        self._motion = None
        self._draw.do(self._redraw, instead_of="refresh")

    def _redraw(self) -> None:
        self.page.refresh()
        self._draw_photos()

    def _choose(self, query: str) -> None:
        self._motion = None
        self.page.choose(query)
        self._draw_photos()

    def _draw_photos(self) -> None:
        for client in list(self.clients.values()):
            self.page.draw_photo(client)

    def _busy(self, task: str | None, progress: float) -> None:
        # The bar is always there: viser 0.2 breaks if one is added or removed.
        panel, text = self.page.panel, task or f"Ready. {WHAT_TO_DO}"
        if panel.busy.content != text:
            panel.busy.content = text
        set_value(panel.progress, round(100 * progress))

    def notify(self, text: str) -> None:
        """Show a message in all browsers until it is closed."""
        for client in list(self.clients.values()):
            client.handle.add_notification("point2act", text)

    def _failed(self, err: BaseException) -> None:
        self._busy(None, 0.0)
        # In its turn: the drawing thread may not know the gripper yet.
        self._draw.do(self.page.forget_gripper)
        if isinstance(err, Point2ActError):
            self.notify(str(err))
        else:
            self.notify(f"Internal error of point2act: {err!r}")
            traceback.print_exception(err)
