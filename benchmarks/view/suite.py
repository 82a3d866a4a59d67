"""The viewer: time until a page shows a scene, time of each action, and time of a click.

A simulated table of 30 000 Gaussians (a subset of a run's) and one of 300 000 (the same, each split into
smaller ones). Actions are applied to a viewer in this process, without a browser: seconds are the server's,
until it has nothing left to do, without transmission. Pages are those of ``point2act view`` in a process of
its own, in a running headless Chromium without a cache, alternating with pages of viser alone with the same
Gaussians. Chromium renders in software on the same processor. ``POINT2ACT_BENCHMARK_CACHE`` as for
``localisation``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from benchmarks import Metric, Plan
from benchmarks.common.capture import workspace
from benchmarks.view.actions import open_viewer, time_actions, time_clicks, time_gripper_change
from benchmarks.view.browser import (
    PageTimes,
    fastest,
    free_port,
    open_chromium,
    open_page,
    serving,
    viewing,
    wait_for,
)
from benchmarks.view.scenes import run_of
from point2act.cli.load_run import open_scene
from point2act.visualization.initial_camera import find_initial_camera
from point2act.visualization.splats import splats_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

COUNTS = {"30k": 30_000, "300k": 300_000}
_CLEARANCE = 3.0
"""Distance from the cameras to the scene in viser's units, about as in the viewer."""


@dataclass(frozen=True)
class Pages:
    """Times and memory of one server."""

    first: PageTimes
    """Times of the first page, from the start of the process."""
    again: PageTimes
    """Times of another page when the server is idle, from the request."""
    ready: float
    """Seconds from the start of the process until all grasps are planned."""
    gigabytes: float
    """Resident set after that, 10^9 bytes."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield milliseconds of actions, seconds of clicks and of pages, and the server's memory."""
    for size, count in COUNTS.items():
        with open_viewer(run_of(count)) as viewer:
            for name, seconds in time_actions(viewer, plan.seconds).items():
                yield Metric(f"view.{size}.{name}_ms", 1000 * seconds, "ms")
            lifted = time_clicks(viewer, plan.rounds)
            yield Metric(f"view.{size}.click_to_field_s", lifted.field, "s")
            yield Metric(f"view.{size}.click_to_grasps_s", lifted.grasps, "s")
            yield Metric(f"view.{size}.gripper_s", time_gripper_change(viewer, max(1, plan.rounds // 2)), "s")
    with open_chromium() as browser:
        for size, count in COUNTS.items():
            yield from pages(browser, size, run_of(count), max(1, plan.rounds // 2))


def pages(browser: Browser, size: str, run: Path, rounds: int) -> Iterator[Metric]:
    """Yield the times of pages of the viewer and of viser alone, alternating."""
    gaussians = gaussians_of(run)
    # Chromium compiles its shaders.
    bare(browser, gaussians)
    each = [(ours(browser, run), bare(browser, gaussians)) for _ in range(rounds)]
    for name, seen in zip(("view", "viser"), zip(*each, strict=True), strict=True):
        first, again = fastest([one.first for one in seen]), fastest([one.again for one in seen])
        yield Metric(f"view.{size}.{name}_answers_s", first.answers, "s")
        yield Metric(f"view.{size}.{name}_socket_s", first.connected, "s")
        yield Metric(f"view.{size}.{name}_pixels_s", first.pixels, "s")
        yield Metric(f"view.{size}.{name}_page_s", again.pixels, "s")
        yield Metric(f"view.{size}.{name}_gb", min(one.gigabytes for one in seen), "GB")
    yield Metric(f"view.{size}.view_ready_s", min(one.ready for one, _ in each), "s")


def ours(browser: Browser, run: Path) -> Pages:
    """Measure ``point2act view``."""
    port = free_port()
    return seen_of(browser, viewing(run, port), port, until="Ready")


def bare(browser: Browser, gaussians: Path) -> Pages:
    """Measure viser alone."""
    port = free_port()
    return seen_of(browser, ("-m", "benchmarks.view.viser_only", str(gaussians), str(port)), port, until="")


def seen_of(browser: Browser, command: tuple[str, ...], port: int, *, until: str) -> Pages:
    """Open two pages of a command, one at once and one when the first shows the text ``until``."""
    url = f"http://127.0.0.1:{port}"
    with serving(*command) as (process, start):
        with open_page(browser, url, start) as (page, first):
            wait_for(page, lambda: until in page.locator("body").inner_text(), until)
            ready = time.perf_counter() - start
        gigabytes = psutil.Process(process.pid).memory_info().rss / 1e9
        with open_page(browser, url, time.perf_counter()) as (_, again):
            pass
    return Pages(first, again, ready, gigabytes)


def gaussians_of(run: Path) -> Path:
    """Write a run's Gaussians and its first camera for ``viser_only.py``."""
    opened = open_scene(run)
    splats = splats_of(opened.scene)
    outlook = find_initial_camera(opened.scene, [frame.T_world_cam for frame in opened.frames])
    unit, path = _CLEARANCE / outlook.distance, workspace() / f"{run.name}.npz"
    np.savez(
        path,
        centers=unit * splats.centers,
        covariances=unit**2 * splats.covariances,
        colors=splats.colors,
        opacities=splats.opacities,
        up=outlook.up,
        position=unit * outlook.eye,
        look_at=unit * outlook.center,
    )
    return path
