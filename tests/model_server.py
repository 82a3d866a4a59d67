"""A small server that speaks OpenAI's chat completions: for tests, over loopback, with faults on order.

As a script it answers from a points.json, recognising the images of a capture::

    python tests/model_server.py --points points.json --capture DIR --dialect qwen3_vl --port 0
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Answer = Callable[[dict[str, Any]], str]
"""From the JSON of a request to the words of the reply. A ValueError becomes an HTTP 400 with its words."""


def prompt(request: Mapping[str, Any]) -> str:
    """The text parts of a request."""
    return "\n".join(part["text"] for part in _parts(request) if part["type"] == "text")


def decode_image(request: Mapping[str, Any], index: int = 0) -> np.ndarray:
    """One of the images of a request, ``(h, w, 3)`` uint8."""
    urls = [part["image_url"]["url"] for part in _parts(request) if part["type"] == "image_url"]
    kind, data = urls[index].split(",", 1)
    assert kind in ("data:image/jpeg;base64", "data:image/png;base64"), kind
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data, validate=True))).convert("RGB"))


def _parts(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = request["messages"][-1]["content"]
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def completion(text: str | None, *, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """What a server answers, as JSON."""
    reply = {"role": "assistant", "content": text} | message
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "test",
        "choices": [{"index": 0, "message": reply, "finish_reason": finish}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020},
    }


class Handler(BaseHTTPRequestHandler):
    """One connection; requests and replies of it in turn."""

    protocol_version = "HTTP/1.1"
    # The head and the body of a reply are two packets: not to wait for each other.
    disable_nagle_algorithm = True
    server: ModelServer

    def do_GET(self) -> None:
        self.server.listings += 1
        if self.path != "/v1/models":
            return self.reply_json(404, {"error": {"message": "no such path"}})
        models = [{"id": name, "object": "model"} for name in self.server.models]
        return self.reply_json(200, {"object": "list", "data": models})

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # The client died while it asked.
            self.close_connection = True
            return
        request = json.loads(body)
        if self.path != "/v1/chat/completions":
            return self.reply_json(404, {"detail": "Not Found"})
        with self.server.one_more(self.headers, request) as earlier:
            fault = self.server.faults(request, earlier)
            return (fault or succeed)(self, request)

    def reply_json(self, status: int, document: object, **headers: str) -> None:
        self.reply(status, json.dumps(document).encode(), **headers)

    def reply(self, status: int, body: bytes, *, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests look at the server's counts."""


Fault = Callable[[Handler, dict[str, Any]], None]
"""How one request is dealt with: writes the reply, or does not."""


# ── what servers do ────────────────────────────────────────────────────────────────────────────
def succeed(handler: Handler, request: dict[str, Any]) -> None:
    try:
        handler.reply_json(200, completion(handler.server.answer(request)))
    except ValueError as err:
        handler.reply_json(400, {"error": {"message": str(err)}})


def after(seconds: float, fault: Fault = succeed) -> Fault:
    """The same, later."""

    def run(handler: Handler, request: dict[str, Any]) -> None:
        handler.server.closing.wait(seconds)
        fault(handler, request)

    return run


def status(code: int, document: object = None, **headers: str) -> Fault:
    """An HTTP error; header names with ``_`` for ``-``."""
    body = {"error": {"message": f"this is a {code}"}} if document is None else document
    return lambda handler, request: handler.reply_json(code, body, **headers)


def says(document: object) -> Fault:
    """Any JSON, as a success."""
    return lambda handler, request: handler.reply_json(200, document)


def raw(body: bytes, kind: str = "application/json") -> Fault:
    """Any bytes, as a success."""
    return lambda handler, request: handler.reply(200, body, kind=kind)


def stall(handler: Handler, request: dict[str, Any]) -> None:
    """Accept and never answer."""
    handler.server.closing.wait()
    handler.close_connection = True


def drip(seconds: float, *, head: bool = False) -> Fault:
    """A byte now and then, for ever; ``head`` drips a header, without it the head is quick."""

    def run(handler: Handler, request: dict[str, Any]) -> None:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        handler.wfile.write(b"X-Slow: " if head else b"Content-Length: 1000000\r\n\r\n")
        try:
            while not handler.server.closing.wait(seconds):
                handler.wfile.write(b" ")
                handler.server.drops += 1
        except OSError:
            handler.server.hung_up.set()

    return run


def hang_up(handler: Handler, request: dict[str, Any]) -> None:
    """Close the connection instead of an answer."""
    handler.close_connection = True


def half(handler: Handler, request: dict[str, Any]) -> None:
    """Close the connection in the middle of the body."""
    body = json.dumps(completion("half of this")).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


Faults = Callable[[dict[str, Any], int], Fault | None]
"""Which fault a request meets, by its JSON and how often the same was asked before; None for none."""


def in_turn(*faults: Fault) -> Faults:
    """These in the order in which requests arrive, whichever they are, then none."""
    left = iter(faults)
    lock = threading.Lock()

    def choose(request: dict[str, Any], earlier: int) -> Fault | None:
        with lock:
            return next(left, None)

    return choose


class ModelServer(ThreadingHTTPServer):
    """The server, on a port of its own, for as long as the ``with`` lasts; it counts what it gets."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(
        self,
        answer: Answer,
        faults: Faults = in_turn(),
        *,
        models: tuple[str, ...] = ("test",),
        port: int = 0,
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.answer, self.faults, self.models = answer, faults, models
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.closing, self.hung_up = threading.Event(), threading.Event()
        self.headers: list[dict[str, str]] = []
        self.requests: list[dict[str, Any]] = []
        self.in_flight = self.most_in_flight = self.listings = self.drops = 0
        self._asked: Counter[str] = Counter()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> ModelServer:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.set()
        self.shutdown()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):  # The other side may have been quicker.
                    connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.server_close()

    def one_more(self, headers: Any, request: dict[str, Any]) -> _Count:
        """Count a request while it is dealt with; gives how often the same was asked before."""
        return _Count(self, {name.lower(): value for name, value in headers.items()}, request)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # Clients that have hung up are no news.
            super().handle_error(request, client_address)


class _Count:
    def __init__(self, server: ModelServer, headers: dict[str, str], request: dict[str, Any]) -> None:
        self._server, self._headers, self._request = server, headers, request

    def __enter__(self) -> int:
        server = self._server
        with server._lock:
            server.headers.append(self._headers)
            server.requests.append(self._request)
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
            key = json.dumps(self._request["messages"])
            server._asked[key] += 1
            return server._asked[key] - 1

    def __exit__(self, *exception: object) -> None:
        with self._server._lock:
            self._server.in_flight -= 1


def main() -> None:
    from recalled import Recalled

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--points", type=Path, required=True)
    parser.add_argument("--capture", type=Path, required=True)
    parser.add_argument("--dialect", default="qwen3_vl")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that an answer takes")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, default=None, help="a line of JSON for every answer")
    arguments = parser.parse_args()
    answer = Recalled(arguments.points, arguments.capture, arguments.dialect, arguments.log)
    with ModelServer(answer, lambda *_: after(arguments.delay), port=arguments.port) as server:
        print(server.url, flush=True)
        server.closing.wait()


if __name__ == "__main__":
    main()
