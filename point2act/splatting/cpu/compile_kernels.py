"""Compilation of the numba kernels: options, cache on disk, and a warm-up that loads all of them."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core.event import Event, Listener, install_listener

OPTIONS = {
    "error_model": "numpy",  # no check for division by zero, which would prevent vectorisation
    "fastmath": {"nsz", "contract", "reassoc", "arcp"},  # not nnan, ninf: non-finite input must be recognised
}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function, with the result cached on disk where a folder is writable."""
    return _compile(function, parallel=False)


def compiled_parallel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function whose ``prange`` loops run in parallel threads."""
    return _compile(function, parallel=True)


def _compile(function: Callable[..., Any], *, parallel: bool) -> Callable[..., Any]:
    try:
        return njit(function, cache=True, parallel=parallel, **OPTIONS)  # pyrefly: ignore[no-matching-overload]
    except RuntimeError:  # neither the package's folder nor the user's cache folder is writable
        return njit(function, parallel=parallel, **OPTIONS)  # pyrefly: ignore[no-matching-overload]


def warm_up(*, compiling: Callable[[], None]) -> None:
    """Load all kernels by rendering, differentiating and gathering one Gaussian on the CPU.

    Loading from the cache takes a third of a second. On the first run on a machine, or after an update, numba
    compiles them for about 13 s; ``compiling`` is called once when that starts.
    """
    collecting = gc.isenabled()
    gc.disable()  # saves a tenth of the time: the compiler's objects are all needed until it is done
    try:
        with install_listener("numba:compile", _Once(compiling)):
            _use_every_kernel()
    finally:
        if collecting:
            gc.enable()


class _Once(Listener):
    """Listener that passes on the first event only."""

    def __init__(self, callback: Callable[[], None]):
        self._callback: Callable[[], None] | None = callback

    def on_start(self, event: Event) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def on_end(self, event: Event) -> None:
        pass


def _use_every_kernel() -> None:
    # Imported here, as these modules import the kernels.
    import torch

    from point2act.core.types import Camera
    from point2act.splatting.gaussians import Activated
    from point2act.splatting.render import gather, project_gaussians, render

    gaussian = Activated(
        means=torch.tensor([[0.0, 0.0, 1.0]]),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        scales=torch.full((1, 3), 0.1),
        opacities=torch.tensor([0.5]),
    )
    features, pose = torch.ones(1, 3), torch.eye(4)
    camera = Camera(fx=16.0, fy=16.0, cx=8.0, cy=8.0, height=16, width=16)
    for tensor in (*gaussian, features):
        tensor.requires_grad_()
    render(*gaussian, features, pose, camera).features.sum().backward()
    projection = project_gaussians(gaussian, pose, camera)
    for _ in range(2):  # the second call, with known weights, runs another kernel
        gather(projection, torch.ones(16, 16, 1))
