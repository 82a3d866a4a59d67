"""Form of a job that a client sends, and of what it is answered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from point2act.core import config_files
from point2act.core.documents import Document, check
from point2act.core.errors import FleetError
from point2act.fleet.manifest import JobOptions
from point2act.fleet.manifest_line import OptionsLine, Queries

# Absolute paths of Unix, of which the last part is kept.
_PATH = re.compile(r"(?<![\w.:/])/(?:[^\s/:,;'\"()]+/)+(?=[^\s/:,;'\"()]*)")


class JobRequest(OptionsLine):
    """Write an object such as {"queries": ["the lid"]}."""

    points: dict[str, Any] | None = Field(None, description="write the content of a points.json")
    queries: Queries | None = None


class CaptureReply(Document):
    """A capture on the server."""

    capture: str
    images: int
    depth: bool


class JobReply(Document):
    """The state of a job."""

    job: str
    capture: str
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    error: str | None
    seconds: float
    """Duration of the work on the job; 0 before its end."""


class EstimateReply(Document):
    """What a job would take by what was measured so far; null where that is not known."""

    known: bool
    """Whether the result exists."""
    questions: int
    """Questions to a model, one for each image and query."""
    seconds: float | None
    tokens: tuple[int, int] | None
    """Tokens read and written."""
    money: float | None
    """US dollars."""


class ErrorReply(Document):
    """What is wrong, one sentence."""

    error: str


def job_request(document: Any, *, max_queries: int) -> tuple[JobRequest, JobOptions]:
    """Check a request, and return it with its options.

    Raises:
        FleetError: It is malformed, or names a file of the server.
    """
    request = check(JobRequest, document, FleetError)
    if (request.points is None) == (request.queries is None):
        raise FleetError("give either 'points', the content of a points.json, or 'queries', a list of texts")
    if len(request.queries or ()) > max_queries:
        raise FleetError(f"'queries' has {len(request.queries or ())} texts: send at most {max_queries}")
    for kind, name in (("grippers", request.gripper), ("arms", request.arm)):
        known = config_files.available(kind)
        if name is not None and name not in known:
            raise FleetError(f"no {kind[:-1]} has this name: use one of {', '.join(known)}")
    return request, JobOptions(**request.model_dump(exclude_none=True, exclude={"points", "queries"}))


def public(text: str, folder: Path) -> str:
    """Return a message without the places of files on the server.

    Args:
        text: A sentence for people.
        folder: Folder of the service.
    """
    return _PATH.sub("", text.replace(f"{folder}/", ""))
