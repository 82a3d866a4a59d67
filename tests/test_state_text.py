"""The line that stands for what a page shows: written and read, and nothing else is read."""

from __future__ import annotations

import browser  # noqa: F401  # viser, without its warnings
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from point2act.core.errors import Point2ActError
from point2act.visualization.viewer.photos import BrowserCamera
from point2act.visualization.viewer.state_text import ShownState, from_text, to_text

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
lengths = st.floats(-50, 50)
positions = st.tuples(lengths, lengths, lengths).map(np.array)


@given(query=names, gripper=names, grasp=st.integers(0, 10**6))
def test_what_is_written_is_read(query, gripper, grasp):
    state = ShownState(query, gripper, grasp)
    assert from_text(to_text(state)) == state
    assert from_text(f" `{to_text(state)}`\n") == state
    assert not set(to_text(state)) & set(" `{}<>")


@pytest.mark.parametrize(
    "text", ["", "hello", "query=a", "query=a&gripper=b&grasp=0", "query=a&gripper=b&grasp=x"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(Point2ActError, match="no state of a page"):
        from_text(text)


@given(position=positions, away=st.floats(0.1, 1e3), fov=st.floats(0.1, 3.0))
def test_the_camera_is_read_to_five_digits(position, away, fov):
    look_at = position + np.array([away, 0.0, 0.0])
    camera = BrowserCamera(position, look_at, np.array([0.0, 0.6, 0.8]), fov)
    read = from_text(to_text(ShownState("a", "b", 0, camera))).camera
    assert read is not None
    for name in ("position", "look_at", "up", "fov"):
        np.testing.assert_allclose(getattr(read, name), getattr(camera, name), rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize(
    "camera",
    ["", "1,2", "1,2,x,0,0,0,0,0,1,0.9", "nan,0,0,1,0,0,0,0,1,0.9"],
    ids=["empty", "too few", "a letter", "not finite"],
)
def test_a_camera_that_is_not_complete_is_refused(camera):
    with pytest.raises(Point2ActError, match="copy the whole line"):
        from_text(f"query=a&gripper=b&grasp=1&camera={camera}")


@pytest.mark.parametrize(
    "camera",
    ["0,0,0,0,0,1,0,0,1,0.9", "0,0,0,1,0,0,0,0,1,4", "0,0,0,1,0,0,0,0,1,0"],
    ids=["up", "wide", "narrow"],
)
def test_a_camera_that_faces_nothing_is_refused(camera):
    with pytest.raises(Point2ActError, match="faces nothing"):
        from_text(f"query=a&gripper=b&grasp=1&camera={camera}")
