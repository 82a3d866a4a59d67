"""How long it takes until a browser shows Gaussians: Chromium without a screen, drawing in software."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import CannotMeasureError
from benchmarks.common.timing import REPOSITORY

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Drawn in software, so the same with and without a GPU. Only this machine can be reached: viser 0.2 asks for
# a script from outside, and no figure may depend on the answer.
_FLAGS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
_WIDTH, _HEIGHT = 800, 500
# The scene's canvas, small; empty where there is none yet. three.js names itself on the canvas it draws on.
_LOOK = """() => {
    const canvas = document.querySelector('canvas[data-engine]')
    if (!canvas || !canvas.width) return []
    const small = new OffscreenCanvas(80, 50).getContext('2d')
    small.drawImage(canvas, 0, 0, 80, 50)
    return Array.from(small.getImageData(0, 0, 80, 50).data)
}"""
# Levels of a colour by which a pixel is another, and the share of such pixels that only Gaussians make: lines
# on the ground and cameras cover less, the table more. Chosen.
_DIFFERENT, _SHARE = 24, 0.2
_PATIENCE = 600.0


@dataclass(frozen=True)
class Opening:
    """Seconds from a beginning until ..."""

    answers: float
    """the page is sent,"""
    connected: float
    """its socket has brought something,"""
    pixels: float
    """Gaussians are to be seen."""


def fastest(each: Sequence[Opening]) -> Opening:
    """The shortest of every part."""
    return Opening(
        min(one.answers for one in each), min(one.connected for one in each), min(one.pixels for one in each)
    )


@contextmanager
def open_chromium() -> Iterator[Browser]:
    """A Chromium that runs and has drawn something.

    Raises ``CannotMeasureError`` where it or Playwright is missing.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as err:
        raise CannotMeasureError(
            "its pages need Playwright (pip install playwright); the rest is measured"
        ) from err
    named = os.environ.get("POINT2ACT_TEST_BROWSER")
    names = (named,) if named else ("chromium", "chromium-browser", "google-chrome")
    path = next((path for path in map(shutil.which, names) if path), None)
    if path is None:
        raise CannotMeasureError("its pages need Chromium (apt-get install chromium); the rest is measured")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(_FLAGS))
        yield browser
        browser.close()


@contextmanager
def page_of(browser: Browser, url: str, start: float) -> Iterator[tuple[Page, Opening]]:
    """A page that nothing is kept for from earlier ones, once it shows Gaussians.

    It is loaded again and again until someone answers. Seconds count from ``start``, of
    ``time.perf_counter``.
    """
    context = browser.new_context(viewport={"width": _WIDTH, "height": _HEIGHT})
    page, came = context.new_page(), []
    page.on("websocket", lambda s: s.on("framereceived", lambda _: came.append(time.perf_counter())))
    wait_for(page, lambda: _loads(page, url), "an answer")
    answers = time.perf_counter()
    wait_for(page, lambda: _covered(page.evaluate(_LOOK)) > _SHARE, "Gaussians")
    pixels = time.perf_counter()
    yield page, Opening(answers - start, came[0] - start, pixels - start)
    context.close()


def wait_for(page: Page, is_so: Callable[[], bool], what: str) -> None:
    """Wait until something is so, looking again every tenth of a second."""
    end = time.monotonic() + _PATIENCE
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {_PATIENCE:g} s for {what} on {page.url}")
        page.wait_for_timeout(100)


def _loads(page: Page, url: str) -> bool:
    from playwright.sync_api import Error

    try:
        page.goto(url, wait_until="commit")
    except Error:
        # Refused, or overtaken by the page on which Chromium says so.
        return False
    return True


def _covered(look: list[int]) -> float:
    """The share of pixels that are not of the colour that most are of."""
    if not look:
        return 0.0
    pixels = np.array(look).reshape(-1, 4)
    colors, counts = np.unique(pixels, axis=0, return_counts=True)
    return float((np.abs(pixels - colors[counts.argmax()]).max(axis=1) > _DIFFERENT).mean())


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """This Python with arguments, silent, until it is not needed; and when it was started."""
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    start = time.perf_counter()
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield process, start
        finally:
            process.kill()


def viewing(run: Path, port: int) -> tuple[str, ...]:
    """The command that shows a run."""
    return ("-m", "point2act.cli", "view", str(run), "--no-browser", "--port", str(port))


def free_port() -> int:
    """One that no one listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
