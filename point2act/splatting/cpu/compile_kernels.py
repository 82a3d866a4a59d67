"""How the numba kernels of this room are compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba import njit
from numba.core.event import Event, Listener, install_listener

OPTIONS = {
    "error_model": "numpy",  # no check for division by zero, which would keep loops from being vectorised
    "fastmath": {"nsz", "contract", "reassoc", "arcp"},  # not nnan, ninf: bad input must be recognised
}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile, keeping the result on disk where there is a folder that can be written to."""
    return _compile(function, parallel=False)


def compiled_parallel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile with its ``prange`` loops spread over threads."""
    return _compile(function, parallel=True)


def _compile(function: Callable[..., Any], *, parallel: bool) -> Callable[..., Any]:
    try:
        return njit(function, cache=True, parallel=parallel, **OPTIONS)
    except RuntimeError:  # neither the package's folder nor the user's cache folder is writable
        return njit(function, parallel=parallel, **OPTIONS)


@contextmanager
def told_of_compiling(tell: Callable[[], None]) -> Iterator[None]:
    """Within the block, call ``tell`` at the first compilation; none comes where all kernels lie on disk."""
    with install_listener("numba:compile", _Once(tell)):
        yield


class _Once(Listener):
    """Passes on the first event only."""

    def __init__(self, tell: Callable[[], None]):
        self._tell: Callable[[], None] | None = tell

    def on_start(self, event: Event) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def on_end(self, event: Event) -> None:
        pass
