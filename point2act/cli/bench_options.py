"""Options of ``point2act bench-model``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from point2act.cli.options import Texts
from point2act.vlm.clients.factory import ClientConfig

Kind = Literal["where2place", "refspatial", "pointbench", "robospatial", "reasoning", "rectangles"]


@dataclass(frozen=True)
class Input:
    """The data set, and stored answers to it."""

    format: Kind
    """Format of the data set: Where2Place, RefSpatial-Bench, Point-Bench (PointArena), RoboSpatial-Home,
    reasoning-tables of point2act, or grasp rectangles as Cornell's and Jacquard's files have them."""
    data: Path
    """Folder of the data set, as its authors publish it. reasoning-tables is rendered there, unless it exists
    (needs MuJoCo)."""
    split: str | None = None
    """Only questions of one split: development or test, for reasoning-tables."""
    answers: Texts = ()
    """FILE or NAME=FILE with stored answers, a line {"id": …, "reply": "…"} for each question; or a
    points.json with a person's clicks. Repeatable."""
    clicks: Path | None = None
    """points.json with a person's clicks, as the viewer saves them, to compare the scores with."""


@dataclass(frozen=True)
class ModelOptions(ClientConfig):
    """The model to ask."""

    dialect: str | None = None
    """Format in which points are written, such as molmo or gemini; by default the model's own, and for stored
    answers what the evaluation of the data set's authors reads."""


@dataclass(frozen=True)
class Scoring:
    """What is scored."""

    score: Literal["view", "region", "grasp"] = "view"
    """For reasoning-tables: view asks about single images. region asks about all images of a table (four
    times as many questions), and scores the action point too. grasp also plans grasps and tries them in
    physics, which takes some seconds a question. Interrupted scoring continues where it was."""
    gripper: str = "panda"
    """Gripper of --score grasp: name of a shipped one, or path of a gripper's .toml file."""


@dataclass(frozen=True)
class Output:
    """What to write."""

    output: Path
    """Folder for scores.json, report.html and, with --model, the answers."""
    pictures: int = 24
    """Maximum number of failures of each model in the report."""
    seed: int = 0
    """Seed of the random points that the scores are compared with, and of scenes to render."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Score pointing models on a published benchmark, by stored answers or by asking.

      point2act bench-model --format where2place --data where2place/ --output out/ \\
          --answers own=answers.jsonl --answers molmo=molmo.jsonl

    The metrics are those of the data sets' authors; the data sets are not included. With --model, a model is
    asked every question; replies are cached, so that an interrupted run continues.
    """

    input: Annotated[Input, tyro.conf.arg(name="")]
    model: Annotated[ModelOptions, tyro.conf.arg(name="")] = field(default_factory=ModelOptions)
    scoring: Annotated[Scoring, tyro.conf.arg(name="")] = field(default_factory=Scoring)
    output: Annotated[Output, tyro.conf.arg(name="")]
