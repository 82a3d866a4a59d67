"""``point2act batch MANIFEST.jsonl --output STORE``: many captures and questions in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from point2act.cli.options import parse
from point2act.core.errors import FleetError
from point2act.core.processes import available_cores
from point2act.core.progress import Stages
from point2act.fleet.batch import run_batch
from point2act.fleet.estimate import Estimate, estimate
from point2act.fleet.executors import ExecutorName, open_executor
from point2act.fleet.manifest import JobOptions, read_manifest
from point2act.fleet.store import Store
from point2act.vlm.pointing.questions import AskConfig

# Failures that are printed; results.jsonl has all of them.
_SHOWN = 5


@dataclass(frozen=True)
class BatchInput:
    """The jobs."""

    manifest: tyro.conf.Positional[Path]
    """File of JSON lines, one for each job; paths in it are relative to its folder."""


@dataclass(frozen=True)
class BatchOutput:
    """Files to write."""

    output: Path
    """Folder of the results, the store; created if it does not exist."""
    retry: bool = False
    """Do jobs again that failed before."""
    dry_run: bool = False
    """Do nothing but print the number of jobs, scenes and questions, and what they are expected to take."""


@dataclass(frozen=True)
class BatchWork:
    """Who does the work."""

    executor: ExecutorName = "processes"
    """This process, processes of this machine, or Ray (pip install "point2act[ray]")."""
    workers: int | None = None
    """Number of processes, with one thread each; by default one for each core."""
    ray_address: str | None = None
    """Address of a Ray cluster that sees the same files; by default Ray runs on this machine alone."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Plan grasps for many captures and questions, with processes that share the work.

    A job is a line of the manifest, with recorded answers or with queries for the --model; a line may
    also set options of point2act run, such as "gripper" and "seed":

      {"capture": "kitchen/", "points": "kitchen/points.json"}
      {"capture": "kitchen/", "queries": ["the lid"], "gripper": "robotiq_2f85"}

    Call it again after an interruption: what is in the store is not done again. Writes
    results.jsonl with a line for each job, results.parquet, index.html, and a grasps.json for each job.
    """

    input: Annotated[BatchInput, tyro.conf.arg(name="")]
    output: Annotated[BatchOutput, tyro.conf.arg(name="")]
    work: Annotated[BatchWork, tyro.conf.arg(name="")] = field(default_factory=BatchWork)
    options: Annotated[JobOptions, tyro.conf.arg(name="")] = field(default_factory=JobOptions)
    model: Annotated[AskConfig, tyro.conf.arg(name="")] = field(default_factory=AskConfig)


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and do the jobs."""
    arguments = parse(Arguments, argv, "batch")
    work, output = arguments.work, arguments.output
    if work.workers is not None and work.workers < 1:
        raise FleetError(f"--workers {work.workers}: give at least one")
    if work.ray_address is not None and work.executor != "ray":
        raise FleetError("--ray-address is for --executor ray: add it")
    jobs = read_manifest(arguments.input.manifest, arguments.options)
    asker = None
    if any(job.queries for job in jobs):
        # It imports the libraries of models.
        from point2act.fleet.asking import Asker

        asker = Asker(arguments.model)
    store = Store(output.output)
    if output.dry_run:
        workers = work.workers or available_cores()
        _print_estimate(estimate(jobs, store, asker=asker, workers=workers, stages=Stages(show=True)))
        return
    executor = open_executor(work.executor, store, workers=work.workers, ray_address=work.ray_address)
    rows = run_batch(jobs, store, executor, asker=asker, retry=output.retry, stages=Stages(show=True))
    failed = [row for row in rows if row.status == "failed"]
    print(f"jobs: {len(rows)}, {len(rows) - len(failed)} done, {len(failed)} failed")
    for row in failed[:_SHOWN]:
        print(f"  job {row.job}: {row.error}")
    print(f"results: {output.output / 'results.jsonl'}")


def _print_estimate(expected: Estimate) -> None:
    unreadable = f", {expected.unreadable} with files that cannot be read" if expected.unreadable else ""
    print(f"jobs: {expected.jobs}, {expected.known} of them done or failed before{unreadable}")
    print(f"scenes: {expected.scenes} to make, for {expected.tasks} jobs")
    print(f"questions: {expected.questions}")
    seconds = "unknown, nothing like it was measured in this store yet"
    print(f"seconds: {seconds if expected.seconds is None else f'about {expected.seconds:.0f}'}")
    if expected.questions:
        tokens, money = expected.tokens, expected.money
        print(f"tokens: {'unknown' if tokens is None else f'about {tokens[0]} read, {tokens[1]} written'}")
        print(f"money: {'unknown' if money is None else f'about {money:.2f} USD'}")
