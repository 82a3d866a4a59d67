"""Asking a model about two thousand images with one client, while its server errs."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from benchmarks import Metric
from benchmarks.common.capture import workspace
from benchmarks.fleet.jobs import small_views
from point2act.core.errors import FleetError, ModelError
from point2act.core.files import read_json
from point2act.data.capture import read_capture, write_capture
from point2act.data.points import read_points
from point2act.fleet.asking import UNANSWERED, Asker
from point2act.vlm.clients.factory import ClientConfig
from point2act.vlm.clients.limits import LimitsConfig
from point2act.vlm.clients.server import ServerConfig
from point2act.vlm.pointing.questions import AskConfig, name_queries

IMAGES = 2000
"""Images to ask about."""
_IN_CAPTURE = 100
"""Images of each capture."""
_FAULTS = 0.3
"""Fraction of the requests that meet a fault, retries included. Chosen."""
_KINDS = ("429", "500", "503", "page", "half", "nothing", "late")
_WINDOW = 60.0
"""Seconds; limits are per minute."""


def ask_much(images: int = IMAGES) -> Iterator[Metric]:
    """Yield the metrics of asking about images; the limit of requests a minute is hit half-way.

    Args:
        images: Number of images.
    """
    queries = name_queries([("the lid", "grasp")])
    with _server() as server:
        asker = Asker(_config(server.url, per_minute=images // 2))
        start, answered, listed = time.perf_counter(), 0, 0
        for number in range(-(-images // _IN_CAPTURE)):
            points = workspace() / "answers" / str(number) / "points.json"
            capture = read_capture(_capture(number))
            try:
                asker.ask(capture, queries, _IN_CAPTURE, points)
            except ModelError:
                continue
            answered += len(read_points(points, capture).answers)
            listed += len(read_json(points.with_name(UNANSWERED), FleetError)["unanswered"])
        seconds = time.perf_counter() - start
    yield Metric("fleet.asked_lost", images - answered - listed, "")
    yield Metric("fleet.asked_unanswered", listed, "")
    yield Metric("fleet.asked_requests", len(server.times), "")
    yield Metric("fleet.asked_over_the_limit", max(0, _busiest(server.times) - images // 2), "")
    yield Metric("fleet.asked_seconds", seconds, "s")


def _config(url: str, *, per_minute: int) -> AskConfig:
    requests = ServerConfig(timeout=2.0, retries=3, backoff=0.02, limits=LimitsConfig(per_minute=per_minute))
    return AskConfig(ClientConfig("qwen3_vl_8b", url, remember=False, requests=requests))


def _capture(number: int) -> Path:
    """Return the folder of a capture whose images differ from those of all others."""
    folder = workspace() / "asked" / str(number)
    write_capture(folder, small_views(_IN_CAPTURE, np.random.default_rng(number)))
    return folder


def _busiest(times: list[float]) -> int:
    """Return the largest number of requests in a window of a minute."""
    most, window = 0, deque[float]()
    for moment in sorted(times):
        window.append(moment)
        while window[0] <= moment - _WINDOW:
            window.popleft()
        most = max(most, len(window))
    return most


class _Server(ThreadingHTTPServer):
    """A server that answers as Qwen3-VL does, or errs in one of seven ways."""

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.times: list[float] = []
        self.random, self.lock = random.Random(0), threading.Lock()

    def next_fault(self) -> str | None:
        """Count a request, and return what goes wrong with it."""
        with self.lock:
            self.times.append(time.monotonic())
            fails = self.random.random() < _FAULTS
            return (
                self.random.choice(("429", "500", "503", "page", "half", "nothing", "late"))
                if fails
                else None
            )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """Answer a request, or err."""
        self.rfile.read(int(self.headers["Content-Length"]))
        fault = self.server.next_fault()
        message = {"role": "assistant", "content": '[{"point_2d": [500, 500], "label": "lid"}]'}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        head = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
        body = json.dumps({**head, "choices": choices})
        if fault == "late":
            time.sleep(3.0)
        if fault == "nothing":
            self.close_connection = True
        elif fault == "page":
            self._reply(200, "<html></html>")
        elif fault in ("429", "500", "503"):
            self._reply(int(fault), json.dumps({"error": {"message": "busy"}}))
        else:
            self._reply(200, body, cut=fault == "half")

    def _reply(self, status: int, body: str, *, cut: bool = False) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data[: len(data) // 2] if cut else data)
        except OSError:
            cut = True  # The client has hung up.
        self.close_connection |= cut

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def _server() -> Iterator[_Server]:
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
