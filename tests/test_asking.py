"""What fresh answers say: queries confirmed or refuted by a majority, and lost things found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("mink", reason="control needs mink: pip install point2act[act]")
pytest.importorskip("ruckig")

from point2act.acting.constraints.region_features import RegionFeatures
from point2act.acting.execution.asking import AskConfig, Inquiry, answers_of
from point2act.acting.execution.control_loop import ControlLoop, LoopConfig
from point2act.acting.execution.perception import BesideControl, Motions, Observation
from point2act.acting.execution.preparation import PreparedTask
from point2act.acting.execution.robot import RobotState
from point2act.acting.execution.scene_memory import SceneMemory, TaskScene
from point2act.acting.execution.timeline import NoObserver
from point2act.acting.tracking.thing import Thing
from point2act.core.errors import ModelError
from point2act.core.geometry import project, transform
from point2act.core.types import Camera, OrientedBox, Plan, Query, View
from point2act.grasping.grippers import load_gripper
from point2act.grasping.reachability.arm import Arm, load_arm
from point2act.vlm.pointing.point import FunctionPointer

CUP, TRAY = Query("cup", "the cup"), Query("tray", "the tray", "place")
PLACES = {"cup": np.array([0.5, 0.1, 0.0]), "tray": np.array([0.4, -0.2, 0.0])}
ELSEWHERE, FAR_AWAY = np.array([0.6, -0.05, 0.0]), np.array([0.35, 0.15, 0.0])
CAMERA = Camera(150.0, 150.0, 80.0, 60.0, 120, 160)
# A metre above the table, down on it.
T_BASE_CAM = transform(np.diag([1.0, -1.0, -1.0]), (0.45, 0.0, 1.0))
CONFIG = AskConfig(to_locate=1)
Pixels = dict[str, list[np.ndarray | None]]


@pytest.fixture(scope="module")
def arm() -> Arm:
    return load_arm("panda", load_gripper("panda"))


class StillRobot:
    """An arm far from what its camera shows; its clock stands still meanwhile."""

    period, real_time = 0.01, False

    def __init__(self, joints: np.ndarray):
        self._joints, self.time = joints, 0.0
        self.depth = np.ones((120, 160), np.float32)

    def state(self) -> RobotState:
        return RobotState(self.time, self._joints, 0.08, 0.0)

    def command(self, joints: np.ndarray, width: float) -> None:
        self._joints, self.time = joints, self.time + self.period

    def view(self) -> View:
        rgb = np.zeros((120, 160, 3), np.uint8)
        return View("camera", CAMERA, T_BASE_CAM, rgb, self.depth)

    def stop(self) -> None:
        pass


class Lost:
    """Does not find the cup until someone points at it."""

    def __init__(self, *, lost: bool):
        self.lost, self.pointed, self.restarted = lost, [], []

    def update(
        self, view: View, pointed: Mapping[str, np.ndarray], held: Motions
    ) -> Mapping[str, Observation]:
        self.pointed += list(pointed.items())
        self.lost = self.lost and not pointed
        return {"cup": Observation(self.lost, None if self.lost else np.eye(4))}

    def restart(self, view: View, name: str, thing: Thing | None) -> None:
        self.restarted.append((name, thing))


def features(center: np.ndarray, half: tuple[float, float, float] = (0.04, 0.04, 0.03)) -> RegionFeatures:
    box = OrientedBox(center, np.eye(3), np.array(half))
    return RegionFeatures({"center": center}, {"up": np.array([0.0, 0.0, 1.0])}, box)


def scene(places: Mapping[str, np.ndarray]) -> TaskScene:
    return TaskScene(
        {name: features(place) for name, place in places.items()}, {"cup": "cup", "tray": "tray"}, {}
    )


def loop_of(arm: Arm, watched: Lost, places: Mapping[str, np.ndarray] = PLACES) -> ControlLoop:
    beside = BesideControl(watched, period=0.2, latency=0.1, real_time=False)
    return ControlLoop(
        StillRobot(arm.home), arm, SceneMemory(scene(places)), beside, (), NoObserver(), LoopConfig()
    )


def pixel_of(place: np.ndarray) -> np.ndarray:
    return project(CAMERA, T_BASE_CAM, place[None])[0][0]


def answering(*places: np.ndarray | None) -> Callable[[Query, View], np.ndarray | None]:
    """Answer about the cup with places, one after the other; the tray is always confirmed."""
    left = list(places)

    def ask(query: Query, view: View) -> np.ndarray | None:
        place = PLACES["tray"] if query.name == "tray" else left.pop(0)
        return None if place is None else pixel_of(place)

    return ask


def nowhere(name: str, places: Sequence[np.ndarray]) -> PreparedTask | None:
    return None


def questions(loop: ControlLoop) -> list[str]:
    return [event.detail for event in loop.events if event.kind == "asked"]


@pytest.mark.parametrize(
    ("answers", "asked", "wrong"),
    [
        ([PLACES["cup"], PLACES["cup"]], 1, False),
        ([ELSEWHERE, ELSEWHERE], 1, True),
        ([ELSEWHERE, PLACES["cup"], PLACES["cup"]], 2, False),
        ([ELSEWHERE, PLACES["cup"], ELSEWHERE], 2, True),
        ([ELSEWHERE, FAR_AWAY, ELSEWHERE], 2, True),
        ([None, PLACES["cup"], PLACES["cup"]], 2, False),
        ([None] * CONFIG.most, CONFIG.most - 1, False),
        ([ELSEWHERE, *[None] * (CONFIG.most - 1)], CONFIG.most - 1, False),
    ],
)
def test_the_majority_of_fresh_answers_counts(
    arm: Arm, answers: list[np.ndarray | None], asked: int, wrong: bool
) -> None:
    loop = loop_of(arm, Lost(lost=False))
    inquiry = Inquiry(loop, answering(*answers), nowhere, CONFIG)
    inquiry.start((CUP, TRAY))
    refuted = inquiry.refuted()
    loop.close()
    assert refuted.keys() == ({"cup"} if wrong else set())
    assert questions(loop) == ["cup, tray", *["cup"] * (asked - 1)]
    assert loop.seconds == pytest.approx(asked * CONFIG.answer_seconds, abs=0.011 * asked)
    for place in refuted.get("cup", ()):
        np.testing.assert_allclose(place, ELSEWHERE, atol=1e-6)


def test_a_region_that_is_hidden_is_not_refuted(arm: Arm) -> None:
    """A model that does not see the handle of a drawer points at something else, and does so again."""
    loop = loop_of(arm, Lost(lost=False))
    robot = loop.robot
    assert isinstance(robot, StillRobot)
    column, row = pixel_of(PLACES["cup"]).astype(int)
    robot.depth[row - 12 : row + 13, column - 12 : column + 13] = 0.8
    inquiry = Inquiry(loop, answering(ELSEWHERE, ELSEWHERE), nowhere, CONFIG)
    inquiry.start((CUP, TRAY))
    assert not inquiry.refuted()
    assert questions(loop) == ["cup, tray"]
    loop.close()


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_answers_on_the_thing_confirm_it_wherever_it_has_moved(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arm = load_arm("panda", load_gripper("panda"))
    loop = loop_of(arm, Lost(lost=False))
    moved = transform(np.eye(3), np.append(rng.uniform(-0.02, 0.02, 2), 0.0))
    loop.memory.see({"cup": Observation(False, moved)}, np.eye(4))
    on_it = PLACES["cup"] + moved[:3, 3] + np.append(rng.uniform(-0.04, 0.04, 2), 0.0)
    inquiry = Inquiry(loop, answering(on_it, on_it), nowhere, CONFIG)
    inquiry.start((CUP,))
    assert not inquiry.refuted()
    loop.close()


@pytest.mark.parametrize(("at", "wrong"), [(ELSEWHERE, True), (PLACES["cup"] + (0.06, 0.0, 0.0), False)])
def test_another_region_on_the_same_thing_confirms_a_query_only_beside_it(
    arm: Arm, at: np.ndarray, wrong: bool
) -> None:
    """As a handle on its mug; a handle that was localized on something else is not confirmed by its mug."""
    parts = replace(scene({**PLACES, "handle": at}), things={"cup": "cup", "handle": "cup", "tray": "tray"})
    beside = BesideControl(Lost(lost=False), period=0.2, latency=0.1, real_time=False)
    loop = ControlLoop(StillRobot(arm.home), arm, SceneMemory(parts), beside, (), NoObserver(), LoopConfig())
    inquiry = Inquiry(loop, answering(PLACES["cup"], PLACES["cup"]), nowhere, CONFIG)
    inquiry.start((Query("handle", "the handle of the mug"),))
    assert bool(inquiry.refuted()) == wrong
    loop.close()


@pytest.mark.parametrize(
    ("width", "gap", "wrong"), [(0.02, 0.005, False), (0.02, 0.025, True), (0.08, 0.005, True)]
)
def test_an_answer_that_just_misses_a_thin_thing_is_on_what_stands_behind_it(
    arm: Arm, width: float, gap: float, wrong: bool
) -> None:
    """A wide thing is not missed by the scatter of answers."""
    above, half = PLACES["cup"] + np.array([0.0, 0.0, 0.4]), (width / 2, 0.04, width / 2)
    found = scene(PLACES)
    found = replace(found, features={**found.features, "cup": features(above, half)})
    beside = BesideControl(Lost(lost=False), period=0.2, latency=0.1, real_time=False)
    loop = ControlLoop(StillRobot(arm.home), arm, SceneMemory(found), beside, (), NoObserver(), LoopConfig())
    missed = above + np.array([width / 2 + gap, 0.0, 0.0])
    inquiry = Inquiry(loop, answering(missed, missed), nowhere, CONFIG)
    inquiry.start((CUP, TRAY))
    assert ("cup" in inquiry.refuted()) == wrong
    loop.close()


def test_answers_come_while_the_arm_moves(arm: Arm) -> None:
    """Then nothing is waited for."""
    loop = loop_of(arm, Lost(lost=False))
    inquiry = Inquiry(loop, answering(None, PLACES["cup"], PLACES["cup"]), nowhere, CONFIG)
    inquiry.start((CUP,))
    while loop.seconds < 2.1 * CONFIG.answer_seconds:
        loop.sense()
        inquiry.tend()
        loop.wait()
    before = loop.seconds
    assert not inquiry.refuted()
    loop.close()
    assert loop.seconds == before
    assert len(questions(loop)) == 2


def test_without_a_model_nothing_is_asked(arm: Arm) -> None:
    loop = loop_of(arm, Lost(lost=True))
    inquiry = Inquiry(loop, None, nowhere, CONFIG)
    inquiry.start((CUP, TRAY))
    inquiry.needed = frozenset(("cup",))
    inquiry.ask_again(("cup",))
    assert not inquiry.refuted()
    for _ in range(300):
        loop.sense()
        inquiry.tend()
        loop.wait()
    loop.close()
    assert not questions(loop)


def test_what_is_refuted_is_located_anew_and_followed_there(arm: Arm) -> None:
    watched = Lost(lost=False)
    loop, found = loop_of(arm, watched), scene({**PLACES, "cup": ELSEWHERE})
    config = AskConfig(to_locate=2)
    given: list[np.ndarray] = []

    def locate(name: str, places: Sequence[np.ndarray]) -> PreparedTask | None:
        assert name == "cup"
        given.extend(places)
        # No image shows its surface: it is not followed, and taken to stay there.
        return PreparedTask(Plan("", ()), found, {name: np.full((1, 3), 9.0) for name in PLACES})

    inquiry = Inquiry(loop, answering(*[ELSEWHERE] * 3, FAR_AWAY), locate, config)
    inquiry.start((CUP, TRAY))
    assert inquiry.refuted()
    assert inquiry.put_right() == {"cup"}
    assert not inquiry.refuted()
    for _ in range(60):
        loop.sense()
        loop.wait()
    loop.close()
    # The last answer, which means something else, does not count.
    np.testing.assert_allclose(given, [ELSEWHERE] * 3, atol=1e-6)
    assert loop.memory.scene.features["cup"] is found.features["cup"]
    np.testing.assert_array_equal(loop.memory.scene.features["tray"].box.center, PLACES["tray"])
    assert watched.restarted == [("cup", None)]


@pytest.mark.parametrize("on_it", [1, 2, 3])
def test_answers_that_agreed_by_chance_refute_nothing(arm: Arm, on_it: int) -> None:
    """The first two were chosen since they are elsewhere: only the further ones count."""
    loop = loop_of(arm, Lost(lost=False))
    further = [PLACES["cup"]] * on_it + [ELSEWHERE, FAR_AWAY, None][: 3 - on_it]
    answers = answering(ELSEWHERE, ELSEWHERE, *further)

    def locate(name: str, places: Sequence[np.ndarray]) -> PreparedTask | None:
        raise AssertionError

    inquiry = Inquiry(loop, answers, locate, AskConfig(to_locate=3))
    inquiry.start((CUP,))
    assert inquiry.refuted()
    assert inquiry.put_right() == frozenset()
    assert not inquiry.refuted()
    loop.close()


def test_what_cannot_be_located_stays(arm: Arm) -> None:
    loop = loop_of(arm, Lost(lost=False))
    inquiry = Inquiry(loop, answering(*[ELSEWHERE] * 3), nowhere, CONFIG)
    inquiry.start((CUP,))
    assert inquiry.refuted()
    assert inquiry.put_right() == frozenset()
    loop.close()
    np.testing.assert_array_equal(loop.memory.scene.features["cup"].box.center, PLACES["cup"])


@pytest.mark.parametrize("needed", [True, False])
def test_a_lost_thing_that_is_needed_is_asked_for_and_found_in_time(arm: Arm, needed: bool) -> None:
    """Within three seconds and the latency of the answer."""
    watched = Lost(lost=True)
    loop = loop_of(arm, watched)
    inquiry = Inquiry(loop, answering(*[ELSEWHERE] * 9), nowhere, CONFIG)
    inquiry.start((TRAY, CUP) if needed else (TRAY,))
    inquiry.refuted() if not needed else inquiry._fresh.clear()
    inquiry.needed = frozenset(("cup", "tray"))
    while watched.lost and loop.seconds < 3.0 + CONFIG.answer_seconds:
        loop.sense()
        inquiry.tend()
        loop.wait()
    loop.close()
    assert watched.lost == (not needed)
    if needed:
        assert loop.seconds > CONFIG.lost_seconds + CONFIG.answer_seconds
        ((name, places),) = watched.pointed
        assert name == "cup"
        np.testing.assert_allclose(places, [ELSEWHERE] * 2, atol=1e-6)


@pytest.mark.parametrize(
    ("replied", "pixel"), [([(12.0, 7.0), (3.0, 3.0)], (12.0, 7.0)), (None, None), ([(-5.0, 1.0)], None)]
)
def test_a_pointer_that_fails_has_not_seen_it(
    replied: list[tuple[float, float]] | None, pixel: tuple[float, float] | None
) -> None:
    view = View("camera", CAMERA, T_BASE_CAM, np.zeros((120, 160, 3), np.uint8))
    found = answers_of(FunctionPointer(lambda image, text: replied), 1280)(CUP, view)
    assert (None if found is None else tuple(found)) == pixel


def test_answers_are_pixels_of_the_image_however_small_it_is_shown() -> None:
    view = View("camera", CAMERA, T_BASE_CAM, np.zeros((120, 160, 3), np.uint8))
    found = answers_of(FunctionPointer(lambda image, text: [(image.shape[1], image.shape[0])]), 80)(CUP, view)
    np.testing.assert_allclose(found, (160.0, 120.0))


def test_a_server_that_is_down_ends_no_run() -> None:
    def down(image: np.ndarray, text: str) -> None:
        raise ModelError("the server does not answer")

    view = View("camera", CAMERA, T_BASE_CAM, np.zeros((120, 160, 3), np.uint8))
    assert answers_of(FunctionPointer(down), 1280)(CUP, view) is None
