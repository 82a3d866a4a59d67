"""What physics said about the grasps, as a section of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import UInt8

from point2act.visualization.report.page import figure
from point2act.visualization.report.words import pill


@dataclass(frozen=True, eq=False)
class ReportTrial:
    """One grasp tried out."""

    query: str
    """What was to be grasped: the query's text, or its name."""
    success: bool
    outcome: str
    """In a word or two, such as "lifted" or "slipped"."""
    text: str
    """What happened, in a sentence."""
    pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]] = ()
    """In the order they were taken."""
    moments: Sequence[str] = ()
    """A word for each picture, or none at all."""


def trial_section(trials: Sequence[ReportTrial]) -> str:
    """The body of a section about trials, for ``add_section``."""
    if not trials:
        return '<p class="lead">No grasp was tried.</p>'
    good = sum(trial.success for trial in trials)
    lead = f"{good} of {len(trials)} trials succeeded. Each is the best grasp of its query, in a simulator."
    return f'<p class="lead">{lead}</p>\n' + "\n".join(_panel(trial) for trial in trials)


def _panel(trial: ReportTrial) -> str:
    moments = trial.moments or [""] * len(trial.pictures)
    film = "".join(
        figure(picture, f"{trial.query}, {moment}".strip(", "), f"<span>{escape(moment)}</span>")
        for picture, moment in zip(trial.pictures, moments, strict=True)
    )
    verdict = pill(trial.outcome, "yes" if trial.success else "no")
    return (
        f'<div class="panel"><div class="title"><h3>{escape(trial.query)}</h3>{verdict}</div>'
        f'<div class="pictures" style="--least: 180px">{film}</div>'
        f'<p class="soft">{escape(trial.text)}</p></div>'
    )
