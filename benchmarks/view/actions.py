"""Actions of users on the page, applied to a viewer in this process without a browser."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import viser
from jaxtyping import Float

from benchmarks.common.timing import Work, best
from point2act.cli.load_run import open_scene
from point2act.core import config_files
from point2act.core.types import Answer
from point2act.data.points import read_points
from point2act.pipeline.finished_run import open_run
from point2act.pipeline.interactive import InteractiveSession
from point2act.visualization.viewer import Viewer, ViewerConfig
from point2act.visualization.viewer.clients import Client, PhotoActions
from point2act.visualization.viewer.photos import OVERLAYS

PATIENCE = 600.0
"""Maximum seconds to wait for anything."""


@contextmanager
def open_viewer(run: Path) -> Iterator[Viewer]:
    """Open a viewer of a run, wait until all queries have grasps, and choose the query with most of them."""
    opened, session = open_scene(run), open_run(run)
    grippers = config_files.available("grippers")
    viewer = Viewer(opened.scene, opened.frames, title="benchmark", grippers=grippers, config=ViewerConfig())
    try:
        keep = run / "points.json"
        interactive = InteractiveSession(session, read_points(keep, opened.capture), keep=keep)
        viewer.start(interactive, command=lambda: "")
        settle(viewer)
        viewer.choose(
            max(interactive.state.results.values(), key=lambda result: len(result.grasps)).query.name
        )
        settle(viewer)
        yield viewer
    finally:
        viewer.stop()


def settle(viewer: Viewer) -> None:
    """Wait until the viewer has nothing left to do."""
    assert viewer.settle(PATIENCE), f"the viewer is not done after {PATIENCE:g} s"


# ── drawing ────────────────────────────────────────────────────────────────────────────────────
def time_actions(viewer: Viewer, seconds: float) -> dict[str, float]:
    """Return the seconds of every action, the shortest of many, until the viewer has nothing left to do."""
    with open_client(viewer) as guest:
        works = actions(viewer, guest)
        return {
            name: best(lambda work=work: (work(), settle(viewer)), seconds) for name, work in works.items()
        }


def actions(viewer: Viewer, guest: Client) -> Mapping[str, Work]:
    """Return repeatable actions; each call changes what is shown."""
    page, panel, interactive = viewer.page, viewer.page.panel, viewer.page.interactive
    assert interactive is not None
    shares, shown, overlays = cycle((0.3, 0.7)), cycle((False, True)), cycle(OVERLAYS)
    other = next(query.name for query in interactive.state.points.queries if query.name != page.query)
    queries = cycle((other, page.query))
    # There are more images than the cache holds.
    images, few = cycle(interactive.images), cycle(interactive.images[:2])

    def overlay() -> None:
        guest.overlay = next(overlays)
        page.draw_photo(guest)

    return {
        "grasp": lambda: viewer.choose_grasp(1 - page.grasp),
        "blend": lambda: (_slide(panel.blend, next(shares)), viewer.repaint()),
        "threshold": lambda: (_slide(panel.threshold, next(shares)), viewer.repaint()),
        "show": lambda: page.nodes.show("scene", next(shown)),
        "photo": lambda: viewer.open(guest, next(images)),
        "photo_again": lambda: viewer.open(guest, next(few)),
        "overlay": overlay,
        "query": lambda: viewer.choose(str(next(queries))),
    }


def _slide(handle: Any, value: float) -> None:
    handle.value = value


@contextmanager
def open_client(viewer: Viewer) -> Iterator[Client]:
    """Yield a client whose browser is a second server, which receives updates and sends them nowhere."""
    # viser prints a greeting.
    with redirect_stdout(io.StringIO()):
        server = viser.ViserServer(host="127.0.0.1", verbose=False)
    camera = SimpleNamespace(
        position=np.zeros(3), look_at=np.ones(3), up_direction=np.array([0.0, 0.0, 1.0]), fov=0.9, aspect=1.6
    )
    client: Any = SimpleNamespace(
        client_id=0, scene=server.scene, gui=server.gui, atomic=server.atomic, camera=camera
    )
    world = viewer.page.nodes
    parts = {part: box.value for part, box in viewer.page.panel.shown.items()}
    try:
        yield Client(client, world.initial_camera, world.unit, lambda: parts, _NO_ACTIONS)
    finally:
        server.stop()


def _nothing(*_: object) -> None:
    pass


_NO_ACTIONS = PhotoActions(_nothing, _nothing, _nothing, _nothing, _nothing)


# ── computing ──────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True)
class ClickTimes:
    """Seconds from a click to its results."""

    field: float
    """Seconds until the page has the new relevancy."""
    grasps: float
    """Seconds until the page has the new grasps."""


def click(viewer: Viewer, image: str, pixel: Float[np.ndarray, "2"]) -> ClickTimes:
    """Click for the chosen query as a person, and retract the click afterwards."""
    page, query = viewer.page, viewer.page.query
    assert page.now is not None
    assert query is not None
    before, painted = page.now.localized[query].relevancy, []
    paint: Callable[..., None] = page.nodes.gaussians.paint

    def watched(relevancy: np.ndarray | None, **how: float) -> None:
        paint(relevancy, **how)
        if relevancy is not before:
            painted.append(time.perf_counter())

    with patch.object(page.nodes.gaussians, "paint", watched):
        start = time.perf_counter()
        viewer.point(image, pixel)
        settle(viewer)
        end = time.perf_counter()
    viewer.retract(image)
    settle(viewer)
    return ClickTimes(painted[0] - start, end - start)


def time_clicks(viewer: Viewer, rounds: int) -> ClickTimes:
    """Return the shortest times of some clicks, each where a model pointed in another image."""
    each = [click(viewer, answer.image, answer.points[0]) for answer in _seen(viewer)[: rounds + 1]]
    # The first click compiles and fills caches.
    return ClickTimes(min(one.field for one in each[1:]), min(one.grasps for one in each[1:]))


def _seen(viewer: Viewer) -> list[Answer]:
    now = viewer.page.now
    assert now is not None
    return [
        answer for answer in now.points.answers if answer.query == viewer.page.query and len(answer.points)
    ]


def time_gripper_change(viewer: Viewer, rounds: int) -> float:
    """Return the seconds until all queries have grasps of another gripper, the shortest of some."""
    names = cycle(("robotiq_2f85", "panda"))
    times = []
    for _ in range(2 * rounds):
        start = time.perf_counter()
        viewer.set_gripper(next(names))
        settle(viewer)
        times.append(time.perf_counter() - start)
    return min(times)
