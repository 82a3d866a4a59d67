"""Differentiable rendering of 3D Gaussians by splatting, on the CPU (numba) and on CUDA (gsplat).

``render`` is differentiable. For fixed Gaussians, call ``project_gaussians`` once per camera, then ``draw``
and ``gather`` any number of times, without gradients.

**Forward.** A Gaussian has a mean m, axes r_k (the columns of its quaternion's rotation), standard
deviations s_k, an opacity o and features f. In the camera its mean is p = (x, y, z) = R m + t, the rows
of R being w_0, w_1, w_2, and its centre projects to the pixel c = (fx x/z + cx, fy y/z + cy). Around p the
perspective is linearised (Zwicker et al. 2002). In world coordinates, its Jacobian has the rows

    j_x = fx/z (w_0 - X w_2)        j_y = fy/z (w_1 - Y w_2)

where X = x/z and Y = y/z are clamped to a little more than the field of view (as gsplat does). The axes
project to (u_k, v_k) = s_k (j_x.r_k, j_y.r_k), and the covariance in the image, blurred by 0.3 px^2, is

    A = u.u + 0.3      B = u.v      D = v.v + 0.3      det = |u x v|^2 + 0.3 (u.u + v.v) + 0.09,

det by Lagrange's identity, which avoids cancellation. In place of its inverse, the distribution of the
pixel's y and that of x given y are stored: precision e = 1/D of y, slope s = B/D, precision a = D/det of x.
With (dx, dy) from the centre to a pixel and u = dx - s dy, the exponent is a sum of squares:

    alpha = min(o exp(-(a u^2 + e dy^2) / 2), 0.999), and nothing is drawn below 1/255.

Front to back, a Gaussian has the weight w_i = alpha_i T_i and leaves the transmittance T_{i+1} =
T_i (1 - alpha_i); a pixel is done when this would fall to 1e-4. The image is the sum of w_i f_i, and its
alpha is 1 - T_end
(Kerbl et al. 2023; the constants are gsplat's, Ye et al. 2024).

**Backward.** Primes are gradients of the loss. At a pixel, let G_i = f_i . image'; f_i' = w_i image', and

    alpha_i' = T_i G_i - S_i / (1 - alpha_i)      with S_i = sum_{j > i} w_j G_j - T_end alpha',

so that back to front, one division gives T_i from T_{i+1}, and S is the only state per pixel. Let
h = alpha_i alpha_i' (0 where alpha was clamped to 0.999), the gradient of the exponent. Six sums over the
pixels suffice for each Gaussian, of h, h u, h u^2, h dy, h u dy and h dy^2:

    o' = sum h / o       c' = (a sum h u, e sum h dy - a s sum h u)
    a' = -sum h u^2 / 2      s' = a sum h u dy      e' = -sum h dy^2 / 2

and, with da = -a^2 (dA - 2 s dB + s^2 dD), ds = e (dB - s dD) and de = -e^2 dD,

    A' = -a^2 a'      B' = 2 a^2 s a' + e s'      D' = -a^2 s^2 a' - e s s' - e^2 e'
    u' = 2 A' u + B' v     v' = B' u + 2 D' v     s_k' = u_k' (j_x.r_k) + v_k' (j_y.r_k)
    r_k' = s_k (u_k' j_x + v_k' j_y)      j_x' = sum_k s_k u_k' r_k      j_y' = sum_k s_k v_k' r_k.

A small rotation by the vector d changes the loss by d.n with n = sum_k r_k x r_k', and the quaternion
q = (w, v) by d q / 2; so, for any length of q, q' = 2 / |q|^2 (-n.v, w n + n x v). The chain rule through
c, z, j_x and j_y gives the gradients of p, m and (R, t).

**Order of sums.** Each tile of 16 x 16 pixels writes its sums for each of its Gaussians to a row of their
own, and rows are added in the order of the tiles: no atomics, and the same bits for any number of threads.

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
from point2act.splatting.gaussians import Activated, Projection


@dataclass(frozen=True, eq=False)
class Rendered:
    """A rendered image with the projected Gaussians."""

    features: Float[Tensor, "h w c"]
    """Blended features, over the background if there is one."""
    depth: Float[Tensor, "h w"]
    """Mean z-depth, weighted by blending weights; 0 where alpha is 0."""
    alpha: Float[Tensor, "h w"]
    """Opacity accumulated along each pixel's ray."""
    means2d: Float[Tensor, "n 2"]
    """Centres in pixels, defined where radii > 0; call ``means2d.retain_grad()`` to keep their gradient."""
    depths: Float[Tensor, " n"]
    """Z-depths of the centres, defined where radii > 0."""
    radii: Int32[Tensor, " n"]
    """Three standard deviations along the longer axis, pixels; 0 for a Gaussian that is not drawn."""


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
    """Render Gaussians, differentiably with respect to all tensors.

    Computes in float32, on the GPU if ``means`` is there, else on the CPU.

    Args:
        means: Centres in the world frame, scene units.
        quats: Orientations, wxyz, of any length but zero.
        scales: Standard deviations along the axes, scene units.
        opacities: Opacities in [0, 1].
        features: Any number of channels per Gaussian, also none.
        T_cam_world: Transform from world to camera, OpenCV axes.
        camera: Pinhole intrinsics.
        background: Features behind the Gaussians; zero by default.
    """
    return _draw(
        _project(Activated(means, quats, scales, opacities), T_cam_world, camera), features, background
    )


@torch.no_grad()
def project_gaussians(gaussians: Activated, T_cam_world: Float[Tensor, "4 4"], camera: Camera) -> Projection:
    """Project, sort and bin Gaussians for one camera, for ``draw`` and ``gather`` without gradients.

    Args:
        gaussians: Gaussians in the world frame.
        T_cam_world: Transform from world to camera, OpenCV axes.
        camera: Pinhole intrinsics.
    """
    return _project(Activated(*(tensor.detach() for tensor in gaussians)), T_cam_world, camera)


@torch.no_grad()
def draw(
    projection: Projection, features: Float[Tensor, "n c"], *, background: Float[Tensor, " c"] | None = None
) -> Rendered:
    """Render features of projected Gaussians, bit for bit as ``render`` but without gradients."""
    return _draw(projection, features.detach(), background)


@torch.no_grad()
def gather(
    projection: Projection, maps: Float[Tensor, "h w q"]
) -> tuple[Float[Tensor, "n q"], Float[Tensor, " n"]]:
    """Sum image maps over each Gaussian's pixels, weighted by its blending weights.

    With w_ip the blending weight of Gaussian i at pixel p, the sums are g_i = sum_p w_ip map_p, the gradient
    of ``(render(...).features * maps).sum()`` with respect to the features. The quotient of the two results
    lifts a map to the Gaussians in closed form. The second call for a projection is faster, and more so the
    more of the maps is 0.

    Returns:
        Weighted sums for each Gaussian and map, and sums of weights for each Gaussian. The latter are cached
        with the projection: do not write to them.
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
    image, alpha = _backend(projection.depths.device).rasterize(projection, channels)
    depth = image[..., -1] / alpha.clamp_min(1e-6)
    image = image[..., :-1]
    if background is not None:
        image = image + (1 - alpha)[..., None] * background.to(image)
    return Rendered(image, depth, alpha, projection.means2d, projection.depths, projection.radii)


def _backend(device: torch.device) -> ModuleType:
    if device.type == "cuda":
        from point2act.splatting import gsplat_backend

        return gsplat_backend
    from point2act.splatting.cpu import numba_backend

    return numba_backend
