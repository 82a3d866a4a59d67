"""Limits: never more than allowed in any minute, in all, or for the money, from however many threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from point2act.core.errors import ModelError
from point2act.vlm.clients.limits import Limits, LimitsConfig


class Clock:
    """Time that passes when someone sleeps, or is set."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@given(st.integers(1, 7), st.lists(st.floats(0, 30), min_size=1, max_size=40))
def test_no_minute_has_more_requests_than_allowed(per_minute: int, gaps: list[float]):
    clock, starts = Clock(), []
    limits = Limits(LimitsConfig(per_minute=per_minute), clock=clock, sleep=clock.sleep)
    for gap in gaps:
        clock.now += gap
        limits.acquire()
        starts.append(clock.now)
        limits.release((1, 1))
    for first, later in zip(starts, starts[per_minute:], strict=False):
        assert later - first >= 60 - 1e-6


def test_requests_wait_only_when_the_minute_is_full():
    clock = Clock()
    limits = Limits(LimitsConfig(per_minute=3), clock=clock, sleep=clock.sleep)
    for _ in range(7):
        limits.acquire()
    assert clock.slept == [61.0, 61.0]  # After the third and the sixth; the others go along.


def test_threads_share_one_minute():
    """Time stands still: each of the waits says when its request would start."""
    waits, lock = [], threading.Lock()

    def sleep(seconds: float) -> None:
        with lock:
            waits.append(seconds)

    limits = Limits(LimitsConfig(per_minute=5), clock=lambda: 0.0, sleep=sleep)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: limits.acquire(), range(20)))
    assert sorted(waits) == [61.0] * 5 + [122.0] * 5 + [183.0] * 5


def test_requests_are_counted_from_all_threads():
    limits = Limits(LimitsConfig(max_requests=10))

    def ask(_: int) -> bool:
        try:
            limits.acquire()
        except ModelError:
            return False
        limits.release((1, 1))
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(50))) == 10
    assert limits.requests == 10
    with pytest.raises(ModelError, match="10 requests were allowed, and all were made"):
        limits.acquire()


def test_cost_is_counted_and_kept():
    limits = Limits(LimitsConfig(max_cost=0.01), price=(1.0, 10.0))
    for made in range(1, 6):
        limits.acquire()
        limits.release((1000, 100))  # 0.001 + 0.001 dollars
        assert limits.cost == pytest.approx(0.002 * made)
    with pytest.raises(ModelError, match=r"0\.01 USD were allowed, 0\.01 are spent on 5 requests"):
        limits.acquire()


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=30), st.integers(1, 5))
def test_cost_exceeds_what_is_allowed_only_by_what_was_unknown(tokens: list[int], at_once: int):
    """Known costs are kept; a request dearer than all before it is the only way beyond."""
    budget, price = 0.01, (1.0, 1.0)
    limits, surprise = Limits(LimitsConfig(max_cost=budget), price), 0.0
    dearest, under_way = 0.0, []
    try:
        for count in tokens:
            limits.acquire()
            under_way.append((count, dearest))
            if len(under_way) == at_once:
                for spent, expected in under_way:
                    limits.release((spent, 0))
                    surprise += max(0.0, spent / 1e6 - expected)
                    dearest = max(dearest, spent / 1e6)
                under_way = []
    except ModelError:
        pass
    assert limits.cost <= budget + surprise + 1e-12


def test_requests_under_way_count_for_the_cost():
    limits = Limits(LimitsConfig(max_cost=0.0035), price=(1.0, 1.0))
    limits.acquire()
    limits.release((1000, 0))
    limits.acquire()
    limits.acquire()  # 0.001 spent and 0.002 under way
    with pytest.raises(ModelError, match=r"one more could cost 0\.001"):
        limits.acquire()
    limits.release(None)  # Failed, and cost nothing that is known.
    limits.acquire()


def test_a_server_that_does_not_count_cannot_be_limited_by_cost():
    limits = Limits(LimitsConfig(max_cost=1.0), price=(1.0, 1.0))
    limits.acquire()
    limits.release((0, 0))
    with pytest.raises(ModelError, match="use max_requests"):
        limits.acquire()


def test_cost_needs_a_price():
    with pytest.raises(ModelError, match="write 'price'"):
        Limits(LimitsConfig(max_cost=1.0))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (LimitsConfig(per_minute=0), "per_minute is 0"),
        (LimitsConfig(max_requests=-1), "max_requests is -1"),
        (LimitsConfig(max_cost=0.0), r"max_cost is 0\.0"),
        (LimitsConfig(max_cost=float("nan")), "max_cost is nan"),
    ],
)
def test_a_limit_of_nothing_is_refused(config: LimitsConfig, words: str):
    with pytest.raises(ModelError, match=words):
        Limits(config, price=(1.0, 1.0))
