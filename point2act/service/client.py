"""A client of the service, for programs on other machines."""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from point2act.core.errors import FleetError
from point2act.data.capture import read_capture
from point2act.data.resume import capture_files
from point2act.service.requests import CaptureReply, JobReply

# Seconds between two attempts while the queue is full.
_PAUSE = 1.0


class ServiceClient:
    """Client of ``point2act serve``; a context manager.

    Args:
        url: Address of the service, such as ``http://localhost:8700``.
        token: Token of the service; by default that of the environment variable POINT2ACT_TOKEN, if set.
        timeout: Seconds of silence after which a request fails.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 60.0):
        token = token or os.environ.get("POINT2ACT_TOKEN")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)

    def __enter__(self) -> ServiceClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.close()

    def upload(self, capture: Path | str) -> str:
        """Send a capture's files, and return its name on the server.

        Args:
            capture: Folder with transforms.json.

        Raises:
            FleetError: The service refuses it or is not reached.
        """
        reply = self._send("POST", "/captures", content=zipped(Path(capture)))
        return CaptureReply.model_validate(reply).capture

    def ask(
        self,
        capture: str,
        *,
        points: Mapping[str, Any] | Path | str | None = None,
        queries: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
        patience: float = 0.0,
    ) -> str:
        """Queue a job, and return its name.

        Args:
            capture: Name that ``upload`` returned.
            points: Recorded answers: a points.json, or its content.
            queries: Texts for the service's model, in place of points.
            options: Options of the job, such as ``gripper`` and ``seed``.
            patience: Seconds to try again while the queue is full.

        Raises:
            FleetError: The service refuses it or is not reached.
        """
        if isinstance(points, (str, Path)):
            points = json.loads(Path(points).read_text(encoding="utf-8"))
        given = {"points": points, "queries": queries}
        body = {**(options or {}), **{key: value for key, value in given.items() if value is not None}}
        end = time.monotonic() + patience
        while True:
            response = self._response("POST", f"/captures/{capture}/jobs", body=body)
            if response.status_code != 503 or time.monotonic() >= end:
                return JobReply.model_validate(_checked(response)).job
            time.sleep(_PAUSE)

    def job(self, name: str) -> JobReply:
        """Return the state of a job."""
        return JobReply.model_validate(self._send("GET", f"/jobs/{name}"))

    def events(self, name: str) -> Iterator[JobReply]:
        """Yield the state of a job now and after each change, until it ends."""
        try:
            with self._http.stream("GET", f"/jobs/{name}/events") as response:
                if response.status_code != 200:
                    response.read()
                    _checked(response)
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        yield JobReply.model_validate_json(line.removeprefix("data: "))
        except httpx.HTTPError as err:
            raise FleetError(f"{self._http.base_url} does not answer ({err}): check the address") from err

    def grasps(self, name: str) -> dict[str, Any]:
        """Wait for the end of a job, and return its grasps.json.

        Raises:
            FleetError: The job failed or was cancelled.
        """
        *_, last = self.events(name)
        if last.status != "done":
            raise FleetError(f"job {name} is {last.status}: {last.error}")
        return self._send("GET", f"/jobs/{name}/grasps.json")

    def points(self, name: str) -> dict[str, Any]:
        """Return the points.json that a job uses."""
        return self._send("GET", f"/jobs/{name}/points.json")

    def cancel(self, name: str) -> JobReply:
        """Cancel a job that has not ended."""
        return JobReply.model_validate(self._send("DELETE", f"/jobs/{name}"))

    def remove(self, capture: str) -> None:
        """Delete a capture on the server."""
        self._send("DELETE", f"/captures/{capture}")

    def _send(self, method: str, path: str, *, content: bytes | None = None) -> Any:
        return _checked(self._response(method, path, content=content))

    def _response(
        self, method: str, path: str, *, content: bytes | None = None, body: Any = None
    ) -> httpx.Response:
        try:
            return self._http.request(method, path, content=content, json=body)
        except httpx.HTTPError as err:
            raise FleetError(f"{self._http.base_url} does not answer ({err}): check the address") from err


def zipped(folder: Path) -> bytes:
    """Return the files that a capture is read from as a zip archive; images are compressed already.

    Raises:
        CaptureError: The folder is not a capture, or a file lies outside of it.
    """
    capture = read_capture(folder)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for path in dict.fromkeys(capture_files(capture)):
            archive.write(path, path.relative_to(folder.resolve()))
    return content.getvalue()


def _checked(response: httpx.Response) -> Any:
    """Return the JSON of a response; None for an empty one. Raises ``FleetError`` for an error."""
    if response.is_success:
        return response.json() if response.content else None
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        error = f"HTTP {response.status_code}"
    raise FleetError(f"the service refuses {response.request.url.path}: {error}")
