"""Forms of the entries of data sets and stored answers, see ``core.documents``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from point2act.core.documents import Document, Text

Id = Annotated[int | str, Field(description="write the question's id, a whole number or text")]
Name = Annotated[Text, Field(description="write the path of a file")]
Count = Annotated[int, Field(ge=0, description="write a whole number of points")]
Words = Annotated[str, Field(description="write text")]


class Where2PlaceEntry(Document):
    """A line of point_questions.jsonl."""

    question_id: Id
    image: Name
    text: Text
    category: Words = ""


class RefSpatialEntry(Document):
    """An entry of question.json."""

    id: Id
    object: Words = ""
    prompt: Text
    suffix: Words = ""
    rgb_path: Name
    mask_path: Name
    category: Words = ""
    step: int | None = Field(None, description="write the number of reasoning steps")


class PointBenchEntry(Document):
    """An entry of data.json."""

    id: Id | None = None
    image_filename: Name
    mask_filename: Name
    category: Words = ""
    user_input: Text
    count: Count | None = None


class RoboSpatialEntry(Document):
    """An entry of annotations.json."""

    id: Id | None = None
    question: Words | None = None
    answer: Words | None = None
    img: Words | None = None
    category: Words | None = None


class ReasoningEntry(Document):
    """A line of questions.jsonl of reasoning-tables."""

    id: Id
    image: Name
    mask: Name | None = None
    text: Text
    category: Words
    split: Words
    object: Words = ""
    part: Words = ""
    capture: Name | None = Field(None, description="write the folder of the image's capture")
    objects: Name | None = Field(None, description="write the path of an image that numbers the objects")


class RectanglesEntry(Document):
    """A line of questions.jsonl of a data set of grasp rectangles."""

    id: Id
    image: Name
    text: Text
    category: Words = ""
    grasps: Name


class AnswerEntry(Document):
    """A line of a file of stored answers."""

    id: Id
    reply: str = Field(description="write the model's reply as text")
    seconds: float | None = Field(None, ge=0, description="write the seconds that the reply took")
    tokens: tuple[int, int] | None = Field(
        None, strict=False, description="write the numbers of tokens read and written"
    )
    shown: tuple[int, int] | None = Field(
        None, strict=False, description="write [height, width] of the image that was shown, pixels"
    )
    input: tuple[int, int] | None = Field(
        None, strict=False, description="write [height, width] of the processor's image, pixels"
    )
    cost: float | None = Field(None, ge=0, description="write the US dollars that the reply cost")
    category: str | None = Field(None, description="write the folder of the question")
    dialect: str | None = Field(None, description="write how the reply writes points")
