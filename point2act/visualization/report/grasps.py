"""Where to grasp: the hand in the photographs, rivals, and the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import UInt8

from point2act.core.geometry import inside, project
from point2act.core.types import Grasp, OrientedBox, QueryResult, Region
from point2act.grasping.grippers import Gripper
from point2act.visualization.drawing import Color, close_up, draw_box, draw_gripper, draw_marker
from point2act.visualization.report.inputs import ReportInput, ReportView
from point2act.visualization.report.page import figure
from point2act.visualization.report.words import bar, length, pill, title, what_for, why_empty

_PICTURES = 3
_ROWS = 8
_ABREAST = 6
"""So many terms stand beside one another."""
_RUNNERS_UP = 4
"""So many grasps are drawn faintly behind the best; more would hide it."""

_PALE: Color = (226, 230, 236)
_RIVAL: Color = (150, 156, 168)


@dataclass(frozen=True, eq=False)
class ActionPicture:
    """A close-up of what was found for one query, the grasps drawn in."""

    view: str
    """The name of the view."""
    image: UInt8[np.ndarray, "_ _ 3"]


def action_pictures(report: ReportInput) -> list[list[ActionPicture]]:
    """Per query, from where it is seen best: the clearest first, none where there is nothing to show."""
    avoided = [
        (result.region.box, color)
        for result, color in zip(report.results, report.colors, strict=True)
        if result.query.role == "avoid" and result.region is not None
    ]
    return [
        [
            ActionPicture(shown.view.name, _drawn(shown, result, report.gripper, color, avoided))
            for shown in _best_views(report.views, result)[:_PICTURES]
        ]
        for result, color in zip(report.results, report.colors, strict=True)
    ]


def grasp_section(report: ReportInput, pictures: Sequence[Sequence[ActionPicture]]) -> str:
    """One panel a query."""
    each = zip(report.results, report.colors, pictures, strict=True)
    panels = [_panel(report, result, color, shown) for result, color, shown in each]
    return (
        '<p class="lead">The best grasp in the colour of its query, a few runners-up pale, the region that '
        "was found as a box. Grey diamonds are places that were considered and lost; a box in the colour of "
        "its query is to be avoided.</p>\n" + "\n".join(panels)
    )


def _panel(report: ReportInput, result: QueryResult, color: Color, pictures: Sequence[ActionPicture]) -> str:
    figures = "".join(
        figure(
            shown.image, f"{result.query.text}, seen from {shown.view}", f"<span>{escape(shown.view)}</span>"
        )
        for shown in pictures
    )
    body = [title(result, color, pill(result.query.role)), why_empty(result)]
    if figures:
        body.append(f'<div class="pictures" style="--least: 300px">{figures}</div>')
    if result.grasps:
        body += [_table(result.grasps, report.metric), _reasons(result.grasps[0])]
    elif result.region is not None and result.reason is None:
        words = what_for(result, report.metric) or result.detail or "No grasp was asked for."
        body.append(f'<p class="soft">{escape(words)}</p>')
    return f'<div class="panel">{"".join(body)}{_rivals(result)}</div>'


def _table(grasps: Sequence[Grasp], metric: bool) -> str:
    names = ["Grasp", "Score", "Relevancy", "Quality", "Opening", "Way in", "Way up"]
    names += ["From avoided"] if grasps[0].avoid_clearance is not None else []
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = "".join(_row(number, grasp, metric) for number, grasp in enumerate(grasps[:_ROWS], 1))
    table = f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'
    left = len(grasps) - _ROWS
    return table + (f'<p class="soft">{left} more in grasps.json.</p>' if left > 0 else "")


def _row(number: int, grasp: Grasp, metric: bool) -> str:
    name, kind = ("1, best", ' class="best"') if number == 1 else (str(number), "")
    cells = "".join(
        f"<td>{value:.2f}{bar((value, ''))}</td>" for value in (grasp.score, grasp.relevancy, grasp.quality)
    )
    lengths = [grasp.width, grasp.approach_clearance, grasp.lift_clearance]
    lengths += [] if grasp.avoid_clearance is None else [grasp.avoid_clearance]
    cells += "".join(f"<td>{'free' if value is None else length(value, metric)}</td>" for value in lengths)
    return f"<tr{kind}><td>{name}</td>{cells}</tr>"


def _reasons(best: Grasp) -> str:
    """What the best grasp's quality is made of."""
    if not best.terms:
        return ""
    inferred = 2 - sum(best.contacts_seen)
    guess = "" if not inferred else f" {inferred} of its 2 contacts was never seen and is inferred."
    cells = [
        f"<td>{escape(name)}<br>{value:.2f}{bar((value, ''))}</td>" for name, value in best.terms.items()
    ]
    rows = ["".join(cells[start : start + _ABREAST]) for start in range(0, len(cells), _ABREAST)]
    return (
        f'<p class="soft">What the quality of the best is made of, 1 being best.{guess}</p>'
        f'<div class="scroll"><table><tr>{"</tr><tr>".join(rows)}</tr></table></div>'
    )


def _rivals(result: QueryResult) -> str:
    if not result.alternatives:
        return ""
    places = "; ".join(
        f"({', '.join(f'{x:.3f}' for x in rival.action_point)}) with confidence {rival.confidence:.2f}"
        for rival in result.alternatives
    )
    begin = "Considered, and not trusted" if result.region is None else "Also considered"
    return f'<p class="soft">{begin}: {places}.</p>'


def _best_views(views: Sequence[ReportView], result: QueryResult) -> list[ReportView]:
    """The views that see the action point, the clearest first: unhidden, central, across the approach."""
    ranked = []
    for index, shown in enumerate(views):
        cost = _unclear(shown, result)
        if cost is not None:
            ranked.append((cost, index))
    return [views[index] for _, index in sorted(ranked)]


def _unclear(shown: ReportView, result: QueryResult) -> float | None:
    """How badly a view shows the action, 0 for perfectly; None when the place is out of the picture."""
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
    if result.grasps:  # seen along the approach, the palm stands before the fingers
        sight = region.action_point - pose[:3, 3]
        along = abs(result.grasps[0].T_world_gripper[:3, 2] @ sight) / np.linalg.norm(sight)
    return float(2.0 * hidden + off_middle + 0.7 * along)


def _focus(result: QueryResult) -> Region | None:
    """What to look at: the region found, else the strongest of those that lost."""
    return result.region or next(iter(result.alternatives), None)


def _drawn(
    shown: ReportView,
    result: QueryResult,
    gripper: Gripper,
    color: Color,
    avoided: Sequence[tuple[OrientedBox, Color]],
) -> UInt8[np.ndarray, "_ _ 3"]:
    focus = _focus(result)
    assert focus is not None
    pose = shown.view.T_world_cam
    reach = _reach(gripper, focus)
    image, camera = close_up(shown.view.rgb, shown.view.camera, pose, focus.action_point, reach=reach)
    for grasp in reversed(result.grasps[1 : 1 + _RUNNERS_UP]):
        image = draw_gripper(image, camera, pose, grasp, gripper, _PALE, opacity=0.28)
    for rival in result.alternatives:
        image = draw_marker(image, camera, pose, rival.action_point, _RIVAL, label=f"{rival.confidence:.2f}")
    if result.region is not None and result.query.role != "avoid":
        image = draw_box(image, camera, pose, result.region.box, (255, 255, 255))
    for box, mark in avoided:
        image = draw_box(image, camera, pose, box, mark)
    for grasp in result.grasps[:1]:
        image = draw_gripper(image, camera, pose, grasp, gripper, color, opacity=0.85)
    if result.region is None:
        return image
    return draw_marker(image, camera, pose, result.region.action_point, color)


def _reach(gripper: Gripper, region: Region) -> float:
    """How far the picture reaches about the action point: the whole hand, more than the region."""
    hand = float(np.linalg.norm(np.abs(gripper.body.center) + gripper.body.half, axis=1).max())
    # Without metres the hand's size means nothing; three regions across show what lies about it.
    return max(1.1 * hand, 3.0 * float(np.linalg.norm(region.box.half_extents)))
