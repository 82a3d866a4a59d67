"""The line that stands for what a page shows: written and read, and nothing else is read."""

from __future__ import annotations

import browser  # noqa: F401  # viser, without its warnings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from point2act.core.errors import Point2ActError
from point2act.visualization.viewer.state_text import ShownState, from_text, to_text

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


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
