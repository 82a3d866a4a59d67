"""Draw the documentation's pictures of the page and of the report, and a film of the page, in Chromium.

``python tests/draw_page.py RUN FOLDER``, where RUN is what ``point2act run`` wrote.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from browser import Window, open_browser, viewed
from PIL import Image
from playwright.sync_api import BrowserContext

from point2act.core.progress import Stages

PAGE = (1280, 720)
"""Width and height of the page in pixels."""
FILM = (960, 540)
SHARPNESS = 3
"""Pixels of the screen per pixel of a picture: viser draws a fifth as sharp where no GPU helps."""
REPORT = {"report.jpg": (1000, 1100), "report_phone.jpg": (390, 844)}
"""Width and height of the report's pictures."""
LOOK, MOVE = 1600, 120
"""Milliseconds for which a picture of the film stays, to be read and as part of a movement."""
MOTION = 16
"""Pictures of a grasp's motion."""


@dataclass(frozen=True)
class Film:
    """Pictures of a page, each with the milliseconds for which it is shown."""

    window: Window
    pictures: list[Image.Image] = field(default_factory=list)
    milliseconds: list[int] = field(default_factory=list)

    def take(self, milliseconds: int = LOOK) -> Image.Image:
        """Add what is to be seen now."""
        picture = Image.open(io.BytesIO(self.window.page.screenshot())).convert("RGB")
        self.pictures.append(picture.resize(FILM, Image.Resampling.LANCZOS))
        self.milliseconds.append(milliseconds)
        return picture.resize(PAGE, Image.Resampling.LANCZOS)

    def save(self, path: Path) -> None:
        """Write the film as an animated WebP that repeats."""
        first, *rest = self.pictures
        first.save(
            path, save_all=True, append_images=rest, duration=self.milliseconds, loop=0, quality=55, method=6
        )


def main(run: Path, folder: Path) -> None:
    """Write ``view.webp``, pictures of the page's tabs, and of the report on a laptop and a phone."""
    stages = Stages(show=True)
    with open_browser() as browser:
        with stages.stage("the page"), opened(browser, run) as window:
            film_page(window, folder)
        with stages.stage("the report"):
            for name, size in REPORT.items():
                draw_report(browser, run / "report.html", size).save(folder / name, quality=80)


@contextmanager
def opened(browser: BrowserContext, run: Path) -> Iterator[Window]:
    """A page on which all queries have grasps."""
    assert browser.browser is not None
    sharp = browser.browser.new_context(
        viewport={"width": PAGE[0], "height": PAGE[1]}, device_scale_factor=SHARPNESS
    )
    with viewed(run) as (url, _):
        window = Window(sharp, url)
        window.wait_for_words("Ready")
        window.wait_until_still()
        yield window
        sharp.close()


def film_page(window: Window, folder: Path) -> None:
    """Go through the page as a person would."""
    film = Film(window)
    window.open_tab("Find")
    film.take()
    for query in window.choices("Query")[1:3]:
        window.choose("Query", query)
        window.wait_until_still()
        scene = film.take()
    scene.save(folder / "view_scene.jpg", quality=80)
    window.open_tab("Photographs")
    window.picture("Photographs by verdict")
    film.take().save(folder / "view_photographs.jpg", quality=80)
    window.press("3")
    window.wait_for_words("Back to the scene")
    window.wait_until_still()
    film.take().save(folder / "view_click.jpg", quality=80)
    window.press("Back to the scene")
    window.wait_until_still()
    window.open_tab("Grasps")
    window.wait_until_still()
    film.take().save(folder / "view_grasps.jpg", quality=80)
    for step in range(MOTION):
        window.slide("Motion", (step + 0.5) / MOTION)
        window.page.wait_for_timeout(1000)
        film.take(MOVE)
    film.take()
    film.save(folder / "view.webp")


def draw_report(browser: BrowserContext, report: Path, size: tuple[int, int]) -> Image.Image:
    """The first screen of a report."""
    page = browser.new_page()
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(report.resolve().as_uri())
    page.wait_for_timeout(1000)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    page.close()
    return picture


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
