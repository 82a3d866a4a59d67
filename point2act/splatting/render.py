"""Draw Gaussians: differentiable splatting, one set of functions with two backends.

``render`` is for Gaussians that change. Where they stay as they are, ``project_gaussians`` once, then
``draw`` and ``gather`` as often as needed, without gradients.

**Forward.** A Gaussian has a mean m, axes r_k (the columns of its quaternion's rotation), standard
deviations s_k, an opacity o and features f. In the camera its mean is p = (x, y, z) = R m + t, the rows
of R being w_0, w_1, w_2, and its centre lands on the pixel c = (fx x/z + cx, fy y/z + cy). Around p the
perspective is replaced by its derivative (Zwicker et al. 2002). In world coordinates this has the rows

    j_x = fx/z (w_0 - X w_2)        j_y = fy/z (w_1 - Y w_2)

where X = x/z and Y = y/z are held to a little more than the field of view (as gsplat does). The axes
are seen as (u_k, v_k) = s_k (j_x.r_k, j_y.r_k), and the covariance in the image, blurred by 0.3 px^2, is

    A = u.u + 0.3      B = u.v      D = v.v + 0.3      det = |u x v|^2 + 0.3 (u.u + v.v) + 0.09,

det by Lagrange's identity, which does not cancel. Instead of its inverse we keep the distribution of
the pixel's y and that of x given y: precision e = 1/D of y, slope s = B/D, precision a = D/det of x. With
(dx, dy) from the centre to a pixel and u = dx - s dy, alpha is a sum of squares away:

    alpha = min(o exp(-(a u^2 + e dy^2) / 2), 0.999), and nothing is drawn below 1/255.

Nearest first, a Gaussian has the weight w_i = alpha_i T_i and lets T_{i+1} = T_i (1 - alpha_i) through; a
pixel is done when this would fall to 1e-4. The picture is the sum of w_i f_i, and alpha is 1 - T_end
(Kerbl et al. 2023; the constants are gsplat's, Ye et al. 2024).

**Backward.** Primes are gradients of the loss. At a pixel, let G_i = f_i . picture'; f_i' = w_i picture', and

    alpha_i' = T_i G_i - S_i / (1 - alpha_i)      with S_i = sum_{j > i} w_j G_j - T_end alpha',

so that going from back to front, one division gives T_i from T_{i+1} and one number a pixel, S, is all
there is to remember. Let h = alpha_i alpha_i' (0 where alpha was held to 0.999): the gradient of the
exponent. Six sums over the pixels follow each Gaussian, of h, h u, h u^2, h dy, h u dy and h dy^2:

    o' = sum h / o       c' = (a sum h u, e sum h dy - a s sum h u)
    a' = -sum h u^2 / 2      s' = a sum h u dy      e' = -sum h dy^2 / 2

and from there, with da = -a^2 (dA - 2 s dB + s^2 dD), ds = e (dB - s dD) and de = -e^2 dD,

    A' = -a^2 a'      B' = 2 a^2 s a' + e s'      D' = -a^2 s^2 a' - e s s' - e^2 e'
    u' = 2 A' u + B' v     v' = B' u + 2 D' v     s_k' = u_k' (j_x.r_k) + v_k' (j_y.r_k)
    r_k' = s_k (u_k' j_x + v_k' j_y)      j_x' = sum_k s_k u_k' r_k      j_y' = sum_k s_k v_k' r_k.

A small rotation by the vector d changes the loss by d.n with n = sum_k r_k x r_k', and the quaternion
q = (w, v) by d q / 2; so, whatever the length of q, q' = 2 / |q|^2 (-n.v, w n + n x v). What is left is the
chain rule through c, z, j_x and j_y to p, m and (R, t).

**Order of sums.** Each tile of 16 x 16 pixels writes its sums for each of its Gaussians to a row of
their own, and rows are added in the order of the tiles: no atomics, and the same bits for any number
of threads.

Sources: M. Zwicker et al., EWA Splatting, 2002; B. Kerbl et al., 3D Gaussian Splatting for Real-Time
Radiance Field Rendering, 2023; V. Ye et al., gsplat: An Open-Source Library for Gaussian Splatting, 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from point2act.core.types import Camera
from point2act.splatting.gaussians import Activated
from point2act.splatting.projection import Projection


@dataclass(frozen=True, eq=False)
class Rendered:
    """A picture, and what was found on the way."""

    features: Float[Tensor, "h w c"]
    """Blended, on the background if there is one."""
    depth: Float[Tensor, "h w"]
    """Mean z-depth, weighted as the features are; 0 where alpha is 0."""
    alpha: Float[Tensor, "h w"]
    """How much of the background is hidden."""
    means2d: Float[Tensor, "n 2"]
    """The centres in pixels, where radii > 0; their gradient is kept after ``means2d.retain_grad()``."""
    depths: Float[Tensor, " n"]
    """The centres' z-depths, where radii > 0."""
    radii: Int32[Tensor, " n"]
    """Three standard deviations along the longer axis, in pixels; 0 for a Gaussian that is not drawn."""


def render(
    means: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 3"],
    opacities: Float[Tensor, " n"],
    features: Float[Tensor, "n c"],
    T_cam_world: Float[Tensor, "4 4"],
    camera: Camera,
    *,
    background: Float[Tensor, " c"] | None = None,
) -> Rendered:
    """Draw Gaussians with any number of features, none included, as a camera sees them.

    ``quats`` are wxyz of any length but zero, ``scales`` standard deviations in metres, opacities in
    [0, 1]. Differentiable with respect to all tensors. Computes in float32, on the graphics card when
    the means are there, else on the processor.
    """
    return _draw(
        _project(Activated(means, quats, scales, opacities), T_cam_world, camera), features, background
    )


@torch.no_grad()
def project_gaussians(gaussians: Activated, T_cam_world: Float[Tensor, "4 4"], camera: Camera) -> Projection:
    """Project, sort and bin Gaussians for one camera, to draw and gather from without gradients.

    Arguments as for ``render``, which does the same on its way.
    """
    return _project(Activated(*(tensor.detach() for tensor in gaussians)), T_cam_world, camera)


@torch.no_grad()
def draw(
    projection: Projection, features: Float[Tensor, "n c"], *, background: Float[Tensor, " c"] | None = None
) -> Rendered:
    """Draw what was looked at, with any number of features: ``render`` without gradients, bit for bit."""
    return _draw(projection, features.detach(), background)


@torch.no_grad()
def gather(
    projection: Projection, maps: Float[Tensor, "h w q"]
) -> tuple[Float[Tensor, "n q"], Float[Tensor, " n"]]:
    """Bring maps of an image back to the Gaussians that drew it.

    Returns, for each Gaussian, the sum over pixels of its blending weight times each map, and the sum
    of its blending weights. Their quotient is the closed form of lifting a map to Gaussians; the
    first is also the gradient of ``(render(...).features * maps).sum()`` for the features. Without
    gradients itself. The sums of weights are kept with the projection from the first time on, so do not write
    to them; later times are quicker, the more so the more of the maps is 0.
    """
    backend, maps = _backend(projection.means2d.device), maps.to(projection.means2d)
    if projection.weights:
        return backend.gather_maps(projection, maps), projection.weights[0]
    totals = backend.gather(projection, maps)
    projection.weights.append(totals[:, -1].clone())
    return totals[:, :-1], projection.weights[0]


def _project(gaussians: Activated, T_cam_world: Float[Tensor, "4 4"], camera: Camera) -> Projection:
    tensors = [tensor.to(torch.float32) for tensor in gaussians]
    return _backend(tensors[0].device).project(*tensors, T_cam_world.to(tensors[0]), camera)


def _draw(
    projection: Projection, features: Float[Tensor, "n c"], background: Float[Tensor, " c"] | None
) -> Rendered:
    channels = torch.cat([features.to(projection.depths), projection.depths[:, None]], dim=1)
    picture, alpha = _backend(projection.depths.device).rasterize(projection, channels)
    depth = picture[..., -1] / alpha.clamp_min(1e-6)
    picture = picture[..., :-1]
    if background is not None:
        picture = picture + (1 - alpha)[..., None] * background.to(picture)
    return Rendered(picture, depth, alpha, projection.means2d, projection.depths, projection.radii)


def _backend(device: torch.device) -> ModuleType:
    if device.type == "cuda":
        from point2act.splatting import gsplat_backend

        return gsplat_backend
    from point2act.splatting.cpu import numba_backend

    return numba_backend
