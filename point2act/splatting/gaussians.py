"""Torch representations of a 3D Gaussian scene: parameters to optimise, a frozen scene, its projection.

Parameters have splatfacto's names and parametrisation (logarithms of scales, logits of opacities,
spherical harmonics split into ``features_dc`` and ``features_rest``), so that the training loop of
``splatting.fit`` and nerfstudio's trainer share all functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int32
from torch import Tensor
from torch.nn.functional import normalize

from point2act.core.types import Camera, GaussianScene

SH_DC = 0.5 * math.sqrt(1 / math.pi)
"""The constant spherical harmonic: colour = 0.5 + SH_DC * features_dc."""
# Normalisation of the real spherical harmonics (Sloan 2008, "Stupid Spherical Harmonics Tricks").
_C = (
    SH_DC,
    math.sqrt(3 / (4 * math.pi)),
    0.5 * math.sqrt(15 / math.pi),
    0.25 * math.sqrt(5 / math.pi),
    0.25 * math.sqrt(35 / (2 * math.pi)),
    0.5 * math.sqrt(105 / math.pi),
    0.25 * math.sqrt(21 / (2 * math.pi)),
    0.25 * math.sqrt(7 / math.pi),
)


class Activated(NamedTuple):
    """The inputs of the renderer: parameters after exponential and sigmoid."""

    means: Float[Tensor, "n 3"]
    quats: Float[Tensor, "n 4"]
    scales: Float[Tensor, "n 3"]
    opacities: Float[Tensor, " n"]


def choose_device(name: str | None) -> torch.device:
    """Return the device of this name; by default CUDA if there is one, else the CPU."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def to_parameters(
    scene: GaussianScene, *, device: torch.device | str = "cpu", degree: int = 0
) -> dict[str, torch.nn.Parameter]:
    """Return a scene's float32 leaf tensors, with spherical harmonics padded or cut to ``degree``."""
    coefficients = (degree + 1) ** 2
    sh = np.zeros((len(scene), coefficients, 3))
    kept = min(coefficients, scene.sh.shape[1])
    sh[:, :kept] = scene.sh[:, :kept]
    opacities = np.clip(scene.opacities, 1e-4, 1 - 1e-4)
    arrays = {
        "means": scene.means,
        "scales": np.log(np.maximum(scene.scales, np.finfo(np.float32).tiny)),
        "quats": scene.quats,
        "opacities": np.log(opacities / (1 - opacities))[:, None],
        "features_dc": sh[:, 0],
        "features_rest": sh[:, 1:],
    }
    return {
        name: torch.nn.Parameter(torch.tensor(array, dtype=torch.float32, device=device))
        for name, array in arrays.items()
    }


def to_scene(parameters: Mapping[str, Tensor]) -> GaussianScene:
    """Return parameters as a numpy scene, with unit quaternions."""
    gaussians = Activated(*(tensor.detach() for tensor in activated(parameters)))
    sh = torch.cat([parameters["features_dc"][:, None], parameters["features_rest"]], dim=1)
    quats = gaussians.quats / gaussians.quats.norm(dim=1, keepdim=True).clamp_min(1e-12)
    arrays = [t.detach().cpu().numpy() for t in (gaussians.means, quats, *gaussians[2:], sh)]
    return GaussianScene(*arrays)


def activated(parameters: Mapping[str, Tensor]) -> Activated:
    """Apply the exponential to scales and the sigmoid to opacities."""
    return Activated(
        parameters["means"],
        parameters["quats"],
        parameters["scales"].exp(),
        parameters["opacities"].sigmoid().squeeze(-1),
    )


@dataclass(frozen=True, eq=False)
class FrozenGaussians:
    """A scene that is not optimised: float32 tensors on a device, to be rendered from many views."""

    parameters: Mapping[str, Tensor]
    """Tensors of ``to_parameters``, without gradients."""
    gaussians: Activated
    degree: int
    """Degree of the spherical harmonics."""


def freeze(scene: GaussianScene, *, device: torch.device | str = "cpu") -> FrozenGaussians:
    """Copy a scene to a device once, for any number of renderings."""
    degree = round(scene.sh.shape[1] ** 0.5) - 1
    parameters = to_parameters(scene, device=device, degree=degree)
    fixed = {name: parameter.detach() for name, parameter in parameters.items()}
    return FrozenGaussians(fixed, activated(fixed), degree)


@dataclass(frozen=True, eq=False)
class Projection:
    """Gaussians projected into one camera, sorted by depth and binned into tiles; see ``project_gaussians``.

    A projection is valid while Gaussians and camera stay unchanged, and serves any number of calls of
    ``draw`` and ``gather``. 32,600 Gaussians at 320x240 take 1.9 MB, and 0.13 MB more after the first
    ``gather``.
    """

    camera: Camera
    T_cam_world: Float[Tensor, "4 4"]
    opacities: Float[Tensor, " n"]
    means2d: Float[Tensor, "n 2"]
    """Centres in pixels, defined where radii > 0."""
    depths: Float[Tensor, " n"]
    """Z-depths of the centres, defined where radii > 0."""
    radii: Int32[Tensor, " n"]
    """Three standard deviations along the longer axis, pixels; 0 for a Gaussian that is not drawn."""
    weights: list[Float[Tensor, " n"]] = field(default_factory=list, init=False, repr=False)
    """Cache of ``gather``: each Gaussian's sum of blending weights; empty before its first call."""


def colors(
    parameters: Mapping[str, Tensor], T_world_cam: Float[Tensor, "4 4"], *, degree: int
) -> Float[Tensor, "n 3"]:
    """Return the RGB of every Gaussian as seen from a camera, clamped below at 0 (Kerbl et al. 2023)."""
    rgb = 0.5 + SH_DC * parameters["features_dc"]
    if degree > 0:
        directions = normalize(parameters["means"].detach() - T_world_cam[:3, 3], dim=1)
        basis = sh_basis(directions, degree)[:, 1:]
        rest = parameters["features_rest"][:, : basis.shape[1]]
        rgb = rgb + torch.einsum("nk,nkc->nc", basis, rest)
    return rgb.clamp_min(0.0)


def sh_basis(directions: Float[Tensor, "n 3"], degree: int) -> Float[Tensor, "n k"]:
    """Return real spherical harmonics with the signs and order of Kerbl et al. 2023, degree 0 to 3."""
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    terms = [torch.ones_like(x) * _C[0]]
    if degree > 0:
        terms += [-_C[1] * y, _C[1] * z, -_C[1] * x]
    if degree > 1:
        terms += [
            _C[2] * x * y,
            -_C[2] * y * z,
            _C[3] * (2 * zz - xx - yy),
            -_C[2] * x * z,
            0.5 * _C[2] * (xx - yy),
        ]
    if degree > 2:
        terms += [
            -_C[4] * y * (3 * xx - yy),
            _C[5] * x * y * z,
            -_C[6] * y * (4 * zz - xx - yy),
            _C[7] * z * (2 * zz - 3 * xx - 3 * yy),
            -_C[6] * x * (4 * zz - xx - yy),
            0.5 * _C[5] * z * (xx - yy),
            -_C[4] * x * (xx - 3 * yy),
        ]
    return torch.stack(terms, dim=-1)
