"""The zoomed pass: which window, exactly where on disk, and the simulated model that it is measured with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import look_at, pinhole

from point2act.core.errors import ReplyError
from point2act.core.geometry import project
from point2act.core.types import Answer, Camera, Frame, Lens, Query, View
from point2act.data.capture import view_to_disk
from point2act.data.crops import Crop, Window, crop_image
from point2act.localization.multiview_consensus import Consensus
from point2act.vlm.pointing.point import Pointer, PointerReply, point_at
from point2act.vlm.pointing.zoom import ZoomConfig, zoom_windows

QUERY = Query("mug", "the handle of the mug")
PLACE = np.array([0.02, -0.03, 0.04])
DISK = Camera(fx=610.0, fy=600.0, cx=322.0, cy=238.0, height=480, width=640)
BARREL = Lens("opencv", (-0.12, 0.03, 0.001, -0.002))
NONE = np.zeros((0, 2))


def frame(T: np.ndarray, *, lens: Lens = Lens(), name: str = "a.png") -> Frame:
    return Frame(name, Path(name), None, None, DISK, lens, T)


def view(of: Frame) -> View:
    """Half the size of the image on disk."""
    camera = Camera(DISK.fx / 2, DISK.fy / 2, DISK.cx / 2, DISK.cy / 2, 240, 320)
    return View(of.name, camera, of.T_world_cam, np.zeros((240, 320, 3), np.uint8))


def towards(target: np.ndarray, *, lens: Lens = Lens()) -> Frame:
    return frame(look_at(np.array([0.3, -0.2, 0.45]), target), lens=lens)


def met(scatter: float = 0.004) -> Consensus:
    return Consensus(PLACE, scatter, np.array([True]))


def answer(points: np.ndarray) -> Answer:
    return Answer("a.png", "mug", points, len(points) > 0)


def window_of(
    of: Frame, meeting: Consensus | None, first: Answer | None, config: ZoomConfig = ZoomConfig()
) -> Window | None:
    return zoom_windows([of], [view(of)], meeting, [first], config=config)[0]


def point_in_window(
    pointer: Pointer, image: np.ndarray, window: Window, config: ZoomConfig = ZoomConfig()
) -> Answer:
    return point_at(pointer, QUERY, "a.png", crop_image(image, window, side=config.side))[0]


def middle(window: Window) -> np.ndarray:
    return np.array([window.left + window.width / 2, window.top + window.height / 2])


def holds(window: Window, point: np.ndarray) -> bool:
    x, y = point - [window.left, window.top]
    return bool(0 <= x <= window.width and 0 <= y <= window.height)


@dataclass(frozen=True)
class Fixed:
    """Gives the same reply to every crop; pixels of what is shown."""

    points: np.ndarray
    name: str = "fixed"
    concurrency: int = 8

    def point(self, query: Query, image: str, crop: Crop) -> PointerReply:
        return PointerReply(self.points, f"{query.text} in {image}", 0.5)


# ── which window ─────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("lens", [Lens(), BARREL], ids=["pinhole", "barrel"])
def test_the_window_is_about_the_place_as_the_lens_shows_it(lens: Lens) -> None:
    of = towards(np.array([0.05, 0.0, 0.0]), lens=lens)
    seen = view(of)
    expected = view_to_disk(of, seen, project(seen.camera, seen.T_world_cam, PLACE[None])[0])[0]
    window = window_of(of, met(), answer(NONE))
    assert window is not None
    assert np.abs(middle(window) - expected).max() <= 1
    assert (window.width, window.height) == (round(0.33 * 640),) * 2


def test_a_first_answer_far_from_the_place_is_not_followed() -> None:
    of = towards(PLACE)
    wrong = answer(np.array([[40.0, 50.0]]))
    assert window_of(of, met(), wrong) == window_of(of, met(), None) == window_of(of, met(), answer(NONE))
    window = window_of(of, met(), wrong)
    assert window is not None
    assert not holds(window, wrong.points[0])


def test_without_a_place_each_view_is_zoomed_about_its_own_answer() -> None:
    of = towards(PLACE)
    window = window_of(of, None, answer(np.array([[300.0, 200.0], [310.0, 220.0], [305.0, 400.0]])))
    assert window is not None
    assert np.abs(middle(window) - [305.0, 220.0]).max() <= 1
    assert window_of(of, None, answer(NONE)) is None
    assert window_of(of, None, None) is None


def test_a_place_out_of_the_image_is_left_to_the_views_answer() -> None:
    aside, behind = towards(np.array([1.5, 1.0, 0.0])), towards(np.array([0.6, -0.4, 0.9]))
    for of in (aside, behind):
        assert window_of(of, met(), answer(NONE)) is None
        window = window_of(of, met(), answer(np.array([[320.0, 240.0]])))
        assert window is not None
        assert np.abs(middle(window) - [320, 240]).max() <= 1


def test_a_window_grows_with_the_scatter_and_with_nearness() -> None:
    far, near = towards(PLACE), towards(PLACE)
    near.T_world_cam[:3, 3] = (near.T_world_cam[:3, 3] + PLACE) / 2
    sides = []
    for of, scatter in ((far, 0.001), (far, 0.03), (near, 0.03)):
        window = window_of(of, met(scatter), None)
        assert window is not None
        sides.append(window.width)
    distance = np.linalg.norm(far.T_world_cam[:3, 3] - PLACE)
    assert sides[0] == round(0.33 * 640)
    assert sides[1] == pytest.approx(8 * 0.03 * DISK.fx / distance, abs=2)
    assert sides[2] == pytest.approx(min(2 * sides[1], 640), abs=2)


@given(
    x=st.floats(0, 640),
    y=st.floats(0, 480),
    share=st.floats(0.001, 1.5),
    side=st.integers(1, 64),
)
def test_a_window_lies_in_the_image_and_holds_what_it_is_about(
    x: float, y: float, share: float, side: int
) -> None:
    point = np.array([[x, y]])
    window = window_of(towards(PLACE), None, answer(point), ZoomConfig(side=side, min_fraction=share))
    assert window is not None
    assert min(window.left, window.top) >= 0
    assert window.left + window.width <= 640
    assert window.top + window.height <= 480
    assert min(window.width, window.height) >= 1
    # Corners are whole pixels: half of one may be missing of a window that is one pixel wide.
    grown = Window(window.left - 1, window.top - 1, window.width + 2, window.height + 2)
    assert holds(grown, point[0])


# ── the zoomed pass ──────────────────────────────────────────────────────────────────────────────
@given(
    left=st.integers(0, 500),
    top=st.integers(0, 400),
    width=st.integers(1, 140),
    height=st.integers(1, 80),
    side=st.integers(1, 300),
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_points_come_back_exactly(
    left: int, top: int, width: int, height: int, side: int, at: tuple[float, float]
) -> None:
    """A share of what is shown is the same share of the window, however sizes were rounded."""
    image, window = np.zeros((480, 640, 3), np.uint8), Window(left, top, width, height)
    shown: list[Crop] = []

    class Sharing(Fixed):
        def point(self, query: Query, image: str, crop: Crop) -> PointerReply:
            shown.append(crop)
            return PointerReply(np.array([[at[0] * crop.size[1], at[1] * crop.size[0]]]))

    found = point_in_window(Sharing(NONE), image, window, ZoomConfig(side=side))
    np.testing.assert_allclose(found.points, [[left + at[0] * width, top + at[1] * height]], atol=1e-9)
    assert max(shown[0].size) == side
    np.testing.assert_allclose(shown[0].from_disk(found.points) / shown[0].size[::-1], [at], atol=1e-9)


def test_the_model_is_shown_the_window_alone() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[100:180, 200:280] = 255
    seen: list[np.ndarray] = []

    class Looking(Fixed):
        def point(self, query: Query, image: str, crop: Crop) -> PointerReply:
            seen.append(crop.image)
            return PointerReply(NONE)

    point_in_window(Looking(NONE), image, Window(200, 100, 80, 80))
    assert seen[0].shape == (1024, 1024, 3)
    assert (seen[0] == 255).all()


def test_an_answer_says_where_from() -> None:
    found = point_in_window(
        Fixed(np.array([[512.0, 512.0]])),
        np.zeros((480, 640, 3), np.uint8),
        Window(10, 20, 100, 100),
    )
    assert (found.image, found.query, found.model, found.seconds) == ("a.png", "mug", "fixed", 0.5)
    assert found.raw == "the handle of the mug in a.png"
    assert found.visible
    assert found.points.tolist() == [[60.0, 70.0]]


def test_nothing_there_is_a_negative_answer_and_an_error_stays_one() -> None:
    class Failing(Fixed):
        def point(self, query: Query, image: str, crop: Crop) -> PointerReply:
            raise ReplyError("cannot be read")

    image, window = np.zeros((480, 640, 3), np.uint8), Window(0, 0, 50, 50)
    found = point_in_window(Fixed(NONE), image, window)
    assert not found.visible
    assert found.points.shape == (0, 2)
    with pytest.raises(ReplyError):
        point_in_window(Failing(NONE), image, window)


# ── the simulated model ──────────────────────────────────────────────────────────────────────────
TARGET, OTHER = 0, 1


@pytest.fixture
def table():
    """A scene whose first part is a disc in a larger square, its object's second part; one image."""
    pytest.importorskip("mujoco", reason="the simulator needs mujoco")
    from benchmarks.common.tables import Simulated, Table
    from point2act.physics.layout import QueryTarget
    from point2act.physics.scene import load_scene
    from point2act.simulation.camera import SimView

    scene = load_scene("desk", 0)
    thing, part = scene.parts[TARGET]
    assert scene.parts[OTHER][0] == thing
    scene = replace(scene, layout=replace(scene.layout, targets=(QueryTarget(QUERY, thing, part),)))
    y, x = np.mgrid[0:240, 0:320] + 0.5
    ids = np.full((240, 320), -1)
    ids[60:180, 60:200] = OTHER
    ids[np.hypot(x - 130, y - 120) < 10] = TARGET
    seen = View("a.png", pinhole(240, 320), np.eye(4), np.zeros((240, 320, 3), np.uint8))
    shot = SimView(seen, ids, np.ones((240, 320)))
    return Simulated(Table("desk", 0), scene, None, (shot,))  # type: ignore[arg-type]


def says(table, window: Window, draws: int = 300, side: int = 320):
    """Points on disk over many draws; None for "not visible"."""
    from benchmarks.zoom.simulated_pointer import SizedConfig, SizedPointer
    from point2act.data.crops import crop_image

    crop = crop_image(table.shots[0].view.rgb, window, side=side)
    for draw in range(draws):
        config = SizedConfig(misunderstood=0.0)
        reply = SizedPointer(table, draw, config).point(QUERY, "a.png", crop)
        yield crop.to_disk(reply.points)[0] if len(reply.points) else None


WHOLE, CLOSE = Window(0, 0, 320, 240), Window(77, 67, 106, 106)


def test_the_simulated_model_errs_less_and_less_far_up_close(table) -> None:
    off = {}
    for window in (WHOLE, CLOSE):
        points = [point for point in says(table, window) if point is not None]
        off[window] = np.array([np.hypot(*(point - [130, 120])) for point in points])
        assert all(holds(window, point) for point in points)
    near = {window: values[values < 12] for window, values in off.items()}
    assert (off[WHOLE] < 12).mean() < 0.6
    assert (off[CLOSE] < 12).mean() > 0.9
    assert near[CLOSE].mean() < near[WHOLE].mean()


def test_the_simulated_model_answers_only_from_what_it_is_shown(table) -> None:
    elsewhere = Window(210, 0, 100, 100)
    points = list(says(table, elsewhere))
    assert all(point is None or holds(elsewhere, point) for point in points)
    silent = np.mean([point is None for point in points])
    assert 0.6 < silent < 0.9


def test_the_same_look_has_the_same_answer_in_any_order_and_thread(table) -> None:
    from benchmarks.zoom.simulated_pointer import SizedPointer
    from point2act.data.crops import crop_image

    pointer = SizedPointer(table)
    visibility = [crop_image(table.shots[0].view.rgb, Window(i, i, 150, 150), side=320) for i in range(40)]

    def ask(crop: Crop) -> list:
        return pointer.point(QUERY, "a.png", crop).points.tolist()

    alone = [ask(crop) for crop in visibility]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, reversed(visibility)))
    assert alone == together[::-1]
    assert len({str(points) for points in alone}) > 20


def test_what_counts_as_on_target() -> None:
    pytest.importorskip("mujoco", reason="the simulator needs mujoco")
    from benchmarks.zoom.trials import on_target

    mask = np.zeros((20, 30), dtype=bool)
    mask[8:12, 10:15] = True
    for point, right in (((12.5, 9.5), True), ((8.5, 9.5), True), ((7.5, 9.5), False), ((40.0, 9.5), False)):
        assert on_target(mask, np.array([point])) is right
    assert not on_target(mask, np.array([[12.5, 9.5], [25.0, 2.0]]))
    assert not on_target(mask, NONE)
    assert not on_target(np.zeros((20, 30), dtype=bool), np.array([[12.5, 9.5]]))


def test_a_summary_counts_what_was_corrected_and_spoiled() -> None:
    pytest.importorskip("mujoco", reason="the simulator needs mujoco")
    from benchmarks.localization.measures import judge
    from benchmarks.zoom.suite import summarise, table
    from benchmarks.zoom.trials import ONE, Trial
    from point2act.core.types import NoAnswer, OrientedBox

    refused = judge((NoAnswer("no_points", ""), ()), OrientedBox(np.zeros(3), np.eye(3), np.ones(3)))
    seen = np.array([True, True, True, True, False])
    before = np.array([True, True, False, False, False])
    after = np.array([True, False, True, True, False])
    one = Trial(ONE, "desk-0", "mug", 0, True, seen, np.ones(5, bool), before, 5, refused)
    two = replace(one, method="two", right=after, pointed=seen, questions=9)
    summary = summarise([two], [one])
    assert (summary.right.value, summary.corrected, summary.spoiled) == (0.75, 1.0, 0.5)
    assert (summary.hidden, summary.questions, summary.actions.value) == (0.0, 9 / 5, 0.0)
    assert summarise([one], [one]).hidden == 1.0
    assert "75.0" in table({("sized", "two"): summary})
