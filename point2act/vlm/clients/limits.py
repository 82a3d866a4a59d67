"""How often a server may be asked, and for how much money."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from point2act.core.errors import ModelError

_WINDOW = 60.0
"""Seconds: rates are per minute."""


@dataclass(frozen=True)
class LimitsConfig:
    """What asking a server may come to. Tries count, remembered replies do not."""

    per_minute: int | None = None
    """Requests in any 60 seconds; further ones wait. None for as many as it takes."""
    max_requests: int | None = None
    """Requests in all, retries included; then no more is asked. None for as many as it takes."""
    max_cost: float | None = None
    """US dollars in all, by the price in the model's file. None for whatever it costs."""


class Limits:
    """Keeps count of requests and their cost; safe to use from several threads.

    ``price`` is in US dollars for a million tokens read and written. ``clock`` gives seconds that never
    go back. Raises ``ModelError`` for limits that allow nothing, or a cost without a price.
    """

    def __init__(
        self,
        config: LimitsConfig,
        price: tuple[float, float] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        _check(config, price)
        self._config = config
        self._price = price or (0.0, 0.0)
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._starts: deque[float] = deque(maxlen=config.per_minute or 1)
        self._requests = 0
        self._under_way = 0
        self._cost = 0.0
        self._dearest = 0.0
        self._uncounted = False

    @property
    def requests(self) -> int:
        """How many were made."""
        return self._requests

    @property
    def cost(self) -> float:
        """US dollars, by the tokens that the server counted."""
        return self._cost

    def begin(self) -> None:
        """Wait until one more request may be made, and count it; ``end`` must follow.

        Requests under way are taken to cost what the dearest so far did. Until the first reply nothing is
        known of that, so the requests made by then can exceed ``max_cost``.
        Raises ``ModelError`` where no more are allowed.
        """
        with self._lock:
            self._check_room()
            self._requests += 1
            self._under_way += 1
            wait = self._book()
        if wait > 0:
            self._sleep(wait)

    def end(self, tokens: tuple[int, int] | None) -> None:
        """Note that a request is over, and the tokens read and written; None where there was no answer."""
        cost = sum(count * price for count, price in zip(tokens or (0, 0), self._price, strict=True)) / 1e6
        with self._lock:
            self._uncounted |= tokens == (0, 0)
            self._under_way -= 1
            self._cost += cost
            self._dearest = max(self._dearest, cost)

    def _check_room(self) -> None:
        most = self._config.max_requests
        if most is not None and self._requests >= most:
            raise ModelError(
                f"stopped: {most} requests were allowed, and all were made: raise max_requests to go on; "
                "what was answered is not asked again"
            )
        budget = self._config.max_cost
        if budget is None:
            return
        if self._uncounted:
            raise ModelError(
                "stopped: the server does not say how many tokens it reads and writes, so that "
                "max_cost cannot be kept: use max_requests"
            )
        expected = self._cost + self._dearest * (self._under_way + 1)
        if expected > budget:
            raise ModelError(
                f"stopped: {budget:g} USD were allowed, {self._cost:.4g} are spent on {self._requests} "
                f"requests, and one more could cost {self._dearest:.4g}: raise max_cost to go on; what was "
                "answered is not asked again"
            )

    def _book(self) -> float:
        """Take the next free start; how many seconds from now that is.

        Starts are handed out in order, and each is a window after the one that many requests before it.
        """
        if self._config.per_minute is None:
            return 0.0
        now = self._clock()
        full = len(self._starts) == self._starts.maxlen
        start = max(now, self._starts[0] + _WINDOW) if full else now
        self._starts.append(start)
        return start - now


def _check(config: LimitsConfig, price: tuple[float, float] | None) -> None:
    for name in ("per_minute", "max_requests", "max_cost"):
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ModelError(f"{name} is {value}: write a number above 0, or leave it out for no limit")
    if config.max_cost is not None and price is None:
        raise ModelError(
            "max_cost needs to know what the model costs: write 'price', US dollars for a million tokens "
            "read and written, into its file, or use max_requests"
        )
