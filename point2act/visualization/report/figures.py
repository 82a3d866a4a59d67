"""Pictures of the report: answers on photographs, close-ups of grasps, rendered views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from point2act.core.geometry import inside, project
from point2act.core.types import OrientedBox, QueryResult, Region
from point2act.grasping.end_effector import EndEffector, radius
from point2act.grasping.grippers import Gripper
from point2act.visualization.drawing import (
    Color,
    close_up,
    depth_picture,
    draw_box,
    draw_cut,
    draw_gripper,
    draw_marker,
    draw_points,
    heat_overlay,
    relevancy_picture,
)
from point2act.visualization.report.inputs import ReportInput, ReportView

Image = UInt8[np.ndarray, "_ _ 3"]

_MAX_PICTURES = 3
_MAX_RUNNERS_UP = 4
"""Grasps drawn pale behind the best one; more would hide it."""
_MAX_RECONSTRUCTED = 4
"""Views that are enough to judge a reconstruction."""

_MAX_HITS = 40
"""Points drawn of those that block a gripper; more would hide what they lie on."""
_HIT: Color = (230, 40, 40)
_PALE: Color = (226, 230, 236)
_ALTERNATIVE: Color = (150, 156, 168)


@dataclass(frozen=True, eq=False)
class Figure:
    """A picture of one view, with the state of its answer in words and as a CSS class."""

    view: str
    image: Image
    state: str = ""
    kind: str = ""
    has_points: bool = False


@dataclass(frozen=True, eq=False)
class QueryPanel:
    """Everything that the page shows about one query."""

    result: QueryResult
    color: Color
    pictures: list[Figure]
    """Close-ups of the region and its grasps, the clearest view first; empty if no view shows the place."""
    cut: Image | None
    """The surface at the best grasp or at the nearest miss, None if nothing was planned."""
    answers: list[Figure]
    """Every view with the model's answer."""

    @property
    def preview(self) -> Image | None:
        """The picture of the summary: the clearest close-up, else the first view with a point."""
        shown = self.pictures or [figure for figure in self.answers if figure.has_points]
        return shown[0].image if shown else None


def query_panels(report: ReportInput) -> list[QueryPanel]:
    """Draw the pictures of every query."""
    avoided = [
        (result.region.box, color)
        for result, color in zip(report.results, report.colors, strict=True)
        if result.query.role == "avoid" and result.region is not None
    ]
    return [
        QueryPanel(
            result,
            color,
            [
                Figure(shown.view.name, _action(shown, result, report.gripper, color, avoided))
                for shown in _best_views(report.views, result)[:_MAX_PICTURES]
            ],
            _cut(result, report.gripper, color),
            [_answer(view, result, color) for view in report.views],
        )
        for result, color in zip(report.results, report.colors, strict=True)
    ]


def _cut(result: QueryResult, gripper: EndEffector, color: Color) -> Image | None:
    """Draw the cut through the surface at a gripper; a hand closes in no one plane."""
    if result.cut is None or not isinstance(gripper, Gripper):
        return None
    return draw_cut(result.cut, gripper, color)


def _answer(shown: ReportView, result: QueryResult, color: Color) -> Figure:
    """Draw a photograph with the model's points for a query and their heatmap."""
    name, query = shown.view.name, result.query.name
    points, image = shown.points.get(query), shown.view.rgb
    if query in shown.heatmaps:
        image = heat_overlay(image, shown.heatmaps[query])
    if points is None:
        state, kind = "not queried", "unasked"
    else:
        state, kind = "" if len(points) else "not visible", ""
        image = draw_points(image, points, color)
    if result.region is not None and name in result.region.support.rejected_images:
        state, kind = f"{state} rejected".strip(), "rejected"
    return Figure(name, image, state, kind, points is not None and len(points) > 0)


def reconstruction(report: ReportInput) -> tuple[list[str], list[tuple[str, list[Image]]]]:
    """Draw photograph, rendered colour, depth and relevancies; their names, and the images per view."""
    names = ["Captured", "Rendered", "Depth", *(f"Relevancy: {r.query.name}" for r in report.results)]
    unit = "m" if report.metric else "units"
    return names, [(shown.view.name, _rendered(shown, unit)) for shown in report.views[:_MAX_RECONSTRUCTED]]


def _rendered(shown: ReportView, unit: str) -> list[Image]:
    picture = shown.picture
    color = np.round(255 * np.clip(picture.rgb, 0.0, 1.0)).astype(np.uint8)
    # There is no surface where Gaussians absorb less than half of the light.
    depth = np.where(picture.alpha > 0.5, picture.depth, 0.0)
    relevancies = np.moveaxis(picture.relevancy, -1, 0)
    maps = [relevancy_picture(shown.view.rgb, relevancy) for relevancy in relevancies]
    return [shown.view.rgb, color, depth_picture(depth, unit=unit), *maps]


# ── close-ups of the action ────────────────────────────────────────────────────────────────────
def _best_views(views: Sequence[ReportView], result: QueryResult) -> list[ReportView]:
    """Return the views that contain the action point, the clearest first."""
    ranked = []
    for index, shown in enumerate(views):
        cost = _occlusion_cost(shown, result)
        if cost is not None:
            ranked.append((cost, index))
    return [views[index] for _, index in sorted(ranked)]


def _occlusion_cost(shown: ReportView, result: QueryResult) -> float | None:
    """Return a cost for a hidden or off-centre action, or one seen along the approach; None if not seen."""
    region = _focus(result)
    if region is None:
        return None
    camera, pose = shown.view.camera, shown.view.T_world_cam
    (pixel,), (depth,) = project(camera, pose, region.action_point[None])
    if depth <= 0 or not inside(camera, pixel[None])[0]:
        return None
    column, row = pixel.astype(int)
    # The action point may lie a little inside the object, at most by its own size.
    slack = 2 * region.box.half_extents.max() + 0.02 * depth
    hidden = depth > shown.picture.depth[row, column] + slack
    off_middle = np.abs(pixel / [camera.width, camera.height] - 0.5).max()
    along = 0.0
    if result.grasps:  # seen along the approach, the palm hides the fingers
        ray = region.action_point - pose[:3, 3]
        along = abs(result.grasps[0].T_world_gripper[:3, 2] @ ray) / np.linalg.norm(ray)
    return float(2.0 * hidden + off_middle + 0.7 * along)


def _focus(result: QueryResult) -> Region | None:
    """Return the region to show: the one found, else the most confident alternative."""
    return result.region or next(iter(result.alternatives), None)


def _action(
    shown: ReportView,
    result: QueryResult,
    gripper: EndEffector,
    color: Color,
    avoided: Sequence[tuple[OrientedBox, Color]],
) -> Image:
    """Draw a close-up with the region, its alternatives, the grasps, and regions to avoid."""
    focus = _focus(result)
    assert focus is not None
    pose = shown.view.T_world_cam
    shown_radius = _close_up_radius(gripper, focus)
    image, camera = close_up(shown.view.rgb, shown.view.camera, pose, focus.action_point, radius=shown_radius)
    for grasp in reversed(result.grasps[1 : 1 + _MAX_RUNNERS_UP]):
        image = draw_gripper(image, camera, pose, grasp, gripper, _PALE, opacity=0.28)
    for rival in result.alternatives:
        label = f"{rival.confidence:.2f}"
        image = draw_marker(image, camera, pose, rival.action_point, _ALTERNATIVE, label=label)
    if result.region is not None and result.query.role != "avoid":
        image = draw_box(image, camera, pose, result.region.box, (255, 255, 255))
    for box, box_color in avoided:
        image = draw_box(image, camera, pose, box, box_color)
    if result.cut is not None and len(result.cut.hits):
        pixels, depths = project(camera, pose, result.cut.hits)
        image = draw_points(image, pixels[(depths > 0) & inside(camera, pixels)][:_MAX_HITS], _HIT)
    for grasp in result.grasps[:1]:
        image = draw_gripper(image, camera, pose, grasp, gripper, color, opacity=0.85)
    if result.region is None:
        return image
    return draw_marker(image, camera, pose, result.region.action_point, color)


def _close_up_radius(gripper: EndEffector, region: Region) -> float:
    """Return the radius that a close-up shows around the action point: at least the gripper."""
    # Without metres the gripper's size means nothing; three regions across show the surroundings.
    return max(1.1 * radius(gripper), 3.0 * float(np.linalg.norm(region.box.half_extents)))
