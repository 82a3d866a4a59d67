"""The report's 3D view: what is encoded is the scene, and a browser draws it."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import open_browser, serious_findings
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_report import REPORT, RESULTS, written

from point2act.core.types import GaussianScene, RelevancyField
from point2act.visualization.initial_camera import find_initial_camera
from point2act.visualization.report.scene3d import scene_data
from point2act.visualization.splats import splats_of

QUERIES = tuple(result.query for result in RESULTS)


def random_scene(count: int, seed: int = 0) -> tuple[GaussianScene, RelevancyField]:
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    scene = GaussianScene(
        means=rng.uniform(-0.2, 0.2, (count, 3)),
        quats=quats / np.linalg.norm(quats, axis=1, keepdims=True),
        scales=np.exp(rng.uniform(np.log(1e-3), np.log(2e-2), (count, 3))),
        opacities=rng.uniform(0.05, 0.999, count),
        sh=rng.uniform(-1.5, 1.5, (count, 1, 3)),
    )
    return scene, RelevancyField(QUERIES, rng.uniform(0, 1, (count, len(QUERIES))))


def decoded(document: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays as the page's script reads them."""

    def array(text: str, kind: str, columns: int) -> np.ndarray:
        return np.frombuffer(base64.b64decode(text), kind).reshape(-1, columns).astype(float)

    return {
        "centers": np.array(document["low"])
        + array(document["centers"], "<u2", 3) / 65535 * document["span"],
        "covariances": array(document["covariances"], "<f2", 6) * document["scale"] ** 2 / 1e4,
        "colors": array(document["colors"], "u1", 4) / 255,
        "relevancies": np.concatenate([array(t, "u1", 1) for t in document["relevancies"]], axis=1) / 255,
    }


@given(st.integers(1, 300), st.integers(0, 1000))
def test_what_is_decoded_is_the_scene(count: int, seed: int):
    scene, relevancy = random_scene(count, seed)
    document = json.loads(scene_data(replace(REPORT, scene=(scene, relevancy))))
    assert document["count"] == count
    found, splats = decoded(document), splats_of(scene)
    np.testing.assert_allclose(found["centers"], splats.centers, atol=document["span"] / 65535)
    rows, columns = np.triu_indices(3)
    np.testing.assert_allclose(
        found["covariances"], splats.covariances[:, rows, columns], rtol=1e-3, atol=1e-11
    )
    np.testing.assert_allclose(found["colors"][:, :3], splats.colors, atol=0.5 / 255 + 1e-9)
    np.testing.assert_allclose(found["colors"][:, 3], scene.opacities, atol=0.5 / 255 + 1e-9)
    np.testing.assert_allclose(found["relevancies"], relevancy.values, atol=0.5 / 255 + 1e-9)


def test_a_large_scene_is_reduced_and_what_is_far_left_out():
    scene, relevancy = random_scene(60_000)
    scene.means[:100] += 100.0
    text = scene_data(replace(REPORT, scene=(scene, relevancy)))
    document = json.loads(text)
    assert 10_000 < document["count"] <= 40_000
    assert decoded(document)["centers"].max() < 10
    assert len(text) < 2_000_000


def test_without_gaussians_there_is_no_view(tmp_path: Path):
    scene, relevancy = random_scene(5)
    faint = replace(scene, opacities=np.zeros(5))
    assert scene_data(REPORT) == scene_data(replace(REPORT, scene=(faint, relevancy))) == ""
    assert "scene3d-data" not in written(tmp_path)


def test_words_cannot_end_the_script(tmp_path: Path):
    page = written(tmp_path, replace(REPORT, scene=random_scene(5)))
    (data,) = re.findall(r'<script type="application/json" id="scene3d-data">(.*?)</script>', page, re.DOTALL)
    assert json.loads(data)["queries"][0]["text"] == QUERIES[0].text, "which has a script element in it"


# ── in a browser ───────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    scene, _ = random_scene(400)
    red = replace(scene, sh=np.tile([[[1.7, -1.7, -1.7]]], (400, 1, 1)), opacities=np.full(400, 0.99))
    relevancy = np.zeros((400, len(QUERIES)))
    relevancy[:, 1] = 1.0
    folder = tmp_path_factory.mktemp("page")
    written(folder, replace(REPORT, scene=(red, RelevancyField(QUERIES, relevancy))))
    with open_browser() as browser:
        page = browser.new_page()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda line: page.errors.append(line.text) if line.type == "error" else None)
        page.goto((folder / "report.html").as_uri())
        yield page


def canvas(page: Any) -> np.ndarray:
    page.wait_for_timeout(400)
    shot = page.locator("#scene3d canvas").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def reddish(image: np.ndarray) -> float:
    return float((image[..., 0] > image[..., 1:].max(axis=2) + 60).mean())


def test_the_scene_is_drawn_and_tinted_by_the_chosen_query(page: Any):
    """Query 0 has relevancy 0 everywhere, query 1 has 1 everywhere and an orange tint."""
    page.set_viewport_size({"width": 1000, "height": 700})
    page.wait_for_function("document.getElementById('scene3d').dataset.drawn > 0")
    plain = canvas(page)
    assert reddish(plain) > 0.03
    page.locator("button[data-query]").nth(1).click()
    tinted = canvas(page)
    drawn = np.abs(plain - tinted).max(axis=2) > 30
    assert drawn.mean() > 0.02
    assert tinted[drawn][:, 1].mean() > plain[drawn][:, 1].mean() + 40, "red has become orange"
    page.locator("#scene3d input").uncheck()
    off = canvas(page)
    assert np.abs(off - plain)[drawn].mean() < 25, "the gripper of query 0 aside"
    assert page.errors == []


def test_rotating_changes_the_view_and_home_restores_it(page: Any):
    page.locator("button[data-home]").click()
    before = canvas(page)
    page.locator("#scene3d canvas").focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    turned = canvas(page)
    assert (np.abs(before - turned).max(axis=2) > 30).mean() > 0.01
    page.locator("button[data-home]").click()
    assert (np.abs(before - canvas(page)).max(axis=2) > 30).mean() < 0.001


@pytest.mark.parametrize("width", [390, 1000, 1400])
def test_nothing_is_wider_than_the_screen_or_too_small_to_read(page: Any, width: int):
    page.set_viewport_size({"width": width, "height": 900})
    found = page.evaluate(
        """() => {
        const name = (each) => each.outerHTML.slice(0, 80);
        const wide = [], small = [], screen = document.documentElement.clientWidth;
        for (const each of document.querySelectorAll("body *")) {
          let parent = each.parentElement;
          while (parent && getComputedStyle(parent).overflowX === "visible") parent = parent.parentElement;
          if (!parent && each.getBoundingClientRect().right > screen + 1) wide.push(name(each));
          const words = !each.children.length && each.textContent.trim() && each.getClientRects().length;
          if (words && parseFloat(getComputedStyle(each).fontSize) < 12) small.push(name(each));
        }
        return { wide, small, page: document.documentElement.scrollWidth - screen };
        }"""
    )
    assert found == {"wide": [], "small": [], "page": 0}


@pytest.mark.parametrize("width", [390, 1000, 1400])
def test_axe_core_finds_nothing_serious(page: Any, width: int):
    page.set_viewport_size({"width": width, "height": 900})
    assert serious_findings(page) == set()


def test_the_first_camera_faces_the_scene():
    scene, _ = random_scene(400)
    start = find_initial_camera(scene, [shown.view.T_world_cam for shown in REPORT.views])
    document = json.loads(scene_data(replace(REPORT, scene=random_scene(400))))
    np.testing.assert_allclose(document["eye"], start.eye)
    np.testing.assert_allclose(document["up"], start.up)
