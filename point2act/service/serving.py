"""The service on a port. The only module that imports uvicorn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import uvicorn

from point2act.core.errors import FleetError
from point2act.service.app import make_app
from point2act.service.service import Service

TOKEN = "POINT2ACT_TOKEN"
"""Environment variable with the token that every request has to bring."""


def serve(service: Service, folder: Path, *, host: str, port: int) -> None:
    """Serve until the process is interrupted.

    Args:
        service: What is offered.
        folder: Folder of the service.
        host: Address to listen on.
        port: Port to listen on; 0 for any.

    Raises:
        FleetError: The address is not of this machine alone, and no token is set.
    """
    token = os.environ.get(TOKEN) or None
    if token is None and host not in ("127.0.0.1", "::1", "localhost"):
        raise FleetError(f"--host {host} is reachable from other machines: set a token in {TOKEN} first")
    config = uvicorn.Config(
        make_app(service, folder, token),
        host=host,
        port=port,
        log_level="warning",
        timeout_keep_alive=30,
        limit_concurrency=200,
        server_header=False,
    )
    _Announcing(config).run()


class _Announcing(uvicorn.Server):
    """A server that prints its address once it listens."""

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        for server in self.servers if self.started else ():
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                print(f"service: http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
