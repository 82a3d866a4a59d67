"""Gaussians as a browser draws them, and their colours with relevancy over them. numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from point2act.drawing import dim_grey, relevancy_layer
from point2act.geometry import quaternion_to_matrix
from point2act.types import GaussianScene

# The constant spherical harmonic, sqrt(1 / (4 pi)) (GaussianScene: colour = 0.5 + SH(direction)).
_CONSTANT = 0.5 / np.sqrt(np.pi)
# Gaussians fainter than this draw nothing that is seen (half of a colour's last bit). Chosen.
_FAINT = 0.5 / 255


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
