"""Form of a line of examples.jsonl, see ``core.documents``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from point2act.core.documents import Document, Version, Words
from point2act.data.documents import Rigid

Kind = Literal["point", "not_visible", "plan", "step"]

_Pixel = Annotated[
    tuple[float, float], Field(strict=False, description="write a point as two numbers [x, y], in pixels")
]
_Box = Annotated[
    tuple[float, float, float, float], Field(strict=False, description="write [left, top, right, bottom]")
]
_Point = Annotated[
    tuple[float, float, float], Field(strict=False, description="write three numbers, in the world")
]
_Side = Annotated[int, Field(ge=1, description="write a whole number of pixels")]


class CameraEntry(Document):
    """Write a camera as {"fx": …, "fy": …, "cx": …, "cy": …}, in pixels of the image."""

    fx: float = Field(gt=0)
    fy: float = Field(gt=0)
    cx: float
    cy: float


class Example(Document):
    """Write an example as an object with version, id, split, scene, kind, image, question and so on."""

    version: Version = 1
    id: Words = Field(description="write a name that no other example has")
    split: Literal["train", "held_out"] = Field("train", description="write train or held_out")
    scene: str = Field(description="write the name of the scene")
    kind: Kind = Field(description="write point, not_visible, plan or step")
    image: str = Field(
        pattern=r"^images/[0-9a-f]{16}\.jpg$", description="write images/NAME.jpg, as collect names them"
    )
    width: _Side
    height: _Side
    question: Words = Field(description="write what is asked for; of plans and steps, the instruction")
    done: list[Words] = Field([], description="list the steps that were done before")
    points: list[_Pixel] = Field([], description="list the points, pixels of the image")
    region: _Box | None = Field(None, description="write the box around what is visible of it, or null")
    reply: Words | None = Field(None, description="write the reply of plans and steps, else null")
    weight: float = Field(ge=0, le=1, description="write a confidence from 0 to 1")
    hard: bool = Field(False, description="write true where the model itself was wrong in this image")
    own_points: list[_Pixel] | None = Field(
        None, description="list what the model itself answered, or null where it was not asked"
    )
    key_points: list[_Point] = Field([], description="list the points to act on, in the world")
    camera: CameraEntry
    T_world_cam: Rigid

    @model_validator(mode="after")
    def _check_kind(self) -> Example:
        if (self.kind == "point") != bool(self.points):
            raise ValueError(
                f"is of the kind {self.kind} with {len(self.points)} points: only points have some"
            )
        if (self.kind in ("plan", "step")) != (self.reply is not None):
            raise ValueError(f"is of the kind {self.kind}: plans and steps have a reply, and nothing else")
        for x, y in self.points:
            if not (0 <= x <= self.width and 0 <= y <= self.height):
                raise ValueError(f"has the point ({x:g}, {y:g}) outside its image: write pixels of the image")
        return self
