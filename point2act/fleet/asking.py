"""Questions of a batch to a model: one client asks for all jobs, so its limits hold for the whole batch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from point2act.core.errors import FleetError
from point2act.core.files import read_json, write_json
from point2act.core.progress import Stages
from point2act.core.types import Capture, Query
from point2act.data.capture.view_selection import select_views
from point2act.data.points import write_points
from point2act.vlm.clients.client import ModelClient, Reply, Request
from point2act.vlm.clients.factory import OpenModel, open_model
from point2act.vlm.pointing.questions import AskConfig, ask, questions_for

UNANSWERED = "unanswered.json"
"""Beside a points.json: the images and queries without an answer, and why."""
_COST = "cost.json"


@dataclass(frozen=True)
class AskingCost:
    """What questions took."""

    questions: int = 0
    seconds: float = 0.0
    tokens_read: int = 0
    tokens_written: int = 0

    def __add__(self, other: AskingCost) -> AskingCost:
        """Return the sum of both."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return AskingCost(*(one + another for one, another in pairs))


class Asker:
    """A model that is asked about captures, one after the other.

    Args:
        config: Model to ask, and how; its limits hold for everything that is asked.

    Raises:
        ModelError: The model cannot be asked.
    """

    def __init__(self, config: AskConfig):
        self._config = config
        self._opened = open_model(config.client)
        self._counting = CountingClient(self._opened.client)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What answers depend on beside the images and the queries, JSON."""
        model, config = self._opened.model, self._config
        return {
            "client": dict(self._opened.client.identity),
            "prompt": model.prompt,
            "dialect": model.dialect,
            "image_side": model.image_side,
            "zoom": repr(config.zooming) if config.look_twice else None,
        }

    @property
    def price(self) -> tuple[float, float] | None:
        """US dollars per million tokens read and written; None if unknown."""
        return self._opened.model.price

    def ask(self, capture: Capture, queries: tuple[Query, ...], max_views: int, points: Path) -> None:
        """Ask about every used image of a capture, and write the answers, unless they exist.

        Args:
            capture: The capture.
            queries: What to ask.
            max_views: Maximum number of images.
            points: The points.json to write.

        Raises:
            Point2ActError: No question was answered, or the file cannot be written.
        """
        if points.is_file():
            return
        used = replace(capture, frames=select_views(capture.frames, max_views))
        opened = OpenModel(self._opened.model, self._counting, self._opened.cache)
        start, before = time.perf_counter(), self._counting.tokens
        questions = questions_for(opened, queries, config=self._config)
        answers = ask(used, questions, stages=Stages(show=False))
        read, written = (now - then for now, then in zip(self._counting.tokens, before, strict=True))
        cost = AskingCost(answers.count.asked, round(time.perf_counter() - start, 3), read, written)
        unanswered = [
            {"image": result.task.frame.name, "query": result.task.query.name, "error": result.error}
            for result in answers.results
            if result.answer is None
        ]
        write_json(points.with_name(_COST), asdict(cost))
        write_json(points.with_name(UNANSWERED), {"version": 1, "unanswered": unanswered})
        write_points(points, answers.points)


class CountingClient:
    """A client that counts the tokens of another one's replies."""

    def __init__(self, client: ModelClient):
        self._client = client
        self._replies: list[tuple[int, int]] = []

    @property
    def identity(self) -> Mapping[str, Any]:
        """Those of the other client."""
        return self._client.identity

    @property
    def concurrency(self) -> int:
        """That of the other client."""
        return self._client.concurrency

    @property
    def tokens(self) -> tuple[int, int]:
        """Number of tokens read and written so far."""
        replies = tuple(self._replies)
        return sum(read for read, _ in replies), sum(written for _, written in replies)

    def ask(self, request: Request) -> Reply:
        """Send a request, see ``ModelClient``."""
        reply = self._client.ask(request)
        self._replies.append(reply.tokens)
        return reply


def costs(answers: Path) -> Iterator[AskingCost]:
    """Yield the cost of every points.json in a store's folder of answers."""
    for path in sorted(answers.glob(f"*/*/{_COST}")):
        try:
            yield AskingCost(**read_json(path, FleetError))
        except (FleetError, TypeError):
            continue
