"""Pictures that browsers send of their scene, also as a sign that they have drawn what was sent before."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import Any

import viser

# Size in pixels of the picture that is only a sign, and how far aside its camera stands, in viser's units.
_SIGN, _ASIDE = 8, 0.01


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
        asking = [threading.Thread(target=self._take_sign, args=(client,), daemon=True) for client in clients]
        for thread in asking:
            thread.start()
        end = time.monotonic() + timeout
        for thread in asking:
            thread.join(max(0.0, end - time.monotonic()))

    def _take_sign(self, client: Any) -> None:
        """Wait until a browser has drawn what was sent."""
        if not hasattr(client, "get_render"):
            self.take(client, _SIGN, _SIGN)
            return
        # viser 1.x sorts Gaussians when its camera has moved since the last picture of any camera: after one
        # from the same place, new Gaussians would stay unsorted and unseen until a person moves the camera.
        camera = client.camera
        with self._locks[client.client_id]:
            client.get_render(
                _SIGN,
                _SIGN,
                wxyz=camera.wxyz,
                position=camera.position + _ASIDE,
                fov=camera.fov,
                transport_format="jpeg",
            )
