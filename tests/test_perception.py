"""When images are taken and used beside control, and what is taken from them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
from moving_boxes import BLUE, EYE, RED, frame, pixel_of, top
from synthetic import look_at

from point2act.acting.execution.perception import (
    BesideControl,
    Motions,
    Observation,
    Pointed,
    TrackedThings,
    Unchanging,
)
from point2act.acting.tracking.thing import Thing, thing_at
from point2act.acting.tracking.tracker import Tracker
from point2act.core.geometry import invert
from point2act.core.types import View

PERIOD, LATENCY = 0.2, 0.15
SEEN = {"mug": Observation(False, np.eye(4))}
VIEW = frame()


class Slow:
    """A perception that waits for an event."""

    def __init__(self, answer: Callable[[], Mapping[str, Observation] | None] = lambda: SEEN):
        self.go_on, self.done, self._answer = Event(), Event(), answer
        self.pointed: list[dict[str, np.ndarray]] = []
        self.restarted: list[tuple[str, Thing | None]] = []

    def restart(self, view: View, name: str, thing: Thing | None) -> None:
        self.restarted.append((name, thing))

    def update(self, view: View, pointed: Pointed, held: Motions) -> Mapping[str, Observation] | None:
        self.pointed.append(dict(pointed))
        assert self.go_on.wait(timeout=20.0)
        try:
            return self._answer()
        finally:
            self.done.set()


@contextmanager
def beside(perception: Slow, *, real_time: bool) -> Iterator[BesideControl]:
    one = BesideControl(perception, period=PERIOD, latency=LATENCY, real_time=real_time)
    try:
        yield one
    finally:
        perception.go_on.set()
        one.close()


def polled(one: BesideControl, now: float) -> Mapping[str, Observation] | None:
    """What is seen once the thread has finished: it sets its result soon after ``done``."""
    end = time.monotonic() + 20.0
    while (found := one.poll(now)) is None and time.monotonic() < end:
        time.sleep(0.001)
    return found


def ready(answer: Callable[[], Mapping[str, Observation] | None] = lambda: SEEN) -> Slow:
    slow = Slow(answer)
    slow.go_on.set()
    return slow


# ── beside control ──────────────────────────────────────────────────────────────────────────────
def test_the_first_image_is_wanted_at_once_and_nothing_is_seen_before():
    with beside(ready(), real_time=False) as one:
        assert one.wants_image(0.0)
        assert one.poll(0.0) is None
        assert one.seen_at == -np.inf


def test_on_a_clock_that_stands_still_an_image_is_used_after_the_latency():
    """However fast it is computed."""
    with beside(slow := ready(), real_time=False) as one:
        one.submit(1.0, lambda: VIEW)
        assert slow.done.wait(timeout=20.0)
        assert one.poll(1.0) is None
        assert one.poll(1.0 + LATENCY - 0.001) is None
        assert one.seen_at == -np.inf
        assert one.poll(1.0 + LATENCY) == SEEN
        assert one.seen_at == 1.0
        assert one.poll(1.0 + LATENCY) is None


def test_on_a_clock_that_runs_on_control_never_waits():
    with beside(slow := Slow(), real_time=True) as one:
        one.submit(1.0, lambda: VIEW)
        assert one.poll(100.0) is None
        assert not slow.done.is_set()
        slow.go_on.set()
        assert polled(one, 1.001) == SEEN
        assert one.seen_at == 1.0


@pytest.mark.parametrize("real_time", [True, False])
def test_images_follow_one_another_after_a_period(real_time: bool):
    with beside(ready(), real_time=real_time) as one:
        one.submit(1.0, lambda: VIEW)
        assert polled(one, 1.0 + LATENCY) == SEEN
        assert not one.wants_image(1.0 + PERIOD - 0.001)
        assert one.wants_image(1.0 + PERIOD)


@pytest.mark.parametrize("real_time", [True, False])
def test_no_image_is_wanted_while_one_is_computed(real_time: bool):
    with beside(Slow(), real_time=real_time) as one:
        one.submit(1.0, lambda: VIEW)
        assert not one.wants_image(100.0)


def test_each_image_is_timed():
    with beside(ready(), real_time=False) as one:
        for now in (0.0, 1.0):
            one.submit(now, lambda: VIEW)
            polled(one, now + LATENCY)
        assert len(one.seconds) == 2
        assert min(one.seconds) > 0


def test_an_image_that_shows_nothing_does_not_count_as_seen():
    answers = [SEEN, None]
    with beside(ready(lambda: answers.pop(0)), real_time=False) as one:
        one.submit(1.0, lambda: VIEW)
        assert one.poll(1.0 + LATENCY) == SEEN
        one.submit(2.0, lambda: VIEW)
        assert one.poll(2.0 + LATENCY) is None
        assert one.seen_at == 1.0
        assert one.wants_image(2.0 + PERIOD)


def test_an_error_of_perception_is_raised_in_control():
    def fail() -> None:
        raise ValueError("broken")

    with beside(ready(fail), real_time=False) as one:
        one.submit(1.0, lambda: VIEW)
        with pytest.raises(ValueError, match="broken"):
            one.poll(1.0 + LATENCY)


def test_a_place_that_was_pointed_at_is_for_the_next_image_only():
    with beside(slow := ready(), real_time=False) as one:
        one.point_at("mug", np.ones(3))
        for now in (0.0, 1.0):
            one.submit(now, lambda: VIEW)
            polled(one, now + LATENCY)
    first, second = slow.pointed
    assert first.keys() == {"mug"}
    assert not second


def test_another_thing_is_followed_from_the_next_image_on_that_shows_something():
    """What was seen under its name before says nothing."""
    answers = [SEEN, None, SEEN, SEEN]
    with beside(slow := ready(lambda: answers.pop(0)), real_time=False) as one:
        one.submit(0.0, lambda: VIEW)
        one.restart("mug", lambda view: {})
        assert polled(one, LATENCY) == {}
        one.submit(1.0, lambda: VIEW)
        assert one.poll(1.0 + LATENCY) is None
        assert not slow.restarted
        one.submit(2.0, lambda: VIEW)
        assert one.poll(2.0 + LATENCY) == {}
        assert slow.restarted == [("mug", None)]
        one.submit(3.0, lambda: VIEW)
        assert one.poll(3.0 + LATENCY) == SEEN
    assert len(slow.restarted) == 1


# ── what is seen ────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def first() -> View:
    return frame(RED, BLUE)


def tracked(first: View) -> TrackedThings:
    return TrackedThings(first, {"red": thing_at(first, pixel_of(top(RED)), "red")})


def test_a_motion_is_that_in_the_base_frame(first: View):
    """Also seen from another place."""
    things, moved = tracked(first), RED.moved((0.01, -0.008, 0.0), 4.0)
    aside = look_at(np.array([0.31, -0.09, 0.40]), np.array([0.0, 0.0, 0.03]))
    for T_world_cam in (EYE, aside):
        found = things.update(frame(moved, BLUE, T_world_cam=T_world_cam))
        assert found is not None
        motion = found["red"].motion
        assert not found["red"].lost
        assert motion is not None
        expected = moved.T_world_box @ invert(RED.T_world_box)
        center = RED.T_world_box[:, 3]
        np.testing.assert_allclose((motion @ center)[:3], (expected @ center)[:3], atol=0.003)
        np.testing.assert_allclose(motion[:3, :3], expected[:3, :3], atol=0.03)


def test_a_thing_that_is_taken_away_is_lost(first: View):
    found = tracked(first).update(frame(BLUE))
    assert found is not None
    assert found["red"].lost
    assert found["red"].motion is None


def test_a_thing_that_is_hidden_is_not_seen_but_not_lost(first: View):
    """Something close to the camera covers it."""
    assert first.depth is not None
    hidden = np.zeros(first.depth.shape, bool)
    hidden[:, 60:260] = True
    rgb = np.where(hidden[..., None], np.uint8(40), first.rgb)
    found = tracked(first).update(
        replace(first, rgb=rgb, depth=np.where(hidden, np.float32(0.15), first.depth))
    )
    assert found is not None
    assert not found["red"].lost
    assert found["red"].motion is None


@pytest.mark.parametrize(("shown", "moved"), [(True, False), (False, True)])
def test_a_thing_has_moved_only_if_the_image_shows_it_better_elsewhere(
    first: View, monkeypatch: pytest.MonkeyPatch, shown: bool, moved: bool
):
    """What hides a part of it misleads the tracker."""
    things, there = tracked(first), RED.moved((0.03, 0.0, 0.0))
    things._places["red"] = None  # its depth does not stand out
    monkeypatch.setattr(Tracker, "may_be_at", lambda tracker, name, T: shown)
    found = things.update(frame(there, BLUE))
    assert found is not None
    motion = found["red"].motion
    assert motion is not None
    center = RED.T_world_box[:, 3]
    assert float(np.linalg.norm((motion @ center - center)[:3])) == pytest.approx(0.03 * moved, abs=0.004)


def test_what_is_held_moves_whatever_is_seen_where_it_was(first: View, monkeypatch: pytest.MonkeyPatch):
    things, there = tracked(first), RED.moved((0.03, 0.0, 0.0))
    monkeypatch.setattr(Tracker, "may_be_at", lambda tracker, name, T: True)
    motion = there.T_world_box @ invert(RED.T_world_box)
    found = things.update(frame(there, BLUE), held={"red": motion})
    assert found is not None
    assert found["red"].motion is not None
    np.testing.assert_allclose(found["red"].motion, motion, atol=0.004)


@pytest.mark.parametrize("share", [0.0, 0.05, None])
def test_an_image_with_hardly_any_depth_shows_nothing(first: View, share: float | None):
    assert first.depth is not None
    few = np.arange(first.depth.size).reshape(first.depth.shape) < (share or 0.0) * first.depth.size
    depth = None if share is None else np.where(few, first.depth, np.float32(0))
    assert tracked(first).update(replace(first, depth=depth)) is None


def test_what_a_shadow_falls_on_stays_and_is_followed_when_it_moves_in_it(first: View):
    """The shadow of the arm: colours change, depth does not."""
    things, away = tracked(first), RED.moved((0.05, -0.02, 0.0), 10.0)
    for share in (0.6, 0.3, 0.3):
        dark = np.round(share * first.rgb).astype(np.uint8)
        found = things.update(replace(first, rgb=dark))
        assert found is not None
        assert not found["red"].lost
        np.testing.assert_array_equal(found["red"].motion, np.eye(4))
    for step in np.linspace(0.1, 1.0, 10):
        way = (0.05 * float(step), -0.02 * float(step), 0.0)
        found = things.update(frame(RED.moved(way, 10.0 * float(step)), BLUE))
    assert found is not None
    motion, center = found["red"].motion, RED.T_world_box[:, 3]
    assert motion is not None
    expected = away.T_world_box @ invert(RED.T_world_box) @ center
    # While it moves it is as near as the dead band is wide.
    np.testing.assert_allclose((motion @ center)[:3], expected[:3], atol=0.012)


def test_what_stands_still_or_is_held_needs_no_optical_flow(first: View, monkeypatch: pytest.MonkeyPatch):
    """Flow takes half of the time of an image."""

    def never(*frames: object) -> None:
        raise AssertionError("optical flow")

    monkeypatch.setattr("point2act.acting.tracking.tracker.optical_flow", never)
    things, moved = tracked(first), RED.moved((0.03, 0.02, 0.06), 12.0)
    found = things.update(first)
    assert found is not None
    np.testing.assert_allclose(found["red"].motion, np.eye(4), atol=1e-12)
    expected = moved.T_world_box @ invert(RED.T_world_box)
    held: Motions = {"red": expected, "one that is not followed": np.eye(4)}
    found = things.update(frame(moved, BLUE), held=held)
    assert found is not None
    np.testing.assert_allclose(found["red"].motion, expected, atol=1e-12)


def test_what_has_left_the_gripper_is_found_where_it_is(first: View):
    """It was thought to be lifted, but lies beside where it was."""
    things, fallen = tracked(first), RED.moved((0.03, 0.015, 0.0), 0.0)
    lifted = RED.moved((0.0, 0.0, 0.08), 0.0).T_world_box @ invert(RED.T_world_box)
    for _ in range(2):
        found = things.update(frame(fallen, BLUE), held={"red": lifted})
    assert found is not None
    motion, center = found["red"].motion, RED.T_world_box[:, 3]
    assert motion is not None
    np.testing.assert_allclose((motion @ center)[:3], fallen.T_world_box[:3, 3], atol=0.005)


def test_another_thing_is_followed_under_the_name_of_one(first: View):
    """It is at rest where it is seen first, and the other one does not matter any more."""
    things = tracked(first)
    assert things.update(first) is not None
    things.restart(first, "red", thing_at(first, pixel_of(top(BLUE)), "red"))
    moved = BLUE.moved((0.01, 0.015, 0.0), 0.0)
    found = things.update(frame(RED.moved((0.0, 0.05, 0.0), 0.0), moved))
    assert found is not None
    motion, center = found["red"].motion, BLUE.T_world_box[:, 3]
    assert motion is not None
    np.testing.assert_allclose((motion @ center)[:3], moved.T_world_box[:3, 3], atol=0.004)
    things.restart(first, "red", None)
    assert things.update(first) == {}


def test_unchanging_things_stay_where_they_were(first: View):
    found = Unchanging(("red", "blue")).update(first)
    assert found.keys() == {"red", "blue"}
    for one in found.values():
        assert not one.lost
        assert one.motion is not None
        np.testing.assert_array_equal(one.motion, np.eye(4))
