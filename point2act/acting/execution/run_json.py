"""The time line of a run as a JSON file."""

from __future__ import annotations

from pathlib import Path

from point2act.acting.execution.run_document import ActDocument
from point2act.acting.execution.simulated_task import SimulatedRun
from point2act.core.documents import check
from point2act.core.errors import ResultsError
from point2act.core.files import write_json
from point2act.simulation.task import Task


def write_run(path: Path, task: Task, run: SimulatedRun) -> None:
    """Write whether a task was done, and what happened when.

    Args:
        path: File to write.
        task: The task.
        run: The run, judged by physics.
    """
    document = {
        "version": 1,
        "task": task.name,
        "instruction": task.instruction,
        "succeeded": run.succeeded,
        "reason": run.reason,
        "seconds": run.outcome.seconds,
        "disturbed_at": run.disturbed_at,
        "conditions": [
            {
                "kind": verdict.condition.kind,
                "thing": verdict.condition.thing,
                "holds": bool(verdict.holds),
                "value": float(verdict.value),
            }
            for verdict in run.success.verdicts
        ],
        "events": [vars(event) for event in run.outcome.events],
    }
    write_json(path, check(ActDocument, document, ResultsError, place=str(path)).model_dump())
