"""Answers to reasoning-tables in 3D: the action point of the answers in all views, and grasps in physics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from point2act.core.errors import ScoringError
from point2act.core.files import read_bytes
from point2act.core.geometry import distance_to_box
from point2act.core.progress import StepCounter
from point2act.core.types import Answer, PointSet, ProgressCallback, Query, QueryResult, Region
from point2act.data.capture.images import image_size
from point2act.grasping.grippers import Gripper, load_gripper
from point2act.physics.layout import QueryTarget
from point2act.physics.scene import Scene, part_box
from point2act.physics.trial import TrialConfig, try_grasp
from point2act.pipeline.run import place
from point2act.pipeline.run_config import RunConfig
from point2act.pipeline.session import Session
from point2act.scoring.formats import Format
from point2act.scoring.measures import BEST, Found, FoundFile
from point2act.scoring.questions import Question, QuestionId
from point2act.scoring.replies import Frame, read_reply
from point2act.scoring.scores import Answers
from point2act.scoring.views import ViewQuestions
from point2act.simulation.record import SCENE_FILE, captured_scene


@dataclass(frozen=True)
class PlacesConfig:
    """How answers become places and grasps."""

    grasps: bool = False
    """Whether grasps are planned and tried in physics."""
    gripper: str = "panda"
    """Name of a shipped gripper, or path of a gripper's .toml file."""
    run: RunConfig = field(default_factory=RunConfig)
    """From a capture to a place and grasps."""
    trial: TrialConfig = field(default_factory=lambda: TrialConfig(pictures=False))
    """Execution of a grasp."""


def find_places(
    given: Answers,
    questions: Sequence[Question],
    views: ViewQuestions,
    form: Format,
    kept: Path,
    *,
    config: PlacesConfig = PlacesConfig(),
    progress: ProgressCallback | None = None,
) -> dict[QuestionId, Found]:
    """Localize every question from a model's answers in all views, and try its grasps if that is wanted.

    Of what is not there, "no place" is right. A place is right in the part's true box, and a grasp if it
    lifts, shakes and holds the object while both fingers press mostly on the part.

    Args:
        given: The model's answers, by the ids of ``views``.
        questions: Questions of reasoning-tables.
        views: The same about all views of their captures.
        form: Format of the data set.
        kept: File with what was found, read and extended.
        config: How answers become places and grasps.
        progress: Called with the number of questions done, and of all.

    Returns:
        What was found for each question.

    Raises:
        ScoringError: A question has no capture.
        Point2ActError: A capture or its scene cannot be read.
    """
    known, gripper = FoundFile(kept), load_gripper(config.gripper)
    counter, found = StepCounter(progress, len(questions)), {}
    for capture, group in _by_capture(questions).items():
        tables: _Tables | None = None
        for question in group:
            points = _point_set(question, given, views.views[question.id], form)
            key = _key(question, points, config)
            kept_one = known.get(key)
            if kept_one is None:
                tables = tables or _Tables(place(capture, config=config.run), captured_scene(capture))
                kept_one = _find(question, points, tables, gripper, config)
                known.add(key, kept_one)
            found[question.id] = kept_one
            counter()
    return found


@dataclass(frozen=True, eq=False)
class _Tables:
    """A capture's Gaussians, and its true scene."""

    session: Session
    scene: Scene


def _by_capture(questions: Sequence[Question]) -> dict[Path, list[Question]]:
    groups: dict[Path, list[Question]] = {}
    for question in questions:
        if question.capture is None:
            raise ScoringError(
                f"question {question.id!r} has no capture, which --score region and grasp need: give --data "
                "another folder to render reasoning-tables again"
            )
        groups.setdefault(question.capture, []).append(question)
    return groups


# ── answers of all views ───────────────────────────────────────────────────────────────────────
def _point_set(question: Question, given: Answers, views: Mapping[str, QuestionId], form: Format) -> PointSet:
    """Return the answers to a question in all views; what cannot be read says nothing."""
    assert question.capture is not None
    query, answers = Query(str(question.id), question.text), []
    for name, view in views.items():
        answer = given.by_question.get(view)
        if answer is None:
            continue
        size = image_size(question.capture / name)
        frame = Frame(size, answer.shown or size, answer.input)
        reading = read_reply(answer.reply, answer.dialect or given.dialect, frame, form.readers)
        points = np.array([mark for mark in reading.marks if len(mark) == 2]).reshape(-1, 2)
        inside = points[((points >= 0) & (points < size[::-1])).all(axis=1)]
        if not reading.problem and len(inside) == len(points):
            answers.append(Answer(name, query.name, inside, visible=len(inside) > 0))
        elif len(inside):
            answers.append(Answer(name, query.name, inside))
    return PointSet((query,), tuple(answers))


def _key(question: Question, points: PointSet, config: PlacesConfig) -> str:
    """Return a name for a question, its answers and everything else that its result rests on."""
    assert question.capture is not None
    scene = read_bytes(question.capture / SCENE_FILE, ScoringError)
    answers = [(answer.image, answer.points.tolist()) for answer in points.answers]
    content = json.dumps([question.object, question.part, question.text, answers, repr(config)])
    return hashlib.sha256(content.encode() + scene).hexdigest()


# ── places and grasps ──────────────────────────────────────────────────────────────────────────
def _find(
    question: Question, points: PointSet, tables: _Tables, gripper: Gripper, config: PlacesConfig
) -> Found:
    """Localize a question and, if that is wanted, plan and try its grasps."""
    if not points.answers:
        return Found((False,), (False,) if config.grasps else None)
    localized = tables.session.localize(points, config=config.run.answer)
    (one,) = localized
    places = [one.region, *one.rivals] if isinstance(one.region, Region) else []
    if question.absent:
        return Found((not places,), (not places,) if config.grasps else None)
    scene = _asked(tables.scene, question)
    right = tuple(_is_right(each, scene, str(question.id)) for each in places[:BEST]) or (False,)
    if not config.grasps:
        return Found(right)
    (result,) = tables.session.plan(localized, config=config.run.answer, gripper=gripper)
    return Found(right, tuple(_held(result, scene, gripper, config.trial)) or (False,))


def _is_right(place: Region, scene: Scene, query: str) -> bool:
    return float(distance_to_box(place.action_point[None], part_box(scene, query))[0]) == 0


def _held(result: QueryResult, scene: Scene, gripper: Gripper, config: TrialConfig) -> Iterator[bool]:
    """Yield whether each grasp holds by the part, up to the first that does."""
    for grasp in result.grasps[:BEST]:
        held = try_grasp(scene, result.query.name, grasp, gripper, config).by_part
        yield held
        if held:
            return


def _asked(scene: Scene, question: Question) -> Scene:
    """Return the scene with a question as its only query."""
    if not any(thing == question.object and question.part in ("", part) for thing, part in scene.parts):
        raise ScoringError(
            f"question {question.id!r} means {question.part or 'the whole'} of {question.object!r}, which "
            "its scene does not have: render reasoning-tables again"
        )
    query = Query(str(question.id), question.text)
    target = QueryTarget(query, question.object, question.part)
    return replace(scene, layout=replace(scene.layout, targets=(target,)))
