"""Image metrics: PSNR, SSIM, depth error, and LPIPS if its weights are in torch's cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from point2act.splatting.losses import psnr

# torchvision's file of the AlexNet whose features LPIPS compares.
_LPIPS_WEIGHTS = "alexnet-owt-7be5be79.pth"


def image_metrics(
    outputs: dict[str, Any],
    truth: Float[Tensor, "h w 3"],
    *,
    mask: Bool[Tensor, "h w"] | None,
    depth: Float[Tensor, "h w"] | None,
) -> dict[str, float]:
    """Compute all metrics of one held-out image.

    ``depth_error`` is the median error relative to the measured depth. LPIPS is left out, with a message on
    the console, if its network is not in torch's cache: nothing is downloaded.
    """
    from pytorch_msssim import ssim

    predicted = outputs["rgb"]
    images = [image.permute(2, 0, 1)[None] for image in (predicted, truth)]
    metrics = {"psnr": psnr(predicted, truth, mask), "ssim": float(ssim(*images, data_range=1.0))}
    lpips = _lpips(predicted.device)
    if lpips is not None:
        metrics["lpips"] = float(lpips(*images))
    if depth is not None:
        metrics["depth_error"] = _depth_error(outputs["depth"][..., 0], depth, mask)
    return metrics


def _depth_error(
    predicted: Float[Tensor, "h w"], depth: Float[Tensor, "h w"], mask: Bool[Tensor, "h w"] | None
) -> float:
    known = depth > 0 if mask is None else (depth > 0) & mask
    return float(((predicted - depth).abs() / depth.clamp_min(1e-6))[known].median())


@cache
def _lpips(device: torch.device) -> Callable[[Tensor, Tensor], Tensor] | None:
    weights = Path(torch.hub.get_dir()) / "checkpoints" / _LPIPS_WEIGHTS
    if not weights.is_file():
        CONSOLE.print(
            f"[yellow]LPIPS is left out: {weights} is not there. "
            "torchvision.models.alexnet(weights='DEFAULT') downloads it."
        )
        return None
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    return LearnedPerceptualImagePatchSimilarity(normalize=True).to(device)
