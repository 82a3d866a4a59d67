"""Gaussians as a browser draws them, and their colours with relevancy over them. numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from point2act.core.geometry import quaternion_to_matrix
from point2act.core.types import GaussianScene
from point2act.visualization.drawing import dim_grey, relevancy_layer

# The constant spherical harmonic, sqrt(1 / (4 pi)) (GaussianScene: colour = 0.5 + SH(direction)).
_CONSTANT = 0.5 / np.sqrt(np.pi)
# Gaussians fainter than this draw nothing that is seen (half of a colour's last bit). Chosen.
_FAINT = 0.5 / 255
# From one size of a grid's cells to the next that is tried. Chosen: ends with over half of what is allowed.
_COARSER = 1.2
# What is strewn over a cell of side 1 has a variance of 1/12; Gaussians 1 apart make an even sheet with 1/4.
_WIDER = 3.0


@dataclass(frozen=True, eq=False)
class Splats:
    """Gaussians without their dependence on where they are seen from, which browsers do not draw."""

    centers: Float[np.ndarray, "n 3"]
    covariances: Float[np.ndarray, "n 3 3"]
    colors: Float[np.ndarray, "n 3"]
    """In [0, 1]."""
    opacities: Float[np.ndarray, "n 1"]
    kept: Int[np.ndarray, " n"]
    """Which of the scene's Gaussians these are."""

    def __len__(self) -> int:
        return len(self.centers)


def splats_of(scene: GaussianScene) -> Splats:
    """What is to be drawn of a scene, world frame."""
    kept = np.flatnonzero(scene.opacities > _FAINT)
    axes = quaternion_to_matrix(scene.quats[kept]) * scene.scales[kept][:, None, :]
    return Splats(
        centers=scene.means[kept],
        covariances=axes @ axes.transpose(0, 2, 1),
        colors=np.clip(0.5 + _CONSTANT * scene.sh[kept, 0], 0.0, 1.0),
        opacities=scene.opacities[kept][:, None],
        kept=kept,
    )


def sketch(splats: Splats, count: int) -> Splats:
    """At most ``count`` Gaussians that look alike from afar; those of one cell of a grid become one.

    Its mean and covariance are those of the cell's mixture (moment matching, as in Goldberger and Roweis,
    "Hierarchical clustering of a mixture model", 2004), weighted by how much of a picture each one covers;
    but spread wider, so that there are no gaps between cells.
    """
    if len(splats) <= count:
        return splats
    cell, total = _cells(splats.centers, count)
    spreads = np.trace(splats.covariances, axis1=1, axis2=2)
    covers = splats.opacities[:, 0] * spreads

    def mean(values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "m k"]:
        sums = [np.bincount(cell, covers * column, minlength=total) for column in values.T]
        return np.stack(sums, axis=1) / np.bincount(cell, covers, minlength=total)[:, None]

    centers = mean(splats.centers)
    apart = splats.centers - centers[cell]
    spread = splats.covariances + _WIDER * apart[:, :, None] * apart[:, None, :]
    covariances = mean(spread.reshape(-1, 9)).reshape(-1, 3, 3)
    opacities = np.bincount(cell, covers, minlength=total) / np.trace(covariances, axis1=1, axis2=2)
    return Splats(
        centers=centers,
        covariances=covariances,
        colors=mean(splats.colors),
        opacities=np.clip(opacities, 0.0, 1.0)[:, None],
        kept=np.unique(cell, return_index=True)[1],
    )


def _cells(centers: Float[np.ndarray, "n 3"], count: int) -> tuple[Int[np.ndarray, " n"], int]:
    """The number of the cube that each point lies in, and how many cubes are used: ``count`` at most."""
    near = np.percentile(centers, [5, 95], axis=0)
    side = max(float((near[1] - near[0]).max()), np.finfo(float).tiny) / count**0.5
    while True:
        cubes = np.floor((centers - centers.min(axis=0)) / side)
        _, cell = np.unique(cubes @ _strides(cubes), return_inverse=True)
        if cell.max() < count:
            return cell, int(cell.max()) + 1
        side *= _COARSER


def _strides(cubes: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3"]:
    """What makes one number of a cube's three."""
    _, height, depth = cubes.max(axis=0) + 1
    return np.array([height * depth, depth, 1.0])


def paint(
    colors: Float[np.ndarray, "n 3"], relevancy: Float[np.ndarray, " n"], *, blend: float, threshold: float
) -> Float[np.ndarray, "n 3"]:
    """Colours with relevancy over them, as shares of its peak and as reports draw it.

    ``blend`` goes from 0, the colours as they are, to 1, relevancy on a dim grey scene. What is below
    ``threshold``, a share of the peak, stays grey. Without any relevancy the colours stay as they are.
    """
    peak = float(relevancy.max(initial=0.0))
    if peak <= 0 or blend <= 0:
        return colors
    share = np.clip(relevancy / peak, 0.0, 1.0)
    heat, opacity = relevancy_layer(share[:, None])
    shown, grey = np.where(share[:, None] >= threshold, opacity, 0.0), dim_grey(colors)
    over = grey + (heat[:, 0] / 255 - grey) * shown
    return colors + blend * (over - colors)
