"""Replies written for a model are read as the same points, to the last digit of its dialect."""

from __future__ import annotations

import pytest
import reply_formats
from hypothesis import given
from hypothesis import strategies as st

from point2act.core.errors import ReplyError
from point2act.vlm.parsers import DIALECTS, WRITTEN_DIALECTS, parse_reply, write_reply

SIDES = st.integers(40, 4000)
FRACTION = st.floats(0, 1, allow_nan=False)
MODELS = pytest.mark.parametrize("dialect", WRITTEN_DIALECTS)


def test_every_dialect_that_is_read_is_written():
    assert set(WRITTEN_DIALECTS) == set(DIALECTS) - {"auto"}


@MODELS
@given(st.tuples(SIDES, SIDES), st.lists(st.tuples(FRACTION, FRACTION), min_size=1, max_size=12))
def test_what_is_written_is_read_to_half_a_digit(dialect, size, fractions):
    points = [(x * size[1], y * size[0]) for x, y in fractions]
    text = write_reply(points, dialect, image_size=size)
    read = parse_reply(text, dialect, image_size=size)
    step = reply_formats.resolution(dialect, size)
    assert len(read) == len(points)
    for found, meant in zip(read, points, strict=True):
        assert all(abs(a - b) <= 0.5001 * d for a, b, d in zip(found, meant, step, strict=True))


@MODELS
@given(st.tuples(SIDES, SIDES), st.tuples(FRACTION, FRACTION))
def test_writing_again_what_was_read_changes_nothing(dialect, size, fraction):
    text = write_reply([(fraction[0] * size[1], fraction[1] * size[0])], dialect, image_size=size)
    read = parse_reply(text, dialect, image_size=size)
    assert write_reply(read, dialect, image_size=size) == text


@MODELS
def test_nothing_is_read_as_nothing(dialect):
    text = write_reply([], dialect, image_size=(480, 640))
    assert parse_reply(text, dialect, image_size=(480, 640)) == []


def test_the_size_of_the_processors_image_counts_where_the_dialect_counts_in_it():
    text = write_reply([(320.0, 120.0)], "qwen2_5_vl", image_size=(480, 640), input_size=(240, 320))
    assert "[160, 60]" in text
    assert "[160, 60]" not in write_reply([(320.0, 120.0)], "qwen2_5_vl", image_size=(480, 640))


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("molmo", '<point x="50.0" y="25.0" alt="target">target</point>'),
        ("gemini", '[{"point": [250, 500], "label": "target"}]'),
        ("robopoint", "[(0.500, 0.250)]"),
        ("qwen3_vl", '[{"point_2d": [500, 250], "label": "target"}]'),
    ],
)
def test_the_form_is_that_of_the_model(dialect, text):
    assert write_reply([(320.0, 120.0)], dialect, image_size=(480, 640)) == text


@pytest.mark.parametrize("dialect", ["auto", "klingon", ""])
def test_other_dialects_are_refused(dialect):
    with pytest.raises(ReplyError, match="use one of molmo"):
        write_reply([(1.0, 1.0)], dialect, image_size=(4, 4))
