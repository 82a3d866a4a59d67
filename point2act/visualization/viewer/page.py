"""Content of the page, drawn from the state of the session. Used by one thread only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import viser
from jaxtyping import Float, UInt8

from point2act.core.errors import Point2ActError
from point2act.core.types import Frame, GaussianScene, Grasp, QueryResult
from point2act.grasping.motion import drawn_share, motion
from point2act.localization.support import rejected_places
from point2act.visualization.drawing import PALETTE, Color
from point2act.visualization.viewer import markdown
from point2act.visualization.viewer.clients import Client
from point2act.visualization.viewer.grasp_player import GraspPlayer
from point2act.visualization.viewer.panel import AT_GRASP, NOTHING, Panel, enable, set_value
from point2act.visualization.viewer.photo_strip import (
    COLUMNS,
    ROWS,
    as_markdown,
    color_of,
    legend,
    shrunk,
    strip,
)
from point2act.visualization.viewer.photos import BrowserCamera, annotated, thumbnail
from point2act.visualization.viewer.scene_nodes import SceneNodes
from point2act.visualization.viewer.state_text import ShownState, to_text

if TYPE_CHECKING:
    from point2act.pipeline.interactive import InteractiveSession
    from point2act.pipeline.interactive_state import State
else:
    # They import torch, which is not needed to show a scene.
    InteractiveSession = State = Any

# The longer side of the image in a camera's frustum, pixels. Chosen: it is drawn a few centimetres wide.
_THUMBNAIL = 112
# Small photograph of a frame that was not loaded.
_MISSING = np.full((72, 128, 3), 60, np.uint8)


class Page:
    """Scene and panel of one viewer, with the query and the grasp that are shown."""

    def __init__(self, nodes: SceneNodes, panel: Panel, scene: GaussianScene, frames: Sequence[Frame]):
        """Show the Gaussians and the cameras; there is no session yet."""
        self.nodes, self.panel, self.frames = nodes, panel, list(frames)
        self.interactive: InteractiveSession | None = None
        self.query: str | None = None
        """Name of the shown query."""
        self.grasp = 0
        """Index of the shown grasp."""
        self.wanted: int | None = None
        """Index of a grasp that is to be shown as soon as grasps are planned; None for the best."""
        self.awaited: str | None = None
        """Gripper or hand that was chosen and is not planned for yet: no grasp is shown until then."""
        self.opened: Callable[[viser.ClientHandle, str], None] = lambda client, image: None
        """Called with the client and the image when a camera is clicked."""
        self._scene, self._drawn = scene, {}
        self._small: list[UInt8[np.ndarray, "_h _w 3"]] = []
        self._turned = 0
        self._geometry: tuple[object, object] = (None, None)
        self._strip: tuple[object, ...] = ()
        self._command: Callable[[], str] = lambda: ""
        about = markdown.about_scene(len(scene), len(self.frames), None)
        self.panel.status.content = f"{about}\n\nReading the images …"
        self._draw_cameras({})

    def start(self, interactive: InteractiveSession, command: Callable[[], str]) -> None:
        """Show a session; ``command`` returns the command line that reproduces it."""
        self.interactive, self._command, self._drawn = interactive, command, {}
        queries = interactive.state.points.queries
        self.query = queries[0].name if queries else None
        session = interactive.session
        views = len(session.views)
        self.panel.about.content = markdown.about_scene(len(self._scene), views, session.metric)
        small = {view.name: shrunk(view.rgb) for view in session.views}
        self._small = [small.get(frame.name, _MISSING) for frame in self.frames]
        self.panel.status.visible = False
        self.panel.base.visible = session.capture.base is not None
        enable(self.panel, True)
        self.refresh()

    # ── all of it ──────────────────────────────────────────────────────────────────────────────
    @property
    def now(self) -> State | None:
        """State of the session."""
        return None if self.interactive is None else self.interactive.state

    @property
    def result(self) -> QueryResult | None:
        """Result of the shown query, as far as it is known."""
        return None if self.now is None or self.query is None else self.now.result(self.query)

    def choose(self, query: str) -> None:
        """Show another query."""
        if query != self.query:
            self.query, self.grasp, self.wanted = query, 0, None
            self.refresh()

    def refresh(self) -> None:
        """Draw the shown query."""
        if self.now is None or self.interactive is None:
            return
        shown = labels_of(self.now)
        panel, result = self.panel, self.result
        verdicts = self._verdicts()
        with self.nodes.server.atomic():
            panel.query.options = tuple(shown.values()) or (NOTHING,)
            set_value(panel.query, shown.get(self.query or "", NOTHING))
            panel.result.content = self._about_query(result)
            self._draw_strip(verdicts)
            panel.command.content = f"Command:\n\n`{self._command()}`"
            set_value(panel.gripper, self.awaited or self.interactive.config.end_effector)
            self.nodes.draw_answer(result)
            self._draw_cameras(verdicts)
            self._draw_grasps()
            self.draw_geometry()
            self.paint()

    def draw_geometry(self) -> None:
        """Draw what the grasps of the shown query are planned on, if that is to be seen."""
        now, query = self.now, self.query
        if now is None or self.interactive is None or not self.panel.shown["geometry"].value:
            return
        one, result = now.localized.get(query or ""), self.result
        if (one, result) != self._geometry:
            self._geometry = (one, result)
            cut = None if result is None else result.cut
            self.nodes.geometry.draw(self.interactive.surface(query), cut, now.gripper)

    def paint(self) -> None:
        """Colour the Gaussians according to the sliders."""
        relevancy = None
        if self.now is not None and self.query in self.now.localized:
            relevancy = self.now.localized[self.query].relevancy
        self.nodes.gaussians.paint(
            relevancy, blend=self.panel.blend.value, threshold=self.panel.threshold.value
        )

    # ── queries ────────────────────────────────────────────────────────────────────────────────
    def _about_query(self, result: QueryResult | None) -> str:
        assert self.now is not None
        if not self.now.points.queries:
            return markdown.NO_QUERIES
        if result is None:
            return "Localizing …"
        planned = result.query.name in self.now.results or result.region is None
        about = markdown.about_result(result, self._rejected_places(result))
        return about + ("" if planned else "\n\nPlanning …")

    def _rejected_places(self, result: QueryResult) -> tuple[int, ...]:
        """Return how many of the views that disagree name each other place."""
        assert self.now is not None
        localization = self.now.localized.get(result.query.name)
        if result.region is None or localization is None or self.interactive is None:
            return ()
        context, config = localization.context, self.interactive.config.region.support
        return rejected_places(
            result.region.support, context.views, context.depths, context.pixels, config=config
        )

    # ── cameras and photographs ────────────────────────────────────────────────────────────────
    def _verdicts(self) -> dict[str, markdown.Verdict]:
        """Return the verdict on the answers to the shown query, by image."""
        now, query, found = self.now, self.query, {}
        if now is None or query is None:
            return found
        for frame in self.frames:
            image = frame.name
            verdict = markdown.verdict(
                image, now.answers(query, image), now.counted(query, image), now.result(query)
            )
            if verdict is not None:
                found[image] = verdict
        return found

    def _draw_cameras(self, verdicts: Mapping[str, markdown.Verdict]) -> None:
        """Draw the cameras whose colour or image has changed."""
        views = {} if self.interactive is None else {v.name: v for v in self.interactive.session.views}
        for number, frame in enumerate(self.frames):
            color = color_of(verdicts.get(frame.name))
            view = views.get(frame.name)
            if self._drawn.get(frame.name) != (color, view is not None):
                image = None if view is None else thumbnail(view.rgb, _THUMBNAIL)
                opened = lambda client, name=frame.name: self.opened(client, name)  # noqa: E731
                self.nodes.draw_camera(number, frame.camera, image, color, opened)
                self._drawn[frame.name] = (color, view is not None)

    def _draw_strip(self, verdicts: Mapping[str, markdown.Verdict]) -> None:
        """Draw the small photographs if their verdicts have changed, or others are shown."""
        found = [verdicts.get(frame.name) for frame in self.frames]
        self.panel.photos.content = legend(found)
        first = self._turned * ROWS * COLUMNS
        shown = slice(first, first + ROWS * COLUMNS)
        wanted = (first, tuple(found[shown]))
        if self._small and wanted != self._strip:
            self._strip = wanted
            picture = strip(self._small[shown], found[shown], first + 1)
            self.panel.strip.content = as_markdown(picture, "Photographs by verdict")
            for number, row in enumerate(self.panel.rows):
                row.visible = number // ROWS == self._turned

    def turn(self, offset: int) -> None:
        """Show earlier or later photographs in the strip, as far as there are any."""
        pages = -(-len(self._small) // (ROWS * COLUMNS))
        self._turned = min(max(self._turned + offset, 0), max(pages - 1, 0))
        self._draw_strip(self._verdicts())

    def open(self, client: Client, image: str) -> None:
        """Open a photograph in a browser, with the answers about the shown query."""
        if self.interactive is None:
            return
        client.open(image, self.interactive.photo(None, image).view)
        self.draw_photo(client)

    def draw_photo(self, client: Client) -> None:
        """Draw the open photograph of a browser."""
        if self.interactive is None or client.image is None:
            return
        photo, now = self.interactive.photo(self.query, client.image), self.interactive.state
        picture = annotated(photo.view, photo.pixels, photo.heat, self._color(), client.overlay)
        text = markdown.NO_QUERIES
        if self.query is not None:
            answers, counted = now.answers(self.query, client.image), now.counted(self.query, client.image)
            text = markdown.about_photo(client.image, answers, counted, now.result(self.query))
        client.draw(picture, text)

    def _color(self) -> Color:
        assert self.now is not None
        names = [query.name for query in self.now.points.queries]
        return PALETTE[names.index(self.query) % len(PALETTE)] if self.query in names else PALETTE[0]

    # ── grasps ─────────────────────────────────────────────────────────────────────────────────
    def await_gripper(self, gripper: str) -> None:
        """Show no grasps of another gripper than this one."""
        self.awaited = gripper
        self.refresh()

    def forget_gripper(self) -> None:
        """Show the grasps that there are, if those of a gripper are awaited that cannot be planned for."""
        if self.awaited is not None:
            self.awaited = None
            self.refresh()

    def choose_grasp(self, number: int) -> None:
        """Show another grasp; the number is clipped to those that exist."""
        count = 0 if self.result is None else len(self.result.grasps)
        self.grasp, self.wanted = min(max(number, 0), max(count - 1, 0)), None
        with self.nodes.server.atomic():
            self._draw_grasps()

    def _draw_grasps(self) -> None:
        now, result, panel = self.now, self.result, self.panel
        if self.interactive is not None and self.awaited == self.interactive.config.end_effector:
            self.awaited = None
        grasps = () if result is None or self.awaited else result.grasps
        if grasps and self.wanted is not None:
            self.grasp, self.wanted = self.wanted, None
        self.grasp = min(self.grasp, max(len(grasps) - 1, 0))
        menu = markdown.in_menu(grasps)
        panel.grasp.options = menu or (NOTHING,)
        set_value(panel.grasp, menu[self.grasp] if menu else NOTHING)
        set_value(panel.motion, AT_GRASP if now is None else round(drawn_share(now.gripper), 2))
        panel.phase.content = markdown.about_phase(None)
        if now is None or result is None:
            return
        self.nodes.put_object_back()
        self.nodes.grasps.draw(grasps, now.gripper, self.grasp)
        self._draw_arm(grasps)
        if self.awaited:
            panel.numbers.content = f"Planning for {markdown.plain(self.awaited)} …"
        else:
            planned = result.query.name in now.results
            panel.numbers.content = markdown.about_grasps(result, self.grasp, planned)

    def _draw_arm(self, grasps: Sequence[Grasp]) -> None:
        """Draw the arm at the chosen grasp, if it was planned with one."""
        path = grasps[self.grasp].joint_path if grasps else None
        self.nodes.grasps.draw_arm(None if path is None else self._joint_places(path.grasp))

    def _joint_places(self, joints: Float[np.ndarray, " d"]) -> Float[np.ndarray, "p 3"] | None:
        """Return the places of the arm's joints at joint positions (radians), world; None without an arm."""
        robot = None if self.interactive is None else self.interactive.robot
        return None if robot is None else robot.joint_places(joints)

    def restore(self, state: ShownState) -> None:
        """Show a query and, once it is planned, a grasp of it.

        Raises:
            Point2ActError: There is no such query.
        """
        if self.now is None or all(query.name != state.query for query in self.now.points.queries):
            raise Point2ActError(f"there is no query {state.query!r} here")
        self.query, self.wanted = state.query, state.grasp
        self.await_gripper(state.gripper)

    def keep(self, camera: BrowserCamera) -> None:
        """Write a line that stands for what is shown now, from a browser's camera.

        Raises:
            Point2ActError: There is nothing to come back to yet.
        """
        if self.interactive is None or self.query is None:
            raise Point2ActError("there is no query yet: add one first, under Find")
        gripper = self.awaited or self.interactive.config.end_effector
        self.panel.line.value = to_text(ShownState(self.query, gripper, self.grasp, camera))

    def scrub(self) -> None:
        """Show the moment of the motion to which its slider is moved."""
        player = self._player()
        if player is not None:
            player.show_at(self.panel.motion.value)

    def play(self, going: Callable[[], bool]) -> None:
        """Play the motion of the shown grasp while ``going`` returns True; the gripper stays at the end."""
        player = self._player()
        if player is not None:
            player.play(going)

    def _player(self) -> GraspPlayer | None:
        """Return what plays the motion of the shown grasp; None without one."""
        now, result = self.now, self.result
        if now is None or self.interactive is None or result is None or not result.grasps or self.awaited:
            return None
        grasp, config = result.grasps[self.grasp], self.interactive.config
        moments = motion(
            grasp,
            now.gripper,
            up=self.nodes.initial_camera.up,
            clearance=config.grasp.pairs.clearance,
            approach=config.approach,
            lift=config.grasp.poses.lift,
        )
        return GraspPlayer(
            self.nodes, self.panel, grasp, now.gripper, moments, self._held, self._joint_places
        )

    def _held(self) -> Float[np.ndarray, "n 3"]:
        """Return the surface of the object that the shown query is about, world points."""
        surface = None if self.interactive is None else self.interactive.surface(self.query)
        return np.zeros((0, 3)) if surface is None else surface.points[surface.on_object]


def labels_of(now: State) -> dict[str, str]:
    """Return the menu's label of each query, by its name."""
    return markdown.labels([(query.name, query.text) for query in now.points.queries])
