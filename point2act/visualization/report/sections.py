"""What was asked, said and built, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import fsum

import numpy as np
from jaxtyping import Float, UInt8

from point2act.core.types import QueryResult, Region, Support
from point2act.visualization.drawing import Color, depth_picture, draw_points, heat_overlay, relevancy_picture
from point2act.visualization.report.grasps import ActionPicture
from point2act.visualization.report.inputs import ReportInput, ReportView
from point2act.visualization.report.page import figure
from point2act.visualization.report.words import (
    bar,
    count,
    direction,
    length,
    mark,
    pill,
    seconds,
    title,
    why_empty,
)

_VIEWS_BUILT = 4
"""So many views are enough to judge a reconstruction."""


def head(report: ReportInput) -> str:
    """The line under the title and the four numbers that matter."""
    answered = sum(result.region is not None for result in report.results)
    grasps = sum(len(result.grasps) for result in report.results)
    tiles = [
        (f"{answered} of {len(report.results)}", "queries found"),
        (str(grasps), "grasps" if grasps != 1 else "grasp"),
        (seconds(fsum(report.timings.values())), "in all") if report.timings else ("", ""),
    ]
    numbers = "".join(f"<div><b>{value}</b><span>{words}</span></div>" for value, words in tiles if value)
    return (
        f'<p class="soft">{escape(report.capture)} · gripper {escape(report.gripper.name)}</p>\n'
        f'<div class="tiles">{numbers}</div>\n'
    )


def summary(report: ReportInput, pictures: Sequence[Sequence[ActionPicture]]) -> str:
    """One card a query, with the first of its close-ups."""
    each = zip(report.results, report.colors, pictures, strict=True)
    cards = [_card(report, result, color, shown) for result, color, shown in each]
    return f'<div class="cards">{"".join(cards)}</div>' if cards else '<p class="lead">Nothing was asked.</p>'


def said(report: ReportInput) -> str:
    """Per query, the views with the model's points and the heat they were given."""
    panels = []
    for result, color in zip(report.results, report.colors, strict=True):
        figures = "".join(_answer(view, result, color) for view in report.views)
        aside = _support_words(result.region.support) if result.region is not None else ""
        heading = title(result, color, f'<span class="soft">{aside}</span>')
        panels.append(f'<div class="panel">{heading}<div class="pictures">{figures}</div></div>')
    return (
        '<p class="lead">A cross is a point that the model gave, the glow is how far it counts. '
        "Framed views were contradicted by the others.</p>\n" + "\n".join(panels)
    )


def built(report: ReportInput) -> str:
    """Photograph, rendered colour, depth and relevancy side by side."""
    names = ["Captured", "Rendered", "Depth", *(f"Relevancy: {r.query.name}" for r in report.results)]
    cells = [f"<b>{escape(name)}</b>" for name in names]
    unit = "m" if report.metric else "units"
    # Relative to its peak: what matters here is where, and the prior keeps all values well below one.
    each = [shown.picture.relevancy.max(axis=(0, 1)) for shown in report.views]
    peaks = np.max(each, axis=0, initial=1e-9)
    for shown in report.views[:_VIEWS_BUILT]:
        images = _built_images(shown, unit, peaks)
        cells += [
            figure(image, f"{name}, {shown.view.name}") for name, image in zip(names, images, strict=False)
        ]
    rows = f'<div class="rows" style="--columns: {len(names)}">{"".join(cells)}</div>'
    return f'<div class="panel scroll">{rows}</div>'


def facts(entries: Mapping[str, str]) -> str:
    """Names and values."""
    pairs = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in entries.items())
    return f'<dl class="panel facts">{pairs}</dl>' if entries else ""


def _card(report: ReportInput, result: QueryResult, color: Color, pictures: Sequence[ActionPicture]) -> str:
    image = pictures[0].image if pictures else _pointed_at(report, result, color)
    picture = [figure(image, f"where to act for {result.query.text}")] if image is not None else []
    body = [*picture, title(result, color, pill(result.query.role)), why_empty(result)]
    if result.region is not None:
        body += [_confidence(result.region, color), _support(result.region.support)]
        body.append(_pairs(result, report.metric))
    return f'<article class="card">{"".join(body)}</article>'


def _confidence(region: Region, color: Color) -> str:
    return (
        f'<div class="measure" style="{mark(color)}"><span>Confidence</span><b>{region.confidence:.0%}</b>'
        f"{bar((region.confidence, ''))}</div>"
    )


def _support(support: Support) -> str:
    whole = max(1, support.agree + support.disagree + support.unseen)
    parts = bar((support.agree / whole, ""), (support.disagree / whole, "against"))
    return f'<div class="measure"><span>{_support_words(support)}</span><b></b>{parts}</div>'


def _support_words(support: Support) -> str:
    words = [count(support.agree, "view agrees", "views agree")]
    if support.disagree:
        words.append(count(support.disagree, "disagrees", "disagree"))
    if support.unseen:
        words.append(f"{support.unseen} not asked or out of sight")
    return " · ".join(words)


def _pairs(result: QueryResult, metric: bool) -> str:
    region = result.region
    assert region is not None
    pairs = {"Action point": ", ".join(f"{x:.3f}" for x in region.action_point)}
    if result.query.role == "grasp":
        pairs["Grasps"] = str(len(result.grasps))
    if result.grasps:
        pairs["Best score"] = f"{result.grasps[0].score:.2f}"
    if result.place is not None:
        pairs["Flat disc"] = length(result.place.flat_radius, metric)
        pairs["Normal"] = direction(result.place.normal)
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in pairs.items())
    return f'<dl class="pairs">{rows}</dl>'


def _pointed_at(report: ReportInput, result: QueryResult, color: Color) -> UInt8[np.ndarray, "_ _ 3"] | None:
    """The first view with a point for the query; None where there is none."""
    named = result.query.name
    seen = (shown for shown in report.views if len(shown.points.get(named, ())) > 0)
    first = next(seen, None)
    return None if first is None else _marked(first, named, color)


def _answer(shown: ReportView, result: QueryResult, color: Color) -> str:
    name, points = shown.view.name, shown.points.get(result.query.name)
    state, kind = "", ""
    if points is None:
        state, kind = "not asked", "unasked"
    elif len(points) == 0:
        state = "not visible"
    if result.region is not None and name in result.region.support.rejected_images:
        state, kind = f"{state} contradicted".strip(), "rejected"
    words = f"<span>{escape(name)}</span><span>{state}</span>"
    image = _marked(shown, result.query.name, color)
    return figure(image, f"{result.query.text} in {name} {state}".strip(), words, kind=kind)


def _marked(shown: ReportView, query: str, color: Color) -> UInt8[np.ndarray, "_ _ 3"]:
    """A photograph with what the model said about a query."""
    image = shown.view.rgb
    if query in shown.heatmaps:
        image = heat_overlay(image, shown.heatmaps[query])
    points = shown.points.get(query)
    return image if points is None else draw_points(image, points, color)


def _built_images(
    shown: ReportView, unit: str, peaks: Float[np.ndarray, " q"]
) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    picture = shown.picture
    rendered = np.round(255 * np.clip(picture.rgb, 0.0, 1.0)).astype(np.uint8)
    # Where less than half of the light comes from Gaussians there is no surface to speak of.
    depth = np.where(picture.alpha > 0.5, picture.depth, 0.0)
    channels = np.moveaxis(picture.relevancy / peaks, -1, 0)
    return [
        shown.view.rgb,
        rendered,
        depth_picture(depth, unit=unit),
        *(relevancy_picture(shown.view.rgb, channel) for channel in channels),
    ]
