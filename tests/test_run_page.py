"""The page of a run while it lasts."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from point2act.acting.execution.live_page import live_page
from point2act.acting.execution.timeline import Event, NoObserver
from point2act.core.types import Camera, View
from point2act.visualization.viewer import ViewerConfig
from point2act.visualization.viewer.run_page import RunPage

CAMERA = Camera(100.0, 100.0, 16.0, 12.0, 24, 32)


def view(depth: float) -> View:
    rgb = np.zeros((24, 32, 3), np.uint8)
    rgb[..., 0] = 200
    return View("camera", CAMERA, np.eye(4), rgb, np.full((24, 32), depth, np.float32))


@pytest.fixture
def page() -> Iterator[RunPage]:
    made = RunPage("Put the <b>mug</b> down.", ViewerConfig(port=9300))
    yield made
    made.close()


def test_the_surface_is_shown_in_the_base_frame_in_its_color(page: RunPage, monkeypatch: pytest.MonkeyPatch):
    shown: list[tuple[np.ndarray, np.ndarray]] = []
    draw = page._server.scene.add_point_cloud

    def added(name: str, points: np.ndarray, colors: np.ndarray, point_size: float) -> object:
        shown.append((points, colors))
        return draw(name, points, colors, point_size=point_size)

    monkeypatch.setattr(page._server.scene, "add_point_cloud", added)
    page.show(view(2.0))
    ((points, colors),) = shown
    assert points.shape == (6 * 8, 3)
    np.testing.assert_allclose(points[0], [2 * (0.5 - 16) / 100, 2 * (0.5 - 12) / 100, 2.0], atol=1e-6)
    assert (colors == [200, 0, 0]).all()
    page.show(view(0.0))  # A covered camera measures nothing.
    assert shown[1][0].shape == (0, 3)


def test_the_latest_is_on_top_and_text_is_shown_as_it_is(page: RunPage):
    for second in range(40):
        page.note(float(second), "stage", f"<i>number {second}</i>")
    now, past = page.texts
    assert now.startswith("39.0 s **stage**")
    assert "number 39" in now
    assert "<i>" not in now
    assert "number 38" in past.splitlines()[0]
    assert "number 39" not in past
    assert len(past.splitlines()) < 40


def test_a_browser_gets_the_page_until_it_is_closed(capsys: pytest.CaptureFixture[str]):
    with live_page("Press the button.", 9310) as observer:
        observer.view(view(1.0))
        observer.event(Event(0.5, "stage", "press it"))
        url = capsys.readouterr().out.removeprefix("page: ").strip()
        assert httpx.get(url, trust_env=False).status_code == 200
    with pytest.raises(httpx.TransportError):
        httpx.get(url, trust_env=False, timeout=2.0)


def test_without_a_port_nothing_is_served():
    with live_page("Press the button.", None) as observer:
        assert isinstance(observer, NoObserver)
