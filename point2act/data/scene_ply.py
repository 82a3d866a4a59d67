"""PLY files of the scene (3D Gaussian splats) and of its relevancy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, UInt8

from point2act.core.errors import SceneError
from point2act.core.ply import as_columns, colored_points, read_ply, write_ply
from point2act.core.types import GaussianScene, RelevancyField

# Opacities are stored as logits: 0 and 1 would be infinite.
_OPAQUE = 1e-6
# Largest deviation from 1 of the length of a unit quaternion that was written in single precision.
_SINGLE = 1e-6
# matplotlib's viridis at 0, 1/4, 1/2, 3/4 and 1.
_VIRIDIS = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], dtype=float)


def write_splat_ply(path: Path | str, scene: GaussianScene) -> None:
    """Write Gaussians as a splat PLY file in the capture's world frame.

    Names, order and encoding are those of the original 3D Gaussian Splatting code (Kerbl et al. 2023,
    ``GaussianModel.save_ply``): logit opacities, log scales, ``f_rest`` with all coefficients of red first.
    Raises ``SceneError`` for non-finite values.
    """
    columns = _encode(scene)
    if not np.isfinite(columns).all():
        broken = int((~np.isfinite(columns)).any(axis=1).sum())
        raise SceneError(
            f"{path} was not written: {broken} of {len(scene)} Gaussians are not finite; fit again"
        )
    write_ply(path, columns.view([(name, "f4") for name in _splat_names(scene.sh.shape[1] - 1)])[:, 0])


def read_splat_ply(path: Path | str) -> GaussianScene:
    """Read Gaussians from a splat PLY file. Raises ``SceneError`` if it is missing or not a valid one."""
    vertices = read_ply(path, SceneError)
    found = vertices.dtype.names or ()
    rest, odd = divmod(sum(name.startswith("f_rest_") for name in found), 3)
    missing = [name for name in _splat_names(rest) if name not in found and name not in ("nx", "ny", "nz")]
    if missing or odd or rest not in (0, 3, 8, 15, 24):
        lacks = f"it lacks {', '.join(missing[:5])}" if missing else "its f_rest are not whole degrees"
        raise SceneError(f"{path} is not a 3D Gaussian Splatting file ({lacks}): export the scene again")
    raw = as_columns(vertices, (name for name in _splat_names(rest) if name[0] != "n"))
    scene = _decode(raw)
    if not all(np.isfinite(each).all() for each in (raw, scene.quats, scene.scales)):
        raise SceneError(f"{path} holds Gaussians that are not finite: export the scene again")
    return scene


def as_stored(scene: GaussianScene) -> GaussianScene:
    """Return the scene as it is read from the file that it is written to, which has single precision."""
    columns = _encode(scene).astype(np.float64)
    return _decode(np.delete(columns, [3, 4, 5], axis=1))


def _encode(scene: GaussianScene) -> Float32[np.ndarray, "n c"]:
    """Return the columns of a splat PLY file."""
    count, rest = len(scene), scene.sh.shape[1] - 1
    opacities = np.clip(scene.opacities.astype(np.float64), _OPAQUE, 1 - _OPAQUE)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate(
            [
                scene.means,
                np.zeros((count, 3)),
                scene.sh[:, 0],
                scene.sh[:, 1:].transpose(0, 2, 1).reshape(count, 3 * rest),
                np.log(opacities / (1 - opacities))[:, None],
                np.log(scene.scales.astype(np.float64)),
                scene.quats,
            ],
            axis=1,
        ).astype(np.float32)


def _decode(raw: Float[np.ndarray, "n c"]) -> GaussianScene:
    """Return the Gaussians of a splat PLY file's columns, without those of the normals."""
    rest = (raw.shape[1] - 14) // 3
    # Overflows become infinite, and quaternions without a direction NaN.
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(raw[:, -4:], axis=1, keepdims=True)
        # Unit quaternions are not normalised again: a scene that was read is written as the same file.
        lengths[np.abs(lengths - 1) < _SINGLE] = 1.0
        lengths[(lengths == 0) | np.isinf(lengths)] = np.nan
        quats = raw[:, -4:] / lengths
        scales, opacities = np.exp(raw[:, -7:-4]), 1 / (1 + np.exp(-raw[:, -8]))
    higher = raw[:, 6 : 6 + 3 * rest].reshape(len(raw), 3, rest).transpose(0, 2, 1)
    sh = np.concatenate([raw[:, 3:6][:, None], higher], axis=1)
    return GaussianScene(raw[:, :3], quats, scales, opacities, sh)


def write_relevancy_ply(path: Path | str, scene: GaussianScene, relevancy: RelevancyField) -> None:
    """Write the Gaussians' centres, coloured by their largest relevancy to any query (viridis).

    Each query has a float property ``relevancy_<name>``, with ``_`` for characters that PLY does not allow.
    """
    names = _property_names([query.name for query in relevancy.queries])
    colors = _viridis(relevancy.values.max(axis=1, initial=0.0))
    write_ply(path, colored_points(scene.means, colors, dict(zip(names, relevancy.values.T, strict=True))))


def read_relevancy_ply(
    path: Path | str,
) -> tuple[Float32[np.ndarray, "n 3"], Float32[np.ndarray, "n q"]]:
    """Read what ``write_relevancy_ply`` wrote.

    Returns:
        The Gaussians' centres in the world, and the relevancy to each query, in the order of the queries.

    Raises:
        SceneError: The file is missing, or not such a file.
    """
    vertices = read_ply(path, SceneError)
    names = vertices.dtype.names or ()
    queries = [name for name in names if name.startswith("relevancy_")]
    if not queries or not {"x", "y", "z"} <= set(names):
        raise SceneError(f"{path} has no relevancies: give the relevancy.ply of a run")
    columns = np.stack([vertices[name].astype(np.float32) for name in ("x", "y", "z", *queries)], axis=1)
    return columns[:, :3], columns[:, 3:]


def _splat_names(rest: int) -> list[str]:
    """Return the property names in their order, for ``rest`` higher coefficients per channel."""
    names = ["x", "y", "z", "nx", "ny", "nz"]
    for group, count in (("f_dc", 3), ("f_rest", 3 * rest), ("opacity", None), ("scale", 3), ("rot", 4)):
        names += [group] if count is None else [f"{group}_{index}" for index in range(count)]
    return names


def _property_names(queries: Sequence[str]) -> list[str]:
    names: list[str] = []
    for query in queries:
        name = "relevancy_" + re.sub(r"[^A-Za-z0-9_]", "_", query)
        names.append(name if name not in names else f"{name}_{len(names)}")
    return names


def _viridis(values: Float[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 3"]:
    steps = np.linspace(0, 1, len(_VIRIDIS))
    channels = [np.interp(values, steps, channel) for channel in _VIRIDIS.T]
    return np.round(np.stack(channels, axis=1)).astype(np.uint8)
