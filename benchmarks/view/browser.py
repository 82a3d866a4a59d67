"""Time until a browser shows Gaussians: headless Chromium with software rendering."""

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

# Software rendering, so that results do not depend on a GPU. Only this machine can be reached: viser 0.2
# requests a script from outside, and no figure may depend on the response.
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
# The scene's canvas, reduced; empty if there is none yet. three.js sets data-engine on its canvas.
_CANVAS_PIXELS = """() => {
    const canvas = document.querySelector('canvas[data-engine]')
    if (!canvas || !canvas.width) return []
    const small = new OffscreenCanvas(80, 50).getContext('2d')
    small.drawImage(canvas, 0, 0, 80, 50)
    return Array.from(small.getImageData(0, 0, 80, 50).data)
}"""
# Difference of a pixel from the background, and the fraction of such pixels that only Gaussians reach: lines
# on the ground and cameras cover less, the table more.
_DIFFERENT, _SHARE = 24, 0.2
_PATIENCE = 600.0


@dataclass(frozen=True)
class PageTimes:
    """Seconds from the start of a process or request until the page loads, connects and renders."""

    answers: float
    """Seconds until the page is sent."""
    connected: float
    """Seconds until the page's socket has received something."""
    pixels: float
    """Seconds until Gaussians are visible."""


def fastest(each: Sequence[PageTimes]) -> PageTimes:
    """Return the minimum of each time."""
    return PageTimes(
        min(one.answers for one in each), min(one.connected for one in each), min(one.pixels for one in each)
    )


@contextmanager
def open_chromium() -> Iterator[Browser]:
    """Yield a running Chromium. Raises ``CannotMeasureError`` if it or Playwright is missing."""
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
def open_page(browser: Browser, url: str, start: float) -> Iterator[tuple[Page, PageTimes]]:
    """Yield a page with an empty cache once it shows Gaussians.

    The page is reloaded until the server responds. Seconds count from ``start``, a value of
    ``time.perf_counter``.
    """
    context = browser.new_context(viewport={"width": _WIDTH, "height": _HEIGHT})
    page, came = context.new_page(), []
    page.on("websocket", lambda s: s.on("framereceived", lambda _: came.append(time.perf_counter())))
    wait_for(page, lambda: _loads(page, url), "an answer")
    answers = time.perf_counter()
    wait_for(page, lambda: _covered(page.evaluate(_CANVAS_PIXELS)) > _SHARE, "Gaussians")
    pixels = time.perf_counter()
    yield page, PageTimes(answers - start, came[0] - start, pixels - start)
    context.close()


def wait_for(page: Page, is_so: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds, checked every 0.1 s."""
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
        # The connection was refused, or interrupted by Chromium's own page that reports this.
        return False
    return True


def _covered(rgba: list[int]) -> float:
    """Return the fraction of pixels that differ from the most frequent colour."""
    if not rgba:
        return 0.0
    pixels = np.array(rgba).reshape(-1, 4)
    colors, counts = np.unique(pixels, axis=0, return_counts=True)
    return float((np.abs(pixels - colors[counts.argmax()]).max(axis=1) > _DIFFERENT).mean())


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Run this Python with arguments, without output, until the context ends; yield it and its start time."""
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    start = time.perf_counter()
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield process, start
        finally:
            process.kill()


def viewing(run: Path, port: int) -> tuple[str, ...]:
    """Return the arguments of the command that shows a run."""
    return ("-m", "point2act.cli", "view", str(run), "--no-browser", "--port", str(port))


def free_port() -> int:
    """Return a port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
