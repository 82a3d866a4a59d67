"""Dialects: every model's points come back, what says none is none, and nothing is guessed."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import seconds
from reply_formats import format_reply, resolution, span

from point2act.core.errors import ReplyError
from point2act.vlm.parsers import DIALECTS, parse_anywhere, parse_reply, qwen_input_size

NAMED = [name for name in DIALECTS if name != "auto"]
# Dialects that "auto" recognises.
RECOGNISED = ["molmo", "molmo2", "qwen2_vl", "gemini", "internvl", "moondream"]
SIZE = (437, 613)

sizes = st.tuples(st.integers(8, 1500), st.integers(8, 1500))
dialects = st.sampled_from(NAMED)
fractions = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5)


def scaled(points: list[tuple[float, float]], size: tuple[int, int]) -> list[tuple[float, float]]:
    return [(x * size[1], y * size[0]) for x, y in points]


def refusal(text: str, dialect: str, **options) -> str:
    """The message with which a reply is refused."""
    with pytest.raises(ReplyError) as caught:
        parse_reply(text, dialect, **{"image_size": SIZE, **options})
    return str(caught.value)


# ── points come back ───────────────────────────────────────────────────────────────────────────
@settings(max_examples=100)
@given(dialect=dialects, size=sizes, seen=st.none() | sizes, points=fractions)
def test_a_formatted_point_comes_back_within_half_a_unit(dialect, size, seen, points):
    truth = scaled(points, size)
    found = parse_reply(format_reply(truth, dialect, size, seen), dialect, image_size=size, input_size=seen)
    half = np.array(resolution(dialect, size, seen)) / 2
    assert len(found) == len(truth)
    assert (np.abs(np.subtract(found, truth)) <= half + 1e-9 * max(size)).all()
    assert (np.array(found) >= 0).all()
    assert (np.array(found) <= [size[1], size[0]]).all()


@settings(max_examples=100)
@given(dialect=dialects, size=sizes, points=fractions)
def test_points_inside_are_the_same_without_clipping_and_in_fractions(dialect, size, points):
    text = format_reply(scaled(points, size), dialect, size)
    found = parse_reply(text, dialect, image_size=size)
    anywhere = parse_anywhere(text, dialect, image_size=size, frame=size)
    assert np.allclose(np.clip(anywhere, 0, [size[1], size[0]]), found)
    shares = parse_anywhere(text, dialect, image_size=size, frame=(1, 1))
    assert np.allclose(np.array(shares) * [size[1], size[0]], anywhere)


def test_points_outside_stay_where_they_are():
    options = {"image_size": (100, 200), "frame": (100, 200)}
    assert parse_anywhere("[(1.5, -0.5)]", "robopoint", **options) == [(300, -50)]
    assert parse_anywhere('[{"point_2d": [2000, 0]}]', "qwen3_vl", **options) == [(400, 0)]
    assert parse_anywhere("[(613, 7)]", "robobrain2", image_size=SIZE, frame=SIZE) == [(613, 7)]
    assert parse_anywhere("There are none.", "molmo", **options) == []
    with pytest.raises(ReplyError, match="no such dialect"):
        parse_anywhere("[]", "klingon", **options)


@given(dialect=st.sampled_from(RECOGNISED), size=sizes, points=fractions)
def test_auto_reads_what_it_recognises(dialect, size, points):
    text = format_reply(scaled(points, size), dialect, size)
    assert parse_reply(text, image_size=size) == parse_reply(text, dialect, image_size=size)


@pytest.mark.parametrize(
    ("dialect", "text", "expected"),
    [
        ("molmo", '<point x="25" y="50" alt="a">a</point>', [(50, 50)]),
        ("molmo", "<point x='25' y='50'/>", [(50, 50)]),
        ("molmo", '<points x1="25" y1="50" x2="100.0" y2=" 0.5" alt="a">a</points>', [(50, 50), (200, 0.5)]),
        ("molmo", 'A <point x="25" y="50">a</point> and <point x="50" y="5">b</point>', [(50, 50), (100, 5)]),
        ("molmo2", '<points coords="1 1 250 500 2 005 1000">a</points>', [(50, 50), (1, 100)]),
        ("molmo2", '<points coords="1 1 250 500;1 2 005 1000"/>', [(50, 50), (1, 100)]),
        ("molmo2", '<points coords="1 1 250 500\t1 2 005 1000" alt="a">a</points> 2', [(50, 50), (1, 100)]),
        ("qwen2_vl", "<|box_start|>(200,400),(300,600)<|box_end|>", [(50, 50)]),
        ("qwen2_vl", "<|box_start|>(250, 500)<|box_end|>", [(50, 50)]),
        ("qwen2_vl", "the mug(200,400),(300,600)\nthe cup(0,0),(10,10)", [(50, 50), (1, 0.5)]),
        ("qwen3_vl", '[{"point_2d": [250, 500], "label": "a"}]', [(50, 50)]),
        ("qwen3_vl", '{"point_2d": [250, 500]},\n{"point_2d": [500, 500]}', [(50, 50), (100, 50)]),
        ("qwen3_vl", '{"points": [{"point_2d": [250, 500]}]}', [(50, 50)]),
        ("qwen3_vl", '[{"point_2d": [[250, 500], [500, 500]]}]', [(50, 50), (100, 50)]),
        ("qwen3_vl", '[{"bbox_2d": [200, 400, 300, 600]}]', [(50, 50)]),
        ("qwen3_vl", '[{"bbox_2d": [0, 0, 300, 600], "point_2d": [250, 500]}]', [(50, 50)]),
        ("qwen2_5_vl", '[{"point_2d": [21, 42]}]', [(50, 50)]),
        ("qwen2_5_vl", '[{"bbox_2d": [0, 42, 84, 84]}]', [(100, 75)]),
        ("gemini", '[{"point": [500, 250], "label": "a"}]', [(50, 50)]),
        ("gemini", '[{"box_2d": [400, 200, 600, 300], "label": "a"}]', [(50, 50)]),
        ("robopoint", "[(0.25, 0.5), (1.0, 0)]", [(50, 50), (200, 0)]),
        ("robopoint", "Answer: (0.25, 0.5)", [(50, 50)]),
        ("robobrain2", "[(50, 50), (199, 0)]", [(50, 50), (199, 0)]),
        ("robobrain2", "[[50, 50], [199, 0]]", [(50, 50), (199, 0)]),
        ("robobrain2", "[0, 40, 100, 60]", [(50, 50)]),
        ("internvl", "<ref>a</ref><point>[[250, 500], [0, 0]]</point>", [(50, 50), (0, 0)]),
        ("internvl", "<ref>a</ref><box>[[200, 400, 300, 600]]</box>", [(50, 50)]),
        ("internvl", "the mug[[200, 400, 300, 600]]", [(50, 50)]),
        ("moondream", '{"points": [{"x": 0.25, "y": 0.5}]}', [(50, 50)]),
        ("moondream", '{"objects": [{"x_min": 0.2, "y_min": 0.4, "x_max": 0.3, "y_max": 0.6}]}', [(50, 50)]),
    ],
)  # fmt: skip
def test_forms_units_and_order(dialect: str, text: str, expected: list):
    """An image of 200x100 pixels, which Qwen2.5-VL is taken to see as 84x84."""
    seen = (84, 84)
    np.testing.assert_allclose(parse_reply(text, dialect, image_size=(100, 200), input_size=seen), expected)


@pytest.mark.parametrize("dialect", NAMED)
@pytest.mark.parametrize(
    "around",
    [
        "```json\n{}\n```",
        "```\n{}\n```\nLet me know if you need more.",
        "Sure! Here is the [requested] answer (red one), image 1:\n\n{}\n",
        "<think>It may be at [0, 0] or {{x: 3, or not visible.</think>\n{}",
        "reasoning whose start was in the prompt </think><answer>{}</answer>",
        "\ufeff  {} \r\n",
    ],
)
def test_fences_prose_and_reasoning_are_passed_over(dialect: str, around: str):
    bare = format_reply([(100.0, 50.0), (300.0, 400.0)], dialect, SIZE)
    text = around.format(bare)
    assert parse_reply(text, dialect, image_size=SIZE) == parse_reply(bare, dialect, image_size=SIZE)


def test_an_answer_given_twice_is_given_once():
    entry = '[{"point_2d": [250, 500]}]'
    text = f"The answer is {entry}. In a fence:\n```json\n{entry}\n```"
    assert len(parse_reply(text, "qwen3_vl", image_size=SIZE)) == 1


@pytest.mark.parametrize("dialect", NAMED)
@pytest.mark.parametrize("corner", [(-0.005, 0.5), (1.005, 0.5), (0.5, -0.005), (0.5, 1.005), (1.005, 1.005)])
def test_what_rounding_puts_outside_is_moved_to_the_border(dialect: str, corner: tuple[float, float]):
    size = (1024, 2048)
    text = raw_point(dialect, corner, size)
    if dialect == "molmo":
        assert "outside" in refusal(text, dialect, image_size=size)
        return
    ((x, y),) = parse_reply(text, dialect, image_size=size)
    wanted = np.clip(np.multiply(corner, (2048, 1024)), 0, (2048, 1024))
    np.testing.assert_allclose((x, y), wanted, atol=max(resolution(dialect, size)))


@pytest.mark.parametrize("dialect", NAMED)
@pytest.mark.parametrize(
    "place", [(1.02, 0.5), (-0.02, 0.5), (0.5, 1.02), (0.5, -0.02), (9e9, 0.5), (0.5, 1e300)]
)
def test_what_lies_further_outside_is_refused(dialect: str, place: tuple[float, float]):
    refusal(raw_point(dialect, place, SIZE), dialect)


def raw_point(dialect: str, place: tuple[float, float], size: tuple[int, int]) -> str:
    """A reply with a fraction of the image that no formatter would write: outside, too."""
    across, down = span(dialect, size)
    x, y = (f"{place[0] * across:.4f}", f"{place[1] * down:.4f}")
    return {
        "molmo": f'<point x="{x}" y="{y}" alt="a">a</point>',
        "molmo2": f'<points coords="1 1 {x} {y}">a</points>',
        "qwen2_vl": f"<|box_start|>({x},{y})<|box_end|>",
        "qwen2_5_vl": f'[{{"point_2d": [{x}, {y}]}}]',
        "qwen3_vl": f'[{{"point_2d": [{x}, {y}]}}]',
        "gemini": f'[{{"point": [{y}, {x}]}}]',
        "robopoint": f"[({x}, {y})]",
        "robobrain2": f"[({x}, {y})]",
        "internvl": f"<point>[[{x}, {y}]]</point>",
        "moondream": f'{{"points": [{{"x": {x}, "y": {y}}}]}}',
    }[dialect]


def test_published_replies_are_read(shared_data: Path):
    replies = json.loads((shared_data / "replies.json").read_text(encoding="utf-8"))
    assert len(replies) >= 6
    for reply in replies:
        width, height = reply["image_size_wh"]
        pixels = np.array(reply["pixels"])
        wanted = pixels.reshape(-1, 2, 2).mean(1) if reply["kind"] == "box_xyxy" else pixels.reshape(-1, 2)
        found = parse_reply(reply["reply"], reply["dialect"], image_size=(height, width))
        np.testing.assert_allclose(found, wanted)
        # Fractions, thousandths or pixels: the reply alone does not say.
        assert "robobrain2" in refusal(reply["reply"], "auto", image_size=(height, width))


# ── none ───────────────────────────────────────────────────────────────────────────────────────
NEGATIVE = [
    "There are none.",
    "[]",
    "not visible",
    "Not visible.",
    "None",
    "`null`",
    "```json\n[]\n```",
    "```json\n[ ]\n``` as the mug is hidden",
    "<think>I see one! No, (3, 4) is a bowl.</think> There is no mug in the image.",
    "The handle of the mug is not visible in this image.",
    "The 500 ml bottle isn\u2019t in the picture.",
    "This isn't in the image.",
    "I cannot see a mug. The image shows a wooden table with two bowls.",
    "I'm unable to locate the handle.",
    "There don't seem to be any; no mug could be found.",
    "No mug is visible.",
    '{"points": []}',
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("text", NEGATIVE)
def test_none_is_an_answer(dialect: str, text: str):
    assert parse_reply(text, dialect, image_size=SIZE) == []


@pytest.mark.parametrize("dialect", NAMED)
def test_every_formatter_can_say_none(dialect: str):
    assert parse_reply(format_reply([], dialect, SIZE), dialect, image_size=SIZE) == []


@pytest.mark.parametrize("key", ["point_2d", "bbox_2d"])
@pytest.mark.parametrize("value", ["null", "[]"])
def test_an_entry_without_coordinates_is_none(key: str, value: str):
    assert parse_reply(f'[{{"{key}": {value}, "label": "mug"}}]', "qwen3_vl", image_size=SIZE) == []


@pytest.mark.parametrize("dialect", NAMED)
@pytest.mark.parametrize("text", ["There are none. {}", "{} The target is not visible."])
def test_none_together_with_points_is_refused(dialect: str, text: str):
    message = refusal(text.format(format_reply([(100.0, 50.0)], dialect, SIZE)), dialect)
    assert "says that there is nothing" in message


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("qwen3_vl", '[{"point_2d": [0, 0], "label": "not visible"}]'),
        ("molmo", '<point x="0.0" y="0.0" alt="a">There are none.</point>'),
        ("molmo2", '<points coords="1 1 000 000">None</points>'),
    ],
)
def test_a_label_may_say_none(dialect: str, text: str):
    assert "says that there is nothing" in refusal(text, dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n ",
        "<think>I am still thinking about [1, 2]",
        "<think>done</think>",
        "It is on the left.",
        "The handle is not visible from here, but its rim is on the left.",
        "It is only partly not visible.",
        "not visible: 412, 230",
        "The mug stands at x=412 y=230 and is not found elsewhere.",
        "The visible mug is not broken.",
        "[1]",
        "{}",
        "\x00\ud800",
    ],
)
def test_what_is_neither_is_refused(dialect: str, text: str):
    refusal(text, dialect)


# ── nothing is guessed ─────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("[(0.46, 0.53)]", ["robopoint", "robobrain2"]),
        ("[(376, 309), (332, 357)]", ["robopoint", "robobrain2"]),
        ("(376, 309)", ["robopoint", "robobrain2", "qwen2_vl"]),
        ("[0, 193, 226, 640]", ["robobrain2", "internvl"]),
        ('[{"point_2d": [412, 230]}]', ["qwen3_vl", "qwen2_5_vl"]),
        ('[{"bbox_2d": [4, 2, 412, 230]}]', ["qwen3_vl", "qwen2_5_vl"]),
        ('[{"point": [1, 2], "point_2d": [2, 1]}]', ["gemini", "qwen3_vl"]),
        ('<point x="1" y="2">a</point> [{"point": [20, 10]}]', ["molmo", "gemini"]),
    ],
)
def test_auto_names_the_dialects_that_it_may_be(text: str, candidates: list[str]):
    message = refusal(text, "auto")
    assert all(name in message for name in candidates)


@pytest.mark.parametrize("dialect", NAMED)
@pytest.mark.parametrize("other", NAMED)
def test_another_dialects_reply_is_refused(dialect: str, other: str):
    """Both Qwens write the same; RoboPoint's and RoboBrain's are distinguished by their numbers."""
    if dialect == other or {dialect, other} == {"qwen2_5_vl", "qwen3_vl"}:
        return
    refusal(format_reply([(100.0, 50.0), (300.0, 400.0)], other, SIZE), dialect)


@pytest.mark.parametrize("dialect", ["qwen2_5_vl", "qwen3_vl", "gemini", "robobrain2", "internvl", "molmo2"])
def test_fractions_of_the_image_are_not_taken_for_its_corner(dialect: str):
    text = raw_point(dialect, tuple(0.5 / side for side in span(dialect, SIZE)), SIZE)
    assert "fractions" in refusal(text, dialect)


@pytest.mark.parametrize("dialect", NAMED)
def test_a_cut_reply_is_never_a_point(dialect: str):
    """Cut anywhere, it is refused, until nothing is missing but a fence or a label's closing tag."""
    points = [(100.0, 50.0), (300.0, 400.0)]
    whole = format_reply(points, dialect, SIZE)
    truth = parse_reply(whole, dialect, image_size=SIZE)
    for end in range(len(whole)):
        try:
            found = parse_reply(whole[:end], dialect, image_size=SIZE)
        except ReplyError:
            continue
        # Qwen2-VL's boxes follow one another without anything that says how many there will be.
        between = dialect == "qwen2_vl" and whole[:end].endswith("<|box_end|>")
        assert found == (truth[:1] if between else truth), whole[:end]
    cut = whole[: whole.rindex(max(part for part in whole if part.isdigit()))]
    assert "truncated" in refusal(cut, dialect)


@pytest.mark.parametrize("dialect", ["molmo", "molmo2", "qwen2_vl"])
def test_a_point_may_be_followed_by_a_cut_one(dialect: str):
    whole = format_reply([(100.0, 50.0)], dialect, SIZE).strip()
    for end in range(1, len(whole)):
        assert "truncated" in refusal(f"{whole} {whole[:end]}", dialect)


@pytest.mark.parametrize(
    ("dialect", "text", "wrong"),
    [
        ("qwen3_vl", '[{"point_2d": [412, 230]}] or rather [{"point_2d": [512, 230]}]', "contradict"),
        ("qwen3_vl", '[] or rather [{"point_2d": [512, 230]}]', "contradict"),
        ("robobrain2", "It is at (12, 13). No, at (14, 15).", "contradict"),
        ("qwen3_vl", '[{"point_2d": [412, 230], "point_2d": [512, 230]}]', "twice"),
        ("qwen3_vl", '[{"point_2d": [412]}]', "instead of 2"),
        ("qwen3_vl", '[{"point_2d": [412, 230, 5]}]', "instead of 2"),
        ("qwen3_vl", '[{"point_2d": [412, 230]}, {"label": "mug"}]', "no point_2d"),
        ("qwen3_vl", "[412, 230]", "in place of an object"),
        ("qwen3_vl", '[{"point_2d": [true, 230]}]', "number"),
        ("qwen3_vl", '[{"point_2d": [NaN, 230]}]', "NaN"),
        ("qwen3_vl", '[{"point_2d": [-Infinity, 230]}]', "Infinity"),
        ("qwen3_vl", '[{"point_2d": [1e999, 230]}]', "finite"),
        ("qwen3_vl", f'[{{"point_2d": [{"9" * 400}, 230]}}]', "finite"),
        ("qwen3_vl", f'[{{"point_2d": [{"9" * 5000}, 230]}}]', "reply"),
        ("qwen3_vl", '[{"point_2d": 0}]', "list of numbers"),
        ("qwen3_vl", '[{"point_2d": [4, 2)}]', "match"),
        ("qwen3_vl", "[[[[[[[[[[[1]]]]]]]]]]]", "deeply"),
        ("qwen3_vl", '[{"point_2d": [4, 2]]}', "match"),
        ("qwen3_vl", "[{'point_2d': [4, 2]}]", "JSON"),
        ("qwen3_vl", '[{"bbox_2d": [412, 230, 300, 400]}]', "corners"),
        ("robobrain2", "[412, 230, 5]", "3 numbers"),
        ("robobrain2", '{"a": [41, 23]}', "object"),
        ("robopoint", "[(0.1, 0.2, 0.3, 0.4)]", "4 numbers"),
        ("qwen2_vl", "(1,2),(3,4),(5,6)", "points or boxes"),
        ("molmo", '<point x="101" y="2">a</point>', "outside"),
        ("molmo", '<point x="-0.1" y="2">a</point>', "outside"),
        ("molmo", '<point x="10" y2="2">a</point>', "without its"),
        ("molmo", '<point x="10" x="20" y="2">a</point>', "twice"),
        ("molmo", '<point x="10%" y="2">a</point>', "number"),
        ("molmo", "<point x=10 y=2>a</point>", "malformed"),
        ("molmo", '<points alt="a">a</points>', "no x and y"),
        ("molmo2", '<points x1="1" y1="2">a</points>', "coords"),
        ("molmo2", '<points coords="2 1 250 500">a</points>', "image 2"),
        ("molmo2", '<points coords="1 1 250 500;2 1 250 500">a</points>', "image 2"),
        ("molmo2", '<points coords="1 1 250 500 2">a</points>', "for each point"),
        ("molmo2", '<points coords="1">a</points>', "for each point"),
        ("molmo2", '<tracks coords="1 1 250 500">a</tracks>', "videos"),
        ("moondream", '{"points": [{"x": 512, "y": 230}]}', "from 0 to 1"),
        ("molmo3", "There are none.", "moondream"),
    ],
)  # fmt: skip
def test_refusals_say_what_is_wrong(dialect: str, text: str, wrong: str):
    message = refusal(text, dialect)
    assert wrong in message
    assert repr(dialect) in message
    assert len(message) < 700


def test_a_refusal_shows_the_reply():
    message = refusal("It is\nthere", "gemini")
    assert r"'It is\nthere'" in message
    message = refusal(f"start{'x' * 5000}end", "gemini")
    assert "'startx" in message
    assert "xend'" in message
    assert len(message) < 500


@pytest.mark.parametrize("sizes", [{"image_size": (0, 5)}, {"image_size": (5, 5), "input_size": (5, -1)}])
def test_sizes_are_sizes(sizes: dict):
    assert "(height, width)" in refusal("[(0.5, 0.5)]", "robopoint", **sizes)


# ── any text ───────────────────────────────────────────────────────────────────────────────────
PIECES = [
    "[", "]", "{", "}", "(", ")", ",", ":", ";", '"', "'", "\\", "<", ">", "/", "=", " ", "\n", "\t", "-",
    "1", "0.5", "12", "999", "1e9", "NaN", "null", "true", '"point_2d":', '"point":', '"x":', '"y":', "0",
    '"bbox_2d":', '"points":', "<point", "<points", "</point>", "</points>", ' x="', ' y1="', ' coords="',
    "<|box_start|>", "<|box_end|>", "<point>", "<box>", "<think>", "</think>", "```json", "٣", "\ud800",
    "There are none.", "not visible", ".", "\u2019", "\x00",
]  # fmt: skip
junk = st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text(max_size=80)


@settings(max_examples=150)
@given(text=junk, dialect=st.sampled_from(DIALECTS), seen=st.none() | sizes)
def test_no_text_raises_anything_else(text: str, dialect: str, seen):
    check_any(text, dialect, seen)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid reply with a few pieces cut out of it, or put into it."""
    points = scaled(draw(fractions), SIZE)
    text = format_reply(points, draw(dialects), SIZE)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 6)))
        text = text[:start] + draw(st.sampled_from(["", *PIECES])) + text[end:]
    return text


@settings(max_examples=150)
@given(text=mutated(), dialect=st.sampled_from(DIALECTS))
def test_no_damaged_reply_raises_anything_else(text: str, dialect: str):
    check_any(text, dialect, None)


def check_any(text: str, dialect: str, seen: tuple[int, int] | None) -> None:
    try:
        found = parse_reply(text, dialect, image_size=SIZE, input_size=seen)
    except ReplyError:
        return
    assert all(0 <= x <= SIZE[1] and 0 <= y <= SIZE[0] for x, y in found)


@pytest.mark.parametrize(
    "piece",
    [
        "x", " ", "1", "(", "[", "[[1,", "{", '{"a":', '"', "<", "<point ", '<point x="', "<point> x1", "1.",
        "(1,1),", "no ", "not ", "n't be ", "1 ,", "\\", "<|box_start|>", " x", "\n", "{}", "[],", "[1]", "'",
        '{"x": 0, "y": 0}', ' <point x="1" y="1">a</point>', "nothing ", '" : ', "(1 ,",
    ],
)  # fmt: skip
def test_long_junk_is_read_quickly(piece: str):
    """As much as is looked at; what takes quadratic time takes minutes."""
    for dialect in ("molmo", "molmo2", "qwen2_vl", "qwen3_vl", "robopoint", "internvl", "auto"):
        for start in ("", 'not visible <points coords="1 '):
            text = start + piece * (49_000 // len(piece))
            read = partial(check_any, text, dialect, None)
            assert seconds(read, 1.0, clock=time.process_time) < 1.0, (dialect, start)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("piece", ["x", "[", "1 ", "</think>", "<think>"])
def test_a_megabyte_is_refused_quickly(dialect: str, piece: str):
    text = piece * (1_000_000 // len(piece))
    assert seconds(lambda: refusal(text, dialect), 1.0, clock=time.process_time) < 1.0


# ── Qwen's resizing ────────────────────────────────────────────────────────────────────────────
@pytest.mark.slow
@settings(max_examples=100)
@given(
    size=st.tuples(st.integers(1, 6000), st.integers(1, 6000)).filter(lambda s: max(s) <= 200 * min(s)),
    factor=st.sampled_from([28, 32]),
    limits=st.sampled_from([(56 * 56, 28 * 28 * 1280), (56 * 56, 16384 * 28 * 28), (256 * 784, 300 * 784)]),
)
def test_qwens_resizing_is_its_processors(size: tuple[int, int], factor: int, limits: tuple[int, int]):
    theirs = pytest.importorskip("transformers.models.qwen2_vl.image_processing_qwen2_vl").smart_resize
    least, most = limits
    wanted = theirs(*size, factor=factor, min_pixels=least, max_pixels=most)
    assert qwen_input_size(size, factor=factor, min_pixels=least, max_pixels=most) == wanted


@pytest.mark.parametrize(
    ("size", "wanted"), [((480, 640), (476, 644)), ((20, 20), (56, 56)), ((4000, 6000), (2912, 4368))]
)
def test_qwens_usual_limits(size: tuple[int, int], wanted: tuple[int, int]):
    assert qwen_input_size(size) == wanted
    # The lower right corner of what it sees is the lower right corner of the image.
    text = f'[{{"point_2d": [{wanted[1]}, {wanted[0]}]}}]'
    assert parse_reply(text, "qwen2_5_vl", image_size=size) == [(size[1], size[0])]


def test_qwen_takes_no_slivers():
    with pytest.raises(ReplyError, match="1001x5"):
        qwen_input_size((5, 1001))
    refusal('[{"point_2d": [1, 2]}]', "qwen2_5_vl", image_size=(5, 1001))
