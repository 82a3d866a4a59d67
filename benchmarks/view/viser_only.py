"""Gaussians on a page of viser alone: GAUSSIANS.npz PORT.

The file has viser's units, and the initial camera.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import viser


def main() -> None:
    """Serve the page."""
    server = viser.ViserServer(host="127.0.0.1", port=int(sys.argv[2]), verbose=False)
    with np.load(sys.argv[1]) as file:
        kept = dict(file)
    scene: Any = server.scene
    # viser 0.2 has it under a private name.
    add = scene.add_gaussian_splats if hasattr(scene, "add_gaussian_splats") else scene._add_gaussian_splats
    add("/splats", kept["centers"], kept["covariances"], kept["colors"], kept["opacities"])

    @server.on_client_connect
    def _(client: viser.ClientHandle) -> None:
        client.camera.up_direction = kept["up"]
        client.camera.position = kept["position"]
        client.camera.look_at = kept["look_at"]

    threading.Event().wait()


if __name__ == "__main__":
    main()
