"""Fifty clients of one service: two hours of requests as fast as they are answered, and what else arrives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import httpx
import numpy as np
import psutil

from benchmarks import Metric
from benchmarks.common.capture import workspace
from benchmarks.common.timing import REPOSITORY
from point2act.core.errors import FleetError
from point2act.service.client import ServiceClient, zipped

CLIENTS = 50
JOBS = 120
"""Of each client: one a minute for two hours."""
_TOKEN = "a-token-of-benchmarks"
_HEADERS = {"Authorization": f"Bearer {_TOKEN}"}
# One job in this many is cancelled, and one comes with a disturbance. Chosen.
_EVERY = 10
# Seconds that a client waits while the queue is full.
_PATIENCE = 300.0


@dataclass
class _Tally:
    """What clients have seen."""

    counts: Counter[str] = field(default_factory=Counter)

    def check(self, name: str, *, good: bool) -> None:
        """Count a reply, and whether it was the right one."""
        self.counts[name if good else "wrong"] += 1


def serve_clients(capture: Path, *, clients: int = CLIENTS, jobs: int = JOBS) -> Iterator[Metric]:
    """Yield the metrics of a service with many clients, whose jobs a stand-in does.

    Args:
        capture: A small capture with a points.json.
        clients: Number of clients at the same time.
        jobs: Number of jobs of each.
    """
    folder, tally = workspace() / "service", _Tally()
    with _server(folder) as (url, process):
        _clients(url, capture, tally, clients, max(1, jobs // 10))  # Imports, threads and buffers.
        before, start = process.memory_info().rss, perf_counter()
        _clients(url, capture, tally, clients, jobs)
        seconds, after = perf_counter() - start, process.memory_info().rss
        left = httpx.get(f"{url}/health", headers=_HEADERS, timeout=120.0).json()
    asked = clients * (jobs + max(1, jobs // 10))
    ended = sum(tally.counts[name] for name in ("done", "failed", "cancelled"))
    yield Metric("fleet.serve_lost", asked - ended + left["queued"] + left["running"], "")
    yield Metric("fleet.serve_wrong_replies", tally.counts["wrong"], "")
    yield Metric("fleet.serve_uploads_left", len(list((folder / "uploads").iterdir())), "")
    yield Metric("fleet.serve_disturbances", tally.counts["refused"], "", "higher")
    yield Metric("fleet.serve_jobs_per_second", clients * jobs / seconds, "1/s", "higher")
    yield Metric("fleet.serve_memory", after / 2**20, "MB")
    yield Metric("fleet.serve_memory_growth", (after - before) / 2**20, "MB")


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    command = [sys.executable, "-m", "benchmarks.fleet.stand_in", str(folder)]
    environment = {**os.environ, "POINT2ACT_TOKEN": _TOKEN}
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    ) as served:
        try:
            assert served.stdout is not None
            yield served.stdout.readline().split()[1], psutil.Process(served.pid)
        finally:
            served.terminate()


def _clients(url: str, capture: Path, tally: _Tally, clients: int, jobs: int) -> None:
    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(_client, url, capture, tally, number, jobs) for number in range(clients)]:
            done.result()


def _client(url: str, capture: Path, tally: _Tally, number: int, jobs: int) -> None:
    """Upload a capture, have jobs done on it, disturb, and delete the capture."""
    rng = np.random.default_rng(number)
    with ServiceClient(url, token=_TOKEN, timeout=120.0) as client:
        name = client.upload(capture)
        for seed in range(jobs):
            _job(client, capture, name, seed, tally, cancelled=rng.random() < 1 / _EVERY)
            if rng.random() < 1 / _EVERY:
                _DISTURBANCES[rng.integers(len(_DISTURBANCES))](url, capture, tally)
        client.remove(name)


def _job(
    client: ServiceClient, capture: Path, name: str, seed: int, tally: _Tally, *, cancelled: bool
) -> None:
    """Have a job done, or cancel it; its result must be its own."""
    points = capture / "points.json"
    job = client.ask(name, points=points, options={"seed": seed}, patience=_PATIENCE)
    if cancelled:
        client.cancel(job)
    *_, last = client.events(job)
    tally.check(last.status, good=cancelled or last.status != "cancelled")
    if last.status == "done":
        found = client.grasps(job)
        tally.check("result", good=(found["capture"], found["seed"]) == (name, seed))


def _wrong_token(url: str, capture: Path, tally: _Tally) -> None:
    with ServiceClient(url, token="wrong") as client:
        try:
            client.upload(capture)
        except FleetError as err:
            tally.check("refused", good="token" in str(err))
        else:
            tally.check("refused", good=False)


def _claim(url: str, capture: Path, tally: _Tally) -> None:
    """Say that ten gigabytes follow."""
    with _connected(url, 10 * 2**30, bytes(1000)) as connection:
        tally.check("refused", good=b" 413 " in connection.recv(4096).splitlines()[0])


def _cancelled_upload(url: str, capture: Path, tally: _Tally) -> None:
    archive = zipped(capture)
    with _connected(url, len(archive), archive[: len(archive) // 2]):
        tally.check("refused", good=True)


def _no_archive(url: str, capture: Path, tally: _Tally) -> None:
    _refused(tally, lambda: _post(url, "/captures", b"this is no archive"), 422)


def _no_job(url: str, capture: Path, tally: _Tally) -> None:
    _refused(tally, lambda: httpx.get(f"{url}/jobs/../../etc/passwd", headers=_HEADERS, timeout=120.0), 404)


def _post(url: str, path: str, body: bytes) -> httpx.Response:
    return httpx.post(f"{url}{path}", content=body, headers=_HEADERS, timeout=120.0)


def _refused(tally: _Tally, send: Callable[[], httpx.Response], status: int) -> None:
    reply = send()
    # A full store of captures is refused with 503 before the archive is read.
    tally.check("refused", good=reply.status_code in (status, 503) and "root:" not in reply.text)


@contextmanager
def _connected(url: str, length: int, body: bytes) -> Iterator[socket.socket]:
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /captures HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {length}\r\n"
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(f"{head}Authorization: Bearer {_TOKEN}\r\n\r\n".encode() + body)
        yield connection


_DISTURBANCES = (_wrong_token, _claim, _cancelled_upload, _no_archive, _no_job)
