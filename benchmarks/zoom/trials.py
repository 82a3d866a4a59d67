"""Trials of one and of two questions per view for the same queries: all answers, and the action points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt

from benchmarks.common.tables import Simulated
from benchmarks.localization.levels import LEVELS, ours
from benchmarks.localization.measures import Verdict, judge
from benchmarks.zoom.simulated_pointer import MIN_PIXELS, SHOWN, SizedConfig, SizedPointer
from point2act.core.types import Answer, PointSet, Query
from point2act.data.crops import crop_image, resize_image
from point2act.localization.multiview_consensus import find_consensus
from point2act.localization.relevancy import answers_in_views
from point2act.physics.layout import QueryTarget
from point2act.simulation import Scene, part_box
from point2act.vlm.pointing.point import point_at
from point2act.vlm.pointing.zoom import ZoomConfig, zoom_windows

MARGIN = 2.0
"""Distance from the target's pixels within which a point is right, pixels."""
ONE = "one question"


@dataclass(frozen=True, eq=False)
class Trial:
    """One query of one table, answered once by one of the compared methods."""

    method: str
    scene: str
    query: str
    draw: int
    part: bool
    """Whether the target is a part and not a whole object."""
    visible: Bool[np.ndarray, " v"]
    """Views in which the target is visible."""
    pointed: Bool[np.ndarray, " v"]
    """Views with a point."""
    right: Bool[np.ndarray, " v"]
    """Views with a point on the target."""
    questions: int
    """Number of questions, the first ones included."""
    verdict: Verdict
    """Verdict on the action point."""


def compare(
    opened: Simulated, methods: Mapping[str, ZoomConfig], draws: int, errs: SizedConfig = SizedConfig()
) -> list[Trial]:
    """Return trials of all queries and draws: with one question, and with two for each configuration."""
    asked: list[_Asked] = []
    for draw in range(draws):
        pointer = SizedPointer(opened, draw, errs)
        for query in opened.scene.queries:
            first = first_answers(pointer, query)
            asked.append(_Asked(ONE, query, draw, first, len(first)))
            for method, config in methods.items():
                second, extra = second_answers(pointer, query, first, config)
                asked.append(_Asked(method, query, draw, second, len(first) + extra))
    queries = tuple(replace(one.query, name=one.name) for one in asked)
    answers = tuple(replace(answer, query=one.name) for one in asked for answer in one.answers)
    outcomes = ours()(opened, LEVELS["typical"], PointSet(queries, answers))
    return [
        _trial(opened, one, judge(outcome, part_box(opened.scene, one.query.name)))
        for one, outcome in zip(asked, outcomes, strict=True)
    ]


def first_answers(pointer: SizedPointer, query: Query) -> list[Answer]:
    """Return the answers to each whole image."""
    answers = []
    for view in pointer.opened.session.views:
        shown = resize_image(view.rgb, max_side=SHOWN)
        points = pointer.point(query, view.name, shown).points
        answers.append(Answer(view.name, query.name, shown.to_disk(points), len(points) > 0))
    return answers


def second_answers(
    pointer: SizedPointer, query: Query, first: Sequence[Answer], config: ZoomConfig
) -> tuple[list[Answer], int]:
    """Return the answers after the second question, and the number of second questions."""
    session = pointer.opened.session
    pixels = answers_in_views(PointSet((query,), tuple(first)), session.capture, session.views)[0]
    met = find_consensus(session.views, pixels, config=config.meet)
    frames = session.capture.frames
    chosen = zoom_windows(frames, session.views, met, first, config=config)
    answers = []
    for answer, frame, view, window in zip(first, frames, session.views, chosen, strict=True):
        if window is not None:
            # The simulated images are loaded at their full size, without distortion.
            crop = crop_image(view.rgb, window, side=config.side)
            answer = point_at(pointer, query, frame.name, crop)[0]
        answers.append(answer)
    return answers, sum(window is not None for window in chosen)


@dataclass(frozen=True, eq=False)
class _Asked:
    method: str
    query: Query
    draw: int
    answers: list[Answer]
    questions: int

    @property
    def name(self) -> str:
        """Name of the query, unique among those fused together."""
        return f"{self.query.name}/{self.method}/{self.draw}"


def _trial(opened: Simulated, asked: _Asked, verdict: Verdict) -> Trial:
    parts = list(opened.scene.target_parts(asked.query.name))
    masks = [np.isin(shot.part_ids, parts) for shot in opened.shots]
    return Trial(
        method=asked.method,
        scene=opened.table.name,
        query=asked.query.name,
        draw=asked.draw,
        part=opened.scene.target(asked.query.name).part != "",
        visible=np.array([mask.sum() >= MIN_PIXELS for mask in masks]),
        pointed=np.array([len(answer.points) > 0 for answer in asked.answers]),
        right=np.array([on_target(mask, a.points) for mask, a in zip(masks, asked.answers, strict=True)]),
        questions=asked.questions,
        verdict=verdict,
    )


def on_target(mask: Bool[np.ndarray, "h w"], points: Float[np.ndarray, "n 2"]) -> bool:
    """Return whether there is a point and all points lie on the mask or next to it."""
    if len(points) == 0 or not mask.any():
        return False
    away = np.asarray(distance_transform_edt(~mask))
    height, width = mask.shape
    column, row = np.clip(points, 0, [width - 1, height - 1]).astype(int).T
    return bool((away[row, column] <= MARGIN).all())


def with_all_queries(scene: Scene) -> Scene:
    """Return the scene with a query for every whole object and every part of objects with several."""
    targets = []
    for thing in scene.layout.things:
        several = [part.name for part in thing.parts if len(thing.parts) > 1]
        targets += [
            QueryTarget(Query(f"{thing.name} {part}".strip(), f"{thing.name} {part}"), thing.name, part)
            for part in ("", *several)
        ]
    return replace(scene, layout=replace(scene.layout, targets=tuple(targets)))


def calibration(opened: Simulated, draws: int, errs: SizedConfig) -> tuple[list[bool], list[bool]]:
    """Return which first answers in views of a visible target are right: for whole objects, and for parts."""
    everything = replace(opened, scene=with_all_queries(opened.scene))
    right: dict[bool, list[bool]] = {True: [], False: []}
    for target in everything.scene.layout.targets:
        parts = list(everything.scene.target_parts(target.query.name))
        masks = [np.isin(shot.part_ids, parts) for shot in opened.shots]
        for draw in range(draws):
            answers = first_answers(SizedPointer(everything, draw, errs), target.query)
            for mask, answer in zip(masks, answers, strict=True):
                if mask.sum() >= MIN_PIXELS:
                    right[target.part != ""].append(on_target(mask, answer.points))
    return right[False], right[True]
