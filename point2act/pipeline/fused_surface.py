"""The fused surface around the region of a query, on which grasps are planned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from point2act.core.geometry import invert, transform_points
from point2act.core.types import DepthImages, Region, View
from point2act.grasping.antipodal.boundary import surface_points
from point2act.grasping.antipodal.volume import LocalVolume, with_free_shadows
from point2act.grasping.registration import AlignedViews, align_views
from point2act.grasping.tsdf import fuse_local
from point2act.pipeline.query import AnswerConfig, Localization, QueryContext

# Numbers of views that are tried where those that agree give no grasp. Chosen.
_FEWER_VIEWS = (3, 1)


@dataclass(frozen=True, eq=False)
class SurfaceCloud:
    """The fused surface around an action point, as seen by the cameras."""

    points: Float[NDArray[np.float64], "n 3"]
    """World points, metres."""
    normals: Float[NDArray[np.float64], "n 3"]
    """Outward unit normals, world."""
    on_object: Bool[NDArray[np.bool_], " n"]
    """Points of the object at the action point, which a grasp lifts."""
    unseen: Float[NDArray[np.float64], "m 3"]
    """World points where free space borders space that no camera saw, near a seen surface."""


def fused_surface(localization: Localization, *, config: AnswerConfig) -> SurfaceCloud | None:
    """Return the surface that the grasps of a query are planned on.

    Args:
        localization: The query and its region.
        config: How to fuse, and what belongs to the object.

    Returns:
        The surface fused from all views that agree; None without a region, or if lengths are not metres.
    """
    region, context = localization.region, localization.context
    if not isinstance(region, Region) or not context.metric:
        return None
    return surface_cloud(next(fuse_region(context, region, config=config)), region, config=config)


def surface_cloud(volume: LocalVolume, region: Region, *, config: AnswerConfig) -> SurfaceCloud:
    """Return the surface in a fused volume, in the world frame."""
    T = volume.T_world_volume
    action_point = transform_points(invert(T), region.action_point[None])[0]
    surface = surface_points(volume, action_point, config=config.grasp.boundary)
    points, seen = transform_points(T, surface.points), surface.seen
    normals = surface.normals[seen] @ T[:3, :3].T
    # pyrefly: ignore[bad-argument-type]
    return SurfaceCloud(points[seen], normals, surface.on_object[seen], points[~seen])


def fuse_region(context: QueryContext, region: Region, *, config: AnswerConfig) -> Iterator[LocalVolume]:
    """Yield the surface at a region fused from all views that agree there, then from some of the views.

    Depth is measured, else that of the Gaussians. Poses are never exact, so surfaces from many views are
    thicker than those from few: what is free for each of a few views may be blocked in all of them. The best
    three follow, the best one, and those that the first ones disagree with. Last comes the first surface with
    far sides of objects presumed.
    """
    center = region.action_point
    measured = context.measured
    if not measured:
        yield fuse_local(context.views, context.depths, center, config=config.surface)
        return
    aligned = align_views(measured, depths_of(measured), center, noise=context.noise, config=config.alignment)
    volume = _fuse(context, aligned, aligned.views, center, config)
    yield volume
    for few in _FEWER_VIEWS:
        if few < len(aligned.views):
            yield _fuse(context, aligned, aligned.views[:few], center, config)
    if aligned.left_out:
        others = [measured[index] for index in aligned.left_out]
        second = align_views(others, depths_of(others), center, noise=context.noise, config=config.alignment)
        yield _fuse(context, second, second.views, center, config)
    if volume.table is not None:
        yield with_free_shadows(volume)


def _fuse(
    context: QueryContext,
    aligned: AlignedViews,
    views: Sequence[View],
    center: Float[np.ndarray, "3"],
    config: AnswerConfig,
) -> LocalVolume:
    """Fuse some aligned views at the size at which they were recorded."""
    full = [context.full_size(view) for view in views]
    return replace(
        fuse_local(full, depths_of(full), center, config=config.surface), noise=aligned.depth_sigma
    )


def depths_of(views: Sequence[View]) -> DepthImages:
    """Return the depth of the views that have any."""
    return [view.depth for view in views if view.depth is not None]
