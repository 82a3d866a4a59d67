"""The report's own sections in their order."""

from __future__ import annotations

from pathlib import Path

from point2act.visualization.report import sections
from point2act.visualization.report.grasps import action_pictures, grasp_section
from point2act.visualization.report.inputs import ReportInput
from point2act.visualization.report.page import Section, write_page
from point2act.visualization.report.steps import plan_section
from point2act.visualization.report.timeline import timeline


def write_report(path: Path | str, report: ReportInput) -> None:
    """Write the page to ``path``, atomically. Pictures and styles are inside the file."""
    pictures = action_pictures(report)
    parts = (
        Section("summary", "Summary", sections.summary(report, pictures)),
        Section("plan", "The plan", plan_section(report.plan)),
        Section("said", "What the model said", sections.said(report)),
        Section("built", "What was reconstructed", sections.built(report)),
        Section("grasps", "Where to grasp", grasp_section(report, pictures)),
        Section("time", "Time", timeline(report.spans, report.timings)),
        Section("facts", "Facts", sections.facts(report.facts)),
    )
    write_page(path, report.title, sections.head(report), [part for part in parts if part.body])
