"""The service over HTTP. The only module that imports FastAPI."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException as HTTPError
from starlette.requests import ClientDisconnect

from point2act.core.errors import FleetError, Point2ActError
from point2act.core.files import parse_json, writing
from point2act.service.jobs import ENDED, BusyError, MissingError
from point2act.service.requests import (
    CaptureReply,
    ErrorReply,
    EstimateReply,
    JobReply,
    JobRequest,
    job_request,
    public,
)
from point2act.service.service import Service

# Seconds between two checks of a job whose progress is sent, and between two signs of life.
_POLL, _ALIVE = 0.1, 15.0
_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"model": ErrorReply} for code in (400, 401, 404, 413, 422, 503)
}


def make_app(service: Service, folder: Path, token: str | None) -> FastAPI:
    """Return the application.

    Args:
        service: What it offers.
        folder: Folder of the service, which no message names.
        token: What every request has to bring; None for none.
    """

    @asynccontextmanager
    async def resumed(app: FastAPI) -> AsyncIterator[None]:
        service.resume()
        yield

    app = FastAPI(
        title="point2act", version=version("point2act"), lifespan=resumed, docs_url=None, redoc_url=None
    )

    def authorised(request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token is not None and not secrets.compare_digest(given.encode(), token.encode()):
            raise HTTPException(401, "send the token of this server: Authorization: Bearer TOKEN")

    def refuse(status: int, error: str) -> JSONResponse:
        # Without the end of the connection, the rest of a body that is refused would still be received.
        return JSONResponse({"error": public(error, folder)}, status, {"Connection": "close"})

    @app.middleware("http")
    async def same_origin(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        """Refuse requests that a page of another site makes a browser send."""
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            return refuse(403, "requests from pages of other sites are refused")
        return await go_on(request)

    @app.exception_handler(Point2ActError)
    async def fixable(request: Request, err: Point2ActError) -> JSONResponse:
        status = 503 if isinstance(err, BusyError) else 404 if isinstance(err, MissingError) else 422
        return refuse(status, str(err))

    @app.exception_handler(HTTPError)
    async def refused(request: Request, err: HTTPError) -> JSONResponse:
        return refuse(err.status_code, str(err.detail))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, err: RequestValidationError) -> JSONResponse:
        return refuse(422, "; ".join(f"{error['loc'][-1]}: {error['msg']}" for error in err.errors()))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, err: Exception) -> JSONResponse:
        return refuse(500, f"{type(err).__name__}: please report it")

    app.include_router(_routes(service), dependencies=[Depends(authorised)], responses=_ERRORS)
    return app


def _routes(service: Service) -> APIRouter:
    routes, limits = APIRouter(), service.limits

    @routes.get("/health")
    def health() -> dict[str, int]:
        """Return the number of jobs in each state."""
        return service.counts()

    @routes.post("/captures", status_code=201, openapi_extra=_body("application/octet-stream", None))
    async def add_capture(request: Request) -> CaptureReply:
        """Send a capture: the body is a .zip or .tar.gz of a folder with transforms.json."""
        archive = service.captures.new_upload()
        try:
            await asyncio.wait_for(
                _receive(request, archive, limits.max_upload), timeout=limits.upload_seconds
            )
            return await run_in_threadpool(service.captures.add, archive)
        except asyncio.TimeoutError:
            raise HTTPException(408, f"the upload took over {limits.upload_seconds:g} s") from None
        except ClientDisconnect:
            raise HTTPException(400, "the upload was cancelled") from None
        finally:
            archive.unlink(missing_ok=True)

    @routes.get("/captures/{capture}")
    def get_capture(capture: str) -> CaptureReply:
        """Return what is known of a capture."""
        return service.captures.describe(capture)

    @routes.delete("/captures/{capture}", status_code=204)
    def remove_capture(capture: str) -> None:
        """Delete a capture."""
        service.captures.remove(capture)

    @routes.post(
        "/captures/{capture}/jobs",
        status_code=202,
        openapi_extra=_body("application/json", JobRequest.model_json_schema()),
    )
    async def add_job(capture: str, request: Request) -> JobReply:
        """Ask queries about a capture, or give the points."""
        document = _parsed(await _limited(request, limits.max_body))
        asked, options = job_request(document, max_queries=limits.max_queries)
        return await run_in_threadpool(service.add_job, capture, asked, options)

    @routes.post(
        "/captures/{capture}/estimate",
        openapi_extra=_body("application/json", JobRequest.model_json_schema()),
    )
    async def estimate(capture: str, request: Request) -> EstimateReply:
        """Return what a job would take, by what was measured so far."""
        document = _parsed(await _limited(request, limits.max_body))
        asked, options = job_request(document, max_queries=limits.max_queries)
        return await run_in_threadpool(service.estimate, capture, asked, options)

    @routes.get("/jobs/{job}")
    def get_job(job: str) -> JobReply:
        """Return the state of a job."""
        return service.job(job).reply()

    @routes.get("/jobs/{job}/events", response_class=StreamingResponse)
    def events(job: str) -> StreamingResponse:
        """Follow a job by server-sent events: its state now and after each change, until it ends."""
        service.job(job)
        return StreamingResponse(_events(service, job), media_type="text/event-stream")

    @routes.get("/jobs/{job}/grasps.json")
    def grasps(job: str) -> dict[str, Any]:
        """Return the grasps of a job that is done."""
        return service.grasps(job)

    @routes.get("/jobs/{job}/points.json")
    def points(job: str) -> dict[str, Any]:
        """Return the points that a job uses."""
        return service.points(job)

    @routes.delete("/jobs/{job}")
    def cancel(job: str) -> JobReply:
        """Cancel a job; nothing changes if it has ended."""
        return service.cancel(job)

    return routes


def _body(kind: str, schema: dict[str, Any] | None) -> dict[str, Any]:
    """Describe the body of a request that is read here, with a limit, and not by FastAPI."""
    content = {"schema": schema or {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": {kind: content}}}


async def _receive(request: Request, archive: Path, limit: int) -> None:
    """Write the body of a request to a file."""
    with writing(archive), archive.open("xb") as file:
        async for block in _blocks(request, limit):
            await run_in_threadpool(file.write, block)


async def _limited(request: Request, limit: int) -> bytes:
    return b"".join([block async for block in _blocks(request, limit)])


async def _blocks(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the body of a request, up to a limit whatever its length claims to be."""
    claimed = request.headers.get("content-length", "0")
    received = 0
    if not claimed.isdecimal() or len(claimed) > 18 or int(claimed) > limit:
        raise HTTPException(413, f"send at most {limit / 2**20:g} MB")
    async for block in request.stream():
        received += len(block)
        if received > limit:
            raise HTTPException(413, f"send at most {limit / 2**20:g} MB")
        yield block


def _parsed(body: bytes) -> Any:
    try:
        return parse_json(body.decode("utf-8-sig"))
    except ValueError as err:
        raise FleetError(f"the body is not valid JSON ({type(err).__name__}): send a job") from err


async def _events(service: Service, name: str) -> AsyncIterator[str]:
    sent, last = "", time.monotonic()
    while True:
        try:
            reply = service.job(name).reply()
        except MissingError:  # Forgotten: it had ended long before.
            return
        state = reply.model_dump_json()
        if state != sent:
            sent, last = state, time.monotonic()
            yield f"event: {reply.status}\ndata: {state}\n\n"
        elif time.monotonic() - last > _ALIVE:
            last = time.monotonic()
            yield ": waiting\n\n"
        if reply.status in ENDED:
            return
        await asyncio.sleep(_POLL)
