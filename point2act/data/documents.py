"""Forms of points.json and run.json, and of the task plan in points.json and grasps.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from point2act.core.documents import AnyText, Document, Version, Words
from point2act.core.files import brief, is_text
from point2act.core.types import Answer, Choice, Plan, Query, Role, Step, Target
from point2act.data.constraint_documents import Constraints, check_references

# Of queries: each takes a second and more. Chosen.
_MAX_QUERIES = 1000
# Characters of an image's name, as in transforms.json; of a query's name and its text. Chosen.
_MAX_LENGTH = 1000
_LISTED = 10


def _printable(words: str, *, allowed: str = "") -> str:
    """Check a text that is printed and written to other files."""
    if len(words) > _MAX_LENGTH or not is_text(words, allowed=allowed):
        raise ValueError(
            f"is {brief(words)}: write at most {_MAX_LENGTH} characters, and no control characters"
        )
    return words


_Line = Annotated[Words, AfterValidator(_printable)]
_Lines = Annotated[Words, AfterValidator(partial(_printable, allowed="\n\t"))]
_Point = Annotated[
    tuple[float, float],
    Field(strict=False, description="write a point as two numbers [x, y], finite, in pixels"),
]

_Mark = Annotated[
    list[_Point], Field(min_length=1, fail_fast=True, description="list at least one pixel [x, y]")
]
_Start = Annotated[int, Field(ge=0)]
_Extent = Annotated[int, Field(ge=1)]
_Window = Annotated[
    tuple[_Start, _Start, _Extent, _Extent],
    Field(strict=False, description="write [left, top, width, height] in whole pixels"),
]


class QueryDocument(Document):
    """Write a query as {"name": …, "text": …, "role": …}."""

    name: _Line = Field(description="write a short name that answers refer to")
    text: _Lines = Field(description="write what is asked for, in words")
    role: Role = Field("grasp", description="write grasp, place or avoid (grasp where it is left out)")
    instances: Literal["one", "all"] = Field(
        "one", description="write all where every thing that the words fit is wanted, or omit it"
    )


class TargetDocument(Document):
    """Write a target as {"query": …, "object": …, "part": …, "reason": …}."""

    query: QueryDocument = Field(description="write one of the queries, with the same name, text and role")
    object: Words = Field(description="write the whole thing, in words")
    part: Words | None = Field(None, description="write where on the object, in words, or null for all of it")
    reason: AnyText = Field("", description="write why it is this that is wanted")

    def target(self) -> Target:
        """Return the target."""
        return Target(Query(**vars(self.query)), self.object, self.part, self.reason)


class StepDocument(Document):
    """Write a step as {"action": …, "targets": […]}."""

    action: Words = Field(description="write what is done, in words")
    targets: list[TargetDocument] = Field(
        fail_fast=True, description="list what has to be found for the step; none is allowed"
    )
    constraints: Constraints = Field([])

    def step(self) -> Step:
        """Return the step."""
        targets = tuple(target.target() for target in self.targets)
        return Step(self.action, targets, tuple(found.constraint() for found in self.constraints))


class PlanDocument(Document):
    """Write a plan as {"instruction": …, "model": …, "steps": […]}."""

    instruction: Words = Field(description="write what was wanted, in words")
    model: AnyText = Field("", description="write who or what made the plan")
    steps: list[StepDocument] = Field(min_length=1, fail_fast=True, description="list at least one step")

    def check_queries(self, queries: Iterable[Query]) -> None:
        """Raise a ``ValueError`` if a target or a constraint needs another query, text or role."""
        asked = {query.name: query for query in queries}
        for number, step in enumerate(self.steps):
            for query in (target.query for target in step.targets):
                same, place = asked.get(query.name), f"plan.steps[{number}]"
                if same is None:
                    known = ", ".join(sorted(asked)) or "none"
                    raise ValueError(
                        f"{place} needs the query {query.name!r}, which is not asked: the queries are {known}"
                    )
                if (query.text, query.role) != (same.text, same.role):
                    raise ValueError(
                        f"{place} says that the query {query.name!r} is {query.text!r} to {query.role}, but "
                        f"it is {same.text!r} to {same.role}: make them the same"
                    )
        plan = self.plan()
        names = [query.name for query in plan.queries]
        check_references((step.constraints for step in plan.steps), names, place="plan.steps")

    def plan(self) -> Plan:
        """Return the plan."""
        return Plan(self.instruction, tuple(step.step() for step in self.steps), self.model)


class AnswerDocument(Document):
    """Write an answer as {"image": …, "query": …, "points": [[x, y], …], "visible": …}."""

    image: _Line = Field(description="write a file_path of transforms.json")
    query: AnyText = Field(description="write the name of a query")
    # A million errors would take 20 s and 2 GB: the first one is enough.
    points: list[_Point] = Field(
        fail_fast=True,
        description="write a list of points [x, y], pixels of the image on disk; it may be empty",
    )
    visible: bool = Field(description="write true, or false where the target cannot be seen in the image")
    model: AnyText = Field("", description="write who or what answered")
    raw: AnyText | None = Field(None, description="write the reply word for word, or null")
    seconds: float | None = Field(None, ge=0, description="write the seconds that the answer took, or null")

    window: _Window | None = Field(
        None, description="write [left, top, width, height] of the crop that was shown, in pixels, or null"
    )

    def answer(self) -> Answer:
        """Return the answer."""
        points = np.array(self.points, dtype=float).reshape(-1, 2)
        return Answer(
            self.image, self.query, points, self.visible, self.model, self.raw, self.seconds, self.window
        )

    @model_validator(mode="after")
    def _check_visible(self) -> AnswerDocument:
        if self.points and not self.visible:
            raise ValueError(
                f"({self.image}, {brief(self.query)}) has points but says visible: false: "
                "remove the points, or write visible: true"
            )
        return self


class ChoiceDocument(Document):
    """Write a choice as {"image": …, "query": …, "marks": [[[x, y], …], …], "chosen": …}."""

    image: _Line = Field(description="write a file_path of transforms.json")
    query: AnyText = Field(description="write the name of a query")
    marks: list[_Mark] = Field(
        min_length=1,
        fail_fast=True,
        description="list for each mark some pixels [x, y] of the region that it stands for, evenly spaced",
    )
    chosen: int | None = Field(
        ge=0, description="write the index of the chosen mark, from 0, or null for none of them"
    )
    model: AnyText = Field("", description="write who or what chose")
    raw: AnyText | None = Field(None, description="write the reply word for word, or null")
    seconds: float | None = Field(None, ge=0, description="write the seconds that the choice took, or null")

    def choice(self) -> Choice:
        """Return the choice."""
        marks = tuple(np.array(mark, dtype=float) for mark in self.marks)
        return Choice(self.image, self.query, marks, self.chosen, self.model, self.raw, self.seconds)

    @model_validator(mode="after")
    def _check_chosen(self) -> ChoiceDocument:
        if self.chosen is not None and self.chosen >= len(self.marks):
            raise ValueError(
                f"({self.image}, {brief(self.query)}) chooses mark {self.chosen} of {len(self.marks)}: "
                "write its index, from 0"
            )
        return self


class PointsDocument(Document):
    """Write an object with version, queries and answers."""

    version: Version
    queries: list[QueryDocument] = Field(
        min_length=1, max_length=_MAX_QUERIES, description=f"list 1 to {_MAX_QUERIES} queries"
    )
    answers: list[AnswerDocument] = Field(
        fail_fast=True, description="list the answers, one for each image and query; none is allowed"
    )
    choices: list[ChoiceDocument] = Field(
        [],
        fail_fast=True,
        description="list the choices among regions that were marked in images, or leave it out",
    )
    plan: PlanDocument | None = Field(None, description="write a plan, or null, or leave it out")

    @model_validator(mode="after")
    def _check_queries(self) -> PointsDocument:
        names = Counter(query.name for query in self.queries)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ValueError(f"two queries are named {twice[0]!r}: give each its own name")
        replies = [(f"answers[{k}] is to", answer.query) for k, answer in enumerate(self.answers)]
        replies += [(f"choices[{k}] is for", choice.query) for k, choice in enumerate(self.choices)]
        for place, query in replies:
            if query not in names:
                raise ValueError(
                    f"{place} the query {brief(query)}, which is not asked: use one of "
                    f"{', '.join(sorted(names)[:_LISTED])}"
                )
        if self.plan is not None:
            self.plan.check_queries(Query(**vars(query)) for query in self.queries)
        return self


Row = Annotated[list[float], Field(min_length=4, max_length=4, description="write four numbers")]
Rigid = Annotated[
    list[Row], Field(min_length=4, max_length=4, description="write a rigid 4x4 matrix, row by row")
]


class RunDocument(Document):
    """Write an object with version, capture, scene and max_side."""

    version: Version
    capture: AnyText = Field(min_length=1, description="write the absolute path of the capture's folder")
    scene: str = Field(
        pattern=r"^[^/]+$", description="write the name of the scene's PLY file beside this file"
    )
    scene_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="write the scene file's SHA-256 in 64 digits, or omit it"
    )
    geometry: str | None = Field(
        None,
        pattern=r"^[^/]+$",
        description="write the name of the PLY file of the Gaussians before the fit, or omit it",
    )
    geometry_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="write that file's SHA-256 in 64 digits, or omit it"
    )
    max_side: int = Field(ge=1, description="write how many pixels the longer side of an image has at most")
    metric: bool = Field(description="write true where lengths are metres, else false")
    psnr: float | None = Field(description="write the mean over the held-out views in dB, or null")
    timings: dict[str, float] = Field(description="write the seconds of each stage by its name")
    allow_outside: bool = Field(
        False, description="write true where the capture may name files outside its folder, or omit it"
    )
    fingerprint: str | None = Field(None, description="omit it: a run writes it for --resume")
    notes: dict[str, str] = Field({}, description="omit it: a run writes it for --resume")
    views: list[str] | None = Field(
        None, min_length=1, description="write the names of the frames that are used, or omit it for all"
    )
    T_world_cam: dict[str, Rigid] | None = Field(
        None, description="write the refined pose of each view by its frame's name, or omit it"
    )
