"""Many questions at once: none lost, none twice, and what fails does not sink the others."""

from __future__ import annotations

import itertools
import random
import threading
import time

import model_server
import numpy as np
import pytest
import synthetic
from model_server import ModelServer, after, status
from patience import seconds

from point2act.core.errors import ModelError, PointsError
from point2act.core.geometry import project
from point2act.core.types import Query
from point2act.data.capture import load_views, read_capture, write_capture
from point2act.data.crops import resize_image
from point2act.vlm.clients.cache import ReplyCache
from point2act.vlm.clients.client import PointingModel, Reply, Request
from point2act.vlm.clients.server import ServerClient, ServerConfig
from point2act.vlm.pointing.ask import PointingJob, Questions
from point2act.vlm.pointing.point import FunctionPointer, ModelPointer, Pointer, PointerReply
from point2act.vlm.pointing.questions import ask, name_queries
from point2act.vlm.pointing.zoom import ZoomConfig

RED = np.array([0.0, 0.0, 0.1])
"""The middle of the top of the highest box."""
SHOWN = resize_image(np.zeros((48, 64, 3), np.uint8), max_side=64)
QUERIES = (Query("red", "the red box"), Query("lid", "the lid", "avoid"))


class Scripted:
    """Points where a function says, after a delay, and records its requests."""

    name = "scripted"

    def __init__(self, point, *, concurrency=4, delay=0.0):
        self.concurrency, self.delay = concurrency, delay
        self.asked, self.busiest, self._busy = [], 0, 0
        self._point, self._lock = point, threading.Lock()

    def point(self, query, image, crop):
        with self._lock:
            self.asked.append((image, query.name))
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
        try:
            time.sleep(self.delay)
            return self._point(query, image, crop)
        finally:
            with self._lock:
                self._busy -= 1


def middle(query, image, crop):
    """The middle of what is shown."""
    height, width = crop.size
    return PointerReply(np.array([[width / 2, height / 2]]))


def pairs(points):
    return [(answer.image, answer.query) for answer in points.answers]


def test_every_view_is_asked_every_query_once_and_answers_keep_the_order(small_capture):
    rng = np.random.default_rng(0)

    def point(query, image, crop):
        time.sleep(rng.uniform(0, 0.02))
        return middle(query, image, crop)

    pointer = Scripted(point)
    answers = ask(small_capture, Questions(QUERIES, pointer, 1280))
    names = [frame.name for frame in read_capture(small_capture).frames]
    expected = [(name, query.name) for name in names for query in QUERIES]
    assert pairs(answers.points) == expected
    assert sorted(pointer.asked) == sorted(expected)
    assert str(answers.count) == "16 asked, 0 cached, 0 failed"
    assert answers.points.queries == QUERIES


def test_as_many_at_once_as_allowed_and_no_more(small_capture):
    pointer = Scripted(middle, concurrency=4, delay=0.1)
    limit = 0.75 * 16 * 0.1  # sixteen in fours take a quarter of that one by one
    assert seconds(lambda: ask(small_capture, Questions(QUERIES, pointer, 1280)), limit) < limit
    assert pointer.busiest == 4


def test_points_come_back_in_pixels_of_the_image_on_disk(small_capture):
    """Shown at a quarter of the size, the middle is still the middle of the image on disk."""
    answers = ask(small_capture, Questions(QUERIES[:1], Scripted(middle), side=16))
    assert all(np.allclose(answer.points, [[32, 24]]) for answer in answers.points.answers)


def test_a_plain_function_is_a_pointer(small_capture):
    """It is given RGB images as shown and the text of the query, and answers in pixels of these images."""
    given = []

    def function(image, text):
        given.append((image.shape, image.dtype, text))
        return [(8, 6.0)] if text == "the red box" else None

    pointer = FunctionPointer(function, name="own")
    assert isinstance(pointer, Pointer)
    answers = ask(small_capture, Questions(QUERIES, pointer, side=16)).points.answers
    assert given == [((12, 16, 3), np.uint8, query.text) for _ in range(8) for query in QUERIES]
    for answer in answers:
        assert answer.model == "own"
        assert answer.visible == (answer.query == "red")
        np.testing.assert_allclose(answer.points, [[32, 24]] if answer.visible else np.zeros((0, 2)))


@pytest.mark.parametrize("nothing", [None, [], (), np.zeros((0, 2)), np.zeros(0)])
def test_a_function_says_in_several_ways_that_nothing_is_visible(nothing):
    reply = FunctionPointer(lambda image, text: nothing).point(QUERIES[0], "a.png", SHOWN)
    assert reply.points.shape == (0, 2)


@pytest.mark.parametrize(
    "wrong",
    [[(1,)], [(1, 2, 3)], (3, 4), [(-1, 2)], [(65, 2)], [(np.nan, 2)], "left", [("a", "b")], 7, [None]],
)
def test_what_is_no_pixel_of_the_image_is_refused(wrong):
    with pytest.raises(ModelError, match=r"'function' returned .* for 'the red box' in a.png: .*64x48"):
        FunctionPointer(lambda image, text: wrong).point(QUERIES[0], "a.png", SHOWN)


def test_a_negative_answer_is_an_answer(small_capture):
    answers = ask(
        small_capture, Questions(QUERIES[:1], Scripted(lambda *_: PointerReply(np.zeros((0, 2)))), 1280)
    )
    assert len(answers.points.answers) == 8
    assert not any(answer.visible for answer in answers.points.answers)


def test_one_view_that_fails_is_named_and_sinks_nothing(small_capture):
    def point(query, image, crop):
        if image.endswith("3.png"):
            raise ModelError("the server is on fire: put it out")
        return middle(query, image, crop)

    answers = ask(small_capture, Questions(QUERIES[:1], Scripted(point), 1280))
    assert len(answers.points.answers) == 7
    (result,) = answers.unanswered
    assert (result.task.frame.name[-5:], result.error) == ("3.png", "the server is on fire: put it out")


def test_when_all_fail_the_first_error_is_raised(small_capture):
    def point(query, image, crop):
        raise ModelError("no server listens: start the server")

    with pytest.raises(ModelError, match=r"none of 8 questions was answered: no server listens"):
        ask(small_capture, Questions(QUERIES[:1], Scripted(point), 1280))


def test_after_some_failures_and_no_answer_the_others_are_not_asked(tmp_path):
    write_capture(tmp_path / "many", synthetic.views(30))

    def point(query, image, crop):
        raise ModelError("no server listens")

    pointer = Scripted(point, concurrency=1)
    with pytest.raises(ModelError, match="none of 60"):
        ask(tmp_path / "many", Questions(QUERIES, pointer, 1280))
    assert len(pointer.asked) == 8


def test_a_broken_image_is_one_unanswered_view(small_capture):
    capture = read_capture(small_capture)
    capture.frames[2].image_path.write_bytes(b"no image")
    pointer = Scripted(middle)
    with PointingJob(Questions(QUERIES[:1], pointer, 1280)) as asking:
        asking.add(capture.frames)
        asking.finish(capture.frames, ())
        answers = asking.answers()
    (result,) = answers.unanswered
    assert result.task.frame is capture.frames[2]
    assert "is not an image" in result.error or "cannot be read" in result.error


def test_leaving_early_drops_what_has_not_started(small_capture):
    pointer = Scripted(middle, concurrency=1, delay=0.05)
    with PointingJob(Questions(QUERIES, pointer, 1280)) as asking:
        asking.add(read_capture(small_capture).frames)
        time.sleep(0.02)
    time.sleep(0.2)
    assert len(pointer.asked) <= 2


# ── the second look ────────────────────────────────────────────────────────────────────────────
def test_a_second_look_corrects_a_wrong_first_one(tmp_path):
    """A view that first points elsewhere is zoomed where the others agree, and finds it there."""
    folder = tmp_path / "capture"
    synthetic.write_capture_files(folder, synthetic.views(10, height=96, width=128))
    capture = read_capture(folder)
    views = {view.name: view for view in load_views(capture)}
    names = list(views)

    def truth(image, crop):
        view = views[image]
        return crop.from_disk(project(view.camera, view.T_world_cam, RED[None])[0])

    def point(query, image, crop):
        if crop.magnification <= 1 and image == names[4]:
            return PointerReply(np.array([[5.0, 90.0]]))
        place = truth(image, crop)
        height, width = crop.size
        inside = (place > 0).all() and (place < [width, height]).all()
        return PointerReply(place if inside else np.zeros((0, 2)))

    twice = ZoomConfig(side=256)
    once = ask(capture, Questions(QUERIES[:1], Scripted(point), 1280))
    again = ask(capture, Questions(QUERIES[:1], Scripted(point), 1280, twice))
    expected = [project(views[n].camera, views[n].T_world_cam, RED[None])[0] for n in names]

    def off(answers):
        found = {answer.image: answer.points for answer in answers.points.answers}
        return [float(np.abs(found[n] - place).max()) for n, place in zip(names, expected, strict=True)]

    assert off(once)[4] > 20
    assert max(off(again)) < 1e-6
    assert again.count.asked == 20


# ── models ─────────────────────────────────────────────────────────────────────────────────────
class Parrot:
    """Says the same to everybody."""

    concurrency = 2

    def __init__(self, text):
        self.text, self.received = text, []

    @property
    def identity(self):
        return {"parrot": 1}

    def ask(self, request):
        self.received.append(request)
        return Reply(self.text, 0.5)


MODEL = PointingModel("bird", "birds/parrot", "qwen3_vl", "Point to {query}.", "none", "this test")


def test_a_model_is_asked_in_its_own_words_and_read_in_its_own_units(small_capture):
    parrot = Parrot('[{"point_2d": [500, 250], "label": "box"}]')
    answers = ask(small_capture, Questions(QUERIES[:1], ModelPointer(MODEL, parrot), 1280))
    assert {request.prompt for request in parrot.received} == {"Point to the red box."}
    for answer in answers.points.answers:
        assert np.allclose(answer.points, [[32, 12]], atol=0.05)
        assert (answer.model, answer.raw, answer.seconds) == ("birds/parrot", parrot.text, 0.5)


def test_what_was_answered_is_not_asked_again(small_capture, tmp_path):
    cache = ReplyCache(tmp_path / "replies")
    parrot = Parrot('[{"point_2d": [500, 250], "label": "box"}]')
    first = ask(small_capture, Questions(QUERIES[:1], ModelPointer(MODEL, parrot, cache), 1280))
    again = ask(small_capture, Questions(QUERIES[:1], ModelPointer(MODEL, parrot, cache), 1280))
    assert len(parrot.received) == 8
    assert str(again.count) == "0 asked, 8 cached, 0 failed"
    assert pairs(first.points) == pairs(again.points)


def test_a_reply_that_cannot_be_read_is_shown_and_not_remembered(small_capture, tmp_path):
    cache = ReplyCache(tmp_path / "replies")
    parrot = Parrot("Polly wants a cracker at 0.3 and 0.4")
    for _ in range(2):
        with pytest.raises(ModelError, match="Polly wants a cracker"):
            ask(small_capture, Questions(QUERIES[:1], ModelPointer(MODEL, parrot, cache), 1280))
    assert len(parrot.received) == 16


def test_24_views_of_a_real_server_take_little_longer_than_its_answers(tmp_path):
    """Eight at a time, every third with a fault first: under 1.3 times what the server itself takes."""
    write_capture(tmp_path / "many", synthetic.views(24))
    rng, lock, order, took = random.Random(3), threading.Lock(), itertools.count(), []
    delays = [rng.uniform(0.8, 1.2) for _ in range(24)]

    def deal(request, earlier):
        with lock:
            number = next(order) if earlier == 0 else -1
        if number % 3 == 0:
            return after(0.4, (status(500), model_server.hang_up)[number % 2])
        return after(delays[number])

    def answer(request):
        return '[{"point_2d": [500, 250], "label": "box"}]'

    def ask_all():
        nonlocal order
        with ModelServer(answer, deal) as server:
            client = ServerClient(MODEL, server.url, config=ServerConfig(concurrency=8, backoff=0.02))
            order = itertools.count()
            client.ask(Request("hello"))  # The first one pays for imports.
            start = time.perf_counter()
            answers = ask(tmp_path / "many", Questions(QUERIES[:1], ModelPointer(MODEL, client), 1280))
            took.append(time.perf_counter() - start)
        names = [frame.name for frame in read_capture(tmp_path / "many").frames]
        assert pairs(answers.points) == [(name, "red") for name in names]

    # A second try is dealt with as number -1 is: the last delay.
    chains = [0.4 + delays[-1] if n % 3 == 0 else delays[n] for n in range(1, 25) if n < 24] + [delays[-1]]
    free = [0.0] * 8
    for chain in chains:
        free.sort()
        free[0] += chain
    # What others on the machine take only ever adds.
    while len(took) < 3 and min(took, default=np.inf) >= 1.3 * max(free):
        ask_all()
    assert min(took) < 1.3 * max(free), f"{took} s, the server alone {max(free):.2f} s"


# ── names ──────────────────────────────────────────────────────────────────────────────────────
def test_queries_get_short_names_of_their_own():
    queries = name_queries(
        [("the handle of the mug", "grasp"), ("The handle, of the mug", "avoid"), ("x", "place")]
    )
    assert [query.name for query in queries] == ["handle_of_the_mug", "handle_of_the_mug_2", "x"]
    assert [query.role for query in queries] == ["grasp", "avoid", "place"]
    assert queries[0].text == "the handle of the mug"


def test_an_empty_query_is_refused():
    with pytest.raises(PointsError, match="empty"):
        name_queries([("  ", "grasp")])
