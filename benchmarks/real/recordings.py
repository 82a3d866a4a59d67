"""Recordings with depth, used with one, three, eight and all of their views: more views must not do harm."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks.common.unfitted import unfitted_session
from benchmarks.real.frames import click_place
from benchmarks.real.soundness import Soundness, approach_width, judge, readings
from point2act.core.geometry import invert, transform_points
from point2act.core.types import Capture, Grasp, PointSet, View
from point2act.data.capture import read_capture
from point2act.data.capture.view_selection import keep_frames
from point2act.data.points import read_points
from point2act.grasping.grippers import Gripper
from point2act.pipeline.session import Session

RECORDINGS = ("apc_shelf_registered", "red_kitchen")
COUNTS = (1, 3, 8, None)
"""Numbers of views; None for all."""


@dataclass(frozen=True, eq=False)
class JudgedQuery:
    """The best grasp of a query with some views of a recording, judged against each of these views."""

    recording: str
    query: str
    views: int
    grasp: Grasp | None
    each: tuple[Soundness, ...]
    """Judgement against the readings of every view; empty without a grasp."""
    recorded: tuple[Soundness, ...]
    """Judgement against the readings of every view of the recording, those that were not used included."""
    reason: str
    """Why there is no grasp."""

    @property
    def sound(self) -> bool:
        """Whether every view leaves the approach free, and some view has readings between the pads."""
        return _is_sound(self.each)

    @property
    def sound_in_all(self) -> bool:
        """Whether the same holds of all views of the recording."""
        return _is_sound(self.recorded)

    def line(self) -> str:
        """Return the judgement as a line of text."""
        name = f"{self.recording:<22} {self.query:<16} {self.views:>2} views"
        if self.grasp is None:
            return f"{name} no grasp: {self.reason}"
        free, known = (sum(one.free() for one in judged) for judged in (self.each, self.recorded))
        return (
            f"{name} {'sound' if self.sound else 'NOT SOUND'}: score {self.grasp.score:.2f}, "
            f"{1e3 * self.grasp.width:.0f} mm, free in {free} of {len(self.each)} views and in {known} "
            f"of all {len(self.recorded)}, at most "
            f"{max(one.inside for one in self.each)} voxels inside, up to "
            f"{max(one.between for one in self.each)} readings between"
        )


def judge_recording(folder: Path, gripper: Gripper) -> list[JudgedQuery]:
    """Plan grasps with more and more views of a recording, and judge the best of each query."""
    source = read_capture(folder)
    points = read_points(folder / "points.json", source)
    captures = [
        source if count is None else keep_frames(source, middle_views(source, points, count))
        for count in COUNTS
    ]
    sessions = [unfitted_session(capture) for capture in captures]
    everything = list(sessions[-1].recorded.values())
    clouds = [readings(view) for view in everything]
    return [one for session in sessions for one in _judge(session, points, gripper, everything, clouds)]


def _judge(
    session: Session,
    points: PointSet,
    gripper: Gripper,
    everything: Sequence[View],
    known: Sequence[Float[np.ndarray, "_ 3"]],
) -> list[JudgedQuery]:
    """Plan grasps with a session's views, and judge them against these and against all of the recording.

    Poses are refined as ``run`` does. The Gaussians are not fitted: grasps are planned on measured depth, and
    one or three views are not fitted by ``run`` either.
    """
    views = list(session.recorded.values())
    names = {view.name for view in views}
    given = replace(points, answers=tuple(answer for answer in points.answers if answer.image in names))
    answered = session.ask(given, gripper=gripper)
    clouds = [readings(view) for view in views]
    judged = []
    for result in answered.results:
        best = result.grasps[0] if result.grasps else None
        each: tuple[Soundness, ...] = ()
        recorded: tuple[Soundness, ...] = ()
        if best is not None:
            width = approach_width(best, gripper)
            clicked = _clicked(views, given, result.query.name)
            each = tuple(judge(best, gripper, cloud, opening=width, clicked=clicked) for cloud in clouds)
            there = _moved(best, views[0], everything)
            clicked = _clicked(everything, points, result.query.name)
            recorded = tuple(judge(there, gripper, cloud, opening=width, clicked=clicked) for cloud in known)
        why = f"{result.reason}: {result.detail}"
        name = session.capture.folder.name
        judged.append(JudgedQuery(name, result.query.name, len(views), best, each, recorded, why))
    return judged


def _is_sound(each: Sequence[Soundness]) -> bool:
    return all(one.free() for one in each) and any(one.holds() for one in each)


def _moved(grasp: Grasp, view: View, everything: Sequence[View]) -> Grasp:
    """Return a grasp relative to one of its views, where the poses that all views agree on have that view."""
    same = next(other for other in everything if other.name == view.name)
    T = same.T_world_cam @ invert(view.T_world_cam)
    contacts = transform_points(T, grasp.contacts)
    return replace(grasp, T_world_gripper=T @ grasp.T_world_gripper, contacts=contacts)


def middle_views(capture: Capture, points: PointSet, count: int) -> list[str]:
    """Return the answered views nearest in time to the middle one; a larger number adds to a smaller one."""
    answered = {answer.image for answer in points.answers if len(answer.points)}
    names = [frame.name for frame in capture.frames if frame.name in answered]
    middle = len(names) // 2
    return sorted(names, key=lambda name: abs(names.index(name) - middle))[:count]


def never_falls(sound: Sequence[bool]) -> bool:
    """Return whether judgements with more and more views never go from sound to not sound."""
    return all(after or not before for before, after in itertools.pairwise(sound))


def _clicked(views: Sequence[View], points: PointSet, query: str) -> Float[np.ndarray, "3"]:
    """Return the median of the readings at a query's answers."""
    by_name = {view.name: view for view in views}
    answers = [answer for answer in points.answers if answer.query == query and len(answer.points)]
    return np.median([click_place(by_name[one.image], one.points[0]) for one in answers], axis=0)
