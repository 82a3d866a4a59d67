"""A viser server where people may open a page."""

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

# Processes that end while viser 0.2 looks at all of them: so often in a row is no accident.
_ATTEMPTS = 5


@dataclass(frozen=True)
class ViewerConfig:
    """Where the page is served."""

    host: str = "127.0.0.1"
    """Who may open it: 127.0.0.1 is this machine alone, 0.0.0.0 everybody on the network."""
    port: int = 8080
    """Or the next one that is free."""
    names: tuple[str, ...] = ()
    """What browsers may call this machine besides its own name and addresses: a proxy's name, say."""
    pages: int = 20
    """How many may be open at once."""


def serve(config: ViewerConfig) -> viser.ViserServer:
    """Start a server.

    Raises ``Point2ActError`` for a host that is not this machine.
    """
    try:
        # viser tries a thousand ports of an address that is not this machine's.
        socket.create_server((config.host, 0)).close()
    except OSError as err:
        raise Point2ActError(f"nothing can be served at {config.host}: {err}; name another --host") from err
    with filtered(own_names(config.names), config.pages):
        server = _start(config)
    _keep_in_order(server._websock_server)
    # Before anything else is done for whoever comes.
    server.on_client_connect(lambda client: _keep_in_order(client._websock_connection))
    return server


def _start(config: ViewerConfig) -> viser.ViserServer:
    for attempt in range(_ATTEMPTS):
        try:
            # viser greets in a box of its own.
            with redirect_stdout(io.StringIO()):
                return viser.ViserServer(host=config.host, port=config.port, verbose=False)
        except psutil.NoSuchProcess:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _keep_in_order(sender: Any) -> None:
    """Let messages arrive in the order in which they are sent, from whichever threads.

    viser 0.2 leaves a message to a third thread while another thread sends, or is in ``atomic()``, and those
    sent next overtake it: a page said "Planning …" for good. Its buffer of messages has a lock of its own.
    """
    if hasattr(sender, "unsafe_send_message"):
        sender.queue_message = sender.unsafe_send_message


def url_of(server: viser.ViserServer) -> str:
    """Where a browser on this machine finds a server's page."""
    host = server.get_host()
    return f"http://{'localhost' if host == '0.0.0.0' else host}:{server.get_port()}"
