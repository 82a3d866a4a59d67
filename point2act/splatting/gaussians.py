"""The state of a splat scene that is being optimised, and its way to and from the numpy scene.

The tensors carry splatfacto's names and parametrisation (logarithms of scales, logits of opacities,
spherical harmonics split in ``features_dc`` and ``features_rest``), so that one set of functions
serves our own short loop and nerfstudio's trainer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from point2act.core.types import GaussianScene

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
    """What the renderer takes."""

    means: Float[Tensor, "n 3"]
    quats: Float[Tensor, "n 4"]
    scales: Float[Tensor, "n 3"]
    opacities: Float[Tensor, " n"]


def to_parameters(
    scene: GaussianScene, *, device: torch.device | str = "cpu", degree: int = 0
) -> dict[str, torch.nn.Parameter]:
    """Leaf tensors of a scene, float32, with room for spherical harmonics up to ``degree``."""
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
    """The numpy scene of a set of parameters."""
    gaussians = Activated(*(tensor.detach() for tensor in activated(parameters)))
    sh = torch.cat([parameters["features_dc"][:, None], parameters["features_rest"]], dim=1)
    quats = gaussians.quats / gaussians.quats.norm(dim=1, keepdim=True).clamp_min(1e-12)
    arrays = [t.detach().cpu().numpy() for t in (gaussians.means, quats, *gaussians[2:], sh)]
    return GaussianScene(*arrays)


def activated(parameters: Mapping[str, Tensor]) -> Activated:
    """Undo the logarithms and logits."""
    return Activated(
        parameters["means"],
        parameters["quats"],
        parameters["scales"].exp(),
        parameters["opacities"].sigmoid().squeeze(-1),
    )


@dataclass(frozen=True, eq=False)
class FrozenGaussians:
    """A scene that stays as it is: float32 tensors on a device, ready to be looked at from many places."""

    parameters: Mapping[str, Tensor]
    """As ``to_parameters`` makes them, without gradients."""
    gaussians: Activated
    degree: int
    """Of the spherical harmonics."""


def freeze(scene: GaussianScene, *, device: torch.device | str = "cpu") -> FrozenGaussians:
    """Move a scene to a device once, however many pictures are to be drawn of it."""
    degree = round(scene.sh.shape[1] ** 0.5) - 1
    parameters = to_parameters(scene, device=device, degree=degree)
    fixed = {name: parameter.detach() for name, parameter in parameters.items()}
    return FrozenGaussians(fixed, activated(fixed), degree)


def colors(
    parameters: Mapping[str, Tensor], T_world_cam: Float[Tensor, "4 4"], *, degree: int
) -> Float[Tensor, "n 3"]:
    """RGB of every Gaussian as seen from a camera, clamped below at 0 as in Kerbl et al. 2023."""
    rgb = 0.5 + SH_DC * parameters["features_dc"]
    if degree > 0:
        directions = normalize(parameters["means"].detach() - T_world_cam[:3, 3], dim=1)
        basis = sh_basis(directions, degree)[:, 1:]
        rest = parameters["features_rest"][:, : basis.shape[1]]
        rgb = rgb + torch.einsum("nk,nkc->nc", basis, rest)
    return rgb.clamp_min(0.0)


def sh_basis(directions: Float[Tensor, "n 3"], degree: int) -> Float[Tensor, "n k"]:
    """Real spherical harmonics with the signs and order of Kerbl et al. 2023, degree 0 to 3."""
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
