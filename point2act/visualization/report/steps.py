"""The plan that the queries come from."""

from __future__ import annotations

from html import escape

from point2act.core.types import Plan, Step, Target
from point2act.visualization.report.words import pill


def plan_section(plan: Plan | None) -> str:
    """The instruction and its steps, with what each needs to find and why; nothing without a plan."""
    if plan is None:
        return ""
    who = f" Taken apart by {escape(plan.model)}." if plan.model else ""
    steps = "".join(_step(number, step) for number, step in enumerate(plan.steps, start=1))
    return f'<p class="lead">“{escape(plan.instruction)}”{who}</p>\n{steps}'


def _step(number: int, step: Step) -> str:
    targets = "".join(_target(target) for target in step.targets)
    return f'<div class="panel"><h3>{number}. {escape(step.action)}</h3>{targets}</div>'


def _target(target: Target) -> str:
    query = target.query
    reason = f'<p class="soft">{escape(target.reason)}</p>' if target.reason else ""
    return f'<div><div class="title"><h3>{escape(query.text)}</h3>{pill(query.role)}</div>{reason}</div>'
