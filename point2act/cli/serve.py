"""``point2act serve --output STORE``: captures, questions and results over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from point2act.cli.options import parse
from point2act.core.errors import FleetError
from point2act.service.limits import ServiceLimits
from point2act.vlm.pointing.questions import AskConfig


@dataclass(frozen=True)
class ServeNetwork:
    """Where to listen."""

    host: str = "127.0.0.1"
    """Address to listen on; one that other machines reach needs a token in POINT2ACT_TOKEN."""
    port: int = 8700
    """Port to listen on; 0 for a free one."""


@dataclass(frozen=True)
class ServeWork:
    """Who does the work."""

    output: Path
    """Folder of captures and results; created if it does not exist."""
    workers: int | None = None
    """Number of processes, with one thread each; by default one for each core."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Serve captures, questions and results over HTTP, for robots that have no computer of their own.

      export POINT2ACT_TOKEN=$(openssl rand -hex 32)
      point2act serve --output fleet/ --host 0.0.0.0 --model qwen3_vl_8b --server http://localhost:8000/v1

    Clients send a capture as a .zip, ask for the grasps of queries or points, follow the job, and get
    its grasps.json; see point2act.service.client, or /openapi.json for other languages. A job survives a
    restart. Needs pip install "point2act[serve]".
    """

    work: Annotated[ServeWork, tyro.conf.arg(name="")]
    network: Annotated[ServeNetwork, tyro.conf.arg(name="")] = field(default_factory=ServeNetwork)
    limits: Annotated[ServiceLimits, tyro.conf.arg(name="")] = field(default_factory=ServiceLimits)
    model: Annotated[AskConfig, tyro.conf.arg(name="")] = field(default_factory=AskConfig)


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and serve."""
    arguments = parse(Arguments, argv, "serve")
    try:
        from point2act.service.serving import serve
    except ImportError as err:
        raise FleetError(f'a library is missing ({err}): pip install "point2act[serve]"') from err
    from point2act.core.processes import available_cores
    from point2act.fleet.asking import Asker
    from point2act.fleet.processes import ProcessExecutor
    from point2act.fleet.store import Store
    from point2act.service.service import Service

    asker = None if arguments.model.client.model is None else Asker(arguments.model)
    store = Store(arguments.work.output.resolve())
    with store.exclusive():
        executor = ProcessExecutor(store, workers=arguments.work.workers or available_cores())
        service = Service(store.folder, executor, asker=asker, limits=arguments.limits)
        try:
            serve(service, store.folder, host=arguments.network.host, port=arguments.network.port)
        finally:
            service.close()
