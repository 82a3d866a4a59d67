"""What is on the page, drawn from where the interactive stands. Used by one thread only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import viser

from point2act.core.types import Frame, GaussianScene, QueryResult
from point2act.grasping.antipodal.motion import motion
from point2act.visualization.drawing import PALETTE, Color
from point2act.visualization.viewer import markdown
from point2act.visualization.viewer.clients import Client
from point2act.visualization.viewer.panel import NOTHING, Panel, enable
from point2act.visualization.viewer.photos import annotated, thumbnail
from point2act.visualization.viewer.scene_nodes import World

if TYPE_CHECKING:
    from point2act.pipeline.interactive import InteractiveSession, State
else:
    # They bring torch, which is not needed to show a scene.
    InteractiveSession = State = Any

# The longer side of the image in a camera's frustum, pixels. Chosen: it is drawn a few centimetres wide.
_THUMBNAIL = 112
# Okabe and Ito's green, vermillion and blue, told apart with any common colour blindness: a camera whose
# answer is believed, one that is outvoted, all others.
_COLORS: dict[markdown.Verdict | None, Color] = {"backs it": (0, 158, 115), "outvoted": (213, 94, 0)}
_SILENT: Color = (86, 180, 233)


class Page:
    """The scene and the panel of one viewer, and what people look at in them."""

    def __init__(self, world: SceneNodes, panel: Panel, scene: GaussianScene, frames: Sequence[Frame]):
        """Show the Gaussians and the cameras; there is nobody to ask yet."""
        self.nodes, self.panel, self.frames = world, panel, list(frames)
        self.interactive: InteractiveSession | None = None
        self.query: str | None = None
        """The one that people look at."""
        self.grasp = 0
        """Of its grasps."""
        self.opened: Callable[[viser.ClientHandle, str], None] = lambda client, image: None
        """Called when somebody clicks on a camera."""
        self._scene, self._command, self._drawn = scene, str, {}
        self._say(markdown.about_scene(len(scene), len(self.frames), None), "Reading the images …")
        self._draw_cameras({})

    def begin(self, interactive: InteractiveSession, command: Callable[[], str]) -> None:
        """Now there is somebody to ask."""
        self.interactive, self._command, self._drawn = interactive, command, {}
        queries = interactive.state.points.queries
        self.query = queries[0].name if queries else None
        session = interactive.session
        self._say(markdown.about_scene(len(self._scene), len(session.views), session.metric))
        enable(self.panel, True)
        self.refresh()

    # ── all of it ──────────────────────────────────────────────────────────────────────────────
    @property
    def now(self) -> State | None:
        """Where the interactive stands."""
        return None if self.interactive is None else self.interactive.state

    @property
    def result(self) -> QueryResult | None:
        """What is known about the query that people look at."""
        return None if self.now is None or self.query is None else self.now.result(self.query)

    def choose(self, query: str) -> None:
        """Look at another query."""
        if query != self.query:
            self.query, self.grasp = query, 0
            self.refresh()

    def refresh(self) -> None:
        """Draw what is known about the query that people look at."""
        if self.now is None or self.interactive is None:
            return
        shown = labels_of(self.now)
        panel, result = self.panel, self.result
        verdicts = self._verdicts()
        with self.nodes.server.atomic():
            panel.query.options = tuple(shown.values()) or (NOTHING,)
            _set(panel.query, shown.get(self.query or "", NOTHING))
            panel.result.content = self._about_query(result)
            panel.photos.content = markdown.about_photos(list(verdicts.items()))
            panel.command.content = f"Again:\n\n`{self._command()}`"
            _set(panel.gripper, self.interactive.config.gripper)
            self.nodes.draw_answer(result)
            self._draw_cameras(verdicts)
            self._draw_grasps()
            self.paint()

    def paint(self) -> None:
        """Colour the Gaussians as the sliders say."""
        relevancy = None
        if self.now is not None and self.query in self.now.localized:
            relevancy = self.now.localized[self.query].context.relevancy
        self.nodes.paint(relevancy, blend=self.panel.blend.value, threshold=self.panel.threshold.value)

    def _say(self, *lines: str) -> None:
        self.panel.status.content = "\n\n".join(lines)

    # ── queries ────────────────────────────────────────────────────────────────────────────────
    def _about_query(self, result: QueryResult | None) -> str:
        assert self.now is not None
        if not self.now.points.queries:
            return markdown.NOTHING_ASKED
        if result is None:
            return "Finding the place …"
        planned = result.query.name in self.now.results or result.region is None
        return markdown.about_result(result) + ("" if planned else "\n\nPlanning …")

    # ── cameras and photographs ────────────────────────────────────────────────────────────────
    def _verdicts(self) -> dict[str, markdown.Verdict]:
        """What became of the answers to the query that people look at, by image, where there is any."""
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
        """All cameras whose colour or image is not drawn yet."""
        views = {} if self.interactive is None else {v.name: v for v in self.interactive.session.views}
        for number, frame in enumerate(self.frames):
            color = _COLORS.get(verdicts.get(frame.name), _SILENT)
            view = views.get(frame.name)
            if self._drawn.get(frame.name) != (color, view is not None):
                image = None if view is None else thumbnail(view.rgb, _THUMBNAIL)
                opened = lambda client, name=frame.name: self.opened(client, name)  # noqa: E731
                self.nodes.draw_camera(number, frame.camera, image, color, opened)
                self._drawn[frame.name] = (color, view is not None)

    def open(self, guest: Client, image: str) -> None:
        """Show somebody a photograph, with what was said about the query in it."""
        if self.interactive is None:
            return
        guest.open(image, self.interactive.photo(None, image).view)
        self.draw_photo(guest)

    def draw_photo(self, guest: Client) -> None:
        """Draw somebody's open photograph anew."""
        if self.interactive is None or guest.image is None:
            return
        photo, now = self.interactive.photo(self.query, guest.image), self.interactive.state
        picture = annotated(photo.view, photo.pixels, photo.heat, self._color(), guest.overlay)
        text = markdown.NOTHING_ASKED
        if self.query is not None:
            said, counted = now.answers(self.query, guest.image), now.counted(self.query, guest.image)
            text = markdown.about_photo(guest.image, said, counted, now.result(self.query))
        guest.draw(picture, text)

    def _color(self) -> Color:
        assert self.now is not None
        names = [query.name for query in self.now.points.queries]
        return PALETTE[names.index(self.query) % len(PALETTE)] if self.query in names else PALETTE[0]

    # ── grasps ─────────────────────────────────────────────────────────────────────────────────
    def choose_grasp(self, number: int) -> None:
        """Look at another grasp, as far as there is one."""
        count = 0 if self.result is None else len(self.result.grasps)
        self.grasp = min(max(number, 0), max(count - 1, 0))
        with self.nodes.server.atomic():
            self._draw_grasps()

    def _draw_grasps(self) -> None:
        now, result, panel = self.now, self.result, self.panel
        grasps = () if result is None else result.grasps
        self.grasp = min(self.grasp, max(len(grasps) - 1, 0))
        menu = markdown.in_menu(grasps)
        panel.grasp.options = menu or (NOTHING,)
        _set(panel.grasp, menu[self.grasp] if menu else NOTHING)
        if now is not None and result is not None:
            planned = result.query.name in now.results
            panel.numbers.content = markdown.about_grasps(result, self.grasp, planned)
            self.nodes.draw_grasps(grasps, now.gripper, self.grasp)

    def play(self, going: Callable[[], bool]) -> None:
        """Play the chosen grasp's motion while it is ``going``."""
        now, result = self.now, self.result
        if now is None or self.interactive is None or result is None or not result.grasps:
            return
        grasp = result.grasps[self.grasp]
        config = self.interactive.config.grasp
        moments = motion(
            grasp,
            now.gripper,
            up=self.nodes.initial_camera.up,
            clearance=config.pairs.clearance,
            approach=config.poses.approach,
            lift=config.poses.lift,
        )
        self.nodes.play(moments, now.gripper, grasp.score, going)


def labels_of(now: State) -> dict[str, str]:
    """What the menu calls each query, by its name."""
    return markdown.labels([(query.name, query.text) for query in now.points.queries])


def _set(handle: Any, value: str) -> None:
    """Set a control where it shows something else: every setting goes to every browser."""
    if handle.value != value:
        handle.value = value
