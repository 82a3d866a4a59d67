"""Interactive sessions: answers are kept, what depends on them is computed again, and nothing else is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import synthetic
import torch
from hypothesis import given
from hypothesis import strategies as st
from quick_hands import QUICK as QUICK_HANDS
from small_run import RED
from test_pointing import Scripted, middle

from point2act.core.errors import GripperError, ModelError, Point2ActError, PointsError
from point2act.core.geometry import project
from point2act.core.types import (
    Answer,
    GaussianScene,
    NoAnswer,
    Plan,
    PointSet,
    Query,
    QueryResult,
    Step,
    Target,
)
from point2act.data.capture import disk_to_view, load_views, read_capture
from point2act.data.points import PERSON, effective_answers, pointed_by_person, read_points
from point2act.grasping.antipodal.contact_pairs import PairConfig
from point2act.grasping.antipodal.plan import GraspConfig
from point2act.grasping.tsdf import SurfaceConfig
from point2act.pipeline.finished_run import open_run
from point2act.pipeline.interactive import InteractiveSession
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.question_rounds import AdaptiveConfig
from point2act.pipeline.session import Session
from point2act.pipeline.session_result import SessionResult
from point2act.vlm.pointing.ask import Questions
from point2act.vlm.pointing.point import PointerReply

GREEN = np.array([*synthetic.TABLETOP[1].center[:2], 0.06])
BLUE = np.array([*synthetic.TABLETOP[2].center[:2], 0.04])
# Few grasps: enough to distinguish plans, and quicker.
FEW = AnswerConfig(
    grasp=GraspConfig(pairs=PairConfig(max_pairs=24), shortlist=8, max_grasps=5, sufficient_grasps=1),
    surface=SurfaceConfig(half_size=0.07),
)


@pytest.fixture(scope="module")
def capture(small_run):
    return small_run.capture


@pytest.fixture(scope="module")
def session(small_run):
    return open_run(small_run.output)


@pytest.fixture(scope="module")
def points(session, capture):
    """Ten views see the red box, and none the unicorn."""
    return read_points(capture / "points.json", session.capture)


@pytest.fixture(scope="module")
def full(session, points) -> SessionResult:
    """Everything at once."""
    return session.ask(points, config=FEW)


@pytest.fixture
def interactive(session, points, tmp_path):
    return InteractiveSession(session, points, keep=tmp_path / "kept" / "points.json", config=FEW)


def pixel(session: Session, number: int, place: np.ndarray) -> np.ndarray:
    """Where a view sees a place, on disk."""
    view = session.views[number]
    return project(view.camera, view.T_world_cam, place[None])[0][0]


def click(interactive: InteractiveSession, query: str, place: np.ndarray, number: int = 3) -> None:
    interactive.point(query, interactive.images[number], pixel(interactive.session, number, place))


def ray_to(session: Session, place: np.ndarray, number: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Origin and direction of the ray from a camera to a place."""
    eye = session.views[number].T_world_cam[:3, 3]
    return eye, place - eye


def kept(interactive: InteractiveSession) -> PointSet:
    return read_points(interactive.keep, interactive.session.capture)


def same_points(one: PointSet, other: PointSet) -> bool:
    """Whether two sets say the same, in the same order."""
    fields = ("image", "query", "visible", "model", "raw", "seconds")
    return (
        [vars(query) for query in one.queries] == [vars(query) for query in other.queries]
        and len(one.answers) == len(other.answers)
        and all(
            [getattr(a, name) for name in fields] == [getattr(b, name) for name in fields]
            and np.array_equal(a.points, b.points)
            for a, b in zip(one.answers, other.answers, strict=True)
        )
    )


def assert_same(one: QueryResult, other: QueryResult) -> None:
    """Two results are equal to the last bit."""
    assert (one.query.name, one.reason, one.detail) == (other.query.name, other.reason, other.detail)
    assert (one.region is None) == (other.region is None)
    for a, b in zip([one.region, *one.alternatives], [other.region, *other.alternatives], strict=True):
        if a is not None and b is not None:
            np.testing.assert_array_equal(a.action_point, b.action_point)
            assert (a.confidence, vars(a.support)) == (b.confidence, vars(b.support))
    assert len(one.grasps) == len(other.grasps)
    for a, b in zip(one.grasps, other.grasps, strict=True):
        np.testing.assert_array_equal(a.T_world_gripper, b.T_world_gripper)
        assert (a.width, a.score) == (b.width, b.score)


def action_point(interactive: InteractiveSession, query: str) -> np.ndarray:
    result = interactive.state.result(query)
    assert result is not None
    assert result.region is not None
    return result.region.action_point


def act_all(interactive: InteractiveSession) -> None:
    for name in interactive.unplanned():
        interactive.plan(name)


# ── the same as asking all at once ─────────────────────────────────────────────────────────────
def test_nothing_is_worked_out_or_written_before_it_is_wanted(interactive, points):
    assert interactive.unplanned() == ()
    assert interactive.answered is None
    assert interactive.state.result("red") is None
    assert not interactive.keep.exists()
    assert interactive.images == tuple(view.name for view in interactive.session.views)
    assert interactive.state.query("red") is points.queries[0]


def test_in_two_halves_and_one_by_one_it_is_what_the_session_answers(interactive, full):
    for name in ("unicorn", "red"):
        interactive.localize(name)
    assert interactive.unplanned() == ("red", "unicorn")
    assert interactive.answered is None
    act_all(interactive)
    assert interactive.unplanned() == ()
    answered = interactive.answered
    assert answered is not None
    np.testing.assert_array_equal(answered.relevancy.values, full.relevancy.values)
    assert answered.gripper.name == full.gripper.name
    for one, other in zip(answered.results, full.results, strict=True):
        assert_same(one, other)
    for ours, theirs in zip(answered.pixels, full.pixels, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_place_is_known_before_its_grasps(interactive, full):
    interactive.localize()
    red, unicorn = interactive.state.result("red"), interactive.state.result("unicorn")
    np.testing.assert_array_equal(red.region.action_point, full.results[0].region.action_point)
    assert red.grasps == ()
    assert red.reason is None
    assert (unicorn.region, unicorn.reason, unicorn.detail) == (None, "no_points", full.results[1].detail)


def test_only_what_is_acted_on_is_answered(interactive):
    interactive.localize()
    interactive.plan("unicorn")
    assert interactive.answered is not None
    assert [query.name for query in interactive.answered.relevancy.queries] == ["unicorn"]
    assert interactive.unplanned() == ("red",)


def test_what_was_known_at_a_moment_stays_as_it_was(interactive):
    interactive.localize("red")
    before = interactive.state
    click(interactive, "red", GREEN)
    interactive.localize("red")
    assert np.linalg.norm(before.localized["red"].region.action_point - RED) < 0.02
    assert np.linalg.norm(action_point(interactive, "red") - GREEN) < 0.02
    assert not pointed_by_person(before.points.answers)


def test_to_locate_nothing_or_a_stranger_changes_nothing(interactive, session, tmp_path):
    before = interactive.state
    interactive.localize("stranger")
    assert interactive.state is before
    empty = InteractiveSession(session, PointSet((), ()), keep=tmp_path / "none.json")
    empty.localize()
    assert empty.state.localized == {}


# ── a person points ────────────────────────────────────────────────────────────────────────────
def test_a_persons_word_is_kept_and_stands_alone(interactive, points):
    click(interactive, "red", GREEN)
    assert same_points(kept(interactive), interactive.state.points)
    assert len(interactive.state.points.answers) == len(points.answers) + 1
    answers = [answer for answer in effective_answers(kept(interactive).answers) if answer.query == "red"]
    assert [(a.image, a.model) for a in answers] == [(interactive.images[3], PERSON)]
    np.testing.assert_allclose(answers[0].points[0], pixel(interactive.session, 3, GREEN))
    counted = [interactive.state.counted("red", image) for image in interactive.images]
    assert counted == [number == 3 for number in range(10)]
    assert all(interactive.state.counted("unicorn", image) for image in interactive.images)
    assert [a.model for a in interactive.state.answers("red", interactive.images[3])] == ["", PERSON]


def test_a_person_points_once_in_an_image(interactive, points):
    click(interactive, "red", GREEN)
    click(interactive, "red", GREEN, number=4)
    click(interactive, "red", BLUE)
    own = [answer for answer in interactive.state.points.answers if answer.model == PERSON]
    assert [answer.image for answer in own] == [interactive.images[4], interactive.images[3]]
    np.testing.assert_allclose(own[1].points[0], pixel(interactive.session, 3, BLUE))


def test_a_person_may_see_nothing(interactive):
    interactive.point("red", interactive.images[3], None)
    (answer,) = (answer for answer in kept(interactive).answers if answer.model == PERSON)
    assert (answer.visible, len(answer.points)) == (False, 0)
    assert pointed_by_person(interactive.state.points.answers) == set()


def test_a_retracted_answer_leaves_no_trace(interactive, points):
    interactive.localize("red")
    before = interactive.state.result("red")
    click(interactive, "red", GREEN)
    interactive.localize("red")
    assert np.linalg.norm(action_point(interactive, "red") - GREEN) < 0.02
    assert not interactive.retract("red", interactive.images[4])
    assert not interactive.retract("unicorn", interactive.images[3])
    assert interactive.retract("red", interactive.images[3])
    assert interactive.state.points.answers == points.answers
    assert same_points(kept(interactive), points)
    interactive.localize("red")
    assert_same(interactive.state.result("red"), before)


def test_where_there_is_nothing_to_take_back_nothing_is_written(interactive, points):
    assert not interactive.retract("red", interactive.images[0])
    assert interactive.state.points is points
    assert not interactive.keep.exists()


def test_a_click_leaves_other_queries_alone(interactive):
    interactive.localize()
    interactive.plan("unicorn")
    unicorn = interactive.state.results["unicorn"]
    click(interactive, "red", GREEN)
    interactive.localize("red")
    assert interactive.state.results["unicorn"] is unicorn
    assert interactive.unplanned() == ("red",)


# ── something new ──────────────────────────────────────────────────────────────────────────────
def test_new_queries_get_names_of_their_own(interactive):
    found = [
        interactive.add(text, "grasp") for text in ("The red box", "the red box", " a red: box ", "赤い箱")
    ]
    assert [query.name for query in found] == ["red_box", "red_box_2", "red_box_3", "赤い箱"]
    assert found[2].text == "a red: box"
    assert interactive.add("red", "place").name == "red_2"
    assert same_points(kept(interactive), interactive.state.points)
    assert kept(interactive).queries[-1].role == "place"


@pytest.mark.parametrize("text", ["", "  \n"])
def test_nothing_in_words_is_nothing_to_look_for(interactive, text):
    before = interactive.state
    with pytest.raises(PointsError, match="empty"):
        interactive.add(text, "grasp")
    assert interactive.state is before


def test_something_new_is_nowhere_until_a_person_points(interactive):
    green = interactive.add("the green box", "grasp").name
    interactive.localize(green)
    assert interactive.state.result(green).reason == "no_points"
    click(interactive, green, GREEN)
    interactive.localize(green)
    interactive.plan(green)
    assert np.linalg.norm(action_point(interactive, green) - GREEN) < 0.02
    assert interactive.state.results[green].grasps


# ── what is to be avoided ──────────────────────────────────────────────────────────────────────
def test_hands_keep_away_from_where_something_to_avoid_is_now(interactive, full):
    place = interactive.add("somewhere free", "place").name
    hot = interactive.add("the hot box", "avoid").name
    click(interactive, hot, GREEN)
    interactive.localize()
    act_all(interactive)
    free, first = interactive.state.results[place], interactive.state.results["red"]
    assert None not in [grasp.avoid_clearance for grasp in first.grasps]
    assert {grasp.avoid_clearance for grasp in full.results[0].grasps} == {None}

    click(interactive, hot, BLUE)
    interactive.localize(hot)
    # Grasps were planned without it; a place to put something down stays.
    assert interactive.state.results[place] is free
    assert interactive.unplanned() == ("red", "unicorn", hot)
    act_all(interactive)
    second = interactive.state.results["red"]
    assert [g.avoid_clearance for g in first.grasps] != [g.avoid_clearance for g in second.grasps]
    # It is what the session says to everything at once.
    now = interactive.session.ask(kept(interactive), config=FEW)
    for query, other in zip(interactive.state.points.queries, now.results, strict=True):
        assert_same(interactive.state.results[query.name], other)

    assert interactive.retract(hot, interactive.images[3])
    interactive.localize(hot)
    assert interactive.unplanned() == ("red", "unicorn", hot)


# ── grippers ───────────────────────────────────────────────────────────────────────────────────
def test_another_gripper_plans_again_at_the_same_place(interactive, session, points, full):
    interactive.localize()
    interactive.plan("unicorn")
    localized, first = interactive.state.localized, full.results[0]
    interactive.set_gripper("robotiq_2f85")
    assert interactive.state.localized is localized
    assert interactive.state.gripper.name == interactive.config.gripper == "robotiq_2f85"
    assert interactive.answered is None
    act_all(interactive)
    second = interactive.state.results["red"]
    assert_same(second, session.ask(points, config=interactive.config).results[0])
    assert not np.array_equal(first.grasps[0].T_world_gripper, second.grasps[0].T_world_gripper)
    assert interactive.answered is not None
    assert interactive.answered.gripper.name == interactive.answered.config.gripper == "robotiq_2f85"


def test_a_gripper_that_there_is_not_changes_nothing(interactive):
    interactive.localize()
    interactive.plan("unicorn")
    before, config = interactive.state, interactive.config
    with pytest.raises(GripperError, match="tentacle"):
        interactive.set_gripper("tentacle")
    assert interactive.state is before
    assert interactive.config is config


@pytest.fixture
def handy(session, points, tmp_path):
    """A session beside an arm, whose hands are planned for in seconds."""
    capture = dataclasses.replace(session.capture, T_base_world=np.eye(4))
    config = dataclasses.replace(FEW, arm="panda", hands=QUICK_HANDS)
    beside = dataclasses.replace(session, capture=capture)
    return InteractiveSession(beside, points, keep=tmp_path / "points.json", config=config)


def test_a_hand_is_planned_for_and_the_arm_is_left_out(handy):
    handy.localize("red")
    handy.set_gripper("allegro")
    assert (handy.config.hand, handy.config.end_effector, handy.state.gripper.name) == ("allegro",) * 3
    assert handy.robot is None
    steps = []
    handy.plan("red", lambda done, total: steps.append(done / total))
    result = handy.state.results["red"]
    assert result.reason is None, result.detail
    assert all(grasp.joints is not None and grasp.joint_path is None for grasp in result.grasps)
    assert steps == sorted(steps)
    executed = sum("lifted_in_physics" in grasp.terms for grasp in result.grasps)
    assert executed > 0
    assert (len(steps), steps[-1]) == (QUICK_HANDS.optimization.iterations + executed + 1, 1.0)
    assert (handy.answered.config.hand, handy.answered.config.arm) == ("allegro", None)
    handy.set_gripper("panda")
    assert (handy.config.hand, handy.config.end_effector, handy.config.arm) == (None, "panda", "panda")
    assert handy.answered is None


def test_planning_that_is_ended_changes_nothing(handy):
    class EndedError(Exception):
        pass

    def end(done, total):
        raise EndedError

    handy.localize("red")
    handy.set_gripper("leap")
    before = handy.state
    with pytest.raises(EndedError):
        handy.plan("red", end)
    assert handy.state is before


def test_a_session_starts_with_the_hand_that_is_configured(session, points, tmp_path):
    config = AnswerConfig(hand="leap")
    interactive = InteractiveSession(session, points, keep=tmp_path / "points.json", config=config)
    assert interactive.state.gripper.name == interactive.config.end_effector == "leap"
    assert interactive.config.approach == config.hands.checks.approach.length


# ── a file that cannot be written ──────────────────────────────────────────────────────────────
def a_folder(path: Path) -> Path:
    path.mkdir()
    return path


def in_a_file(path: Path) -> Path:
    path.write_text("")
    return path / "points.json"


@pytest.mark.parametrize("spoil", [a_folder, in_a_file])
def test_what_cannot_be_kept_is_not_known_either(session, points, tmp_path, spoil):
    answer = Answer(session.views[0].name, "red", np.array([[3.0, 4.0]]), model=PERSON)
    points = dataclasses.replace(points, answers=(*points.answers, answer))
    keep = spoil(tmp_path / "points.json")
    interactive = InteractiveSession(session, points, keep=keep, make_questions=scripted(middle))
    before = interactive.state
    for does in (
        lambda: click(interactive, "red", GREEN),
        lambda: interactive.point("red", interactive.images[0], None),
        lambda: interactive.retract("red", interactive.images[0]),
        lambda: interactive.add("the green box", "grasp"),
        lambda: interactive.ask(points.queries[0]),
    ):
        with pytest.raises(Point2ActError, match=r"points\.json.* cannot be written"):
            does()
        assert interactive.state is before


@pytest.mark.parametrize("at", [(np.nan, 3.0), (np.inf, 3.0)])
def test_a_pixel_that_is_none_is_refused(interactive, at):
    before = interactive.state
    with pytest.raises(PointsError, match="finite"):
        interactive.point("red", interactive.images[0], np.array(at))
    assert interactive.state is before


def test_what_is_not_asked_has_no_answers(interactive):
    before = interactive.state
    with pytest.raises(PointsError, match="stranger"):
        click(interactive, "stranger", GREEN)
    assert interactive.state is before


# ── a model is asked ───────────────────────────────────────────────────────────────────────────
def scripted(point):
    """A factory of questions for the viewer."""
    return lambda queries: Questions(tuple(queries), Scripted(point, delay=0.02), 1280)


def at_green(session: Session):
    numbers = {view.name: number for number, view in enumerate(session.views)}
    return lambda query, image, crop: PointerReply(
        crop.from_disk(pixel(session, numbers[image], GREEN)[None])
    )


@pytest.fixture
def asked(session, points, tmp_path):
    keep = tmp_path / "points.json"
    return InteractiveSession(
        session, points, keep=keep, config=FEW, make_questions=scripted(at_green(session))
    )


def test_a_models_answers_replace_those_of_models_and_of_no_person(asked, points):
    click(asked, "red", RED)
    click(asked, "unicorn", RED)
    steps = []
    assert asked.ask(points.queries[0], lambda done, total: steps.append((done, total))) == []
    now = asked.state.points
    assert same_points(kept(asked), now)
    by_model = [a for a in now.answers if a.query == "red" and a.model != PERSON]
    assert [answer.image for answer in by_model] == list(asked.images)
    for number, answer in enumerate(by_model):
        np.testing.assert_allclose(answer.points[0], pixel(asked.session, number, GREEN), atol=1e-6)
    assert [a.query for a in now.answers if a.model == PERSON] == ["red", "unicorn"]
    others = [a for a in now.answers if a.query == "unicorn" and a.model != PERSON]
    assert others == [a for a in points.answers if a.query == "unicorn"]
    assert all(0 <= done <= total == 10 for done, total in steps)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_a_model_finds_something_new(asked):
    green = asked.add("the green box", "grasp")
    asked.ask(green)
    asked.localize(green.name)
    assert np.linalg.norm(action_point(asked, green.name) - GREEN) < 0.02


def test_images_without_an_answer_are_named(asked, session, points):
    def point(query, image, crop):
        if image in asked.images[2:4]:
            raise ModelError("the server is on fire: put it out")
        return middle(query, image, crop)

    asked.make_questions = scripted(point)
    (sentence,) = asked.ask(points.queries[0])
    assert "on fire" in sentence
    assert all(image in sentence for image in asked.images[2:4])
    answers = [a.image for a in asked.state.points.answers if a.query == "red"]
    assert answers == [*asked.images[:2], *asked.images[4:]]


def test_the_page_asks_adaptively_and_keeps_what_it_asked(session, points, tmp_path):
    """Few images are asked about, and a person's answers to the query stay."""
    query = points.queries[0]

    def point(query, image, crop):
        view = next(view for view in session.views if view.name == image)
        return PointerReply(crop.from_disk(project(view.camera, view.T_world_cam, RED[None])[0]))

    interactive = InteractiveSession(
        session,
        PointSet(points.queries, ()),
        keep=tmp_path / "points.json",
        config=FEW,
        make_questions=scripted(point),
        adaptive=AdaptiveConfig(),
    )
    interactive.point("unicorn", interactive.images[0], None)
    assert interactive.ask(query) == []
    answers = [answer for answer in interactive.state.points.answers if answer.query == query.name]
    assert 5 <= len(answers) < len(interactive.images)
    assert len(interactive.state.points.answers) == len(answers) + 1
    interactive.localize(query.name)
    region = interactive.state.localized[query.name].region
    assert not isinstance(region, NoAnswer)
    assert np.linalg.norm(region.action_point - RED) < 0.03
    # Asked again, its own answers are replaced.
    interactive.ask(query)
    assert len(interactive.state.points.answers) == len(answers) + 1


def test_without_an_answer_everything_stays(asked, points):
    def point(query, image, crop):
        raise ModelError("no server listens: start the server")

    asked.make_questions = scripted(point)
    before = asked.state
    with pytest.raises(ModelError, match="no server listens"):
        asked.ask(points.queries[0])
    assert asked.state is before
    assert not asked.keep.exists()


def test_without_a_model_nothing_can_be_asked(interactive, points):
    with pytest.raises(Point2ActError, match="--model"):
        interactive.ask(points.queries[0])


# ── plans ──────────────────────────────────────────────────────────────────────────────────────
def test_a_plan_is_reported_once_all_that_it_needs_is_there(session, points, tmp_path):
    targets = tuple(Target(query, query.text, None, "because") for query in points.queries)
    plan = Plan("tidy up", (Step("take it", targets),), "makers/m")
    planned = dataclasses.replace(points, plan=plan)
    interactive = InteractiveSession(session, planned, keep=tmp_path / "points.json", config=FEW)
    interactive.localize()
    interactive.plan("unicorn")
    assert interactive.answered is not None
    assert interactive.answered.plan is None
    interactive.plan("red")
    assert interactive.answered.plan is plan
    # What is answered later is no part of it, and does not lose it.
    interactive.add("the green box", "grasp")
    kept_plan = kept(interactive).plan
    assert kept_plan is not None
    assert kept_plan.instruction == "tidy up"
    assert interactive.answered.plan is plan


# ── photographs ────────────────────────────────────────────────────────────────────────────────
def test_a_photo_shows_the_answers_in_their_places(interactive):
    image = interactive.images[3]
    bare = interactive.photo(None, image)
    assert (bare.pixels, bare.heat) == (None, None)
    assert bare.view.rgb.shape == (96, 128, 3)
    np.testing.assert_array_equal(bare.view.T_world_cam, interactive.session.views[3].T_world_cam)
    nothing = interactive.photo("unicorn", image)
    assert nothing.pixels.shape == (0, 2)
    assert nothing.heat.max() == 0
    click(interactive, "unicorn", GREEN)
    photo = interactive.photo("unicorn", image)
    np.testing.assert_allclose(photo.pixels, [pixel(interactive.session, 3, GREEN)])
    assert photo.heat.shape == (96, 128)
    row, column = np.unravel_index(photo.heat.argmax(), photo.heat.shape)
    assert np.abs(np.array([column, row]) + 0.5 - photo.pixels[0]).max() <= 0.5
    new = interactive.add("the green box", "grasp").name
    assert (interactive.photo(new, image).pixels, interactive.photo(new, image).heat) == (None, None)


def test_photographs_looked_at_lately_are_not_read_again(interactive):
    images = interactive.images
    first = [interactive.photo("red", image).view for image in images[:8]]
    assert interactive.photo(None, images[0]).view is first[0]
    interactive.photo("red", images[8])
    assert interactive.photo("red", images[0]).view is first[0]
    assert interactive.photo("red", images[2]).view is first[2]
    assert interactive.photo("red", images[1]).view is not first[1]


LENSES = {
    "none": {},
    "barrel": {"k1": -0.12, "k2": 0.03, "p1": 0.001, "p2": -0.002},
    "pincushion": {"k1": 0.15, "k2": 0.02},
}


@pytest.fixture(scope="module", params=LENSES)
def distorted(request, tmp_path_factory):
    """A interactive about images that are large and come through a lens; its scene is a single Gaussian."""
    folder = tmp_path_factory.mktemp("lens")
    synthetic.write_capture_files(folder, synthetic.views(2, height=200, width=1400))
    document = json.loads((folder / "transforms.json").read_text())
    (folder / "transforms.json").write_text(json.dumps(document | LENSES[request.param]))
    capture = read_capture(folder)
    scene = GaussianScene(
        np.zeros((1, 3)),
        np.array([[1.0, 0.0, 0.0, 0.0]]),
        np.full((1, 3), 0.01),
        np.full(1, 0.9),
        np.zeros((1, 1, 3)),
    )
    session = Session(capture, load_views(capture, max_side=160), scene, True, torch.device("cpu"))
    return InteractiveSession(session, PointSet((Query("red", "red"),), ()), keep=folder / "points.json")


shares = st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)).map(np.array)


@given(share=shares)
def test_a_click_on_a_photograph_is_a_pixel_on_disk_and_back(distorted, share):
    image = distorted.images[0]
    frame = distorted.session.capture.frames[0]
    view = distorted.photo(None, image).view
    assert max(view.rgb.shape) == 1280
    at = share * [view.camera.width, view.camera.height]
    disk = distorted.on_disk(image, view, at)
    size = np.array([frame.camera.width, frame.camera.height])
    assert (disk >= 0).all()
    assert (disk < size).all()
    if (disk > 0).all() and (disk < size - 2e-3).all():
        np.testing.assert_allclose(disk_to_view(frame, view, disk[None])[0], at, atol=1e-3)


def test_a_click_beside_a_photograph_is_still_inside_the_image(distorted):
    image = distorted.images[0]
    view = distorted.photo(None, image).view
    distorted.point("red", image, distorted.on_disk(image, view, np.array([-1e4, 1e5])))
    (answer,) = read_points(distorted.keep, distorted.session.capture).answers
    np.testing.assert_array_equal(answer.points, distorted.state.points.answers[0].points)


def test_clicks_that_were_kept_show_where_they_were_made(distorted):
    image = distorted.images[1]
    at = np.array([700.25, 110.75])
    view = distorted.photo(None, image).view
    distorted.point("red", image, distorted.on_disk(image, view, at))
    np.testing.assert_allclose(distorted.photo("red", image).pixels, at[None], atol=1e-3)


# ── clicks in the scene, and undoing ───────────────────────────────────────────────────────────
def test_a_click_in_the_scene_is_an_answer_in_every_image_that_sees_it(interactive, session):
    interactive.add("the green box", "grasp")
    interactive.localize()
    count = interactive.point_in_scene("green_box", *ray_to(session, GREEN))
    own = [answer for answer in kept(interactive).answers if answer.query == "green_box"]
    assert len(own) == count > 3
    assert {answer.model for answer in own} == {PERSON}
    for answer in own:
        view = next(view for view in session.views if view.name == answer.image)
        exact = project(view.camera, view.T_world_cam, GREEN[None])[0][0]
        assert np.linalg.norm(answer.points[0] - exact) < 6, "the top of the box is where it was clicked"
    interactive.localize("green_box")
    assert np.linalg.norm(action_point(interactive, "green_box") - GREEN) < 0.04


def test_clicks_beside_everything_change_nothing(interactive, session):
    interactive.localize()
    before = interactive.state
    eye, way = ray_to(session, GREEN)
    with pytest.raises(Point2ActError, match="nothing under this click"):
        interactive.point_in_scene("red", eye, -way)
    assert interactive.state is before
    assert not interactive.keep.exists()


def test_undoing_goes_back_step_by_step(interactive, session, points):
    assert not interactive.undo(), "nothing was done"
    click(interactive, "red", GREEN)
    once = interactive.state.points
    interactive.point_in_scene("red", *ray_to(session, BLUE))
    assert interactive.undo()
    assert same_points(kept(interactive), once)
    assert interactive.undo()
    assert same_points(kept(interactive), points)
    assert not interactive.undo()


def test_undoing_keeps_queries_that_were_added_since(interactive):
    click(interactive, "red", GREEN)
    query = interactive.add("the green box", "grasp")
    assert interactive.undo()
    assert query in interactive.state.points.queries
    assert all(answer.model != PERSON for answer in interactive.state.points.answers)
