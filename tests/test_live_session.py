"""Scenes in memory: views of a camera's callback, questions at any time, and the results of ``follow``."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import synthetic
from small_run import QUICK, RED, write_answers
from test_follow import GROW, PATIENT

import point2act
from point2act.core.errors import CaptureError, PointsError
from point2act.core.types import Answer, Camera, PointSet, Query
from point2act.data.capture import load_view, read_image, write_capture
from point2act.vlm.pointing.questions import pointer_questions

CAMERA = synthetic.pinhole(96, 128)


def pictures(count=10):
    return synthetic.views(count, height=96, width=128)


def start(**config):
    return point2act.Session.start(CAMERA, config=dataclasses.replace(QUICK, **config), grow=GROW)


def add(session, views):
    """Add views as a depth camera gives them, in millimetres."""
    return [
        session.add_view(view.rgb, np.rint(view.depth * 1000).astype(np.uint16), view.T_world_cam)
        for view in views
    ]


def point_at_red(image, text):
    """Point at the middle of the reddest pixels."""
    if "red" not in text:
        return []
    colors = image.astype(float)
    rows, columns = np.nonzero(colors[..., 0] > 2 * colors[..., 1:].max(axis=2))
    return [(columns.mean() + 0.5, rows.mean() + 0.5)]


def equal(ours, theirs):
    """Whether two results are the same to the last bit."""
    return (
        ours.query.name == theirs.query.name
        and ours.reason == theirs.reason
        and ours.detail == theirs.detail
        and ours.confidence == theirs.confidence
        and np.array_equal(ours.action_point, theirs.action_point)
        and len(ours.grasps) == len(theirs.grasps)
        and all(
            np.array_equal(a.T_world_gripper, b.T_world_gripper) and a.score == b.score
            for a, b in zip(ours.grasps, theirs.grasps, strict=True)
        )
    )


@pytest.fixture(scope="module")
def empty():
    """A session without views, for tests that add none."""
    return start()


# ── the same as from a folder ──────────────────────────────────────────────────────────────────
def test_the_result_is_that_of_follow_on_the_same_views(tmp_path):
    """To the last bit, also if something was asked while the views came."""
    views = pictures()
    write_capture(tmp_path / "capture", views)
    write_answers(tmp_path / "capture", views, RED)
    followed = point2act.follow(tmp_path / "capture", config=QUICK, following=PATIENT, grow=GROW)
    assert followed.results[0].grasps

    session = start()
    assert add(session, views[:7]) == [view.name for view in views[:7]]
    seen = [answer for answer in followed.points.answers if answer.image < views[7].name]
    early = session.ask(PointSet(followed.points.queries, tuple(seen)))
    assert early.results[0].region is not None
    add(session, views[7:])
    result = session.ask(tmp_path / "capture" / "points.json")
    assert [query.name for query in result.points.queries] == ["red", "unicorn"]
    assert all(equal(a, b) for a, b in zip(result.results, followed.results, strict=True))
    assert np.array_equal(result.relevancy.values, followed.relevancy.values)
    assert result.timings["find the grasps"] > 0
    assert result.psnr is None


def test_asked_again_nothing_is_placed_anew():
    session = start()
    add(session, pictures(6))
    first = session.ask(queries=["the red box"], pointer=point_at_red)
    again = session.ask(first.points)
    assert again.scene is first.scene
    assert "initialise the Gaussians" not in again.timings
    assert equal(first.results[0], again.results[0])


# ── questions ──────────────────────────────────────────────────────────────────────────────────
def test_a_function_points_in_memory():
    session = start()
    names = add(session, pictures(5))
    result = session.ask(queries=["the red box", "the unicorn"], pointer=point_at_red)
    red, unicorn = result.results
    assert np.linalg.norm(red.action_point - RED) < 0.06
    assert red.grasps
    assert unicorn.region is None
    assert sorted(answer.image for answer in result.points.answers if answer.visible) == names
    # What a model has answered about the session's own capture may be given as it is.
    asked = point2act.ask(session.capture, pointer_questions(["the red box"], point_at_red))
    assert equal(session.ask(asked).results[0], red)
    asked = pointer_questions(["the red box"], point_at_red)
    adaptive = session.ask(questions=asked, adaptive=point2act.AdaptiveConfig())
    assert adaptive.results[0].region is not None


def test_before_the_first_view_the_result_is_empty_and_says_why(empty):
    for asked in (
        empty.ask(queries=["the red box"], pointer=point_at_red),
        empty.ask(PointSet((Query("red", "the red box"),), ())),
    ):
        (red,) = asked.results
        assert red.region is None
        assert red.grasps == ()
        assert red.reason == "no_geometry"
        assert "no view was added" in red.detail
        assert len(asked.scene) == 0


@pytest.mark.parametrize("count", [1, 2, 6])
def test_few_views_are_enough(count):
    """Also as many as the first extension takes."""
    session = start()
    add(session, pictures()[:count])
    (red,) = session.ask(queries=["the red box"], pointer=point_at_red).results
    assert np.linalg.norm(red.action_point - RED) < 0.06


def test_questions_that_make_no_sense(empty):
    with pytest.raises(PointsError, match="give either points, or queries"):
        empty.ask()
    with pytest.raises(PointsError, match="give either points, or queries"):
        empty.ask(PointSet((), ()), queries=["a"], pointer=point_at_red)
    with pytest.raises(PointsError, match="give queries and a pointer together"):
        empty.ask(queries=["a"])
    for name in ("images/0000.png", "images/.png", "photo.jpg", "images/00000.png"):
        points = PointSet((Query("a", "a"),), (Answer(name, "a", np.zeros((1, 2))),))
        with pytest.raises(PointsError, match=f"'{name}', and no view has that name"):
            empty.ask(points)


# ── what is added ──────────────────────────────────────────────────────────────────────────────
VIEW = synthetic.views(1, height=96, width=128)[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rgb": VIEW.rgb / 255.0}, r"rgb is float64 .*: give 8-bit colours"),
        ({"rgb": VIEW.rgb[..., 0]}, r"rgb is uint8 of shape \(96, 128\): give 8-bit"),
        ({"depth": VIEW.depth[:-1]}, r"depth has the shape \(95, 128\)"),
        ({"depth": VIEW.depth[..., None]}, r"depth has the shape \(96, 128, 1\)"),
        ({"rgb": VIEW.rgb[:, ::2], "depth": VIEW.depth[:, ::2]}, "64x96 pixels and the camera has 128x96"),
        ({"depth": VIEW.depth > 0}, "depth is bool"),
        ({"depth": VIEW.depth * 1000}, r"median depth is \d+ m: give the depth unit"),
        ({"depth": np.zeros_like(VIEW.depth)}, "depth image has no reading"),
        ({"depth": np.full_like(VIEW.depth, np.nan)}, "depth image has no reading"),
        ({"T_world_cam": np.eye(3)}, "T_world_cam is not four rows of four numbers"),
        ({"T_world_cam": np.array(["here"])}, "T_world_cam is not four rows of four numbers"),
        ({"T_world_cam": 2 * np.eye(4)}, "T_world_cam is not rigid"),
        ({"T_world_cam": np.diag([1.0, 1, -1, 1])}, "T_world_cam is not rigid"),
        ({"T_world_cam": np.full((4, 4), np.nan)}, "T_world_cam holds a number that is not finite"),
    ],
)
def test_a_view_that_cannot_be_used_is_one_sentence_and_changes_nothing(empty, change, words):
    view = {"rgb": VIEW.rgb, "depth": VIEW.depth, "T_world_cam": VIEW.T_world_cam} | change
    with pytest.raises(CaptureError, match=words):
        empty.add_view(**view)
    assert empty.capture.frames == ()


def test_a_session_that_cannot_be_started():
    with pytest.raises(CaptureError, match="focal lengths above zero"):
        point2act.Session.start(Camera(0.0, 100.0, 64.0, 48.0, 96, 128))
    with pytest.raises(CaptureError, match="T_base_world is not rigid"):
        point2act.Session.start(CAMERA, T_base_world=2 * np.eye(4))
    with pytest.raises(CaptureError, match="depth_unit is 0"):
        point2act.Session.start(CAMERA, depth_unit=0.0)
    with pytest.raises(CaptureError, match="max_views is 0: give 1 or more"):
        start(max_views=0)
    with pytest.raises(CaptureError, match="arm 'franka_panda' need its pose: give T_base_world"):
        start(answer=dataclasses.replace(QUICK.answer, arm="franka_panda"))


def test_what_is_added_is_copied_and_kept_at_full_size():
    """A driver may write the next image into the same arrays."""
    session = start(max_side=64)
    rgb, depth, pose = VIEW.rgb.copy(), VIEW.depth.copy(), VIEW.T_world_cam.copy()
    session.add_view(rgb, depth, pose)
    for array in (rgb, depth, pose):
        array[:] = 0
    (frame,) = session.capture.frames
    assert np.array_equal(read_image(frame), VIEW.rgb)
    assert np.array_equal(load_view(session.capture, frame).depth, VIEW.depth)
    np.testing.assert_allclose(frame.T_world_cam, VIEW.T_world_cam, atol=1e-15)
    assert load_view(session.capture, frame, max_side=64).rgb.shape == (48, 64, 3)
    assert session.ask(queries=["the red box"], pointer=point_at_red).results[0].region is not None


def test_integers_have_the_unit_that_was_given():
    session = point2act.Session.start(CAMERA, depth_unit=1e-4, config=QUICK)
    session.add_view(VIEW.rgb, np.rint(VIEW.depth * 1e4).astype(np.uint16), VIEW.T_world_cam)
    (frame,) = session.capture.frames
    np.testing.assert_allclose(frame.pixels.depth, VIEW.depth, atol=6e-5)


# ── threads ────────────────────────────────────────────────────────────────────────────────────
def test_views_come_from_several_threads_while_others_ask():
    session, views = start(), pictures(16)
    with ThreadPoolExecutor(6) as threads:
        gate = threading.Barrier(4)

        def feed(first):
            gate.wait()
            return add(session, views[first::4])

        feeders = [threads.submit(feed, first) for first in range(4)]
        askers = [
            threads.submit(session.ask, queries=["the red box"], pointer=point_at_red) for _ in range(2)
        ]
        names = [name for feeder in feeders for name in feeder.result()]
        for asker in askers:
            (red,) = asker.result().results
            assert red.region is not None or red.reason == "no_geometry"
    assert sorted(names) == [f"images/{number:04}.png" for number in range(16)]
    assert [frame.name for frame in session.capture.frames] == sorted(names)
    (red,) = session.ask(queries=["the red box"], pointer=point_at_red).results
    assert np.linalg.norm(red.action_point - RED) < 0.06


def test_a_pointer_that_fails_leaves_the_session_as_it_was():
    def broken(image, text):
        raise ZeroDivisionError

    session = start()
    add(session, pictures(3))
    with pytest.raises(ZeroDivisionError):
        session.ask(queries=["the red box"], pointer=broken)
    assert session.ask(queries=["the red box"], pointer=point_at_red).results[0].region is not None


# ── memory ─────────────────────────────────────────────────────────────────────────────────────
def test_no_more_views_are_kept_than_said_and_those_that_show_most():
    """A camera that stands still for most of the time keeps its few other views."""
    session, views = start(max_views=4), pictures(8)
    add(session, [views[0]] * 5 + [views[2]] + [views[2]] * 3 + [views[4], views[6]] + [views[6]] * 2)
    kept = [frame.T_world_cam for frame in session.capture.frames]
    assert len(kept) == 4
    for pose, view in zip(kept, (views[0], views[2], views[4], views[6]), strict=True):
        np.testing.assert_allclose(pose, view.T_world_cam, atol=1e-12)


def test_a_scene_that_lost_views_is_that_of_the_others():
    session, views = start(max_views=4), pictures(7)
    names = add(session, views)
    asked = session.ask(queries=["the red box"], pointer=point_at_red)
    kept = [frame.name for frame in session.capture.frames]
    assert len(kept) == 4
    other = start()
    add(other, [view for view in views if view.name in kept])
    theirs = other.ask(queries=["the red box"], pointer=point_at_red)
    assert np.array_equal(asked.scene.means, theirs.scene.means)
    assert equal(asked.results[0], theirs.results[0])
    # Answers in views that are gone do not count, and are no error.
    lost = next(name for name in names if name not in kept)
    gone = PointSet(asked.points.queries, (Answer(lost, asked.points.queries[0].name, np.ones((1, 2))),))
    assert session.ask(gone).results[0].reason == "no_points"
