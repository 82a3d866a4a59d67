"""Limits on the rate, number and cost of requests to a server."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from point2act.core.errors import ModelError

_WINDOW = 60.0
"""Seconds; rates are per minute."""

_MARGIN = 1.0
"""Seconds by which a request may arrive later than it starts, as threads of a busy machine do: the service
counts arrivals. Chosen: without it, 8 of 1000 came too early at a load of 20 on two cores."""


@dataclass(frozen=True)
class LimitsConfig:
    """Limits on requests to a server. Retries count, cached replies do not."""

    per_minute: int | None = None
    """Maximum number of requests in any 60 seconds; further ones wait. None for no limit."""
    max_requests: int | None = None
    """Maximum number of requests in total, including retries; further ones fail. None for no limit."""
    max_cost: float | None = None
    """Maximum total cost, US dollars, by the price in the model's file. None for no limit."""


class Limits:
    """Counter of requests and their cost that enforces the limits; safe to use from several threads.

    Args:
        config: The limits.
        price: US dollars per million tokens read and written.
        clock: Function that returns monotonic seconds.
        sleep: Function that waits for a number of seconds.

    Raises:
        ModelError: The limits allow nothing, or limit the cost without a price.
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
        self._active = 0
        self._cost = 0.0
        self._highest_cost = 0.0
        self._uncounted = False

    @property
    def requests(self) -> int:
        """Number of requests so far."""
        return self._requests

    @property
    def cost(self) -> float:
        """Total cost so far, US dollars, by the tokens that the server counted."""
        return self._cost

    def acquire(self) -> None:
        """Wait until one more request may start, and count it; ``release`` must follow.

        Unfinished requests are assumed to cost as much as the most expensive one so far. Until the first
        reply that is unknown, so the requests started by then can exceed ``max_cost``.

        Raises:
            ModelError: No more requests are allowed.
        """
        with self._lock:
            self._check_allowance()
            self._requests += 1
            self._active += 1
            wait = self._reserve_start()
        if wait > 0:
            self._sleep(wait)

    def release(self, tokens: tuple[int, int] | None) -> None:
        """Record the end of a request and its tokens read and written; None if there was no answer."""
        cost = sum(count * price for count, price in zip(tokens or (0, 0), self._price, strict=True)) / 1e6
        with self._lock:
            self._uncounted |= tokens == (0, 0)
            self._active -= 1
            self._cost += cost
            self._highest_cost = max(self._highest_cost, cost)

    def _check_allowance(self) -> None:
        most = self._config.max_requests
        if most is not None and self._requests >= most:
            raise ModelError(
                f"stopped: {most} requests were allowed, and all were made: raise max_requests to continue; "
                "cached replies are not requested again"
            )
        budget = self._config.max_cost
        if budget is None:
            return
        if self._uncounted:
            raise ModelError(
                "stopped: the server does not report how many tokens it reads and writes, so "
                "max_cost cannot be enforced: use max_requests"
            )
        expected = self._cost + self._highest_cost * (self._active + 1)
        if expected > budget:
            raise ModelError(
                f"stopped: {budget:g} USD were allowed, {self._cost:.4g} are spent on {self._requests} "
                f"requests, and one more could cost {self._highest_cost:.4g}: raise max_cost to continue; "
                "cached replies are not requested again"
            )

    def _reserve_start(self) -> float:
        """Reserve the next free start; return the seconds until then.

        Start ``k`` is at least one window and the margin after start ``k - per_minute``.
        """
        if self._config.per_minute is None:
            return 0.0
        now = self._clock()
        full = len(self._starts) == self._starts.maxlen
        start = max(now, self._starts[0] + _WINDOW + _MARGIN) if full else now
        self._starts.append(start)
        return start - now


def _check(config: LimitsConfig, price: tuple[float, float] | None) -> None:
    for name in ("per_minute", "max_requests", "max_cost"):
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ModelError(f"{name} is {value}: write a number above 0, or omit it for no limit")
    if config.max_cost is not None and price is None:
        raise ModelError(
            "max_cost needs the price of the model: write 'price', US dollars for a million tokens "
            "read and written, into its file, or use max_requests"
        )
