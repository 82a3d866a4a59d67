"""An executor of tasks of Ray, on this machine or on a cluster. The only module that imports Ray."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from point2act.core.errors import FleetError
from point2act.fleet.identity import Task
from point2act.fleet.store import Store

# Ray's CPUs are cores: one thread for each worker. Ray reads the others when it is imported: without them,
# it writes a token into the home folder, reports its use over the network, gives up on a busy machine, and
# has workers of niceness 15, to which a busy machine gives next to nothing.
_ONE_THREAD = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_QUIET = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
}


class RayExecutor:
    """Tasks of Ray with one core each.

    Args:
        store: Where results are written; every machine of a cluster has to see it at the same path.
        workers: Maximum number of simultaneous tasks; None for one for each core.
        address: Address of a cluster; None starts Ray on this machine alone.

    Raises:
        FleetError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, store: Store, *, workers: int | None, address: str | None):
        self._ray = ray = _imported()
        own = {"num_cpus": workers} if address is None else {}
        try:
            ray.init(
                address=address or "local",
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": dict.fromkeys(_ONE_THREAD, "1")},
                **own,
            )
        except Exception as err:  # Of a node that does not start in time it is a plain one.
            raise FleetError(f"Ray does not start ({err}): check --ray-address, and the load") from err
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._folder = store.folder.resolve()
        # A task that dies is tried again by the batch, which knows what is done.
        self._solve = ray.remote(num_cpus=1, max_retries=0)(_solve)
        self._first = threading.Lock()
        self._compiled = False

    def attempt(self, tasks: Sequence[Task]) -> str | None:
        """Solve tasks of the same scene, see ``Executor``."""
        try:
            # The first task compiles the kernels, if they are not yet; the others read them.
            with self._first:
                if not self._compiled:
                    self._ray.get(self._solve.remote(self._folder, []))
                    self._compiled = True
            return self._ray.get(self._solve.remote(self._folder, list(tasks)))
        except self._ray.exceptions.RayError as err:
            return f"its task of Ray ended ({type(err).__name__}: {' '.join(str(err).split())[:300]})"

    def close(self) -> None:
        """End Ray on this machine, or leave the cluster."""
        self._ray.shutdown()


def _imported() -> Any:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as err:
        raise FleetError(f'Ray cannot be imported ({err}): pip install "point2act[ray]"') from err
    return ray


def _solve(folder: Path, tasks: Sequence[Task]) -> str | None:
    """Solve tasks in a process of Ray."""
    from point2act.fleet.solve import Scenes, attempt, prepare

    prepare()
    return attempt(Store(folder), tasks, Scenes())
