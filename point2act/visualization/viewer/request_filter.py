"""Who may talk to the page's server, and what they may ask for. viser 0.2 hands out any file by ``/../``.

Browsers say by which name they call a machine (Host) and which page asks (Origin). By these a page from
elsewhere is turned away, also one whose name was made to lead to this machine (DNS rebinding).
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

# What a browser may send at once, bytes: a screenshot of its window. viser 1.x has the same.
_LARGEST = 50 * 2**20

Refusal = tuple[HTTPStatus, str]


def refusal(path: str, host: str | None, origin: str | None, names: frozenset[str]) -> Refusal | None:
    """Why a request is turned away, or None.

    ``names`` are those that this machine may be called by; its addresses may be always. ``origin`` is the
    page that asks; what is no browser names none.
    """
    parts = unquote(urlsplit(path).path).replace("\\", "/").split("/")
    if ".." in parts or "\0" in path:
        return HTTPStatus.NOT_FOUND, "not found"
    name = _name(host)
    if name is None or not (name in names or _is_address(name)):
        return HTTPStatus.FORBIDDEN, f"this page is not served as {host}: start it with --names {name}"
    if origin is not None and urlsplit(origin).netloc.lower() != (host or "").lower():
        return HTTPStatus.FORBIDDEN, "pages from elsewhere may not use this server"
    return None


def own_names(others: tuple[str, ...]) -> frozenset[str]:
    """What this machine is called, and other names."""
    own = socket.gethostname().lower()
    return frozenset({"localhost", own, f"{own}.local", *(other.lower() for other in others)})


@contextmanager
def guarded(names: frozenset[str], pages: int) -> Iterator[None]:
    """Servers that viser starts within turn away what ``refusal`` names, and more than so many pages.

    Raises ``Point2ActError`` where viser started one that this does not know.
    """
    gate = _Gate(names, pages)
    with (
        _instead(websockets.server, gate, gate.before_0_3),
        _instead(websockets.asyncio.server, gate, gate.since_0_3),
    ):
        yield
    if not gate.started:
        raise Point2ActError("this version of viser is not known: install viser 0.2.7 or 1.1")


@dataclass
class _Gate:
    """Before one server."""

    names: frozenset[str]
    pages: int
    started: bool = False
    inside: int = 0

    def refused(self, path: str, headers: Any) -> Refusal | None:
        found = refusal(path, headers.get("Host"), headers.get("Origin"), self.names)
        full = self.inside >= self.pages
        if found is None and full and headers.get("Upgrade", "").lower() == "websocket":
            return HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are open: close one"
        return found

    def counted(self, speak: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """A page's socket, as long as it is open."""

        async def inside(*arguments: Any) -> None:
            self.inside += 1
            try:
                await speak(*arguments)
            finally:
                self.inside -= 1

        return inside

    def before_0_3(self, process: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """What viser 0.2 answers requests with."""

        async def answer(path: str, headers: Any) -> Any:
            no = self.refused(path, headers)
            return await process(path, headers) if no is None else (no[0], {}, no[1].encode())

        return answer

    def since_0_3(self, process: Callable[..., Any]) -> Callable[..., Any]:
        """What later ones answer with."""

        def answer(connection: Any, request: Any) -> Any:
            no = self.refused(request.path, request.headers)
            return process(connection, request) if no is None else connection.respond(*no)

        return answer


@contextmanager
def _instead(
    module: Any, gate: _Gate, guard: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Let a module of websockets start servers behind a gate; the module is as before then."""
    had, serve = "serve" in vars(module), module.serve

    def start(
        speak: Callable[..., Any], *where: Any, process_request: Callable[..., Any], **options: Any
    ) -> Any:
        gate.started = True
        options["max_size"] = _LARGEST
        return serve(gate.counted(speak), *where, process_request=guard(process_request), **options)

    module.serve = start
    try:
        yield
    finally:
        if had:
            module.serve = serve
        else:
            del module.serve


def _name(host: str | None) -> str | None:
    """A Host header without its port; None where it is none."""
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
