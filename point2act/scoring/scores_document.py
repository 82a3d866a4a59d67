"""Form of scores.json, see ``core.documents``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from point2act.core.documents import AnyText, Document, Version

Share = Annotated[float, Field(ge=0, le=1)]
Interval = Annotated[list[float], Field(min_length=2, max_length=2)]


class QuestionScore(Document):
    """Score of a question."""

    id: int | AnyText
    category: AnyText
    score: Share
    points: list[Annotated[list[float], Field(min_length=2, max_length=8)]] = Field(
        description="[x, y] in pixels of the image, boxes [left, top, right, bottom], or corners of grasps"
    )
    counted: bool = Field(description="whether the data set's own evaluation has it in its mean")
    problem: AnyText | None = Field(description="why the reply could not be read, or null")
    reply: AnyText | None = Field(description="the reply, or null without an answer")
    seconds: float | None
    cost: float | None = Field(description="US dollars")
    region: list[bool] | None = Field(
        None, description="with --score region or grasp: whether each place is right, likeliest first"
    )
    grasp: list[bool] | None = Field(
        None, description="with --score grasp: whether each grasp that was tried holds by the part"
    )


class RecallScore(Document):
    """R@1 and R@3 of places or of grasps."""

    recall_at_1: Share = Field(description="mean of the best place or grasp")
    recall_at_1_interval: Interval = Field(description="95 % interval")
    recall_at_3: Share = Field(description="mean of the best of the first three")
    recall_at_3_interval: Interval


class MeasureScores(RecallScore):
    """Places or grasps from the answers in all views."""

    categories: dict[str, RecallScore]


class CategoryScore(Document):
    """Scores of a category."""

    questions: int
    score: Share | None = Field(description="as the data set's authors compute it")
    interval: Interval | None = Field(description="95 % interval of the score")
    score_all: Share = Field(description="over all questions, unanswered and unreadable ones as 0")
    interval_all: Interval


class ModelScores(Document):
    """Scores of one model's answers."""

    name: AnyText
    dialect: str
    overall: Share | None = Field(description="as the data set's authors compute it")
    overall_interval: Interval | None = Field(description="95 % interval")
    overall_all: Share = Field(description="over all questions, unanswered and unreadable ones as 0")
    overall_all_interval: Interval
    overall_readable: Share | None = Field(description="over the answers that can be read")
    recall_at_3: Share | None = Field(description="mean of the best of the first three points")
    recall_at_3_interval: Interval | None
    mean_of_categories: Share | None = Field(description="mean of the scores of the categories")
    categories: dict[str, Share | None]
    category_details: dict[str, CategoryScore]
    unreadable: int = Field(description="number of replies without a point that could be read")
    unanswered: int = Field(description="number of questions without an answer")
    skipped: int = Field(description="number of questions that the authors' evaluation leaves out")
    seconds: float | None = Field(description="mean per question")
    cost: float | None = Field(description="mean per question, US dollars")
    region: MeasureScores | None = Field(
        None, description="with --score region or grasp: action points from the answers in all views"
    )
    grasp: MeasureScores | None = Field(None, description="with --score grasp: grasps in physics")
    questions: list[QuestionScore]


class BaselineScores(Document):
    """Scores without looking at the image."""

    middle: Share = Field(description="of the middle of the image")
    middle_interval: Interval
    random: Share = Field(description="of one random point in each image")
    random_interval: Interval
    area: Share | None = Field(
        description="expected score of a random point, the target's share of the image; null for grasps"
    )
    thing: Share | None = Field(
        None, description="of a random visible object; null in formats without images of objects"
    )
    thing_interval: Interval | None = None
    person: Share | None = Field(None, description="of a person's clicks, over the questions with a click")
    person_interval: Interval | None = None
    person_questions: int = Field(0, description="number of questions with a click")


class Difference(Document):
    """Difference to the first model, on the same questions."""

    difference: float
    interval: Interval


class ScoresDocument(ModelScores):
    """Scores on a pointing benchmark: of the first model, and of all in ``models`` if there are more."""

    version: Version
    format: str
    data: AnyText = Field(description="folder of the data set")
    metric: str = Field(description="what the score of a question is")
    baselines: BaselineScores
    models: dict[str, ModelScores] | None = None
    differences: dict[str, Difference] | None = Field(
        None, description="of overall_all to the first model, by name"
    )
