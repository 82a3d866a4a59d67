"""Training losses and PSNR, shared by the training loop of ``splatting.fit`` and nerfstudio's trainer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

# Depth is no evidence where Gaussians cover less of a pixel than this.
_MIN_ALPHA = 0.5


def photometric(
    rgb_pred: Float[Tensor, "h w 3"], rgb: Float[Tensor, "h w 3"], mask: Bool[Tensor, "h w"] | None = None
) -> Float[Tensor, ""]:
    """Return the mean absolute colour error over the mask, colours in [0, 1].

    There is no structural term: it costs time and gained no PSNR per second in the project's study.
    """
    error = (rgb_pred - rgb).abs().mean(dim=-1)
    return _sum(error) / error.numel() if mask is None else _mean_where(error, mask)


def depth_loss(
    depth_pred: Float[Tensor, "h w"],
    depth: Float[Tensor, "h w"],
    alpha: Float[Tensor, "h w"],
    mask: Bool[Tensor, "h w"] | None = None,
) -> Float[Tensor, ""]:
    """Return the mean absolute depth error relative to the measured depth, over pixels with a reading.

    Relative errors let the same weight serve metres and nerfstudio's normalised world.
    """
    valid = (depth > 0) & (alpha.detach() > _MIN_ALPHA)
    if mask is not None:
        valid = valid & mask
    return _mean_where((depth_pred - depth).abs() / depth.clamp_min(1e-6), valid)


def psnr(
    predicted: Any, truth: Float[np.ndarray | Tensor, "h w 3"], mask: np.ndarray | Tensor | None = None
) -> float:
    """Return the peak signal-to-noise ratio of (h, w, 3) colours in [0, 1] over the (h, w) mask, dB."""
    with torch.no_grad():
        squared: Any = (predicted - truth) ** 2
        mean = squared.mean() if mask is None else squared[mask].mean()
    return -10 * math.log10(max(float(mean), 1e-12))


def _mean_where(error: Float[Tensor, "h w"], mask: Bool[Tensor, "h w"]) -> Float[Tensor, ""]:
    return _sum(torch.where(mask, error, 0.0)) / mask.sum().clamp_min(1)


def _sum(image: Float[Tensor, "h w"]) -> Float[Tensor, ""]:
    # Row by row: the bits of a sum over a whole image depend on the number of threads.
    return image.sum(dim=1).sum()
