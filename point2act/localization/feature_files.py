"""Lifted features on disk, and as colours."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from point2act.core.errors import SceneError
from point2act.core.files import replacing
from point2act.core.types import GaussianScene
from point2act.localization.features import FeatureCrop, SceneFeatures, crop_columns

# Fraction of the Gaussians beyond each end of a colour's range: a few outliers would make all others grey.
_BEYOND = 0.01


def write_features(path: Path | str, scene: GaussianScene, features: SceneFeatures) -> None:
    """Write features and the places that they belong to as an ``.npz`` file, atomically.

    Its arrays are ``means`` (n, 3) in the world frame, ``values`` (n, c), ``seen`` (n,) and ``normals``
    (n, 3), as 32-bit floats.

    Args:
        path: File to write.
        scene: The Gaussians that the features were lifted onto.
        features: Their features.

    Raises:
        SceneError: The features are those of another scene.
    """
    if len(features.values) != len(scene):
        raise SceneError(f"{path}: {len(features.values)} features are no features of {len(scene)} Gaussians")
    _save(path, {"means": scene.means, **vars(features)})


def read_features(path: Path | str) -> tuple[Float32[np.ndarray, "n 3"], SceneFeatures]:
    """Read a file of ``write_features``.

    Args:
        path: File to read.

    Returns:
        The means of the Gaussians in the world frame, and their features.

    Raises:
        SceneError: The file cannot be read, or its arrays do not fit together.
    """
    try:
        with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            means, values, seen, normals = (
                np.asarray(file[name], dtype=np.float32) for name in ("means", "values", "seen", "normals")
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as err:
        raise SceneError(f"{path} is no file of lifted features ({err}): write it again") from err
    count = len(means) if means.ndim else 0
    shapes = (means.shape, seen.shape, normals.shape) == ((count, 3), (count,), (count, 3))
    if not count or not shapes or values.ndim != 2 or len(values) != count or not values.shape[1]:
        raise SceneError(f"{path} has arrays that do not fit together: write it again")
    if not all(np.isfinite(array).all() for array in (means, values, seen, normals)):
        raise SceneError(f"{path} has numbers that are not finite: write it again")
    return means, SceneFeatures(values, seen, normals)


def write_crops(path: Path | str, crops: Sequence[FeatureCrop]) -> None:
    """Write crops as the columns of ``crop_columns`` in an ``.npz`` file, atomically.

    Args:
        path: File to write.
        crops: Crops of ``features_at``, from coarse to fine.
    """
    _save(path, crop_columns(crops))


def feature_colors(features: SceneFeatures) -> Float32[np.ndarray, "n 3"]:
    """Return colours that differ where features do: their first three principal components as RGB.

    Args:
        features: Features of every Gaussian.

    Returns:
        RGB in [0, 1], grey where no view sees a Gaussian, and in channels without any variance.
    """
    colors = np.full((len(features.values), 3), 0.5, np.float32)
    seen = features.seen > 0
    if not seen.any():
        return colors
    centered = features.values[seen] - features.values[seen].mean(axis=0, dtype=np.float64)
    # Eigenvectors of the covariance, the largest last.
    variances, axes = np.linalg.eigh(centered.T @ centered / len(centered))
    some = variances[::-1][:3] > 1e-9 * max(float(variances[-1]), 1e-30)
    axes = axes[:, ::-1][:, :3][:, some]
    # Of the two signs of an axis, the one whose largest entry is positive.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    projected = centered @ axes
    low, high = np.quantile(projected, [_BEYOND, 1 - _BEYOND], axis=0)
    scaled = (projected - low) / np.maximum(high - low, 1e-12)
    colors[np.flatnonzero(seen)[:, None], np.arange(axes.shape[1])] = np.clip(scaled, 0, 1)
    return colors


def _save(path: Path | str, arrays: dict[str, Float[np.ndarray, "..."]]) -> None:
    with replacing(path) as draft, draft.open("wb") as file:
        np.savez(file, **{name: array.astype(np.float32) for name, array in arrays.items()})
