"""Features of images lifted onto the Gaussians in closed form, and crops of them for the head of a policy.

As for the relevancy (``localization.relevancy``), nothing is trained. With blending weights w_vgp of Gaussian
g at pixel p of view v, features F_v, and how well the view sees the Gaussian, s_vg = W / (W + W_half) with
W = sum_p w_vgp:

    f_g = sum_v s_vg f_vg / sum_v s_vg      f_vg = sum_p w_vgp F_v(p) / W

The crops around a key point, from coarse to fine, are the input of the fine branch of keypoint policies
(CLAP, ICLR 2026; RVT-2, Goyal et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Shaped, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from point2act.core.errors import SceneError
from point2act.core.geometry import (
    frame_from_axes,
    frame_from_normal,
    invert,
    quaternion_to_matrix,
    transform,
    transform_points,
)
from point2act.core.types import Camera, GaussianScene, ProgressCallback, Region, View
from point2act.localization.relevancy import RelevancyConfig, how_well_seen
from point2act.splatting.gaussians import SH_DC, Projection, freeze
from point2act.splatting.render import gather
from point2act.splatting.rendering import project_view

Extractor = Callable[[UInt8[np.ndarray, "h w 3"]], Shaped[np.ndarray, "_ _ _"]]
"""Function of an RGB image to features (h', w', c) of any resolution and number of channels."""

# Cosine between a normal and the longest extent of a region above which they count as parallel. Chosen.
_PARALLEL = 0.99


@dataclass(frozen=True, eq=False)
class SceneFeatures:
    """Features of every Gaussian of a scene."""

    values: Float32[np.ndarray, "n c"]
    """Mean of the features over the views, zero where no view sees the Gaussian."""
    seen: Float32[np.ndarray, " n"]
    """How many views see the Gaussian, each counting by how well: 0 for none."""
    normals: Float[np.ndarray, "n 3"]
    """Unit normals in the world: the shortest axis of the Gaussian, towards the cameras that see it."""


@dataclass(frozen=True, eq=False)
class FeatureCrop:
    """The Gaussians within a radius of a key point, in the frame of the key point."""

    T_world_key: Float[np.ndarray, "4 4"]
    """Origin at the key point, +z the mean normal there, +x along the longest extent of the region."""
    radius: float
    """World unit."""
    points: Float[np.ndarray, "m 3"]
    colors: Float[np.ndarray, "m 3"]
    """RGB in [0, 1]."""
    features: Float32[np.ndarray, "m c"]
    normals: Float[np.ndarray, "m 3"]


def lift_features(
    scene: GaussianScene,
    views: Sequence[View],
    extractor: Extractor,
    *,
    chunk: int = 32,
    device: str = "cpu",
    progress: ProgressCallback | None = None,
) -> SceneFeatures:
    """Lift features of any number of channels from the pixels of views onto the Gaussians.

    Beside the result of 4 n c bytes and what the extractor returns for one view, a chunk of channels takes
    4 (h w + n + t) bytes per channel, with t the number of pairs of a tile of 16 x 16 pixels and a Gaussian
    in it.

    Args:
        scene: Gaussians in the world frame.
        views: Undistorted images with poses; pixels outside a view's mask are not used.
        extractor: Called once with each view's image; features are resized to its pixels, bilinearly.
        chunk: Number of channels that are lifted at a time; the result does not depend on it.
        device: Where torch computes, ``cpu`` or ``cuda``.
        progress: Called with the number of views done and the number of views.

    Raises:
        SceneError: There are no views or no Gaussians, no view sees a Gaussian, or the features of a view
            are not finite, not (h, w, c), or have other channels than those of the first view.
    """
    if not views or not len(scene):
        raise SceneError("features cannot be lifted without views or without Gaussians: give at least one")
    frozen = freeze(scene, device=torch.device(device))
    values: Float32[Tensor, "n c"] | None = None
    total = torch.zeros(len(scene), device=device)
    towards = np.zeros((len(scene), 3))
    for number, view in enumerate(views):
        features = _extract(extractor, view, None if values is None else values.shape[1])
        if values is None:
            values = torch.zeros(len(scene), features.shape[2], device=device)
        seen = _add_view(values, features, project_view(view, frozen), view.mask, chunk)
        total += seen
        towards += seen.cpu().numpy()[:, None] * _directions(scene, view)
        if progress is not None:
            progress(number + 1, len(views))
    if values is None or not bool((total > 0).any()):
        raise SceneError("no view sees any Gaussian: check that the views' poses are those of the scene")
    values /= torch.where(total > 0, total, 1.0)[:, None]
    return SceneFeatures(values.cpu().numpy(), total.cpu().numpy(), _normals(scene, towards))


def features_at(
    scene: GaussianScene,
    features: SceneFeatures,
    region: Region,
    *,
    radius: float = 0.2,
    levels: int = 3,
    count: int = 1024,
    seed: int = 0,
) -> tuple[FeatureCrop, ...]:
    """Return crops around the action point of a region from coarse to fine, each of half the radius.

    Args:
        scene: The Gaussians that the features were lifted onto.
        features: Features of every Gaussian.
        region: Region to act on, in the world frame.
        radius: Radius of the coarsest crop, world unit.
        levels: Number of crops.
        count: Maximum number of Gaussians in each, drawn at random where there are more.
        seed: Seed of the draw.

    Returns:
        One crop per level, all in the frame of the key point; Gaussians that no view sees are left out.

    Raises:
        SceneError: The features are those of another scene.
    """
    if len(features.values) != len(scene):
        raise SceneError(
            f"the features are those of {len(features.values)} Gaussians and the scene has {len(scene)}: "
            "give the scene that they were lifted onto"
        )
    away = np.where(features.seen > 0, np.linalg.norm(scene.means - region.action_point, axis=1), np.inf)
    radii = [radius / 2**level for level in range(levels)]
    T_world_key = _key_frame(features.normals[away <= radii[-1]], region)
    rng = np.random.default_rng(seed)
    return tuple(
        _crop(scene, features, _draw(np.flatnonzero(away <= each), count, rng), T_world_key, each)
        for each in radii
    )


def crop_columns(crops: Sequence[FeatureCrop]) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Return crops as arrays named like LeRobot's columns, ``observation.crop_0.points`` and so on."""
    names = ("points", "colors", "features", "normals")
    return {
        f"observation.crop_{number}.{name}": getattr(crop, name).astype(np.float32)
        for number, crop in enumerate(crops)
        for name in names
    } | {"observation.T_world_key": crops[0].T_world_key}


def _extract(extractor: Extractor, view: View, channels: int | None) -> Float32[np.ndarray, "_ _ _"]:
    """Return the checked features of a view."""
    features = np.asarray(extractor(view.rgb))
    if features.ndim != 3 or not features.size or features.dtype.kind not in "fiub":
        raise SceneError(
            f"the extractor returned {features.dtype} of shape {features.shape} for {view.name}: "
            "return numbers of shape (h, w, c)"
        )
    if channels not in (None, features.shape[2]):
        raise SceneError(
            f"the extractor returned {features.shape[2]} channels for {view.name} and {channels} before: "
            "return as many for every image"
        )
    if not np.isfinite(features).all():
        raise SceneError(f"the extractor returned features of {view.name} that are not finite: correct it")
    return features.astype(np.float32, copy=False)


def _add_view(
    values: Float32[Tensor, "n c"],
    features: Float32[np.ndarray, "_ _ c"],
    projection: Projection,
    mask: Bool[np.ndarray, "h w"] | None,
    chunk: int,
) -> Float32[Tensor, " n"]:
    """Add the features of a view times how well it sees each Gaussian, and return the latter."""
    camera = projection.camera
    usable = torch.ones(camera.height, camera.width) if mask is None else torch.from_numpy(mask).float()
    weight = gather(projection, usable[..., None])[0][:, 0]
    weight, seen = how_well_seen(weight, RelevancyConfig().half_seen)
    factor = torch.where(weight > 0, seen / weight, 0.0)[:, None]
    for start in range(0, values.shape[1], chunk):
        maps = _resized(features[:, :, start : start + chunk], camera) * usable[..., None]
        values[:, start : start + chunk] += factor * gather(projection, maps)[0]
    return seen


def _resized(features: Float32[np.ndarray, "_ _ c"], camera: Camera) -> Float32[Tensor, "h w c"]:
    """Return features at the pixels of a camera, averaged where they are reduced."""
    size = (camera.height, camera.width)
    maps = torch.from_numpy(np.ascontiguousarray(features.transpose(2, 0, 1)))[None]
    if maps.shape[2:] != size:
        maps = interpolate(maps, size=size, mode="bilinear", align_corners=False, antialias=True)
    return maps[0].permute(1, 2, 0)


def _directions(scene: GaussianScene, view: View) -> Float[np.ndarray, "n 3"]:
    """Return unit vectors from the Gaussians to a camera, world."""
    towards = view.T_world_cam[:3, 3] - scene.means
    return towards / np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-12)


def _normals(scene: GaussianScene, towards: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Return the shortest axes of the Gaussians, on the side of the given vectors."""
    axes = quaternion_to_matrix(scene.quats)
    shortest = axes[np.arange(len(scene)), :, scene.scales.argmin(axis=1)]
    return np.where((shortest * towards).sum(axis=1, keepdims=True) < 0, -shortest, shortest)


def _key_frame(normals: Float[np.ndarray, "m 3"], region: Region) -> Float[np.ndarray, "4 4"]:
    """Return ``T_world_key``, with the world's z where there are no normals or they cancel."""
    mean = normals.sum(axis=0)
    length = np.linalg.norm(mean)
    z = mean / length if length > 1e-6 else np.array([0.0, 0.0, 1.0])
    x = region.box.axes[region.box.half_extents.argmax()]
    if abs(x @ z) > _PARALLEL:
        return transform(frame_from_normal(z[None])[0], region.action_point)
    return frame_from_axes(region.action_point, z, x)


def _draw(
    members: Shaped[np.ndarray, " k"], count: int, rng: np.random.Generator
) -> Shaped[np.ndarray, " m"]:
    """Return at most ``count`` of the members, in order."""
    return members if len(members) <= count else np.sort(rng.choice(members, count, replace=False))


def _crop(
    scene: GaussianScene,
    features: SceneFeatures,
    members: Shaped[np.ndarray, " m"],
    T_world_key: Float[np.ndarray, "4 4"],
    radius: float,
) -> FeatureCrop:
    return FeatureCrop(
        T_world_key,
        radius,
        points=transform_points(invert(T_world_key), scene.means[members]),
        colors=np.clip(0.5 + SH_DC * scene.sh[members, 0], 0.0, 1.0),
        features=features.values[members],
        normals=features.normals[members] @ T_world_key[:3, :3],
    )
