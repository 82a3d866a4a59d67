"""Environment variables for the thread pools of torch, numba and numpy. Imports none of them."""

from __future__ import annotations

import os


def configure_threads() -> None:
    """Let idle OpenMP threads sleep and limit OpenBLAS to one thread, unless the environment sets otherwise.

    Call it before torch and numpy are imported. Idle OpenMP threads of torch otherwise spin on the cores that
    numba's pool needs, and the last digits of OpenBLAS' sums depend on its number of threads.
    """
    # Measured with 30 000 Gaussians at 320x240, forward, backward and Adam, on two cores: on a quiet machine
    # 35-42 ms a step with or without it; with four busy processes to a core, 80-95 ms of processor time a
    # step with it and 200-280 ms when it was set after torch was imported. numba chooses its own layer:
    # OpenMP took 38 ms where its "workqueue" took 50.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # The last digit of an action point differed between machines of one core and of two.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def use_one_thread() -> None:
    """Limit the pools of torch, numba and numpy to one thread: for processes that share a machine's cores.

    Call it before any of them is imported.
    """
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
