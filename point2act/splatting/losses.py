"""What the fit minimises; shared by the short loop and by nerfstudio's trainer."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

# A depth of a pixel that the Gaussians barely cover is a guess; do not learn from it.
_MIN_ALPHA = 0.5


def photometric(
    rgb_pred: Float[Tensor, "h w 3"], rgb: Float[Tensor, "h w 3"], mask: Bool[Tensor, "h w"] | None = None
) -> Float[Tensor, ""]:
    """Mean absolute colour error of the pixels in the mask, colours in [0, 1].

    No structural term: it costs time and gained no PSNR per second in our study.
    """
    error = (rgb_pred - rgb).abs().mean(dim=-1)
    return _sum(error) / error.numel() if mask is None else _mean_where(error, mask)


def depth_loss(
    depth_pred: Float[Tensor, "h w"],
    depth: Float[Tensor, "h w"],
    alpha: Float[Tensor, "h w"],
    mask: Bool[Tensor, "h w"] | None = None,
) -> Float[Tensor, ""]:
    """Mean absolute depth error relative to the measured depth, where there is a reading.

    Relative, so that the same weight serves metres and nerfstudio's rescaled world.
    """
    valid = (depth > 0) & (alpha.detach() > _MIN_ALPHA)
    if mask is not None:
        valid = valid & mask
    return _mean_where((depth_pred - depth).abs() / depth.clamp_min(1e-6), valid)


def _mean_where(error: Float[Tensor, "h w"], mask: Bool[Tensor, "h w"]) -> Float[Tensor, ""]:
    return _sum(torch.where(mask, error, 0.0)) / mask.sum().clamp_min(1)


def _sum(image: Float[Tensor, "h w"]) -> Float[Tensor, ""]:
    """Row by row: a sum over a whole image has other bits for another number of threads."""
    return image.sum(dim=1).sum()
