"""What physics said about the grasps, as a section of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import UInt8

from point2act.report.page import figure


@dataclass(frozen=True, eq=False)
class ReportTrial:
    """One grasp tried out."""

    query: str
    """The query's name."""
    success: bool
    outcome: str
    """In a word or two, such as "lifted" or "slipped"."""
    text: str
    """What happened, in a sentence."""
    pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]] = ()
    """In the order they were taken."""


def trial_section(trials: Sequence[ReportTrial]) -> str:
    """The body of a section about trials, for :func:`point2act.report.add_section`."""
    if not trials:
        return '<p class="lead">No grasp was tried.</p>'
    good = sum(trial.success for trial in trials)
    lead = f"{good} of {len(trials)} trials succeeded. Pictures from left to right, as time goes by."
    return f'<p class="lead">{lead}</p>\n' + "\n".join(_panel(trial) for trial in trials)


def _panel(trial: ReportTrial) -> str:
    count = len(trial.pictures)
    film = "".join(
        figure(picture, f"{trial.query}, picture {number} of {count}")
        for number, picture in enumerate(trial.pictures, 1)
    )
    verdict = "yes" if trial.success else "no"
    return (
        f'<div class="panel"><div class="title"><h3>{escape(trial.query)}</h3>'
        f'<span class="pill {verdict}">{escape(trial.outcome)}</span></div>'
        f'<div class="pictures" style="--least: 220px">{film}</div>'
        f'<p class="soft">{escape(trial.text)}</p></div>'
    )
