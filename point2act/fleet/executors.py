"""What groups of tasks are handed to: this process, processes of this machine, or Ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

from point2act.core.processes import available_cores
from point2act.fleet.identity import Task
from point2act.fleet.store import Store

ExecutorName = Literal["serial", "processes", "ray"]


@runtime_checkable
class Executor(Protocol):
    """Interface of an executor; ``attempt`` is called from ``workers`` threads."""

    @property
    def workers(self) -> int:
        """Maximum number of simultaneous calls of ``attempt``."""
        ...

    def attempt(self, tasks: Sequence[Task]) -> str | None:
        """Solve tasks of the same scene that are not in the store yet.

        Returns:
            None if all of them are in the store now; else why the work ended early, a sentence.
        """
        ...

    def close(self) -> None:
        """End the work."""
        ...


@runtime_checkable
class KillableExecutor(Executor, Protocol):
    """Interface of an executor whose work on a task can be ended."""

    def kill(self, task: str) -> None:
        """End the work on a task, by the task's name; nothing if it is not worked on."""
        ...


class SerialExecutor:
    """Solves in this process, one group after the other."""

    workers = 1

    def __init__(self, store: Store):
        self._store = store

    def attempt(self, tasks: Sequence[Task]) -> str | None:
        """Solve tasks of the same scene, see ``Executor``."""
        from point2act.fleet.solve import Scenes, attempt, prepare

        prepare()
        return attempt(self._store, tasks, Scenes())

    def close(self) -> None:
        """Do nothing."""


def open_executor(
    name: ExecutorName, store: Store, *, workers: int | None = None, ray_address: str | None = None
) -> Executor:
    """Return an executor; nothing is started yet but for Ray.

    Args:
        name: Kind of executor.
        store: Where results are written.
        workers: Number of processes; None for one for each core, or for each of Ray's.
        ray_address: Address of a Ray cluster; None for Ray on this machine alone.

    Raises:
        FleetError: Ray is not installed, or there is no cluster at the address.
    """
    if name == "serial":
        return SerialExecutor(store)
    if name == "ray":
        from point2act.fleet.ray_tasks import RayExecutor

        return RayExecutor(store, workers=workers, address=ray_address)
    from point2act.fleet.processes import ProcessExecutor

    return ProcessExecutor(store, workers=workers or available_cores())
