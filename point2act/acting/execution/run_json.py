"""The time line of a run as a JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from point2act.acting.execution.executor import Outcome
from point2act.acting.execution.run_document import ActDocument
from point2act.acting.execution.simulated_task import SimulatedRun
from point2act.core.documents import check
from point2act.core.errors import ResultsError
from point2act.core.files import write_json
from point2act.simulation.task import Task


def write_run(path: Path, task: Task, run: SimulatedRun) -> ActDocument:
    """Write whether a task was done, and what happened when; return what was written.

    Args:
        path: File to write.
        task: The task.
        run: The run, judged by physics.
    """
    conditions = [
        {
            "kind": verdict.condition.kind,
            "thing": verdict.condition.thing,
            "holds": bool(verdict.holds),
            "value": float(verdict.value),
        }
        for verdict in run.success.verdicts
    ]
    judged = {
        "succeeded": run.succeeded,
        "reason": run.reason,
        "disturbed_at": run.disturbed_at,
        "conditions": conditions,
    }
    return _write(path, {"task": task.name, "instruction": task.instruction, **judged}, run.outcome)


def write_outcome(path: Path, name: str, instruction: str, outcome: Outcome) -> ActDocument:
    """Write whether a plan was carried out to its end, and what happened when; return what was written.

    Args:
        path: File to write.
        name: Name of the task.
        instruction: What was to be done.
        outcome: The run, which no physics judges.
    """
    judged = {"succeeded": outcome.done, "reason": outcome.reason, "disturbed_at": None, "conditions": []}
    return _write(path, {"task": name, "instruction": instruction, **judged}, outcome)


def _write(path: Path, judged: dict[str, Any], outcome: Outcome) -> ActDocument:
    happened = {"seconds": outcome.seconds, "events": [vars(event) for event in outcome.events]}
    document = {"version": 1, **judged, **happened}
    checked = check(ActDocument, document, ResultsError, place=str(path))
    write_json(path, checked.model_dump())
    return checked
