"""What controls and browsers of a page do to its viewer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import viser
from jaxtyping import Float

from point2act.visualization.viewer.clients import Client, PhotoActions
from point2act.visualization.viewer.export import grasps_json, points_json, screenshot, send, splat_ply
from point2act.visualization.viewer.page import labels_of
from point2act.visualization.viewer.panel import NOTHING, TURNS, on_press
from point2act.visualization.viewer.photos import BrowserCamera
from point2act.visualization.viewer.viewpoints import from_base, from_view, viewpoint

if TYPE_CHECKING:
    from point2act.pipeline.interactive import InteractiveSession
    from point2act.visualization.viewer.viewer import Viewer
else:
    # The session imports torch, which is not needed to show a scene; the viewer imports this module.
    InteractiveSession = Viewer = Any

Handle = viser.ClientHandle | None
"""The browser of an event; None if the server itself set a value."""


class Callbacks:
    """Callbacks of all controls and browsers of one page."""

    def __init__(self, viewer: Viewer):
        """Attach all callbacks."""
        self.viewer, self.page, self.panel = viewer, viewer.page, viewer.page.panel
        self.page.opened = self._open
        self._attach_values()
        self._attach_buttons()
        self._attach_views()
        viewer.server.on_client_connect(self._add_client)
        viewer.server.on_client_disconnect(self._remove_client)

    # ── controls ───────────────────────────────────────────────────────────────────────────────
    def _attach_values(self) -> None:
        viewer, panel = self.viewer, self.panel
        updates: list[tuple[Any, Callable[[Any], None]]] = [
            (panel.query, lambda label: viewer.choose(self._name(label))),
            (panel.blend, lambda _: viewer.repaint()),
            (panel.threshold, lambda _: viewer.repaint()),
            (panel.gripper, viewer.set_gripper),
            (panel.grasp, self._choose_in_menu),
            (panel.motion, lambda _: viewer.scrub()),
        ]
        updates += [(box, partial(viewer.show, part)) for part, box in panel.shown.items()]
        for handle, act in updates:
            # Values set by the server come back as updates without a client.
            handle.on_update(lambda e, act=act: None if e.client is None else act(e.target.value))

    def _attach_buttons(self) -> None:
        viewer, panel = self.viewer, self.panel
        panel.ask.on_click(lambda _: viewer.add(panel.new.value, panel.role.value, ask=True))
        panel.point.on_click(lambda _: viewer.add(panel.new.value, panel.role.value, ask=False))
        panel.click.on_click(lambda e: self._wait_for_click(e.client))
        panel.undo.on_click(lambda _: viewer.undo())
        panel.following.on_click(lambda _: viewer.choose_grasp(self.page.grasp + 1))
        panel.previous.on_click(lambda _: viewer.choose_grasp(self.page.grasp - 1))
        panel.play.on_click(lambda _: viewer.play())
        panel.json.on_click(lambda e: self._export(e.client, "grasps.json", grasps_json))
        panel.points.on_click(lambda e: self._export(e.client, "points.json", points_json))
        panel.ply.on_click(lambda e: self._export(e.client, "scene.ply", lambda _: splat_ply(viewer.scene)))
        panel.keep.on_click(lambda e: self._keep(e.client))
        panel.restore.on_click(lambda e: self._restore(e.client))
        renders = self.page.nodes.gaussians.renders
        # Not in a shared thread: a browser that is gone never replies.
        panel.screenshot.on_click(lambda e: send(e.client, "point2act.png", screenshot(e.client, renders)))

    def _attach_views(self) -> None:
        viewer, panel = self.viewer, self.panel
        panel.open.on_click(lambda e: self._open(e.client, panel.photo.value))
        panel.camera.on_click(lambda e: self._look_from_camera(e.client, panel.photo.value))
        for row in panel.rows:
            on_press(row, lambda handle, number: self._open(handle, self.page.frames[int(number) - 1].name))
        on_press(panel.turn, lambda _, label: viewer.turn_photographs(1 if label == TURNS[1] else -1))
        on_press(panel.look, self._look_from)
        panel.base.on_click(lambda e: self._look_from_base(e.client))

    def _export(self, handle: Handle, filename: str, encode: Callable[[InteractiveSession], bytes]) -> None:
        if handle is not None:
            self.viewer.export(encode, partial(send, handle, filename))

    def _choose_in_menu(self, label: str) -> None:
        labels = self.panel.grasp.options
        if label != NOTHING and label in labels:
            self.viewer.choose_grasp(labels.index(label))

    def _name(self, label: str) -> str:
        """Return the name of the query with a label of the menu."""
        names = {} if self.page.now is None else labels_of(self.page.now)
        return next((name for name, shown in names.items() if shown == label), label)

    # ── browsers ───────────────────────────────────────────────────────────────────────────────
    def _add_client(self, handle: viser.ClientHandle) -> None:
        viewer, nodes, boxes = self.viewer, self.page.nodes, self.panel.shown
        actions = PhotoActions(
            pointed=self._pointed,
            hidden=lambda client: None if client.image is None else viewer.point(client.image, None),
            retract=lambda client: None if client.image is None else viewer.retract(client.image),
            step=self._step,
            redraw=viewer.draw_photo,
        )
        viewer.clients[handle.client_id] = Client(
            handle,
            nodes.initial_camera,
            nodes.unit,
            lambda: {part: box.value for part, box in boxes.items()},
            actions,
        )
        viewer.connected.set()

    def _remove_client(self, handle: viser.ClientHandle) -> None:
        self.viewer.clients.pop(handle.client_id, None)

    def _client(self, handle: Handle) -> Client | None:
        return None if handle is None else self.viewer.clients.get(handle.client_id)

    def _open(self, handle: Handle, image: str) -> None:
        client = self._client(handle)
        if client is not None and image != NOTHING:
            self.viewer.open(client, image)

    def _look(self, handle: Handle, camera: BrowserCamera) -> None:
        client = self._client(handle)
        if client is not None:
            self.viewer.look(client, camera)

    def _keep(self, handle: Handle) -> None:
        client = self._client(handle)
        if client is not None:
            self.viewer.keep(client)

    def _restore(self, handle: Handle) -> None:
        client = self._client(handle)
        if client is not None:
            self.viewer.restore(client, self.panel.line.value)

    def _look_from_camera(self, handle: Handle, image: str) -> None:
        views = () if self.page.interactive is None else self.page.interactive.session.views
        for view in views:
            if view.name == image:
                self._look(handle, from_view(view, self.page.nodes.initial_camera))

    def _look_from(self, handle: Handle, name: str) -> None:
        self._look(handle, viewpoint(name, self.page.nodes.initial_camera))

    def _look_from_base(self, handle: Handle) -> None:
        interactive = self.page.interactive
        base = None if interactive is None else interactive.session.capture.base
        if base is not None:
            self._look(handle, from_base(base, self.page.nodes.initial_camera))

    def _wait_for_click(self, handle: Handle) -> None:
        client = self._client(handle)
        if client is None:
            return
        if self.page.query is None:
            self.viewer.notify("Add a query first, under Find.")
        else:
            client.close()
            client.wait_for_click(self.viewer.point_in_scene)

    def _step(self, client: Client, offset: int) -> None:
        names = [frame.name for frame in self.page.frames]
        if client.image in names:
            self.viewer.open(client, names[(names.index(client.image) + offset) % len(names)])

    def _pointed(self, client: Client, pixel: Float[np.ndarray, "2"]) -> None:
        interactive = self.page.interactive
        if interactive is not None and client.image is not None and client.view is not None:
            self.viewer.point(client.image, interactive.on_disk(client.image, client.view, pixel))
