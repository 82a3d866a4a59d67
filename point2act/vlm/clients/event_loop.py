"""Requests that end in time, whatever the other side does.

Time-outs of HTTP clients count the silence between two bytes, so that a server that drips holds a request
for ever. Cancelling from outside ends any: hence a loop in a thread of its own, for callers in any thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class EventLoopThread:
    """An event loop in a thread of its own, which does not keep the program from ending."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=_serve, args=(self._loop,), name="requests", daemon=True).start()

    def run(self, work: Awaitable[T], seconds: float) -> T:
        """What ``work`` returns or raises; ``asyncio.TimeoutError`` when it takes longer than ``seconds``."""
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), self._loop)
        try:
            return future.result()
        finally:
            future.cancel()  # Nothing to a finished one; ends it where the caller is interrupted.

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Stop after a last piece of work; returns at once."""
        asyncio.run_coroutine_threadsafe(_finish(self._loop, last), self._loop)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


async def _finish(loop: asyncio.AbstractEventLoop, last: Coroutine[Any, Any, None]) -> None:
    try:
        await last
    finally:
        loop.stop()
