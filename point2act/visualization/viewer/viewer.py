"""A page for any number of people: what they do becomes jobs for two threads. No science in here."""

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
from point2act.visualization.viewer.clients import Guest, PhotoActions
from point2act.visualization.viewer.export import grasps_json, points_json, screenshot, send, splat_ply
from point2act.visualization.viewer.page import Page, labels_of
from point2act.visualization.viewer.panel import NOTHING, build_panel
from point2act.visualization.viewer.planner_thread import Telling, Thinking
from point2act.visualization.viewer.scene_nodes import World
from point2act.visualization.viewer.serving import ViewerConfig, serve, url_of
from point2act.visualization.viewer.worker import Worker

if TYPE_CHECKING:
    from point2act.pipeline.interactive import InteractiveSession
else:
    # It brings torch, which is not needed to show a scene.
    InteractiveSession = Any


class Viewer:
    """A page with a scene.

    A sketch of the scene is shown at once; ``begin`` brings in whoever answers questions. One thread
    draws and one thinks, so that the page stays quick while something is worked out. Whatever people do
    returns at once.
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
        """Serve a page with Gaussians and cameras, all in the world frame.

        ``title`` stands above the panel, ``grippers`` may be chosen among, and ``asks`` says whether there
        will be a model to ask. Raises ``Point2ActError`` where the address cannot be
        served.
        """
        self._draw = Worker("draw", self._failed)
        self._thinking: Thinking | None = None
        self._guests: dict[int, Guest] = {}
        self._film: object = None
        self._somebody = threading.Event()
        self.server = serve(config)
        panel = build_panel(
            self.server,
            title=title,
            images=tuple(frame.name for frame in frames),
            grippers=tuple(grippers),
            asks=asks,
        )
        world = World(self.server, scene, [frame.T_world_cam for frame in frames])
        for part, box in panel.shown.items():
            world.show(part, box.value)
        self.page = Page(world, panel, scene, frames)
        self.page.opened = self._opened
        self._scene = scene
        self._wire()

    @property
    def url(self) -> str:
        """Where the page is."""
        return url_of(self.server)

    def begin(self, interactive: InteractiveSession, *, command: Callable[[], str]) -> None:
        """Let people ask: now everything is located, and acted on. ``command`` reproduces what is shown."""
        telling = Telling(self._refresh, self.choose, self._busy, self._tell, self._failed)
        self._draw.do(self.page.world.sharpen)
        self._draw.do(lambda: self.page.begin(interactive, command))
        self._thinking = Thinking(interactive, telling, lambda: self.page.query)
        self._draw.do(self._thinking.begin)

    def greet(self, *, coming: float, drawing: float) -> None:
        """Wait until somebody comes and sees a sketch of the scene, seconds at most; then send all Gaussians.

        Whoever calls leaves the machine to their browser meanwhile.
        """
        if self._somebody.wait(coming):
            time.sleep(drawing)
        self._draw.do(self.page.world.sharpen)

    def settle(self, timeout: float = 60.0) -> bool:
        """Wait until nothing is being drawn or worked out; whether that came in time, seconds."""
        thinking = [] if self._thinking is None else [self._thinking.worker]
        return all(worker.settle(timeout) for worker in (self._draw, *thinking, self._draw))

    def stop(self) -> None:
        """Close the page."""
        self._film = None
        if self._thinking is not None:
            self._thinking.worker.end()
        self._draw.end()
        self.server.stop()

    # ── what people do ─────────────────────────────────────────────────────────────────────────
    def choose(self, query: str) -> None:
        """Look at another query, by its name."""
        self._draw.do(lambda: self._choose(query))

    def add(self, text: str, role: Role, *, ask: bool) -> None:
        """Look for something else; have the model asked, or leave it to people to point."""
        self._with_thinking(lambda thinking: thinking.add(text, role, ask=ask))

    def point(self, image: str, pixel: Float[np.ndarray, "2"] | None) -> None:
        """A person points at the chosen query's thing, pixels of the image on disk; None: it is not seen."""
        self._hear(lambda query, interactive: interactive.point(query, image, pixel))

    def take_back(self, image: str) -> None:
        """Forget what a person said about the chosen query in an image."""
        self._hear(lambda query, interactive: interactive.retract(query, image))

    def use(self, gripper: str) -> None:
        """Plan with another gripper."""
        self._with_thinking(lambda thinking: thinking.use(gripper))

    def choose_grasp(self, number: int) -> None:
        """Look at another grasp, 0 being the best."""
        self._film = None
        self._draw.do(lambda: self.page.choose_grasp(number), instead_of="grasp")

    def play(self) -> None:
        """Show how the hand moves; a new film, or a look at something else, ends the one that runs."""
        film = self._film = object()
        self._draw.do(lambda: self.page.play(lambda: self._film is film and not self._draw.waiting))

    def repaint(self) -> None:
        """Colour the Gaussians as the sliders say."""
        self._draw.do(self.page.paint, instead_of="paint")

    def open(self, guest: Guest, image: str) -> None:
        """Show somebody a photograph."""
        self._draw.do(lambda: self.page.open(guest, image))

    def _with_thinking(self, does: Callable[[Thinking], None]) -> None:
        if self._thinking is None:
            self._tell("The images are still being read: wait a moment.")
        else:
            does(self._thinking)

    def _hear(self, says: Callable[[str, InteractiveSession], object]) -> None:
        """Somebody says something about the query that people look at now."""
        query = self.page.query
        if query is None:
            self._tell("First say what to look for, under Find.")
        else:
            self._with_thinking(lambda thinking: thinking.hear(query, lambda d: says(query, d)))

    # ── what is told ───────────────────────────────────────────────────────────────────────────
    def _refresh(self) -> None:
        self._film = None
        self._draw.do(self._redraw, instead_of="refresh")

    def _redraw(self) -> None:
        self.page.refresh()
        self._draw_photos()

    def _choose(self, query: str) -> None:
        self._film = None
        self.page.choose(query)
        self._draw_photos()

    def _draw_photos(self) -> None:
        for guest in list(self._guests.values()):
            self.page.draw_photo(guest)

    def _busy(self, what: str | None, share: float) -> None:
        panel = self.page.panel
        # The bar is always there: viser 0.2 breaks where one comes or goes.
        panel.busy.content = what or "Ready"
        panel.progress.value = 100 * share

    def _tell(self, text: str) -> None:
        """Show a sentence to everybody who watches, until they close it."""
        for guest in list(self._guests.values()):
            guest.client.add_notification("point2act", text)

    def _failed(self, err: BaseException) -> None:
        self._busy(None, 0.0)
        self._tell(str(err) if isinstance(err, Point2ActError) else f"This is a defect of point2act: {err!r}")
        if not isinstance(err, Point2ActError):
            traceback.print_exception(err)

    # ── wiring ─────────────────────────────────────────────────────────────────────────────────
    def _wire(self) -> None:
        panel = self.page.panel
        updates: list[tuple[Any, Callable[[Any], None]]] = [
            (panel.query, lambda label: self.choose(self._name(label))),
            (panel.blend, lambda _: self.repaint()),
            (panel.threshold, lambda _: self.repaint()),
            (panel.gripper, self.use),
            (panel.grasp, self._choose_in_menu),
        ]
        updates += [
            (box, lambda shown, part=part: self.page.world.show(part, shown))
            for part, box in panel.shown.items()
        ]
        for handle, does in updates:
            # Values that we set ourselves come back as updates by nobody.
            handle.on_update(lambda e, does=does: None if e.client is None else does(e.target.value))
        panel.ask.on_click(lambda _: self.add(panel.new.value, panel.role.value, ask=True))
        panel.begin.on_click(lambda _: self.add(panel.new.value, panel.role.value, ask=False))
        panel.open.on_click(lambda e: self._opened(e.client, panel.photo.value))
        panel.following.on_click(lambda _: self.choose_grasp(self.page.grasp + 1))
        panel.previous.on_click(lambda _: self.choose_grasp(self.page.grasp - 1))
        panel.play.on_click(lambda _: self.play())
        panel.json.on_click(lambda e: self._send(e.client, "grasps.json", grasps_json))
        panel.points.on_click(lambda e: self._send(e.client, "points.json", points_json))
        panel.ply.on_click(lambda e: self._send(e.client, "scene.ply", lambda _: splat_ply(self._scene)))
        # Not in a thread that others need: a browser that is gone never answers.
        panel.screenshot.on_click(lambda e: send(e.client, "point2act.png", screenshot(e.client)))
        self.server.on_client_connect(self._came)
        self.server.on_client_disconnect(self._left)

    def _came(self, client: viser.ClientHandle) -> None:
        actions = PhotoActions(
            pointed=self._pointed,
            hidden=lambda guest: None if guest.image is None else self.point(guest.image, None),
            take_back=lambda guest: None if guest.image is None else self.take_back(guest.image),
            step=self._step,
            redraw=lambda guest: self._draw.do(lambda: self.page.draw_photo(guest)),
        )
        parts = self.page.panel.shown
        self._guests[client.client_id] = Guest(
            client,
            self.page.world.outlook,
            self.page.world.unit,
            lambda: {part: box.value for part, box in parts.items()},
            actions,
        )
        self._somebody.set()

    def _left(self, client: viser.ClientHandle) -> None:
        self._guests.pop(client.client_id, None)

    def _opened(self, client: viser.ClientHandle | None, image: str) -> None:
        guest = None if client is None else self._guests.get(client.client_id)
        if guest is not None and image != NOTHING:
            self.open(guest, image)

    def _step(self, guest: Guest, by: int) -> None:
        names = [frame.name for frame in self.page.frames]
        if guest.image in names:
            self.open(guest, names[(names.index(guest.image) + by) % len(names)])

    def _pointed(self, guest: Guest, pixel: Float[np.ndarray, "2"]) -> None:
        interactive = self.page.interactive
        if interactive is not None and guest.image is not None and guest.view is not None:
            self.point(guest.image, interactive.on_disk(guest.image, guest.view, pixel))

    def _choose_in_menu(self, label: str) -> None:
        labels = self.page.panel.grasp.options
        if label != NOTHING and label in labels:
            self.choose_grasp(labels.index(label))

    def _name(self, label: str) -> str:
        names = {} if self.page.now is None else labels_of(self.page.now)
        return next((name for name, shown in names.items() if shown == label), label)

    def _send(
        self, client: viser.ClientHandle | None, filename: str, make: Callable[[InteractiveSession], bytes]
    ) -> None:
        """Make a file and let a person download it."""
        if client is not None:
            self._with_thinking(lambda thinking: thinking.make(make, partial(send, client, filename)))
