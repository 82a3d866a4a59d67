"""Filter of requests to viser's server: which host names, origins and paths it answers.

viser 0.2 serves any file of the machine under ``/../``. Browsers send the name by which they address a
machine (Host) and the page that sends the request (Origin); requests of other pages are refused, also under a
name that was made to resolve to this machine (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

import websockets.asyncio.server
import websockets.server

from point2act.core.errors import Point2ActError

# Largest message of a browser in bytes: a screenshot of its window. The same as in viser 1.x.
_MAX_MESSAGE_SIZE = 50 * 2**20
# Seconds until a request has to be complete. By default websockets closes a connection without a reply after
# 10 s, which a busy machine may need.
_OPEN_TIMEOUT = 120.0
# viser 0.2 fetches a worker script for every change of the Gaussians, and draws none if that fails. Files of
# assets/ carry a hash of their content in their names, so browsers may keep them: then only the start of a
# page depends on the server's reply.
_KEEP = ("Cache-Control", "public, max-age=31536000, immutable")

Refusal = tuple[HTTPStatus, str]


def refusal(path: str, host: str | None, origin: str | None, names: frozenset[str]) -> Refusal | None:
    """Return why a request is refused, or None if it is allowed.

    Args:
        path: Path of the request, percent-encoded.
        host: Host header.
        origin: Origin header: the page that sends the request; None for programs that are no browsers.
        names: Host names of this machine; its addresses are always allowed.
    """
    parts = unquote(urlsplit(path).path).replace("\\", "/").split("/")
    if ".." in parts or "\0" in path:
        return HTTPStatus.NOT_FOUND, "not found"
    name = _host_name(host)
    if name is None or not (name in names or _is_address(name)):
        return HTTPStatus.FORBIDDEN, f"this page is not served as {host}: start it with --names {name}"
    if origin is not None and urlsplit(origin).netloc.lower() != (host or "").lower():
        return HTTPStatus.FORBIDDEN, "pages from elsewhere may not use this server"
    return None


def own_names(others: tuple[str, ...]) -> frozenset[str]:
    """Return this machine's host names, and others, in lower case."""
    own = socket.gethostname().lower()
    return frozenset({"localhost", own, f"{own}.local", *(other.lower() for other in others)})


@contextmanager
def filtered(names: frozenset[str], max_pages: int) -> Iterator[None]:
    """Make servers that viser starts within this context refuse what ``refusal`` names and too many pages.

    Raises:
        Point2ActError: viser started its server in an unknown way.
    """
    gate = _Gate(names, max_pages)
    with (
        _patched(websockets.server, gate, gate.before_0_3),
        _patched(websockets.asyncio.server, gate, gate.since_0_3),
    ):
        yield
    if not gate.started:
        raise Point2ActError("this version of viser is not supported: install viser 0.2.7 or 1.1")


@dataclass
class _Gate:
    """The filter and the number of open pages of one server."""

    names: frozenset[str]
    max_pages: int
    started: bool = False
    open_pages: int = 0

    def refused(self, path: str, headers: Any) -> Refusal | None:
        found = refusal(path, headers.get("Host"), headers.get("Origin"), self.names)
        full = self.open_pages >= self.max_pages
        if found is None and full and headers.get("Upgrade", "").lower() == "websocket":
            return HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are open: close one"
        return found

    def counted(self, handler: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Wrap the handler of a page's socket, which runs as long as the page is open."""

        async def counting(*arguments: Any) -> None:
            self.open_pages += 1
            try:
                await handler(*arguments)
            finally:
                self.open_pages -= 1

        return counting

    def before_0_3(self, process: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Wrap the reply to requests of viser 0.2."""

        async def reply(path: str, headers: Any) -> Any:
            refused = self.refused(path, headers)
            if refused is not None:
                return refused[0], {}, refused[1].encode()
            found = await process(path, headers)
            if found is not None and found[0] == HTTPStatus.OK and path.startswith("/assets/"):
                found[1].update([_KEEP])
            return found

        return reply

    def since_0_3(self, process: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the reply to requests of later versions."""

        def reply(connection: Any, request: Any) -> Any:
            refused = self.refused(request.path, request.headers)
            return process(connection, request) if refused is None else connection.respond(*refused)

        return reply


@contextmanager
def _patched(
    module: Any, gate: _Gate, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Let a module of websockets start servers behind a gate; the module is restored afterwards."""
    defined, serve = "serve" in vars(module), module.serve

    def start(
        handler: Callable[..., Any], *where: Any, process_request: Callable[..., Any], **options: Any
    ) -> Any:
        gate.started = True
        options |= {"max_size": _MAX_MESSAGE_SIZE, "open_timeout": _OPEN_TIMEOUT}
        return serve(gate.counted(handler), *where, process_request=wrap(process_request), **options)

    module.serve = start
    try:
        yield
    finally:
        if defined:
            module.serve = serve
        else:
            del module.serve


def _host_name(host: str | None) -> str | None:
    """Return a Host header without its port; None if it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname if host else None
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
