"""point2act: find and grasp the right thing from a sentence.

Posed images and what a pointing model said in each of them become relevancy on 3D Gaussians, a region
to act on, and 6-DoF grasps. Importing this package imports no heavy library; using a name does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from point2act.errors import Point2ActError
from point2act.threads import configure_threads

if TYPE_CHECKING:
    from point2act.answer import AnswerConfig
    from point2act.asking.ask import Questions
    from point2act.asking.questions import AskConfig, ask, open_questions, open_task
    from point2act.capture import CaptureWriter, read_capture
    from point2act.dialects import parse_reply
    from point2act.grippers import load_gripper
    from point2act.mllm.open import AskerConfig
    from point2act.pipeline import follow, run
    from point2act.points import read_points, write_points
    from point2act.results import read_grasps, read_splat_ply, write_grasps
    from point2act.session import Answered, Session, open_run
    from point2act.work import RunConfig, RunResult

# Here, because torch reads it when it is imported.
configure_threads()

_ROOMS = {
    "AnswerConfig": "answer",
    "Answered": "session",
    "AskConfig": "asking.questions",
    "AskerConfig": "mllm.open",
    "CaptureWriter": "capture",
    "Questions": "asking.ask",
    "RunConfig": "work",
    "RunResult": "work",
    "Session": "session",
    "ask": "asking.questions",
    "follow": "pipeline",
    "load_gripper": "grippers",
    "open_questions": "asking.questions",
    "open_run": "session",
    "open_task": "asking.questions",
    "parse_reply": "dialects",
    "read_capture": "capture",
    "read_grasps": "results",
    "read_points": "points",
    "read_splat_ply": "results",
    "run": "pipeline",
    "write_grasps": "results",
    "write_points": "points",
}

__all__ = [
    "AnswerConfig",
    "Answered",
    "AskConfig",
    "AskerConfig",
    "CaptureWriter",
    "Point2ActError",
    "Questions",
    "RunConfig",
    "RunResult",
    "Session",
    "ask",
    "follow",
    "load_gripper",
    "open_questions",
    "open_run",
    "open_task",
    "parse_reply",
    "read_capture",
    "read_grasps",
    "read_points",
    "read_splat_ply",
    "run",
    "write_grasps",
    "write_points",
]


def __getattr__(name: str) -> Any:
    """Import a name's room when it is first used."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'point2act' has no attribute '{name}'")
    return getattr(import_module(f"point2act.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return __all__
