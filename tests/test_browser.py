"""The browser that other tests look through, tried on bare viser pages: it sees, it operates, it notices."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from browser import (
    SIZE,
    ConsoleLine,
    Window,
    add_splats,
    changed_share,
    coarse,
    complaints,
    find_chromium,
    noise,
    open_browser,
    serve,
)

# The pages of the product are tested in ``test_viewer_page``.
pytestmark = pytest.mark.full

Calls = list[tuple[str, Any]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def calls() -> Calls:
    """Calls of the panel's callbacks, in order."""
    return []


@pytest.fixture(scope="module")
def server(calls: Calls) -> Iterator[tuple[Any, str]]:
    with serve() as (server, url):
        fill_panel(server, calls)
        yield server, url


@pytest.fixture(scope="module")
def window(browser: Any, server: tuple[Any, str]) -> Iterator[Window]:
    """One for all that leaves no traces: a page takes seconds."""
    window = Window(browser, server[1])
    window.wait_for(server[0].get_clients, "the server to see the page")
    yield window
    window.close()


@pytest.fixture
def client(server: tuple[Any, str], window: Window) -> Any:
    """The window's, seen from the server."""
    return server[0].get_clients()[min(server[0].get_clients())]


def fill_panel(server: Any, calls: Calls) -> None:
    """One element of each kind, under two tabs."""
    gui = server.gui
    tabs = gui.add_tab_group()
    with tabs.add_tab("Look"):
        gui.add_button("Find").on_click(lambda _: calls.append(("Find", True)))
        gui.add_markdown("A **bold** word")
        inputs = {
            "Shown": gui.add_checkbox("Shown", initial_value=True),
            "Layer": gui.add_dropdown("Layer", ["colours", "relevancy"]),
            "Task": gui.add_text("Task", initial_value="lift the mug"),
            "Opacity": gui.add_slider("Opacity", min=0.0, max=1.0, step=0.1, initial_value=0.5),
            "Views": gui.add_number("Views", initial_value=3),
        }
    with tabs.add_tab("More"):
        gui.add_button("Explain").on_click(lambda _: calls.append(("Explain", True)))
    for label, each in inputs.items():
        each.on_update(lambda event, label=label: calls.append((label, event.target.value)))


def test_a_named_browser_is_taken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POINT2ACT_TEST_BROWSER", "sh")
    assert str(find_chromium()).endswith("/sh")


def test_without_a_browser_tests_are_skipped(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("playwright")
    monkeypatch.setenv("POINT2ACT_TEST_BROWSER", "/nowhere/chromium")
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"), open_browser():
        pass


def test_complaints_are_the_same_from_run_to_run():
    first = [
        ConsoleLine("error", "[.WebGL-0x17f4] no http://127.0.0.1:8080/a.js, 12.5 s"),
        ConsoleLine("log", "Connected!"),
    ]
    second = [ConsoleLine("error", "[.WebGL-0x2a] no http://127.0.0.1:8091/b.js, 9 s")]
    assert complaints(first) == complaints(second) == {ConsoleLine("error", "[.WebGL-#] no <address> # s")}
    assert complaints([ConsoleLine("error", "another")]) != complaints(second)


def test_changed_share():
    before = np.full((10, 10, 3), 200, np.uint8)
    after = before.copy()
    after[0, :5] = 10, 200, 200  # a darker red is another colour: no overflow of bytes
    after[1, :] -= 5
    assert changed_share(before, after) == changed_share(after, before) == 0.05


def test_coarse_pictures_are_the_same_at_a_fifth_of_the_resolution():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (203, 165, 3), dtype=np.uint8)
    fifth = picture[:200, :160].reshape(40, 5, 32, 5, 3).mean(axis=(1, 3))
    drawn = picture.copy()
    drawn[:200, :160] = np.repeat(np.repeat(fifth.astype(np.uint8), 5, axis=0), 5, axis=1)
    assert changed_share(picture, drawn) > 0.5
    assert changed_share(coarse(picture), coarse(drawn)) == 0
    assert coarse(picture).shape == (10, 8, 3)
    other = picture.copy()
    other[:100] = 0
    assert changed_share(coarse(picture), coarse(other)) > 0.4


# ── the panel ──────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda window: window.press("Find"), ("Find", True)),
        (lambda window: window.tick("Shown", on=False), ("Shown", False)),
        (lambda window: window.choose("Layer", "relevancy"), ("Layer", "relevancy")),
        (lambda window: window.type("Task", "hang it", enter=True), ("Task", "hang it")),
        (lambda window: window.slide("Opacity", 0.9), ("Opacity", 0.9)),
        (lambda window: window.type("Opacity", "0.2"), ("Opacity", 0.2)),
        (lambda window: window.type("Views", "17"), ("Views", 17)),
    ],
    ids=["button", "checkbox", "dropdown", "text", "slider", "slider's box", "number"],
)
def test_callbacks_come(
    window: Window, calls: Calls, act: Callable[[Window], None], expected: tuple[str, Any]
):
    del calls[:]
    act(window)
    window.wait_for(lambda: expected in calls, f"{expected} in {calls}", timeout=10)


def test_reading_the_panel(server: tuple[Any, str], window: Window):
    choice = server[0].gui.add_dropdown("Colour", ["red", "green"], initial_value="green")
    tick = server[0].gui.add_checkbox("Shiny", initial_value=True)
    window.wait_for_words("Shiny")
    assert window.value("Colour") == "green"
    assert window.choices("Colour") == ["red", "green"]
    assert window.is_ticked("Shiny")
    tick.value = False
    window.wait_for(lambda: not window.is_ticked("Shiny"), "the tick to go")
    choice.remove()
    tick.remove()


def test_only_the_open_tab_is_seen(window: Window, calls: Calls):
    assert "A bold word" in window.words()
    window.open_tab("More")
    window.wait_for_words("Explain")
    assert "A bold word" not in window.words()
    window.press("Explain")
    window.wait_for(lambda: ("Explain", True) in calls, "the other tab's button", timeout=10)
    window.open_tab("Look")


def test_a_notice_and_a_question(server: tuple[Any, str], client: Any, window: Window):
    notice = client.add_notification("Done", "Three grasps")
    window.wait_for(lambda: any("Three grasps" in text for text in window.notices()), "the notice")
    notice.remove()
    with server[0].gui.add_modal("Sure?") as modal:
        server[0].gui.add_button("Yes").on_click(lambda _: modal.close())
    window.wait_for(window.dialogs, "the question")
    assert "Sure?" in window.dialogs()[0]
    window.press("Yes")
    window.wait_for(lambda: not window.dialogs(), "the question to go")


def test_a_download(client: Any, window: Window):
    content = bytes(range(256)) * 8000
    assert window.download(lambda: client.send_file_download("grasps.bin", content)) == (
        "grasps.bin",
        content,
    )


# ── the scene ──────────────────────────────────────────────────────────────────────────────────
def look_from_the_front(client: Any) -> None:
    """Along +y at the origin from 3 m, half a radian to the top and to the bottom, z up."""
    with client.atomic():
        client.camera.fov = 1.0
        client.camera.position = np.array([0.0, -3.0, 0.0])
        client.camera.look_at = np.zeros(3)
        client.camera.up_direction = np.array([0.0, 0.0, 1.0])
    client.flush()


def test_splats_are_seen(server: tuple[Any, str], client: Any, window: Window):
    rng = np.random.default_rng(0)
    look_from_the_front(client)
    before = window.wait_until_still()
    splats = add_splats(
        server[0].scene,
        "/splats",
        centers=rng.normal(size=(200, 3)) * [0.5, 0.5, 0.2],
        covariances=np.tile(0.05**2 * np.eye(3), (200, 1, 1)),
        rgbs=np.tile([0.9, 0.1, 0.1], (200, 1)),
        opacities=np.ones((200, 1)),
    )
    after = window.wait_until_changed(before, share=0.05)
    red = (after[..., 0] > 180) & (after[..., 1] < 80)
    rows, columns = np.nonzero(red)
    # In the middle, and wider than high, as they are.
    assert abs(rows.mean() - SIZE[1] / 2) < 20
    assert abs(columns.mean() - SIZE[0] / 2) < 20
    assert columns.std() > 1.5 * rows.std()
    splats.remove()
    window.wait_for(lambda: changed_share(before, window.canvas()) < 0.001, "an empty scene")


def test_a_click_on_a_picture_is_a_ray(client: Any, window: Window):
    clicks: list[Any] = []
    look_from_the_front(client)
    before = window.wait_until_still()
    # A client's own, upright, half a metre to the left of the middle: the panel lies at the right.
    upright = np.array([np.sqrt(0.5), -np.sqrt(0.5), 0.0, 0.0])
    picture = client.scene.add_image(
        "/picture",
        np.full((8, 8, 3), 90, np.uint8),
        0.4,
        0.4,
        wxyz=upright,
        position=np.array([-0.5, 0.0, 0.0]),
    )
    picture.on_click(clicks.append)
    window.wait_until_changed(before, share=0.005)
    pixels_per_metre = SIZE[1] / 2 / np.tan(0.5) / 3
    x, y = SIZE[0] / 2 - 0.6 * pixels_per_metre, SIZE[1] / 2 - 0.1 * pixels_per_metre
    drag(window, x, y)
    window.click_canvas(x + 0.6 * pixels_per_metre, y)  # beside it
    assert not clicks
    look_from_the_front(client)  # the drag has turned the view
    window.wait_until_still()
    window.click_canvas(x, y)
    window.wait_for(lambda: clicks, "the click", timeout=10)
    (click,) = clicks
    expected = np.array([-0.6, 3.0, 0.1])
    np.testing.assert_allclose(click.ray_origin, [0, -3, 0], atol=1e-3)
    np.testing.assert_allclose(click.ray_direction, expected / np.linalg.norm(expected), atol=2e-3)
    np.testing.assert_allclose(click.screen_pos, [x / SIZE[0], y / SIZE[1]], atol=2e-3)
    picture.remove()


def drag(window: Window, x: float, y: float) -> None:
    window.page.mouse.move(x, y)
    window.page.mouse.down()
    window.page.mouse.move(x + 30, y, steps=3)
    window.page.mouse.up()
    window.page.wait_for_timeout(300)


def test_a_click_on_the_panel_is_none_on_the_scene(window: Window):
    panel = window.box("Task").bounding_box()
    assert panel is not None
    with pytest.raises(AssertionError, match="lies over the scene"):
        window.click_canvas(panel["x"] + 5, panel["y"] + 5)


# ── what is noticed ────────────────────────────────────────────────────────────────────────────
def test_waiting_says_for_what(window: Window):
    start = time.monotonic()
    with pytest.raises(AssertionError, match=r"waited 0.2 s for a miracle"):
        window.wait_for(lambda: False, "a miracle", timeout=0.2)
    assert time.monotonic() - start < 5


def test_two_windows_and_what_they_say(browser: Any, server: tuple[Any, str], window: Window):
    shared = server[0].gui.add_checkbox("Both", initial_value=False)
    second = Window(browser, server[1])
    second.wait_for_words("Both")
    second.tick("Both")
    window.wait_for(lambda: window.is_ticked("Both"), "the tick in the other window")
    newest = server[0].get_clients()[max(server[0].get_clients())]
    newest.gui.add_button("Own")
    second.wait_for_words("Own")
    assert "Own" not in window.words()
    assert complaints(second.console) <= noise(browser)
    second.page.evaluate("setTimeout(() => { throw new Error('a bug') }, 0)")
    second.wait_for(
        lambda: ConsoleLine("uncaught", "a bug") in complaints(second.console), "the error", timeout=10
    )
    second.close()
    shared.remove()
