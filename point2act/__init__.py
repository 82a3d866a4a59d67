"""point2act: find and grasp the right thing from a sentence.

Posed images and what a pointing model said in each of them become relevancy on 3D Gaussians, a region
to act on, and 6-DoF grasps. Importing this package imports no heavy library; using a name does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from point2act.core.errors import Point2ActError
from point2act.core.threads import configure_threads

if TYPE_CHECKING:
    from point2act.data.capture import CaptureWriter, read_capture
    from point2act.data.points import read_points, write_points
    from point2act.data.scene_ply import read_splat_ply
    from point2act.grasping.grasps_json import read_grasps, write_grasps
    from point2act.grasping.grippers import load_gripper
    from point2act.pipeline.query import AnswerConfig
    from point2act.pipeline.run import follow, run
    from point2act.pipeline.session import SessionResult, Session, open_run
    from point2act.pipeline.steps import RunConfig, RunResult
    from point2act.vlm.clients.factory import ClientConfig
    from point2act.vlm.parsers import parse_reply
    from point2act.vlm.pointing.ask import Questions
    from point2act.vlm.pointing.questions import AskConfig, ask, open_questions, open_task

# Here, because torch reads it when it is imported.
configure_threads()

_ROOMS = {
    "AnswerConfig": "pipeline.query",
    "SessionResult": "pipeline.session",
    "AskConfig": "vlm.pointing.questions",
    "ClientConfig": "vlm.clients.factory",
    "CaptureWriter": "data.capture",
    "Questions": "vlm.pointing.ask",
    "RunConfig": "pipeline.steps",
    "RunResult": "pipeline.steps",
    "Session": "pipeline.session",
    "ask": "vlm.pointing.questions",
    "follow": "pipeline.run",
    "load_gripper": "grasping.grippers",
    "open_questions": "vlm.pointing.questions",
    "open_run": "pipeline.session",
    "open_task": "vlm.pointing.questions",
    "parse_reply": "vlm.parsers",
    "read_capture": "data.capture",
    "read_grasps": "grasping.grasps_json",
    "read_points": "data.points",
    "read_splat_ply": "data.scene_ply",
    "run": "pipeline.run",
    "write_grasps": "grasping.grasps_json",
    "write_points": "data.points",
}

__all__ = [
    "AnswerConfig",
    "SessionResult",
    "AskConfig",
    "ClientConfig",
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
