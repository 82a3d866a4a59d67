"""The slow twin of point2act.splatting.render: every Gaussian on every pixel, in plain torch, any precision.

Written from the papers' formulas (EWA splatting of Zwicker et al. 2002, alpha compositing of Kerbl et
al. 2023) and gsplat's constants, with full 2x2 covariances and torch's own gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from point2act.core.types import Camera

NEAR, BLUR, ALPHA_MIN, ALPHA_MAX, OPAQUE = 0.01, 0.3, 1 / 255, 0.999, 1e-4


@dataclass(frozen=True)
class Picture:
    features: Tensor
    depth: Tensor
    alpha: Tensor
    risky: Tensor
    """(h, w): pixels where rounding decides whether a Gaussian is drawn at all."""


def rotation(quats: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 3"]:
    w, x, y, z = torch.nn.functional.normalize(quats, dim=1).unbind(1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=1),
    ]
    return torch.stack(rows, dim=1)


def project(
    means: Tensor, quats: Tensor, scales: Tensor, T_cam_world: Tensor, camera: Camera
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels of the centres (n, 2), blurred covariances (n, 2, 2) and z-depths (n,)."""
    R, t = T_cam_world[:3, :3], T_cam_world[:3, 3]
    x, y, z = (means @ R.T + t).unbind(1)
    z = torch.where(z.abs() < 1e-6, 1e-6, z)
    fx, fy, cx, cy, width, height = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    margin_x, margin_y = 0.3 * 0.5 * width / fx, 0.3 * 0.5 * height / fy
    limited_x = z * (x / z).clamp(-cx / fx - margin_x, (width - cx) / fx + margin_x)
    limited_y = z * (y / z).clamp(-cy / fy - margin_y, (height - cy) / fy + margin_y)
    zero = torch.zeros_like(z)
    J = torch.stack(
        [
            torch.stack([fx / z, zero, -fx * limited_x / z**2], dim=1),
            torch.stack([zero, fy / z, -fy * limited_y / z**2], dim=1),
        ],
        dim=1,
    )
    half = rotation(quats) * scales[:, None, :]
    covariance = half @ half.transpose(1, 2)
    image_covariance = J @ R @ covariance @ R.T @ J.transpose(1, 2)
    image_covariance = image_covariance + BLUR * torch.eye(2, dtype=means.dtype)
    return torch.stack([fx * x / z + cx, fy * y / z + cy], dim=1), image_covariance, z


def render(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    features: Tensor,
    T_cam_world: Tensor,
    camera: Camera,
) -> Picture:
    """Draw Gaussians as the camera sees them."""
    centers, covariances, depths = project(means, quats, scales, T_cam_world, camera)
    in_front = depths > NEAR
    precisions = torch.linalg.inv(torch.where(in_front[:, None, None], covariances, torch.eye(2).to(means)))
    order = [i for i in torch.argsort(depths, stable=True).tolist() if in_front[i]]
    weights, through, risky = blend(order, centers, precisions, opacities, camera.height, camera.width)
    alpha = 1 - through
    depth = torch.einsum("nhw,n->hw", weights, depths)
    depth = torch.where(alpha > 0, depth / torch.where(alpha > 0, alpha, 1.0), 0.0)
    return Picture(torch.einsum("nhw,nc->hwc", weights, features), depth, alpha, risky)


def blend(
    order: list[int], centers: Tensor, precisions: Tensor, opacities: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Put Gaussians one by one, in the order given, on all pixels at once.

    Returns the weights (n, h, w), what is left of the background (h, w), and where rounding to float32
    decides whether a Gaussian is drawn (h, w).
    """
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([xs, ys], dim=-1).to(centers) + 0.5
    through = torch.ones_like(pixels[..., 0])
    closed = torch.zeros_like(through, dtype=torch.bool)
    risky = closed.clone()
    weights = [torch.zeros_like(through)] * len(centers)
    for i in order:
        d = pixels - centers[i]
        full = opacities[i] * torch.exp(-0.5 * torch.einsum("hwi,ij,hwj->hw", d, precisions[i], d))
        alpha = full.clamp_max(ALPHA_MAX)
        after = through * (1 - alpha)
        seen = alpha >= ALPHA_MIN
        near_a_step = (alpha / ALPHA_MIN - 1).abs() < 1e-5
        near_a_step |= (full / ALPHA_MAX - 1).abs() < 1e-5
        near_a_step |= seen & ((after / OPAQUE - 1).abs() < 1e-4)
        risky |= ~closed & near_a_step
        closed = closed | (seen & (after <= OPAQUE))
        drawn = seen & ~closed
        weights[i] = torch.where(drawn, alpha * through, 0.0)
        through = torch.where(drawn, after, through)
    stack = torch.stack(weights) if weights else torch.zeros((0, height, width)).to(centers)
    return stack, through, risky
