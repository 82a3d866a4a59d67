"""From a finished run to examples: what all views agree on, as the answer that each should have got."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import TeachingError
from point2act.core.files import as_utf8
from point2act.core.types import OrientedBox, Plan, PointSet, Query, RelevancyField, View
from point2act.data.capture import disk_to_view, load_view
from point2act.data.points import PERSON, read_points
from point2act.grasping.grasps_json import read_grasps
from point2act.pipeline.finished_run import FinishedRun
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.session_result import join_relevancy
from point2act.teaching.labels import Label, LabelConfig, Place, label_view, surface_points
from point2act.teaching.pictures import Picture, write_picture
from point2act.teaching.plans import plan_reply

if TYPE_CHECKING:
    from point2act.pipeline.session import Session
    from point2act.teaching.documents import Example
else:
    Example = Session = Any


@dataclass(frozen=True)
class CollectConfig:
    """Which examples are taken from a run."""

    min_confidence: float = 0.8
    """Smallest confidence of an action point: it is calibrated, so this is how often it is right."""
    max_side: int = 1024
    """Longer side of the images, pixels."""
    labels: LabelConfig = field(default_factory=LabelConfig)


@dataclass
class Tally:
    """What was not taken, and why."""

    unconfident: int = 0
    """Queries whose confidence is too small, or that have no action point."""
    undecided: int = 0
    """Views in which a target is partly hidden, or has no depth."""


def collect_run(
    path: Path, folder: Path, *, tally: Tally, config: CollectConfig = CollectConfig()
) -> list[Example]:
    """Collect the examples of a finished run and write their images.

    Args:
        path: Output folder of ``point2act run``.
        folder: Folder of the data set.
        tally: Counts what is not taken.
        config: What is taken.

    Returns:
        The examples, views in the order of the run, queries in theirs.

    Raises:
        Point2ActError: The run cannot be read, or has no grasps.json or no answers.
    """
    run = FinishedRun.read(path)
    if run.points is None:
        raise TeachingError(f"{run.folder} has no points.json, nor has its capture: run it with a model")
    points = read_points(run.points, run.capture)
    places = _confident(read_grasps(run.folder / "grasps.json"), points, tally, config)
    if not places:
        return []
    return list(_Collector(run.session(), points, places, folder, tally, config).examples())


def _confident(
    document: dict[str, Any], points: PointSet, tally: Tally, config: CollectConfig
) -> dict[str, list[Place]]:
    """Return what each query means, by its name, where all of it is certain enough."""
    found = {}
    for query in points.queries:
        results = [each for each in document["results"] if _answers(each["query"]["name"], query)]
        if results and all(
            each["action_point"] is not None and each["confidence"] >= config.min_confidence
            for each in results
        ):
            found[query.name] = [_place(each) for each in results]
        else:
            tally.unconfident += 1
    return found


def _answers(name: str, query: Query) -> bool:
    """Return whether a result is that of a query, or of one of its instances, ``screw-2``."""
    instance = query.instances == "all" and re.fullmatch(re.escape(query.name) + r"-\d+", name)
    return name == query.name or bool(instance)


def _place(result: dict[str, Any]) -> Place:
    box = OrientedBox(**{key: np.array(value, dtype=float) for key, value in result["region"].items()})
    return Place(np.array(result["action_point"], dtype=float), box, result["confidence"])


@dataclass(frozen=True, eq=False)
class _Collector:
    """The examples of one run."""

    session: Session
    points: PointSet
    places: dict[str, list[Place]]
    folder: Path
    tally: Tally
    config: CollectConfig

    def examples(self) -> Iterator[Example]:
        """Yield points and negatives of every view, then the questions about the plan."""
        depths = self.session.depths(AnswerConfig().depth_agreement)
        relevancy = self._relevancy()
        queries = {query.name: query for query in self.points.queries if query.name in self.places}
        most: tuple[int, Picture] | None = None
        for view, depth in zip(self.session.views, depths, strict=True):
            rendered = self.session.render(view, relevancy=relevancy).relevancy
            labels = self._labels(view, depth, rendered)
            self.tally.undecided += len(queries) - len(labels)
            if not labels:
                continue
            picture = self._write(view)
            for name, label in labels.items():
                yield self._example(queries[name], label, picture)
            visible = sum(len(label.points) > 0 for label in labels.values())
            if most is None or visible > most[0]:
                most = visible, picture
        if most is not None and self.points.plan is not None:
            yield from self._about_plan(self.points.plan, most[1])

    def _relevancy(self) -> RelevancyField:
        """Return the relevancy of the queries, in the order of ``places``."""
        asked = {query.name: query for query in self.points.queries}
        queries = tuple(asked[name] for name in self.places)
        return join_relevancy(self.session.localize(replace(self.points, queries=queries)))

    def _labels(
        self, view: View, depth: Float[np.ndarray, "h w"], relevancy: Float[np.ndarray, "h w q"]
    ) -> dict[str, Label]:
        """Return the label of every query that the view decides."""
        surface = surface_points(view, depth)
        found = {
            name: label_view(
                places,
                view,
                depth,
                surface,
                relevancy[:, :, number],
                self._own_answer(name, view),
                config=self.config.labels,
            )
            for number, (name, places) in enumerate(self.places.items())
        }
        return {name: label for name, label in found.items() if label is not None}

    def _own_answer(self, name: str, view: View) -> Float[np.ndarray, "m 2"] | None:
        """Return what the model pointed at in the whole image, pixels of the view; None without an answer."""
        given = [
            answer.points
            for answer in self.points.answers
            if (answer.query, answer.image) == (name, view.name)
            and answer.model != PERSON
            and answer.window is None
        ]
        frame = next(frame for frame in self.session.frames if frame.name == view.name)
        return disk_to_view(frame, view, np.concatenate(given)) if given else None

    def _write(self, view: View) -> Picture:
        """Write the undistorted image of a view."""
        frame = next(frame for frame in self.session.frames if frame.name == view.name)
        loaded = load_view(self.session.capture, frame, max_side=self.config.max_side)
        return write_picture(self.folder, loaded, view)

    def _example(self, query: Query, label: Label, picture: Picture) -> Example:
        places = self.places[query.name]
        own = self._own_answer(query.name, picture.view)
        content = {
            "kind": "point" if len(label.points) else "not_visible",
            "question": query.text,
            "points": picture.points(label.points),
            "region": None if label.region is None else picture.box(label.region),
            "weight": min(place.confidence for place in places),
            "hard": label.hard,
            "own_points": None if own is None else picture.points(own),
            "key_points": [tuple(place.action_point.tolist()) for place in places],
        }
        return self._make(picture, content)

    def _about_plan(self, plan: Plan, picture: Picture) -> Iterator[Example]:
        """Yield the plan and each of its steps, if all of its targets are certain enough."""
        reply, names = plan_reply(plan), [query.name for query in plan.queries]
        if reply is None or not set(names) <= self.places.keys():
            return
        weight = min(place.confidence for name in names for place in self.places[name])
        actions = [step.action for step in plan.steps]
        about = {"question": plan.instruction, "weight": weight}
        yield self._make(picture, {"kind": "plan", "reply": reply} | about)
        for number, action in enumerate(actions):
            step = {"kind": "step", "reply": action, "done": actions[:number]}
            yield self._make(picture, step | about)

    def _make(self, picture: Picture, content: dict[str, Any]) -> Example:
        """Return an example, checked, with what all examples of an image share."""
        from point2act.core.documents import check
        from point2act.teaching.documents import Example

        camera = picture.camera
        content = content | {
            "id": _identity(picture.name, content),
            "scene": self.session.capture.folder.resolve().name,
            "image": picture.name,
            "width": camera.width,
            "height": camera.height,
            "camera": {key: getattr(camera, key) for key in ("fx", "fy", "cx", "cy")},
            "T_world_cam": picture.view.T_world_cam.tolist(),
        }
        return check(Example, content, TeachingError, place=f"{picture.view.name} (please report it)")


def _identity(image: str, content: dict[str, Any]) -> str:
    """Return the same id for the same question about the same image, whatever the answer."""
    about = content["kind"] if content["kind"] in ("plan", "step") else "point"
    asked = "\n".join([about, content["question"], *content.get("done", [])])
    return f"{Path(image).stem}-{hashlib.sha256(as_utf8(asked)).hexdigest()[:8]}"
