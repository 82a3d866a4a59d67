"""What one camera sees of Gaussians, whichever backend looked: the part that both have."""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Float, Int32
from torch import Tensor

from point2act.core.types import Camera


@dataclass(frozen=True, eq=False)
class Projection:
    """Gaussians as one camera sees them: projected, sorted by depth, and binned into tiles.

    Made by ``project_gaussians``; it holds for as long as Gaussians and camera stay where
    they are, and can be drawn and gathered from again and again. 32 600 Gaussians at 320x240 take 1.9 MB,
    and 0.13 MB more once something was gathered.
    """

    camera: Camera
    T_cam_world: Float[Tensor, "4 4"]
    opacities: Float[Tensor, " n"]
    means2d: Float[Tensor, "n 2"]
    """The centres in pixels, where radii > 0."""
    depths: Float[Tensor, " n"]
    """The centres' z-depths, where radii > 0."""
    radii: Int32[Tensor, " n"]
    """Three standard deviations along the longer axis, in pixels; 0 for a Gaussian that is not drawn."""
    weights: list[Float[Tensor, " n"]] = field(default_factory=list, init=False, repr=False)
    """Each Gaussian's blending weights, summed over the pixels: empty until something is gathered, which
    keeps them here."""
