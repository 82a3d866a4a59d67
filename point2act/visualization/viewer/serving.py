"""Start of a viser server for the page."""

from __future__ import annotations

import io
import socket
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import psutil
import viser

from point2act.core.errors import Point2ActError
from point2act.visualization.viewer.request_filter import filtered, own_names

# viser 0.2 lists all processes at its start and fails if one ends meanwhile; it is tried this often.
_ATTEMPTS = 5


@dataclass(frozen=True)
class ViewerConfig:
    """Address of the page."""

    host: str = "127.0.0.1"
    """Network interface that serves the page: 127.0.0.1 for this machine only, 0.0.0.0 for the network."""
    port: int = 8080
    """First port to try; the next free one is taken."""
    names: tuple[str, ...] = ()
    """Further host names by which browsers reach this machine, such as that of a proxy."""
    pages: int = 20
    """Maximum number of open pages."""


def serve(config: ViewerConfig) -> viser.ViserServer:
    """Start a server.

    Raises:
        Point2ActError: The host is not an address of this machine.
    """
    try:
        # viser tries a thousand ports of an address that is not this machine's.
        socket.create_server((config.host, 0)).close()
    except OSError as err:
        raise Point2ActError(f"nothing can be served at {config.host}: {err}; name another --host") from err
    with filtered(own_names(config.names), config.pages):
        server = _start(config)
    _keep_in_order(server._websock_server)
    # Before any other callback of a new client.
    server.on_client_connect(lambda client: _keep_in_order(client._websock_connection))
    return server


def _start(config: ViewerConfig) -> viser.ViserServer:
    for attempt in range(_ATTEMPTS):
        try:
            # viser prints a greeting.
            with redirect_stdout(io.StringIO()):
                return viser.ViserServer(host=config.host, port=config.port, verbose=False)
        except psutil.NoSuchProcess:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _keep_in_order(sender: Any) -> None:
    """Let messages arrive in the order in which they are sent, from any thread.

    While one thread sends or is in ``atomic()``, viser 0.2 leaves another thread's message to a third, and
    messages sent later overtake it: a page stayed at "Planning …". Its buffer of messages has its own lock.
    """
    if hasattr(sender, "unsafe_send_message"):
        sender.queue_message = sender.unsafe_send_message


def url_of(server: viser.ViserServer) -> str:
    """Return the page's address for a browser on this machine."""
    host = server.get_host()
    return f"http://{'localhost' if host == '0.0.0.0' else host}:{server.get_port()}"
