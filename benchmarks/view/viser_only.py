"""Gaussians on a page of viser's with nothing of ours: GAUSSIANS.npz PORT.

What the file has is in viser's units, with the camera that a person starts with.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import viser


def main() -> None:
    """Serve."""
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
