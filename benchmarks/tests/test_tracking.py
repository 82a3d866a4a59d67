"""The suite of tracking: the truth of its sequences, and the simple ways."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.tracking import sequences
from benchmarks.tracking.sequences import SimulatedSequence, simulate_sequence
from benchmarks.tracking.simple_trackers import follow_color, follow_flow
from benchmarks.tracking.suite import Outcome, summary
from point2act.acting import thing_at
from point2act.core.geometry import at_pixels, inside, project, transform_points


@pytest.fixture(scope="module")
def taken() -> SimulatedSequence:
    """A thing that is put elsewhere while the camera is covered."""
    return simulate_sequence("cleaning", 3, "taken")


def test_the_true_motion_carries_the_surface_along(taken: SimulatedSequence):
    """Its points of the first frame lie on the surface that later frames show, or behind it."""
    thing = thing_at(taken.views[0], taken.click)
    np.testing.assert_allclose(taken.motions[0], np.eye(4), atol=1e-9)
    for number in (5, sequences.END + 3):
        shot, points = taken.shots[number], transform_points(taken.motions[number], thing.surface.points)
        pixels, depth = project(shot.view.camera, np.eye(4), points)
        seen = inside(shot.view.camera, pixels)
        off = depth[seen] - at_pixels(shot.true_depth, pixels[seen])
        assert np.median(np.abs(off)) < 0.006
        assert (off > -0.02).mean() > 0.9


def test_it_is_hidden_while_the_camera_is_covered(taken: SimulatedSequence):
    during = np.arange(sequences.START, sequences.END)
    assert taken.hidden[during].all()
    assert not taken.hidden[: sequences.START].any()
    assert not any(taken.views[number].depth.any() for number in during)
    moved = [np.linalg.norm(T[:3, 3] - taken.motions[0][:3, 3]) for T in taken.motions]
    assert moved[-1] > 0.03


def test_the_simple_ways_follow_what_stands_still(taken: SimulatedSequence):
    views = taken.views[:6]
    thing = thing_at(views[0], taken.click)
    for follow in (follow_flow, follow_color):
        places = follow(views, thing, taken.click)
        truth = np.array([transform_points(T, places[0]) for T in taken.motions[:6]])
        assert places.shape == (6, 3)
        assert np.median(np.linalg.norm(places - truth, axis=1)) < 0.05


def test_the_summary_has_a_row_for_each_way_and_event():
    nan = float("nan")
    outcomes = [
        Outcome("still", "ours", 1.0, 1.0, 1.0, 0.0, nan, 9.0),
        Outcome("still", "flow", 0.5, 0.25, nan, 0.1, nan, 20.0),
    ]
    rows = summary(outcomes).splitlines()
    assert rows[2] == "| still, ours | 1 | 100 | 100 | 100 | 0 | – |"
    assert rows[3].startswith("| still, flow | 1 | 50 | 25 | – | 10 | – |")
    assert rows[-1] == "9.0 frames a second"
