"""Gaussians as browsers draw them, and their colours blended with relevancy. numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from point2act.core.geometry import quaternion_to_matrix
from point2act.core.types import GaussianScene
from point2act.visualization.drawing import relevancy_layer

# The constant spherical harmonic, sqrt(1 / (4 pi)) (GaussianScene: colour = 0.5 + SH(direction)).
_CONSTANT = 0.5 / np.sqrt(np.pi)
# Gaussians with a lower opacity are invisible (half of the last bit of a colour).
_FAINT = 0.5 / 255
# Growth of the grid cells from one try to the next. Chosen: ends with over half of the allowed number.
_COARSER = 1.2
# Points spread over a cell of side 1 have a variance of 1/12; Gaussians 1 apart form an even sheet with 1/4.
_WIDER = 3.0


@dataclass(frozen=True, eq=False)
class Splats:
    """Gaussians without view-dependent colour, which browsers do not draw."""

    centers: Float[np.ndarray, "n 3"]
    covariances: Float[np.ndarray, "n 3 3"]
    colors: Float[np.ndarray, "n 3"]
    """In [0, 1]."""
    opacities: Float[np.ndarray, "n 1"]
    kept: Int[np.ndarray, " n"]
    """Indices of the scene's Gaussians."""

    def __len__(self) -> int:
        return len(self.centers)


def splats_of(scene: GaussianScene) -> Splats:
    """Return the visible Gaussians of a scene, world frame."""
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
    """Reduce Gaussians to at most ``count`` that look alike from afar: one for each cell of a grid.

    Mean and covariance are those of the cell's mixture (moment matching, as in Goldberger and Roweis,
    "Hierarchical clustering of a mixture model", 2004), weighted by opacity times area; the spread between
    the means is enlarged, so that there are no gaps between cells.
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
    """Return the index of the grid cell of each point, and the number of used cells: at most ``count``."""
    near = np.percentile(centers, [5, 95], axis=0)
    side = max(float((near[1] - near[0]).max()), np.finfo(float).tiny) / count**0.5
    while True:
        cubes = np.floor((centers - centers.min(axis=0)) / side)
        _, cell = np.unique(cubes @ _strides(cubes), return_inverse=True)
        if cell.max() < count:
            return cell, int(cell.max()) + 1
        side *= _COARSER


def _strides(cubes: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3"]:
    """Return the strides that turn a cell's three indices into one."""
    _, height, depth = cubes.max(axis=0) + 1
    return np.array([height * depth, depth, 1.0])


def paint(
    colors: Float[np.ndarray, "n 3"], relevancy: Float[np.ndarray, " n"], *, blend: float, threshold: float
) -> Float[np.ndarray, "n 3"]:
    """Tint what is relevant, coloured as in reports; other colours stay as they are.

    Args:
        colors: Colours in [0, 1].
        relevancy: Probability of each Gaussian to be meant.
        blend: Strength of the tint, from 0 to 1.
        threshold: Relevancy below which Gaussians are not tinted.
    """
    heat, opacity = relevancy_layer(relevancy[:, None])
    shown = np.where(relevancy[:, None] >= threshold, opacity, 0.0)
    return colors + blend * shown * (heat[:, 0] / 255 - colors)
