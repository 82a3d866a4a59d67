"""The Gaussians on the page. While browsers rebuild them in other colours, points take their place."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import viser
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from point2act.visualization.splats import Splats, paint, sketch
from point2act.visualization.viewer.renders import Renders
from point2act.visualization.viewer.worker import Worker

_Painted = tuple[Float[np.ndarray, " n"] | None, float, float]
_PLAIN: _Painted = (None, 0.0, 0.0)
"""Colours without relevancy."""
# Number of Gaussians that are shown first. Chosen: a browser that draws in software shows 3000 after 3.6
# to 5.7 s, 10 000 after 4.5 to 5.7 and 30 000 after 6.3 to 8.8 (2 cores, from the start of a viser server).
_SKETCH = 4000
# Number of points that take the Gaussians' place, and the opacity from which a Gaussian has one. Chosen.
_POINTS, _SOLID = 30_000, 0.3
# Side of a point, relative to the median distance between neighbours: points of a surface touch. Chosen.
_POINT_SIDE = 1.2
# Seconds that colours have to stay the same before Gaussians are sent; for a browser to add nodes; for it to
# sort Gaussians and fade them in (viser: 0.5 s); and the longest wait for a reply of it. Chosen.
_REST, _MOUNT, _FADE, _PATIENCE = 0.25, 0.3, 1.5, 30.0


class SplatNodes:
    """Gaussians whose colours change without an empty scene in between.

    viser rebuilds all Gaussians whenever some are added or removed, and fades them in: the scene is empty for
    up to seconds. Points in the new colours are shown meanwhile; they also follow a slider that moves.
    """

    def __init__(self, server: viser.ViserServer, splats: Splats, later: Worker):
        """Draw a reduced set of Gaussians.

        Args:
            server: viser's server.
            splats: All Gaussians, in viser's units.
            later: Thread that sends Gaussians, and waits for browsers meanwhile.
        """
        self.splats, self.renders = splats, Renders()
        self._server, self._later = server, later
        self._painted, self._sent = _PLAIN, 0
        self._points: viser.PointCloudHandle | None = None
        self._chosen, self._side = _points(splats)
        self._sketched = len(splats) > _SKETCH
        self._send(sketch(splats, _SKETCH))

    def draw_all(self) -> None:
        """Draw all Gaussians, unless they are drawn already."""
        if self._sketched:
            self.change(self.splats)

    def colors_at(self, points: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "m 3"]:
        """Return the colour of the Gaussian nearest to each point, in viser's units."""
        return self.splats.colors[KDTree(self.splats.centers).query(points)[1]]

    def paint(self, relevancy: Float[np.ndarray, " n"] | None, *, blend: float, threshold: float) -> None:
        """Colour the Gaussians.

        Args:
            relevancy: One number for each Gaussian of the scene; None for their own colours.
            blend: See ``splats.paint``.
            threshold: See ``splats.paint``.
        """
        wanted = _PLAIN if relevancy is None else (relevancy, blend, threshold)
        # Every change sends all Gaussians to all browsers.
        if relevancy is self._painted[0] and wanted[1:] == self._painted[1:]:
            return
        self._painted, colors = wanted, self.splats.colors
        if relevancy is not None:
            colors = paint(colors, relevancy[self.splats.kept], blend=blend, threshold=threshold)
        self.change(replace(self.splats, colors=colors))

    def change(self, splats: Splats) -> None:
        """Show points in new colours at once, and then the Gaussians."""
        self._sketched = False
        if not len(splats):
            return
        self._points = self._server.scene.add_point_cloud(
            "/scene/points",
            splats.centers[self._chosen],
            splats.colors[self._chosen],
            point_size=self._side,
        )
        self._later.do(partial(self._exchange, splats), instead_of="splats")

    def _exchange(self, splats: Splats) -> None:
        """Add the Gaussians, remove the earlier ones, then hide the points; each once browsers are ready."""
        if self._watched:
            time.sleep(_REST)
        if self._later.waiting:
            return
        self._send(splats)
        # Without any Gaussians in between, viser draws textures without texels.
        self._wait(_MOUNT)
        self._remove(self._sent - 1)
        self._wait(_FADE)
        self._wait(0.0)
        if not self._later.waiting and self._points is not None:
            self._points.visible = False

    @property
    def _watched(self) -> bool:
        return bool(self._server.get_clients())

    def _wait(self, seconds: float) -> None:
        """Wait until browsers have drawn what was sent, and some seconds more; at once without browsers."""
        if self._watched:
            self.renders.wait(self._server, _PATIENCE)
            time.sleep(seconds)

    def _send(self, splats: Splats) -> None:
        # Each time under a new name: viser 0.2 does not update the colours of a node.
        if len(splats):
            self._sent += 1
            self._add(self._sent, splats.centers, splats.covariances, splats.colors, splats.opacities)

    def _remove(self, number: int) -> None:
        # viser keeps the last message under a name for later browsers: let that be small. In 1.x this also
        # removes the node that has the name.
        self._add(number, np.zeros((1, 3)), np.eye(3)[None], np.zeros((1, 3)), np.zeros((1, 1))).remove()

    def _add(
        self,
        number: int,
        centers: Float[np.ndarray, "n 3"],
        covariances: Float[np.ndarray, "n 3 3"],
        colors: Float[np.ndarray, "n 3"],
        opacities: Float[np.ndarray, "n 1"],
    ) -> Any:
        api: Any = self._server.scene
        # viser 0.2 has it under a private name.
        add = api.add_gaussian_splats if hasattr(api, "add_gaussian_splats") else api._add_gaussian_splats
        return add(f"/scene/splats{number}", centers, covariances, colors, opacities)


def _points(splats: Splats) -> tuple[Int[np.ndarray, " m"], float]:
    """Return which Gaussians points stand for, evenly spread over the list, and the side of a point."""
    solid = np.flatnonzero(splats.opacities[:, 0] > _SOLID)
    if not len(solid):
        solid = np.arange(len(splats))
    chosen = solid[:: max(1, -(-len(solid) // _POINTS))]
    if len(chosen) < 2:
        return chosen, 1.0
    centers = splats.centers[chosen]
    apart = KDTree(centers).query(centers, k=2)[0][:, 1]
    return chosen, max(_POINT_SIDE * float(np.median(apart)), 1e-4)
