"""A real browser for tests: pages of viser's, looked at and operated as a person would.

What is on a page is found by visible label and role, so that tests outlive a version of viser. Where Chromium
or Playwright is missing, tests that ask for a browser are skipped.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from jaxtyping import Float, UInt8
from PIL import Image

with warnings.catch_warnings():
    # viser 0.2.7 imports what newer websockets call old.
    warnings.simplefilter("ignore")
    import viser

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Download, Locator, Page

# Drawn in software, so the same with and without a GPU. Only this machine can be reached: viser 0.2.7 asks
# for a script from outside, and no test may depend on the answer.
FLAGS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
TIMEOUT = 200.0
"""Seconds. Chosen: a first page takes 3 to 9 s on two busy cores, and on worse ones ten times as long; once,
100 s were not enough."""
SIZE = (800, 500)
"""Of a page: width and height in pixels. Chosen: small, as every pixel is drawn by the processor."""
# three.js names itself on the canvas that it draws on; viser has others for rubber bands.
CANVAS = "canvas[data-engine]"
ONLY_THE_CANVAS = f"* {{ visibility: hidden !important }} {CANVAS} {{ visibility: visible !important }}"
DIFFERENT = 24
"""Levels of a colour by which a pixel counts as another. Chosen: viser draws coarser when it is slow, which
moves the edges of things by less than a pixel."""
BLOCK = 20
"""Side of a block, pixels: viser draws a fifth as many pixels a side when it is slow."""

# A frame is drawn by the processor, which has other work: this many milliseconds between two are enough.
FEWER_FRAMES = """
  const draw = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (frame) => { setTimeout(() => draw(frame), 100); return 0; };
"""

# Keeps what the canvas shows at every frame, in small: a screenshot takes longer than many frames.
SMALL = (60, 40)
WATCH = """([selector, width, height]) => {
  const small = document.createElement("canvas");
  [small.width, small.height] = [width, height];
  const context = small.getContext("2d", { willReadFrequently: true });
  const frames = (window.watchedFrames = []);
  const keep = () => {
    if (window.watchedFrames !== frames) return;
    context.drawImage(document.querySelector(selector), 0, 0, width, height);
    frames.push(Array.from(context.getImageData(0, 0, width, height).data));
    requestAnimationFrame(keep);
  };
  requestAnimationFrame(keep);
}"""


# ── a browser ──────────────────────────────────────────────────────────────────────────────────
def find_chromium() -> str | None:
    """The path of POINT2ACT_TEST_BROWSER, or of a Chromium on PATH."""
    named = os.environ.get("POINT2ACT_TEST_BROWSER")
    names = (named,) if named else ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


@contextmanager
def open_browser() -> Iterator[BrowserContext]:
    """A headless Chromium; skips, with a sentence, where there is none.

    Its pages share what they have loaded, so that only the first is slow. While it is open this thread has a
    running asyncio loop, in which other tests may not run theirs: one for a file of tests, not for all.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on this system: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        context = chromium.new_context(viewport={"width": SIZE[0], "height": SIZE[1]})
        context.add_init_script(FEWER_FRAMES)
        yield context
        chromium.close()


# ── servers ────────────────────────────────────────────────────────────────────────────────────
@contextmanager
def serve() -> Iterator[tuple[viser.ViserServer, str]]:
    """A bare viser server that only this machine reaches, and its address."""
    with warnings.catch_warnings():
        # 0.2.7 once more. As an error it would end the thread that this constructor waits for.
        warnings.simplefilter("ignore", DeprecationWarning)
        server = viser.ViserServer(host="127.0.0.1", port=8080, verbose=False)  # or the next that is free
    yield server, f"http://127.0.0.1:{server.get_port()}"
    server.stop()


@contextmanager
def viewed(*arguments: object) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Where the page of ``point2act view`` is, and the command."""
    command = [
        sys.executable,
        "-m",
        "point2act.cli",
        "view",
        *map(str, arguments),
        "--no-browser",
        "--port",
        "8600",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            assert first.startswith("page: "), first + str(process.stderr and process.stderr.read())
            yield first.removeprefix("page: ").strip(), process
        finally:
            process.kill()


def add_splats(
    scene: viser.SceneApi,
    name: str,
    *,
    centers: Float[np.ndarray, "n 3"],
    covariances: Float[np.ndarray, "n 3 3"],
    rgbs: Float[np.ndarray, "n 3"],
    opacities: Float[np.ndarray, "n 1"],
) -> viser.GaussianSplatHandle:
    """Gaussians, by the name that the installed viser has for it; colours and opacities from 0 to 1."""
    add = getattr(scene, "add_gaussian_splats", None) or scene._add_gaussian_splats
    return add(name, centers=centers, covariances=covariances, rgbs=rgbs, opacities=opacities)


# ── accessibility ──────────────────────────────────────────────────────────────────────────────
def serious_findings(page: Page) -> set[tuple[str, str]]:
    """What axe-core finds serious or critical: the rule, and the element by its name and its classes."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python"
    )
    found = set()
    for finding in axe.Axe().run(page).response["violations"]:
        if finding["impact"] in ("serious", "critical"):
            for node in finding["nodes"]:
                # Not of the finding's own HTML, which is shortened where a value is long.
                name, classes = page.eval_on_selector(
                    node["target"][0], "e => [e.tagName.toLowerCase(), e.getAttribute('class')]"
                )
                found.add((finding["id"], f"{name}.{classes or ''}"))
    return found


def findings_in_viser(browser: BrowserContext) -> set[tuple[str, str]]:
    """What axe-core finds on a page of viser's with one control of each kind that the viewer has."""
    with serve() as (server, url):
        gui = server.gui
        gui.configure_theme(dark_mode=True)
        gui.add_progress_bar(0.0)
        gui.add_button_group("Group", ("One", "Two"))
        tabs = gui.add_tab_group()
        with tabs.add_tab("Tab"), gui.add_folder("Folder"):
            gui.add_dropdown("Menu", ("One", "Two"))
            gui.add_slider("Slider", 0.0, 1.0, 0.1, 0.5)
            gui.add_text("Text", "")
            gui.add_checkbox("Box", True)
        window = Window(browser, url)
        window.wait_for_words("Slider")
        earlier: set[tuple[str, str]] | None = None
        # While controls fade in, not all that is to be found is found.
        while earlier != (found := serious_findings(window.page)):
            earlier = found
            window.page.wait_for_timeout(500)
        window.close()
    return found


# ── the console of a page ──────────────────────────────────────────────────────────────────────
class ConsoleLine(NamedTuple):
    """A line of a page's console, or an error that nothing in the page caught (kind "uncaught")."""

    kind: str
    text: str


def complaints(lines: Iterable[ConsoleLine]) -> set[ConsoleLine]:
    """Warnings and errors, without what differs from run to run: addresses, hashes, numbers."""
    return {
        ConsoleLine(kind, re.sub(r"0x[0-9a-f]+|\d[\d.]*", "#", re.sub(r"\w+://\S+", "<address>", text)))
        for kind, text in lines
        if kind in ("warning", "error", "uncaught")
    }


def noise(browser: BrowserContext) -> set[ConsoleLine]:
    """What the installed viser complains about by itself: a page with a single Gaussian and a box.

    viser draws all Gaussians as copies of one flat square, for which three.js finds no bounding sphere. 0.2.7
    makes that square, and a texture without texels, for a page without Gaussians as well.
    """
    one = {"centers": np.zeros((1, 3)), "covariances": 0.01 * np.eye(3)[None], "opacities": np.ones((1, 1))}
    with serve() as (server, url):
        window = Window(browser, url)
        empty = window.wait_until_still()
        # viser 1.x complains once more at the first mesh, and at the first that can be clicked on.
        server.scene.add_box("/box", (255, 255, 255), (0.1, 0.1, 0.1)).on_click(lambda _: None)
        add_splats(server.scene, "/one", rgbs=np.zeros((1, 3)), **one)
        window.wait_until_changed(empty, share=0.0005)
        window.close()
    return complaints(window.console)


# ── a window ───────────────────────────────────────────────────────────────────────────────────
class Window:
    """A page at a viser server, drawn at least once, with everything that its console shows."""

    def __init__(self, browser: BrowserContext, url: str) -> None:
        self.page = browser.new_page()
        self.page.set_default_timeout(TIMEOUT * 1000)
        self.console: list[ConsoleLine] = []
        self.page.on("console", lambda line: self.console.append(ConsoleLine(line.type, line.text)))
        self.page.on("pageerror", lambda err: self.console.append(ConsoleLine("uncaught", str(err))))
        self.page.on("crash", lambda _: self.console.append(ConsoleLine("uncaught", "the page crashed")))
        self.page.goto(url)
        self.page.locator(CANVAS).wait_for()

    def close(self) -> None:
        self.page.close()

    def wait_for(self, is_so: Callable[[], object], what: str, timeout: float = TIMEOUT) -> None:
        """Wait until ``is_so()``, seconds at most. Callbacks and the console go on meanwhile."""
        end = time.monotonic() + timeout
        while not is_so():
            assert time.monotonic() < end, (
                f"waited {timeout:g} s for {what}; the console shows {self.console[-5:]}"
            )
            self.page.wait_for_timeout(50)

    # ── the scene ──
    def canvas(self) -> UInt8[np.ndarray, "h w 3"]:
        """What the scene's canvas shows now, without the panels that lie over it."""
        shot = self.page.locator(CANVAS).screenshot(style=ONLY_THE_CANVAS, animations="allow")
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))

    def wait_until_still(self) -> UInt8[np.ndarray, "h w 3"]:
        """The canvas once two screenshots of it are the same."""
        shots = [self.canvas()]

        def is_still() -> bool:
            shots.append(self.canvas())
            return changed_share(shots[-2], shots[-1]) == 0

        self.wait_for(is_still, "a scene that does not move")
        return shots[-1]

    def wait_until_changed(
        self, before: UInt8[np.ndarray, "h w 3"], share: float = 0.01
    ) -> UInt8[np.ndarray, "h w 3"]:
        """The canvas once this share of its pixels is another colour."""
        now = [before]

        def is_other() -> bool:
            now[0] = self.canvas()
            return changed_share(before, now[0]) >= share

        self.wait_for(is_other, f"{share:.1%} of the scene to change")
        return now[0]

    def wait_until_like(self, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """Wait until the canvas shows what a picture shows, at any resolution."""
        wanted = coarse(picture)
        self.wait_for(lambda: changed_share(wanted, coarse(self.canvas())) < 0.05, "a view that was there")

    def watch(self) -> None:
        """Keep every frame from now on, for ``frames``."""
        self.page.evaluate(WATCH, [CANVAS, *SMALL])

    def frames(self) -> list[UInt8[np.ndarray, "h w 3"]]:
        """What the canvas showed at every frame since ``watch``, in small; at least three frames."""
        self.wait_for(lambda: self.page.evaluate("watchedFrames.length") >= 3, "three frames")
        kept = self.page.evaluate("watchedFrames")
        return [np.array(one, np.uint8).reshape(SMALL[1], SMALL[0], 4)[..., :3] for one in kept]

    def click_canvas(self, x: float, y: float) -> None:
        """A click, in pixels from the upper left corner: down and up in one place, after a moment there."""
        box = self.page.locator(CANVAS).bounding_box()
        assert box is not None
        x, y = box["x"] + x, box["y"] + y
        over = self.page.evaluate("([x, y]) => document.elementFromPoint(x, y)?.tagName", [x, y])
        assert over == "CANVAS", f"a {over} lies over the scene at ({x:g}, {y:g})"
        self.page.mouse.move(x, y)
        self.page.wait_for_timeout(100)
        self.page.mouse.down()
        self.page.mouse.up()

    # ── the panel ──
    def words(self) -> str:
        """All text that is to be seen."""
        return self.page.locator("body").inner_text()

    def wait_for_words(self, text: str) -> None:
        try:
            self.wait_for(lambda: text in self.words(), f"the words {text!r}")
        except AssertionError as err:
            raise AssertionError(f"{err}; to be seen was {self.words()!r}") from err

    def open_tab(self, label: str) -> None:
        self.page.get_by_role("tab", name=label, exact=True).click()

    def press(self, label: str) -> None:
        self.page.get_by_role("button", name=label, exact=True).click()

    def row(self, label: str) -> Locator:
        """What belongs to a label. (viser 0.2.7 does not tie labels to text inputs.)"""
        return self.page.locator(
            f"//label[normalize-space()='{label}']/ancestor::*[.//input or .//textarea or .//button][1]"
        ).filter(visible=True)

    def box(self, label: str) -> Locator:
        """The input that one types into; a slider's is the small one beside it."""
        return self.row(label).locator("input:not([type=hidden]), textarea").last

    def value(self, label: str) -> str:
        return self.box(label).input_value()

    def is_ticked(self, label: str) -> bool:
        return self.box(label).is_checked()

    def tick(self, label: str, on: bool = True) -> None:
        self.box(label).set_checked(on)

    def type(self, label: str, text: str, *, enter: bool = False) -> None:
        """Replace what an input holds, key by key."""
        self.box(label).click(click_count=3)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)
        self.wait_for(lambda: self.value(label) == text, f"{label!r} to hold {text!r}")
        self.page.keyboard.press("Enter" if enter else "Tab")

    def slide(self, label: str, share: float) -> None:
        """Press on a slider's track at a share of its length, once it is visible and does not move."""
        track = self.row(label).get_by_role("slider").locator("..")
        box = track.bounding_box()
        assert box is not None, f"no slider {label!r}"
        track.click(position={"x": share * box["width"], "y": box["height"] / 2})

    def choices(self, label: str) -> list[str]:
        """What a dropdown offers; it is closed again."""
        self.box(label).click()
        options = self.page.get_by_role("option").filter(visible=True)
        options.first.wait_for()
        offered = options.all_inner_texts()
        self.page.keyboard.press("Escape")
        return offered

    def choose(self, label: str, option: str) -> None:
        self.box(label).click()
        self.page.get_by_role("option", name=option, exact=True).filter(visible=True).click()
        self.wait_for(lambda: self.value(label) == option, f"{label!r} to be {option!r}")

    # ── what comes up ──
    def notices(self) -> list[str]:
        """The texts of the notifications that are to be seen."""
        return self.page.get_by_role("alert").filter(visible=True).all_inner_texts()

    def dialogs(self) -> list[str]:
        """The texts of the modal windows that are open."""
        return self.page.get_by_role("dialog").filter(visible=True).all_inner_texts()

    def picture(self, alt: str) -> UInt8[np.ndarray, "h w 3"]:
        """A picture of the panel, as it is to be seen, by its alternative text."""
        image = self.page.get_by_alt_text(alt, exact=True)
        self.wait_for(lambda: image.evaluate("e => e.complete && e.naturalWidth > 0"), f"the picture {alt!r}")
        return np.asarray(Image.open(io.BytesIO(image.screenshot())).convert("RGB"))

    def download(self, ask: Callable[[], object]) -> tuple[str, bytes]:
        """The name and the contents of the file that comes when asked for.

        viser 1.x shows a notice to press, where 0.2.7 saves at once.
        """
        came: list[Download] = []
        self.page.once("download", lambda file: came.append(file))
        link = self.page.get_by_role("alert").locator("a[download]")
        ask()
        self.wait_for(lambda: came or link.count(), "a download")
        if not came:
            link.click()
            self.wait_for(lambda: came, "a download after its link was pressed")
        return came[0].suggested_filename, Path(came[0].path()).read_bytes()


def changed_share(before: UInt8[np.ndarray, "h w 3"], after: UInt8[np.ndarray, "h w 3"]) -> float:
    """The share of pixels that have another colour in one picture than in the other; 1 for another size."""
    if before.shape != after.shape:
        return 1.0
    apart = np.abs(before.astype(int) - after).max(axis=-1)
    return float((apart > DIFFERENT).mean())


def coarse(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_h _w 3"]:
    """A picture in blocks of ``BLOCK`` pixels: the same at every resolution that viser draws at."""
    height, width = (size // BLOCK for size in picture.shape[:2])
    blocks = picture[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK, 3)
    return np.round(blocks.mean(axis=(1, 3))).astype(np.uint8)
