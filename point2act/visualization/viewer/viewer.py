"""Viewer for any number of browsers: what users do becomes jobs of a drawing and a planning thread."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import viser
from jaxtyping import Float

from point2act.core.errors import Point2ActError
from point2act.core.types import Frame, GaussianScene, Role
from point2act.visualization.viewer.clients import Client, PhotoActions
from point2act.visualization.viewer.export import grasps_json, points_json, screenshot, send, splat_ply
from point2act.visualization.viewer.page import Page, labels_of
from point2act.visualization.viewer.panel import NOTHING, build_panel
from point2act.visualization.viewer.planner_thread import Notify, PlannerThread
from point2act.visualization.viewer.scene_nodes import SceneNodes
from point2act.visualization.viewer.serving import ViewerConfig, serve, url_of
from point2act.visualization.viewer.worker import Worker

if TYPE_CHECKING:
    from point2act.pipeline.interactive import InteractiveSession
else:
    # Imports torch, which is not needed to show a scene.
    InteractiveSession = Any


class Viewer:
    """A page with a scene.

    A reduced set of Gaussians is shown at once; ``start`` connects the session that answers queries. One
    thread draws and one plans, so the page stays responsive. All methods for users return at once.
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
            grippers: Names of the grippers that can be chosen.
            asks: Whether the session will have a model to ask.
            config: Address of the page.

        Raises:
            Point2ActError: The address cannot be served.
        """
        self._draw = Worker("draw", self._failed)
        self._later = Worker("gaussians", self._failed)
        self._planner: PlannerThread | None = None
        self._clients: dict[int, Client] = {}
        self._motion: object = None
        self._connected = threading.Event()
        self.server = serve(config)
        images = tuple(frame.name for frame in frames)
        panel = build_panel(self.server, title=title, images=images, grippers=tuple(grippers), asks=asks)
        nodes = SceneNodes(self.server, scene, [frame.T_world_cam for frame in frames], self._later)
        nodes.grasps.clicked = self.choose_grasp
        for part, box in panel.shown.items():
            nodes.show(part, box.value)
        self.page = Page(nodes, panel, scene, frames)
        self.page.opened = self._open
        self._scene = scene
        self._attach_callbacks()

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
        notify = Notify(self._refresh, self.choose, self._busy, self._notify, self._failed)
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
        if self._connected.wait(timeout):
            time.sleep(drawing)
        self._draw.do(self.page.nodes.gaussians.draw_all)

    def settle(self, timeout: float = 60.0) -> bool:
        """Wait until both threads are idle, and return whether each was within ``timeout`` seconds."""
        planner = [] if self._planner is None else [self._planner.worker]
        return all(worker.settle(timeout) for worker in (self._draw, *planner, self._draw))

    def stop(self) -> None:
        """Stop the server and both threads."""
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
        """Plan for another gripper; grasps of the earlier one are no longer shown."""
        self._motion = None
        self._draw.do(lambda: self.page.await_gripper(gripper))
        self._plan(lambda planner: planner.set_gripper(gripper))

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

    def open(self, client: Client, image: str) -> None:
        """Open a photograph in a browser."""
        self._draw.do(lambda: self.page.open(client, image))

    def _plan(self, action: Callable[[PlannerThread], None]) -> None:
        if self._planner is None:
            self._notify("The images are still being loaded: wait a moment.")
        else:
            action(self._planner)

    def _change_points(self, change: Callable[[str, InteractiveSession], object]) -> None:
        query = self.page.query
        if query is None:
            self._notify("Add a query first, under Find.")
        else:
            self._plan(lambda planner: planner.change_points(query, partial(change, query)))

    def _export(
        self, client: viser.ClientHandle | None, filename: str, encode: Callable[[InteractiveSession], bytes]
    ) -> None:
        if client is not None:
            self._plan(lambda planner: planner.export(encode, partial(send, client, filename)))

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
        for client in list(self._clients.values()):
            self.page.draw_photo(client)

    def _busy(self, task: str | None, progress: float) -> None:
        # The bar is always there: viser 0.2 breaks if one is added or removed.
        self.page.panel.busy.content = task or "Ready"
        self.page.panel.progress.value = 100 * progress

    def _notify(self, text: str) -> None:
        """Show a message in all browsers until it is closed."""
        for client in list(self._clients.values()):
            client.handle.add_notification("point2act", text)

    def _failed(self, err: BaseException) -> None:
        self._busy(None, 0.0)
        if self.page.awaited is not None:
            self._draw.do(lambda: self.page.await_gripper(None))
        if isinstance(err, Point2ActError):
            self._notify(str(err))
        else:
            self._notify(f"Internal error of point2act: {err!r}")
            traceback.print_exception(err)

    # ── callbacks ──────────────────────────────────────────────────────────────────────────────
    def _attach_callbacks(self) -> None:
        panel = self.page.panel
        updates: list[tuple[Any, Callable[[Any], None]]] = [
            (panel.query, lambda label: self.choose(self._name(label))),
            (panel.blend, lambda _: self.repaint()),
            (panel.threshold, lambda _: self.repaint()),
            (panel.gripper, self.set_gripper),
            (panel.grasp, self._choose_in_menu),
            (panel.motion, lambda _: self.scrub()),
        ]
        updates += [(box, partial(self.page.nodes.show, part)) for part, box in panel.shown.items()]
        for handle, act in updates:
            # Values set by the server come back as updates without a client.
            handle.on_update(lambda e, act=act: None if e.client is None else act(e.target.value))
        panel.ask.on_click(lambda _: self.add(panel.new.value, panel.role.value, ask=True))
        panel.point.on_click(lambda _: self.add(panel.new.value, panel.role.value, ask=False))
        panel.click.on_click(lambda e: self._wait_for_click(e.client))
        panel.undo.on_click(lambda _: self.undo())
        panel.open.on_click(lambda e: self._open(e.client, panel.photo.value))
        panel.following.on_click(lambda _: self.choose_grasp(self.page.grasp + 1))
        panel.previous.on_click(lambda _: self.choose_grasp(self.page.grasp - 1))
        panel.play.on_click(lambda _: self.play())
        panel.json.on_click(lambda e: self._export(e.client, "grasps.json", grasps_json))
        panel.points.on_click(lambda e: self._export(e.client, "points.json", points_json))
        panel.ply.on_click(lambda e: self._export(e.client, "scene.ply", lambda _: splat_ply(self._scene)))
        renders = self.page.nodes.gaussians.renders
        # Not in a shared thread: a browser that is gone never replies.
        panel.screenshot.on_click(lambda e: send(e.client, "point2act.png", screenshot(e.client, renders)))
        self.server.on_client_connect(self._add_client)
        self.server.on_client_disconnect(self._remove_client)

    def _add_client(self, handle: viser.ClientHandle) -> None:
        actions = PhotoActions(
            pointed=self._pointed,
            hidden=lambda client: None if client.image is None else self.point(client.image, None),
            retract=lambda client: None if client.image is None else self.retract(client.image),
            step=self._step,
            redraw=lambda client: self._draw.do(lambda: self.page.draw_photo(client)),
        )
        nodes, boxes = self.page.nodes, self.page.panel.shown
        self._clients[handle.client_id] = Client(
            handle,
            nodes.initial_camera,
            nodes.unit,
            lambda: {part: box.value for part, box in boxes.items()},
            actions,
        )
        self._connected.set()

    def _remove_client(self, handle: viser.ClientHandle) -> None:
        self._clients.pop(handle.client_id, None)

    def _open(self, handle: viser.ClientHandle | None, image: str) -> None:
        client = None if handle is None else self._clients.get(handle.client_id)
        if client is not None and image != NOTHING:
            self.open(client, image)

    def _wait_for_click(self, handle: viser.ClientHandle | None) -> None:
        client = None if handle is None else self._clients.get(handle.client_id)
        if client is None:
            return
        if self.page.query is None:
            self._notify("Add a query first, under Find.")
        else:
            client.close()
            client.wait_for_click(self.point_in_scene)

    def _step(self, client: Client, offset: int) -> None:
        names = [frame.name for frame in self.page.frames]
        if client.image in names:
            self.open(client, names[(names.index(client.image) + offset) % len(names)])

    def _pointed(self, client: Client, pixel: Float[np.ndarray, "2"]) -> None:
        interactive = self.page.interactive
        if interactive is not None and client.image is not None and client.view is not None:
            self.point(client.image, interactive.on_disk(client.image, client.view, pixel))

    def _choose_in_menu(self, label: str) -> None:
        labels = self.page.panel.grasp.options
        if label != NOTHING and label in labels:
            self.choose_grasp(labels.index(label))

    def _name(self, label: str) -> str:
        """Return the name of the query with a label of the menu."""
        names = {} if self.page.now is None else labels_of(self.page.now)
        return next((name for name, shown in names.items() if shown == label), label)
