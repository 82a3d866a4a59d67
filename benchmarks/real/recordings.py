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
from point2act.core.types import Capture, Grasp, PointSet, View
from point2act.data.capture import read_capture
from point2act.data.capture.view_selection import keep_frames
from point2act.data.points import read_points
from point2act.grasping.grippers import Gripper

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
    reason: str
    """Why there is no grasp."""

    @property
    def sound(self) -> bool:
        """Whether every view leaves the approach free, and some view has readings between the pads."""
        return all(one.free() for one in self.each) and any(one.holds() for one in self.each)

    def line(self) -> str:
        """Return the judgement as a line of text."""
        name = f"{self.recording:<22} {self.query:<16} {self.views:>2} views"
        if self.grasp is None:
            return f"{name} no grasp: {self.reason}"
        free = sum(one.free() for one in self.each)
        return (
            f"{name} {'sound' if self.sound else 'NOT SOUND'}: score {self.grasp.score:.2f}, "
            f"{1e3 * self.grasp.width:.0f} mm, free in {free} of {len(self.each)} views, at most "
            f"{max(one.inside for one in self.each)} voxels inside, up to "
            f"{max(one.between for one in self.each)} readings between"
        )


def judge_recording(folder: Path, count: int | None, gripper: Gripper) -> list[JudgedQuery]:
    """Plan grasps with some views of a recording, and judge the best of each query.

    Poses are refined as ``run`` does. The Gaussians are not fitted: grasps are planned on measured depth, and
    one or three views are not fitted by ``run`` either.
    """
    source = read_capture(folder)
    points = read_points(folder / "points.json", source)
    capture = source if count is None else keep_frames(source, middle_views(source, points, count))
    session = unfitted_session(capture)
    views = list(session.recorded.values())
    names = {view.name for view in views}
    given = replace(points, answers=tuple(answer for answer in points.answers if answer.image in names))
    answered = session.ask(given, gripper=gripper)
    clouds = [readings(view) for view in views]
    judged = []
    for result in answered.results:
        best = result.grasps[0] if result.grasps else None
        each: tuple[Soundness, ...] = ()
        if best is not None:
            width = approach_width(best, gripper)
            clicked = _clicked(views, given, result.query.name)
            each = tuple(judge(best, gripper, cloud, opening=width, clicked=clicked) for cloud in clouds)
        why = f"{result.reason}: {result.detail}"
        judged.append(JudgedQuery(folder.name, result.query.name, len(views), best, each, why))
    return judged


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
