"""Part, then region: numbered parts, grids, and what is made of the choices."""

from __future__ import annotations

import contextlib
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import synthetic
import torch
from hypothesis import given
from hypothesis import strategies as st

from point2act.core.errors import ModelError, ReplyError
from point2act.core.geometry import project
from point2act.core.types import Answer, Camera, Frame, Lens, PointSet, Query, View
from point2act.data.capture import load_views, read_capture
from point2act.data.crops import Window, crop_image
from point2act.pipeline.mark_candidates import (
    MarksConfig,
    find_candidates,
    make_mark,
    map_candidates,
    map_points,
    select_views_to_ask,
    to_disk_pixels,
)
from point2act.pipeline.mark_selection import MarkSelectionConfig, select_marks
from point2act.pipeline.session import Session
from point2act.splatting.initialization import StartConfig, initialize_gaussians
from point2act.visualization.drawing.set_of_mark import (
    Cells,
    Mark,
    draw_cells,
    draw_marks,
    outline,
    tag_places,
)
from point2act.vlm.clients.cache import ReplyCache
from point2act.vlm.clients.client import Reply, Request
from point2act.vlm.pointing.mark_selector import MarkChoice, MarkQuestion, ModelMarkSelector, parse_choice

VIEWS = synthetic.views(10, height=96, width=128)
IDS = {view.name: synthetic.render(view.T_world_cam, synthetic.rays(view.camera)).ids for view in VIEWS}
RED, GREEN, BLUE = range(3)
RED_QUERY = Query("red", "the red box", "avoid")
SMALL = MarkSelectionConfig(side=160)
TOPS = [np.array([*b.center[:2], b.center[2] + b.half_extents[2]]) for b in synthetic.TABLETOP]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """The three boxes as Gaussians, straight from their depth."""
    folder = tmp_path_factory.mktemp("boxes")
    synthetic.write_capture_files(folder, VIEWS)
    capture = read_capture(folder)
    views = load_views(capture)
    initial = initialize_gaussians(
        views, point_cloud_path=None, config=StartConfig(target_count=6000), rng=np.random.default_rng(0)
    )
    return Session(capture, views, initial.scene, True, torch.device("cpu"))


def pointed(query: str, block: int, view: View) -> Answer:
    pixels, _ = project(view.camera, view.T_world_cam, TOPS[block][None])
    return Answer(view.name, query, pixels, model="pointer")


@pytest.fixture(scope="module")
def mistaken():
    """Three views point at the red box when asked for it, seven at the green one."""
    answers = tuple(pointed("red", RED if n < 3 else GREEN, view) for n, view in enumerate(VIEWS))
    return PointSet((RED_QUERY,), answers)


@pytest.fixture(scope="module")
def answered(session, mistaken):
    return session.ask(mistaken)


class Scripted:
    """Chooses by a function of the question, and remembers what it was shown."""

    name = "scripted"

    def __init__(self, script, concurrency: int = 1):
        self.script, self.concurrency = script, concurrency
        self.seen: list[MarkQuestion] = []

    def select(self, question: MarkQuestion) -> MarkChoice:
        self.seen.append(question)
        return MarkChoice(self.script(question), raw=f"reply about {question.image}", seconds=0.5)

    @property
    def numbered(self) -> list[MarkQuestion]:
        return [question for question in self.seen if is_numbered(question)]


def is_numbered(question: MarkQuestion) -> bool:
    return next(iter(question.places)).isdigit()


def knows(block: int):
    """Names the label with the most pixels on a block, if nearly all are; the cell nearest to its middle."""

    def script(question: MarkQuestion) -> str | None:
        on_block = IDS[question.image] == block
        if not is_numbered(question):
            rows, columns = np.nonzero(on_block)
            middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
            return min(question.places, key=lambda name: np.linalg.norm(question.places[name] - middle))
        inside = {name: on_block[rows_columns(at)] for name, at in question.places.items()}
        best = max(inside, key=lambda name: inside[name].sum() * (inside[name].mean() > 0.8))
        return best if inside[best].mean() > 0.8 else None

    return script


def rows_columns(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return pixels[:, 1].astype(int), pixels[:, 0].astype(int)


def block_near(point: np.ndarray) -> int:
    return int(np.argmin([np.linalg.norm(point - block.center) for block in synthetic.TABLETOP]))


# ── choosing ───────────────────────────────────────────────────────────────────────────────────
def test_a_mistake_is_put_right(session, answered, mistaken):
    (before,) = answered.results
    assert block_near(before.region.action_point) == GREEN
    chosen = select_marks(session, answered, mistaken, Scripted(knows(RED)), config=SMALL)
    (after,) = session.ask(chosen.points).results
    assert block_near(after.region.action_point) == RED
    (decision,) = chosen.decisions
    assert decision.winner is not None
    assert decision.votes[decision.winner] == max(decision.votes) > 1
    parts = session.segmentation().parts
    won = parts.points[parts.members(decision.candidates[decision.winner].part)]
    assert block_near(won.mean(axis=0)) == RED
    assert chosen.error == ""


def test_only_what_was_asked_changes(session, answered, mistaken):
    other = Query("blue", "the blue box", "avoid")
    extra = tuple(pointed("blue", BLUE, view) for view in VIEWS)
    both = PointSet((RED_QUERY, other), mistaken.answers + extra)
    mark_selector = Scripted(knows(RED))
    chosen = select_marks(session, answered, both, mark_selector, config=SMALL).points
    assert chosen.queries == both.queries
    assert Counter((a.image, a.query) for a in chosen.answers) == Counter(
        (a.image, a.query) for a in both.answers
    )
    asked = {question.image for question in mark_selector.seen if not is_numbered(question)}
    for answer in chosen.answers:
        if answer.query == "red" and answer.image in asked:
            assert answer.model == "scripted"
            assert answer.visible
            assert answer.raw == f"reply about {answer.image}\nreply about {answer.image}"
            assert answer.seconds == 1.0
            assert (IDS[answer.image][rows_columns(answer.points)] == RED).all()
        else:
            assert answer in both.answers


@pytest.mark.parametrize("number", ["1", "2", "3"])
@pytest.mark.parametrize("seed", range(4))
def test_who_always_says_the_same_number_decides_nothing(session, answered, mistaken, number, seed):
    mark_selector = Scripted(lambda question: number if number in question.places else None)
    chosen = select_marks(
        session, answered, mistaken, mark_selector, config=MarkSelectionConfig(side=160, seed=seed)
    )
    assert chosen.decisions[0].winner is None
    assert chosen.points.answers == mistaken.answers
    assert len(mark_selector.numbered) == len(mark_selector.seen) > 1


def test_numbers_go_round(session, answered, mistaken):
    """In six pictures none of six candidates or more has the same number twice."""
    mark_selector = Scripted(lambda question: None)
    chosen = select_marks(session, answered, mistaken, mark_selector, config=SMALL)
    candidates, parts = chosen.decisions[0].candidates, session.segmentation().parts
    assert len(candidates) >= len(mark_selector.numbered) == 6
    views = {view.name: number for number, view in enumerate(session.views)}
    had = defaultdict(list)
    for question in mark_selector.numbered:
        number = views[question.image]
        shown = map_points(parts, session.views[number], session.surfaces[number])
        where = map_candidates(parts, candidates, shown)
        assert set(question.places) <= {str(1 + index) for index in range(len(candidates))}
        for label, pixels in question.places.items():
            (candidate,) = np.unique(where[rows_columns(pixels)])
            had[candidate].append(label)
    assert all(len(set(numbers)) == len(numbers) for numbers in had.values())
    assert max(map(len, had.values())) > 3


def test_none_of_them_changes_nothing(session, answered, mistaken):
    chosen = select_marks(session, answered, mistaken, Scripted(lambda question: None), config=SMALL)
    assert chosen.points.answers == mistaken.answers
    assert chosen.decisions[0].none == chosen.count.asked > 0
    # Nor does a grid in which no cell is right.
    script = knows(RED)
    mark_selector = Scripted(lambda question: script(question) if is_numbered(question) else None)
    chosen = select_marks(session, answered, mistaken, mark_selector, config=SMALL)
    assert chosen.decisions[0].winner is not None
    assert chosen.points.answers == mistaken.answers


def test_with_one_candidate_only_the_grid_is_asked(session, answered, mistaken):
    mark_selector = Scripted(knows(GREEN))
    config = MarkSelectionConfig(marks=MarksConfig(max_candidates=1), side=160)
    chosen = select_marks(session, answered, mistaken, mark_selector, config=config)
    assert mark_selector.numbered == []
    assert chosen.decisions[0].winner == 0
    assert 1 < len(mark_selector.seen) == chosen.count.total <= config.views


def test_where_nothing_was_found_nothing_is_asked(session):
    nowhere = tuple(Answer(view.name, "red", np.zeros((0, 2)), visible=False) for view in VIEWS)
    points = PointSet((RED_QUERY,), nowhere)
    mark_selector = Scripted(knows(RED))
    chosen = select_marks(session, session.ask(points), points, mark_selector, config=SMALL)
    assert mark_selector.seen == []
    assert chosen.points.answers == nowhere
    assert chosen.decisions[0].winner is None


def test_failures_are_counted_and_do_not_sink_the_rest(session, answered, mistaken):
    script, broken = knows(RED), {VIEWS[0].name, VIEWS[5].name, VIEWS[2].name}

    def fails(question: MarkQuestion) -> str | None:
        if question.image in broken:
            raise ReplyError(f"no choice for {question.image}")
        return script(question)

    mark_selector = Scripted(fails, concurrency=4)
    chosen = select_marks(session, answered, mistaken, mark_selector, config=SMALL)
    hit = sum(question.image in broken for question in mark_selector.seen)
    assert chosen.count.failed == hit > 0
    assert chosen.count.asked == len(mark_selector.seen) - hit > 0
    assert chosen.error.startswith("no choice for")
    kept = {(a.image, a.query): a for a in chosen.points.answers}
    for answer in mistaken.answers:
        if answer.image in broken:
            assert kept[answer.image, answer.query] is answer


def test_all_failed_is_an_error(session, answered, mistaken):
    def fails(question: MarkQuestion) -> str | None:
        raise ModelError("no server answers")

    with pytest.raises(ModelError, match="no server answers"):
        select_marks(session, answered, mistaken, Scripted(fails), config=SMALL)


def test_the_number_of_threads_does_not_matter(session, answered, mistaken):
    one, many = (
        select_marks(session, answered, mistaken, Scripted(knows(RED), n), config=SMALL) for n in (1, 6)
    )
    assert one.decisions[0].votes == many.decisions[0].votes
    for a, b in zip(one.points.answers, many.points.answers, strict=True):
        assert (a.image, a.raw) == (b.image, b.raw)
        np.testing.assert_array_equal(a.points, b.points)


class ScriptedClient:
    """Speaks as a model does; only sees requests."""

    concurrency = 2

    def __init__(self, reply):
        self.identity = {"model": "scripted"}
        self.reply, self.requests = reply, []

    def ask(self, request: Request) -> Reply:
        self.requests.append(request)
        return Reply(self.reply(request), 0.1)


def test_a_model_is_asked_once_and_remembered(session, answered, mistaken, tmp_path):
    client = ScriptedClient(lambda request: json.dumps({"choice": labels_of(request)[0]}))
    mark_selector = ModelMarkSelector("model/x", client, ReplyCache(tmp_path))
    config = MarkSelectionConfig(side=160, marks=MarksConfig(max_candidates=1))
    first = select_marks(session, answered, mistaken, mark_selector, config=config)
    asked = len(client.requests)
    assert first.count.asked == asked > 0
    again = select_marks(session, answered, mistaken, mark_selector, config=config)
    assert len(client.requests) == asked
    assert again.count.cached == asked
    assert {a.model for a in again.points.answers} == {"pointer", "model/x"}
    for a, b in zip(first.points.answers, again.points.answers, strict=True):
        np.testing.assert_array_equal(a.points, b.points)


def labels_of(request: Request) -> list[str]:
    assert request.schema is not None
    return request.schema["properties"]["choice"]["enum"]


def test_the_prompt_names_the_query_and_every_label(session, answered, mistaken):
    client = ScriptedClient(lambda request: '{"choice": "0"}')
    select_marks(session, answered, mistaken, ModelMarkSelector("m", client), config=SMALL)
    for request in client.requests:
        *labels, none = labels_of(request)
        assert none == "0"
        assert "the red box" in request.prompt
        assert f"one of {', '.join(labels)};" in request.prompt
        assert json.dumps({"choice": labels[0]}) in request.prompt
        assert max(request.images[0].shape) == 160


def test_replies_of_another_format_are_no_votes(session, answered, mistaken, tmp_path):
    client = ScriptedClient(lambda request: "I would say the second one." * 30)
    with pytest.raises(ModelError, match="I would say the second"):
        select_marks(
            session, answered, mistaken, ModelMarkSelector("m", client, ReplyCache(tmp_path)), config=SMALL
        )
    assert not list(tmp_path.rglob("*.json"))


# ── replies ────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ('{"choice": "3"}', "3"),
        ('{"choice": 3}', "3"),
        ('{"choice": "0"}', None),
        ('{"choice": 0}', None),
        ('{"choice": " b2 "}', "B2"),
        ('Sure!\n```json\n{"choice": "B2"}\n```\nIt is the handle.', "B2"),
        ('<think>{"choice": "1"}? no</think>{"choice": "3"}', "3"),
        ('{"choice": "3"} that is {"choice": 3}', "3"),
        ('{"choice": "3", "reason": "it is [red] {and} 2 cm"}', "3"),
    ],
)
def test_choices_are_read(reply: str, label: str | None):
    assert parse_choice(reply, ["1", "3", "B2"]) == label


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "3",
        "none",
        '{"choice": "2"}',
        '{"choice": 3.0}',
        '{"choice": true}',
        '{"choice": null}',
        '{"choice": ["3"]}',
        '{"choice": {"choice": "3"}}',
        '{"label": "3"}',
        '{"choice": "1"} or {"choice": "3"}',
        '{"choice": "3"',
        '<think>it may be {"choice": "3"}',
        '[{"choice": "1"}, {"choice": "3"}',
    ],
)
def test_what_is_no_choice_is_an_error_that_shows_it(reply: str):
    with pytest.raises(ReplyError) as caught:
        parse_choice(reply, ["1", "3", "B2"])
    assert reply[:150] in str(caught.value).replace("\\'", "'")


JSONLIKE = st.text(alphabet='{}[]()":, choie0123B<>/thnk`\\\n') | st.text()


@given(JSONLIKE, JSONLIKE)
def test_no_reply_makes_anything_but_the_readers_own_error(before, after):
    for reply in (before, before + '{"choice": "3"}' + after):
        with contextlib.suppress(ReplyError):
            assert parse_choice(reply, ["1", "3"]) in ("1", "3", None)


@given(st.sampled_from([*map(str, range(9)), "A1", "D4"]), st.sampled_from(["", "So: ", "```json\n"]))
def test_what_is_written_comes_back(label, before):
    reply = before + json.dumps({"choice": label})
    assert parse_choice(reply, ["A1", "D4", *map(str, range(1, 9))]) == (None if label == "0" else label)


# ── candidates, views, marks ───────────────────────────────────────────────────────────────────
def test_candidates_are_disjoint_and_the_regions_come_first(session, answered):
    segmentation = session.segmentation()
    parts = segmentation.parts
    for most in (1, 3, 8):
        found = find_candidates(segmentation, answered.results[0], config=MarksConfig(max_candidates=most))
        assert 1 <= len(found) <= most
        members = np.concatenate([parts.members(candidate.part) for candidate in found])
        assert len(np.unique(members)) == len(members)
        confidences = [candidate.confidence for candidate in found]
        assert confidences == sorted(confidences, reverse=True)
    assert block_near(parts.points[parts.members(found[0].part)].mean(axis=0)) == GREEN
    blocks = {block_near(parts.points[parts.members(c.part)].mean(axis=0)) for c in found}
    assert {RED, GREEN} <= blocks


def test_views_are_asked_from_different_sides(session, answered):
    segmentation = session.segmentation()
    found = find_candidates(segmentation, answered.results[0])
    asked = select_views_to_ask(segmentation, session.views, found, count=5)
    assert len(set(asked)) == len(asked) == 5
    # Cameras stand in a circle: the longest gap between five well spread ones is below 150 degrees.
    gaps = np.diff([*sorted(asked), sorted(asked)[0] + 10])
    assert gaps.max() <= 4
    assert len(select_views_to_ask(segmentation, session.views, found, count=99)) <= 10
    assert select_views_to_ask(segmentation, session.views, (), count=5) == ()


def test_what_is_hidden_is_not_shown(session):
    """Each pixel shows the points of the block that it shows by ray casting, but for the edges."""
    parts = session.segmentation().parts
    for number in (0, 4):
        shown = map_points(parts, session.views[number], session.surfaces[number])
        ids = IDS[VIEWS[number].name]
        on_block = (shown >= 0) & (ids >= 0)
        near = np.array([block_near(point) for point in parts.points[shown[on_block]]])
        assert (near == ids[on_block]).mean() > 0.95


def a_frame(height: int, width: int) -> tuple[Frame, View]:
    """A frame with a lens that bends, and a view of it at another size."""
    camera = Camera(1.1 * width, 1.1 * width, 0.5 * width, 0.5 * height, height, width)
    lens = Lens("opencv", (-0.12, 0.03, 0.0, 0.0))
    frame = Frame("a.png", Path("a.png"), None, None, camera, lens, np.eye(4))
    half = Camera(camera.fx / 2, camera.fy / 2, camera.cx / 2, camera.cy / 2, height // 2, width // 2)
    return frame, View("a.png", half, np.eye(4), np.zeros((height // 2, width // 2, 3), np.uint8))


@pytest.mark.parametrize("seed", range(5))
def test_a_mark_lies_on_its_region_whatever_the_lens(seed: int):
    rng = np.random.default_rng(seed)
    frame, view = a_frame(240, 320)
    rows, columns = np.mgrid[:120, :160] + 0.5
    middle, radius = rng.uniform([50, 40], [110, 80]), rng.uniform(6, 25)
    away = np.hypot(columns - middle[0], rows - middle[1])
    ring = (away < radius) & (away > 0.5 * radius)
    look = crop_image(np.zeros((240, 320, 3), np.uint8), Window(0, 0, 320, 240), side=640)
    made = make_mark(frame, view, look, "1", ring)
    pixels = look.from_disk(to_disk_pixels(frame, view, ring))
    assert np.linalg.norm(pixels - made.place, axis=1).min() < 1e-6
    assert made.clearance == pytest.approx(4 * 0.25 * radius, rel=0.35, abs=4)
    # The outlines, outer and inner, go through border pixels: four shown pixels are one of the view.
    line = np.concatenate(made.outlines)
    assert max(np.linalg.norm(pixels - corner, axis=1).min() for corner in line) < 6


# ── drawing ────────────────────────────────────────────────────────────────────────────────────
sizes = st.floats(1.0, 500.0)


@given(sizes, sizes, st.floats(-50, 50), st.floats(-50, 50), st.integers(1, 26))
def test_cells_cover_their_rectangle(width, height, left, top, along):
    low = np.array([left, top])
    cells = Cells.over(low, low + np.array([width, height]), along=along)
    assert len(set(cells.labels)) == len(cells.labels) == cells.columns * cells.rows == len(cells.centers)
    assert max(cells.columns, cells.rows) == along
    wide, high = width / cells.columns, height / cells.rows
    for label, middle in zip(cells.labels, cells.centers, strict=True):
        column, row = ord(label[0]) - ord("A"), int(label[1:]) - 1
        np.testing.assert_allclose(middle, low + np.array([(column + 0.5) * wide, (row + 0.5) * high]))
    # Nearly square, where there are two cells or more on the shorter side.
    if min(cells.columns, cells.rows) > 1:
        assert 0.5 < wide / high < 2


@pytest.mark.parametrize(
    ("extent", "along"), [((0.0, 5.0), 4), ((5.0, -1.0), 4), ((5.0, 5.0), 0), ((5.0, 5.0), 27)]
)
def test_there_are_no_grids_without_cells(extent, along):
    with pytest.raises(ValueError, match="no grid"):
        Cells.over(np.zeros(2), np.array(extent), along=along)


def test_an_outline_goes_round_what_it_outlines():
    mask = np.zeros((60, 80), bool)
    mask[10:50, 20:70] = True
    (line,) = outline(mask)
    np.testing.assert_array_equal(line[0], line[-1])
    assert line.min(axis=0) == pytest.approx([20, 10], abs=0.6)
    assert line.max(axis=0) == pytest.approx([70, 50], abs=0.6)
    mask[20:40, 30:60] = False
    assert len(outline(mask)) == 2
    assert len(outline(np.ones((5, 5), bool))) == 1
    assert outline(np.zeros((5, 5), bool)) == ()


def a_mark(label: str, x: float, y: float, radius: float) -> Mark:
    turn = np.linspace(0, 2 * np.pi, 40)
    circle = np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1)
    return Mark(label, np.array([x, y]), radius, (circle,))


@given(st.lists(st.tuples(st.floats(0, 640), st.floats(0, 480), st.floats(2, 60)), min_size=1, max_size=8))
def test_tags_stay_inside(circles):
    image = np.zeros((480, 640, 3), np.uint8)
    marks = [a_mark(str(n + 1), *circle) for n, circle in enumerate(circles)]
    tags = np.stack(tag_places(image, marks))
    assert len(tags) == len(marks)
    assert (tags >= 10).all()
    assert (tags <= [630, 470]).all()


@pytest.mark.parametrize("radius", [4.0, 40.0])
def test_tags_keep_apart_and_off_what_is_small(radius):
    image = np.zeros((480, 640, 3), np.uint8)
    marks = [a_mark(str(n + 1), 120.0 + 100 * (n % 4), 150.0 + 100 * (n // 4), radius) for n in range(8)]
    tags = np.stack(tag_places(image, marks))
    apart = np.linalg.norm(tags[:, None] - tags, axis=2) + 1e9 * np.eye(8)
    assert apart.min() > 25
    away = np.array([np.linalg.norm(tag - one.place) for tag, one in zip(tags, marks, strict=True)])
    assert (away == 0).all() if radius == 40.0 else (away > radius + 10).all()


def test_drawing_leaves_the_image_and_what_is_far_away():
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    before = image.copy()
    drawn = draw_marks(image, [a_mark("1", 80.0, 80.0, 30.0)])
    np.testing.assert_array_equal(image, before)
    assert (drawn[80, 80] != before[80, 80]).any()
    np.testing.assert_array_equal(drawn[150:], before[150:])
    cells = Cells.over(np.array([40.0, 40.0]), np.array([200.0, 160.0]), along=4)
    drawn = draw_cells(image, cells)
    np.testing.assert_array_equal(drawn[200:], before[200:])
    # The middles of cells stay as they are: that is where one has to look.
    for column, row in cells.centers.astype(int):
        np.testing.assert_array_equal(drawn[row, column], before[row, column])
    # Every line is there.
    assert (drawn[40, 60:190] != before[40, 60:190]).any(axis=1).mean() > 0.9


def test_different_numbers_look_different():
    image = np.full((240, 320, 3), 128, np.uint8)
    pictures = [draw_marks(image, [a_mark(str(n), 160.0, 120.0, 50.0)]).tobytes() for n in range(1, 9)]
    assert len(set(pictures)) == 8
