"""Pictures that browsers send of their scene, also as a sign that they have drawn what was sent before."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import Any

import viser

# Size in pixels of the picture that is only a sign.
_SIGN = 8


class Renders:
    """Requests of pictures, one at a time for each browser: viser gives a reply to all that wait for one."""

    def __init__(self) -> None:
        self._locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)

    def take(self, client: viser.ClientHandle, height: int, width: int) -> Any:
        """Return what a browser shows, as RGB; waits for ever for a browser that is gone."""
        with self._locks[client.client_id]:
            return client.camera.get_render(height, width, transport_format="jpeg")[..., :3]

    def wait(self, server: viser.ViserServer, timeout: float) -> None:
        """Wait until all browsers have drawn what was sent, at most ``timeout`` seconds.

        A browser replies after it has read all earlier messages and drawn two more frames.
        """
        clients = server.get_clients().values()
        # Daemons: a browser that is gone, or whose tab is hidden, does not reply.
        asking = [
            threading.Thread(target=self.take, args=(client, _SIGN, _SIGN), daemon=True) for client in clients
        ]
        for thread in asking:
            thread.start()
        end = time.monotonic() + timeout
        for thread in asking:
            thread.join(max(0.0, end - time.monotonic()))
