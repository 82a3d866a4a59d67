"""An asyncio event loop in its own thread, for requests with a limit on their total duration.

Read timeouts of HTTP clients limit the silence between two bytes, so a server that sends a byte now and then
can hold a request for ever. Cancelling a coroutine ends any request.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class EventLoopThread:
    """An event loop in a daemon thread; coroutines may be submitted from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=_serve, args=(self._loop,), name="requests", daemon=True).start()

    def run(self, work: Awaitable[T], seconds: float) -> T:
        """Return the result of ``work``, or raise ``asyncio.TimeoutError`` after ``seconds``."""
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), self._loop)
        try:
            return future.result()
        finally:
            future.cancel()  # Ends the coroutine if the caller is interrupted; else it has no effect.

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Stop the loop after a last coroutine; return at once."""
        asyncio.run_coroutine_threadsafe(_finish(self._loop, last), self._loop)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


async def _finish(loop: asyncio.AbstractEventLoop, last: Coroutine[Any, Any, None]) -> None:
    try:
        await last
    finally:
        loop.stop()
