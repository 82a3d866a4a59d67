"""Jobs of the service, and what it answers where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from point2act.core.errors import FleetError
from point2act.core.types import Query
from point2act.fleet.manifest import JobOptions
from point2act.service.requests import JobReply

Status = Literal["queued", "running", "done", "failed", "cancelled"]


ENDED: tuple[Status, ...] = ("done", "failed", "cancelled")
"""States after which nothing changes any more."""


class BusyError(FleetError):
    """The service has as much to do, or to keep, as it may: try later."""


class MissingError(FleetError):
    """There is no capture, job or result of this name."""


@dataclass
class ServiceJob:
    """A job of a client."""

    name: str
    capture: str
    queries: tuple[Query, ...]
    options: JobOptions
    status: Status = "queued"
    error: str | None = None
    seconds: float = 0.0
    result: str = ""
    """Folder of the result in the store; empty before the job is worked on."""
    answers: str = ""
    """The points.json in the store, or of the request; likewise."""

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in ENDED

    def reply(self) -> JobReply:
        """Return the state as it is sent."""
        return JobReply(
            job=self.name,
            capture=self.capture,
            status=self.status,
            error=self.error,
            seconds=round(self.seconds, 3),
        )


def read_job(document: Mapping[str, Any]) -> ServiceJob:
    """Return a job as it was written; one that had not ended waits again."""
    fields: dict[str, Any] = dict(document)
    fields["queries"] = tuple(Query(**query) for query in document["queries"])
    fields["options"] = JobOptions(**document["options"])
    job = ServiceJob(**fields)
    if not job.ended:
        job.status = "queued"
    return job
