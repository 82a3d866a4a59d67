"""Questions about a plan: the plan for an instruction, and the next step after some that are done."""

from __future__ import annotations

import json

from point2act.core.errors import ReplyError
from point2act.core.types import Plan, Step
from point2act.data.task_plan import parse_plan


def plan_reply(plan: Plan) -> str | None:
    """Return a plan as a model writes it; None for one that no model may write, such as without reasons."""
    reply = json.dumps({"steps": [_step(step) for step in plan.steps]}, ensure_ascii=False)
    try:
        parse_plan(reply, plan.instruction)
    except ReplyError:
        return None
    return reply


def _step(step: Step) -> dict[str, object]:
    targets = [
        {
            "object": target.object,
            "part": target.part,
            "role": target.query.role,
            "reason": target.reason,
        }
        for target in step.targets
    ]
    return {"action": step.action, "targets": targets}


def step_prompt(instruction: str, done: list[str]) -> str:
    """Return the prompt that asks for the next step of a plan.

    Args:
        instruction: Task in plain language.
        done: Actions that were done, in order.
    """
    before = "; ".join(done) or "nothing"
    return (
        f"A robot with one arm and a two-finger gripper has to do this: {instruction}\n"
        f"Done so far: {before}.\nWhich action comes next? Reply with it in a few words, and nothing else."
    )
