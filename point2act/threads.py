"""How the thread pools of torch and of numba share the processor. Imports neither."""

from __future__ import annotations

import os


def configure_threads() -> None:
    """Let threads without work sleep instead of waiting busily, unless the environment says otherwise.

    torch and numba each bring a pool of OpenMP threads, and each pool, when its work is done, spins for
    a while on the cores that the other one now needs. ``OMP_WAIT_POLICY=passive`` ends that. A library
    reads it when it starts its pool: call this before importing torch; after that it still helps numba.

    Measured with 30 000 Gaussians at 320x240, forward, backward and Adam, on two cores: on a quiet machine
    35-42 ms a step with or without it; on one with four other busy processes to a core, 80-95 ms of
    processor time a step with it and 200-280 ms when it was set after torch was imported. numba's own
    choice of a layer is left alone: OpenMP took 38 ms where its "workqueue" took 50.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
