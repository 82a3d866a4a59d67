"""Segmentation of a scene into parts at every scale, and the visibility of each part in every view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

from point2act.core.geometry import back_project, pixel_centers
from point2act.core.planes import TableConfig, find_table
from point2act.core.types import GaussianScene, View
from point2act.localization.likelihood import PartPosterior
from point2act.localization.part_tree import Parts, PartTreeConfig, build_part_tree
from point2act.localization.visibility import Visibility, part_visibility
from point2act.splatting.gaussians import SH_DC, Projection
from point2act.splatting.render import gather

# Maximum number of ground planes, and minimum fraction of the surface on each. Chosen.
_PLANES, _LARGE = 3, 0.1
# Minimum number of pixels that a Gaussian covers in some view to count as seen.
_SEEN = 0.5
# Maximum angle between a Gaussian that is faint or unseen and the surface that it belongs to: 5 mm at 0.5 m.
_ATTACHED = 0.01
# Number of sampled pixels of a single view, like that of Gaussians on one image.
_VIEW_POINTS = 20_000


@dataclass(frozen=True)
class SegmentationConfig:
    """How a scene is segmented."""

    parts: PartTreeConfig = field(default_factory=PartTreeConfig)
    opacity: float = 0.1
    """Minimum opacity of a Gaussian that belongs to a surface."""
    ground: float = 0.008
    """Maximum distance from a supporting plane that counts as ground, as an angle, radians: 4 mm at 0.5 m."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Parts of a scene and their visibility."""

    parts: Parts
    visibility: Visibility
    surface_point: Int[np.ndarray, " g"]
    """For every Gaussian of the scene, the point of ``parts`` that it belongs to; -1 for none."""

    def relevancy(self, posterior: PartPosterior) -> Float[np.ndarray, " g"]:
        """Return for every Gaussian the probability that it belongs to what a query means.

        With the posterior P(k) over parts k and absence, the marginal of Gaussian g is

            r_g = sum_k P(k) [g in k],    so that r_g <= 1 - P(absent).

        Args:
            posterior: Posterior over ``parts``.
        """
        return self.on_gaussians(self.parts.marginal(posterior.parts))

    def on_gaussians(self, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " g"]:
        """Return values of the points of ``parts`` for every Gaussian, 0 where it has none."""
        # The index -1 of Gaussians that belong to no point selects the appended 0.
        return np.append(values, 0.0)[self.surface_point]


def segment_scene(
    scene: GaussianScene,
    views: Sequence[View],
    projections: Sequence[Projection],
    *,
    config: SegmentationConfig = SegmentationConfig(),
) -> Segmentation:
    """Segment the opaque, visible Gaussians of a scene into parts.

    Args:
        scene: Gaussians, world.
        projections: Projection of all Gaussians into each view.
    """
    covered = np.stack([_covered(projection) for projection in projections])
    solid = np.flatnonzero((scene.opacities > config.opacity) & (covered.max(axis=0) > _SEEN))
    points, covered = scene.means[solid], covered[:, solid]
    distance = _distance(points, views, covered)
    ground = _ground(points, views, distance, config)
    colors = 0.5 + SH_DC * scene.sh[solid, 0]
    parts = build_part_tree(points, colors, ground, distance=distance, config=config.parts)
    attached = _attached(scene.means, solid, _ATTACHED * distance)
    return Segmentation(parts, part_visibility(parts, views, covered), attached)


def segment_view(view: View, *, config: SegmentationConfig = SegmentationConfig()) -> Parts:
    """Segment the surface that one depth image shows into parts, in the camera frame.

    Args:
        view: A view with depth, metres; its pose is not used.
        config: How it is segmented.
    """
    assert view.depth is not None
    seen = np.count_nonzero(view.depth)
    step = max(1, round(np.sqrt(seen / _VIEW_POINTS)))
    depth = view.depth[step // 2 :: step, step // 2 :: step]
    chosen = depth > 0
    pixels = pixel_centers(view.camera.height, view.camera.width)[step // 2 :: step, step // 2 :: step]
    points = back_project(view.camera, np.eye(4), pixels[chosen], depth[chosen].astype(float))
    colors = view.rgb[step // 2 :: step, step // 2 :: step][chosen] / 255
    distance = float(np.linalg.norm(points, axis=1).mean()) if len(points) else 1.0
    at_camera = replace(view, T_world_cam=np.eye(4))
    ground = _ground(points, [at_camera], distance, config)
    return build_part_tree(points, colors, ground, distance=distance, config=config.parts)


def _attached(
    means: Float[np.ndarray, "g 3"], solid: Int[np.ndarray, " n"], reach: float
) -> Int[np.ndarray, " g"]:
    """Return each Gaussian's index among the solid ones: its own, else that of the nearest within reach."""
    index = np.full(len(means), -1)
    index[solid] = np.arange(len(solid))
    rest = np.flatnonzero(index < 0)
    if len(solid) and len(rest):
        away, nearest = KDTree(means[solid]).query(means[rest], distance_upper_bound=reach)
        index[rest] = np.where(np.isfinite(away), nearest, -1)
    return index


def _covered(projection: Projection) -> Float[np.ndarray, " n"]:
    """Return the number of pixels that every Gaussian covers, by its blending weights."""
    nothing = torch.zeros(projection.camera.height, projection.camera.width, 0)
    return gather(projection, nothing)[1].double().cpu().numpy()


def _distance(
    points: Float[np.ndarray, "n 3"], views: Sequence[View], covered: Float[np.ndarray, "v n"]
) -> float:
    """Return the distance of the cameras from the surface: median over views of the mean over pixels."""
    away = [
        float(pixels @ np.linalg.norm(points - view.T_world_cam[:3, 3], axis=1) / pixels.sum())
        for view, pixels in zip(views, covered, strict=True)
        if pixels.sum() > 0
    ]
    return float(np.median(away)) if away else 1.0


def _ground(
    points: Float[np.ndarray, "n 3"], views: Sequence[View], distance: float, config: SegmentationConfig
) -> Bool[np.ndarray, " n"]:
    """Return which points lie on the largest planes: a table, a floor, the back of a shelf.

    A plane that is small enough for a part, as the top of a box, is none of them.
    """
    thickness, part = config.ground * distance, config.parts.max_scatter * distance
    ground = np.zeros(len(points), dtype=bool)
    eye = np.mean([view.T_world_cam[:3, 3] for view in views], axis=0)
    search = TableConfig(inlier_distance=thickness, inlier_fraction=0.0, max_below=1.0)
    for _ in range(_PLANES):
        rest = points[~ground]
        if len(rest) <= _LARGE * len(points):
            break
        plane = find_table(rest, eye - rest.mean(axis=0), config=search, rng=np.random.default_rng(0))
        flat = np.abs(points @ plane[:3] + plane[3]) < thickness if plane is not None else ground
        new = points[flat & ~ground]
        if len(new) < _LARGE * len(points) or np.sqrt(new.var(axis=0).sum()) < part:
            break
        ground |= flat
    return ground
