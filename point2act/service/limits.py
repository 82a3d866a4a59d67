"""Limits of the service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServiceLimits:
    """What a client may ask of the service. All numbers are chosen."""

    max_upload: int = 2 * 2**30
    """Maximum size of an uploaded archive, and of the files in it, bytes."""
    max_files: int = 10_000
    """Maximum number of files in a capture."""
    max_body: int = 32 * 2**20
    """Maximum size of the JSON of a job, bytes."""
    max_captures: int = 200
    """Maximum number of captures that are kept; delete one to upload another."""
    max_queue: int = 64
    """Maximum number of jobs that wait; further ones are refused until one has ended."""
    max_jobs: int = 10_000
    """Number of finished jobs that are remembered; the oldest are forgotten."""
    max_queries: int = 20
    """Maximum number of queries of a job."""
    upload_seconds: float = 600.0
    """Maximum duration of an upload."""
    job_seconds: float = 600.0
    """Maximum duration of the work on a job."""
