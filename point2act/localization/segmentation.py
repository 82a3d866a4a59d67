"""Everything in a scene that a question may mean, and how every view sees it: worked out once, before any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float

from point2act.core.planes import TableConfig, find_table
from point2act.core.types import GaussianScene, View
from point2act.localization.likelihood import Looks, look_at_parts
from point2act.localization.part_tree import Parts, PartsConfig, find_parts
from point2act.splatting.gaussians import SH_DC, Projection
from point2act.splatting.render import gather

# At most so many planes are ground, each with at least this share of the surface. Chosen.
_PLANES, _LARGE = 3, 0.1
# A Gaussian that covers less than this many pixels in every view was never really seen.
_SEEN = 0.5


@dataclass(frozen=True)
class HypothesesConfig:
    """What of a scene may be meant."""

    parts: PartsConfig = field(default_factory=PartsConfig)
    opacity: float = 0.1
    """Gaussians fainter than this are haze, not surface."""
    ground: float = 0.008
    """What lies within this angle, radians, of the plane that things stand on is ground: 4 mm at half a
    metre."""


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Parts of a scene and what the views see of them."""

    parts: Parts
    looks: Looks


def find_hypotheses(
    scene: GaussianScene,
    views: Sequence[View],
    projections: Sequence[Projection],
    *,
    config: HypothesesConfig = HypothesesConfig(),
) -> Hypotheses:
    """Cut the solid and seen Gaussians of a scene into parts; ``projections``: one per view, of all."""
    covered = np.stack([_covered(projection) for projection in projections])
    solid = np.flatnonzero((scene.opacities > config.opacity) & (covered.max(axis=0) > _SEEN))
    points, covered = scene.means[solid], covered[:, solid]
    distance = _distance(points, views, covered)
    ground = _ground(points, views, config.ground * distance)
    colors = 0.5 + SH_DC * scene.sh[solid, 0]
    parts = find_parts(points, colors, ground, distance=distance, config=config.parts)
    return Hypotheses(parts, look_at_parts(parts, views, covered))


def _covered(projection: Projection) -> Float[np.ndarray, " n"]:
    """Pixels that every Gaussian covers, by its blending weights."""
    nothing = torch.zeros(projection.camera.height, projection.camera.width, 0)
    return gather(projection, nothing)[1].double().cpu().numpy()


def _distance(
    points: Float[np.ndarray, "n 3"], views: Sequence[View], covered: Float[np.ndarray, "v n"]
) -> float:
    """How far the cameras are from what they see: the median over views of the mean over pixels."""
    away = [
        float(pixels @ np.linalg.norm(points - view.T_world_cam[:3, 3], axis=1) / pixels.sum())
        for view, pixels in zip(views, covered, strict=True)
        if pixels.sum() > 0
    ]
    return float(np.median(away)) if away else 1.0


def _ground(
    points: Float[np.ndarray, "n 3"], views: Sequence[View], thickness: float
) -> Bool[np.ndarray, " n"]:
    """What lies on the largest planes: a table, a floor, the back of a shelf."""
    ground = np.zeros(len(points), dtype=bool)
    eye = np.mean([view.T_world_cam[:3, 3] for view in views], axis=0)
    config = TableConfig(inlier_distance=thickness, inlier_fraction=0.0, max_below=1.0)
    for _ in range(_PLANES):
        rest = points[~ground]
        if len(rest) <= _LARGE * len(points):
            break
        plane = find_table(rest, eye - rest.mean(axis=0), config=config, rng=np.random.default_rng(0))
        flat = np.abs(points @ plane[:3] + plane[3]) < thickness if plane is not None else ground
        if np.mean(flat & ~ground) < _LARGE:
            break
        ground |= flat
    return ground
