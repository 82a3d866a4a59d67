"""Writing of the report: one HTML file with its pictures and styles, to which sections can be added."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from point2act.core.errors import ReportError
from point2act.core.files import write_bytes
from point2act.core.types import Grasp, Plan, Reason
from point2act.visualization.headlines import ADVICE, HEADLINES, TERMS, verdict
from point2act.visualization.report.figures import query_panels, reconstruction
from point2act.visualization.report.inputs import ReportInput, ReportTrial
from point2act.visualization.report.rendering import asset, render
from point2act.visualization.report.scene3d import scene_data
from point2act.visualization.report.timeline import timeline

_KEY = re.compile(r"[a-z][a-z0-9-]*")
_NAV = re.compile(r"<!-- nav -->.*?<!-- /nav -->", re.DOTALL)
_HEADING = re.compile(r'<section id="([a-z0-9-]+)">\s*<h2>(.*?)</h2>')
_FIRST = Markup("<main>\n")
_END = Markup("<!-- end of sections -->")

_MAX_ROWS = 8
"""Grasps listed per query."""


def write_report(path: Path | str, report: ReportInput) -> None:
    """Write the report atomically; pictures and styles are inside the file.

    Args:
        path: HTML file to write.
        report: Content of the page.
    """
    panels = query_panels(report)
    names, rows = reconstruction(report)
    shared = {"panels": panels, "metric": report.metric, "rejected_places": report.rejected_places}
    sentence, complete = verdict(report.results)
    parts = {
        ("summary", "Summary"): render("summary.html", headlines=HEADLINES, **shared),
        ("scene", "Scene in 3D"): scene_section(report),
        ("plan", "Plan"): plan_section(report.plan),
        ("answers", "Model answers"): render("answers.html", **shared),
        ("reconstruction", "Reconstruction"): render("reconstruction.html", names=names, rows=rows),
        ("grasps", "Grasps"): render(
            "grasps.html", max_rows=_MAX_ROWS, words=TERMS, best_poses=partial(_best_poses, report), **shared
        ),
        ("time", "Time"): timeline(report.spans, report.timings),
        ("facts", "Facts"): render("facts.html", facts=report.facts) if report.facts else "",
    }
    page = render(
        "page.html",
        report=report,
        style=asset("report.css"),
        verdict=sentence,
        complete=complete,
        missing=_missing(report),
        headlines=HEADLINES,
        advice=ADVICE,
        found=sum(result.region is not None for result in report.results),
        sure=_confidences(report),
        grasps=sum(len(result.grasps) for result in report.results),
        wanted=any(result.query.role == "grasp" for result in report.results),
        sections=[_block(key, title, body) for (key, title), body in parts.items() if body],
        end=_END,
    )
    write_bytes(path, _linked(page).encode("utf-8"))


def add_section(path: Path | str, key: str, title: str, html: str) -> None:
    """Add a section to the top of a written report, or replace the one with the same key.

    Args:
        path: A report written by ``write_report``.
        key: Anchor of the section: lower-case letters, digits and dashes.
        title: Heading, plain text.
        html: Trusted HTML, such as that of ``trial_section``.

    Raises:
        ReportError: The file is missing or is not a report of point2act.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"section key {key!r}: use lower-case letters, digits and dashes")
    try:
        page = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise ReportError(f"{path} cannot be read ({err}): write it first, with point2act run") from err
    if _END not in page:
        raise ReportError(f"{path} is not a report of point2act: name the report.html that it wrote")
    block = _block(key, title, html)
    page, replaced = re.subn(
        f"<!-- {key} -->.*?<!-- /{key} -->\n", lambda _: block, page, count=1, flags=re.DOTALL
    )
    if not replaced:
        page = page.replace(_FIRST, _FIRST + block, 1)
    write_bytes(path, _linked(page).encode("utf-8"))


def scene_section(report: ReportInput) -> str:
    """Render the interactive 3D view, with its script and its data; empty without a scene."""
    data = scene_data(report)
    queries = list(zip(report.results, report.colors, strict=True))
    script = asset("scene3d.js")
    return render("scene3d.html", data=Markup(data), queries=queries, script=script) if data else ""


def plan_section(plan: Plan | None) -> str:
    """Render a task plan: its steps, the queries of each, and why they are needed; empty without a plan."""
    return "" if plan is None else render("plan.html", plan=plan)


def trial_section(trials: Sequence[ReportTrial]) -> str:
    """Render grasps executed in a simulator, as the HTML of a section for ``add_section``."""
    return render("trials.html", trials=list(trials))


def _confidences(report: ReportInput) -> list[int]:
    """Return the lowest and the highest confidence of the places, percent; one if they are equal."""
    found = [round(100 * result.confidence) for result in report.results if result.region is not None]
    return sorted({min(found), max(found)}) if found else []


def _missing(report: ReportInput) -> dict[Reason, list[str]]:
    """Group the queries without a result by their reason."""
    missing: dict[Reason, list[str]] = {}
    for result in report.results:
        if result.reason is not None:
            missing.setdefault(result.reason, []).append(result.query.text)
    return missing


def _best_poses(report: ReportInput, grasp: Grasp) -> dict[str, Float[np.ndarray, "4 4"]]:
    """Return the poses of a grasp to copy, by the name of the transform."""
    poses = {"T_world_gripper": grasp.T_world_gripper}
    if report.T_base_world is not None:
        poses["T_base_gripper"] = report.T_base_world @ grasp.T_world_gripper
    return poses


def _block(key: str, title: str, html: str) -> Markup:
    return render("section.html", key=key, title=title, body=Markup(html))


def _linked(page: str) -> str:
    """Return the page with its navigation made anew from its headings."""
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title in _HEADING.findall(page))
    return _NAV.sub(lambda _: f"<!-- nav --><nav>{links}</nav><!-- /nav -->", page, count=1)
