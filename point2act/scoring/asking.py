"""Asking a model the questions of a data set; replies are cached, so that an interrupted run continues."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from point2act.core.errors import ModelError, Point2ActError
from point2act.core.types import ProgressCallback
from point2act.data.capture.images import read_rgb
from point2act.data.crops import resize_image
from point2act.scoring.answers import Answer
from point2act.scoring.questions import Question, QuestionId
from point2act.vlm.clients.cache import ask_with_cache
from point2act.vlm.clients.client import PointingModel, Reply, Request
from point2act.vlm.clients.factory import OpenModel
from point2act.vlm.clients.server import ServerClient

_FAILURE_THRESHOLD = 8
"""After this many failures and no reply, the remaining questions are not asked. Chosen."""
_WRITES_TUPLES = "robopoint"
"""Dialect of models that were trained with the prompts of the data sets' authors."""


@dataclass
class Outcome:
    """Replies of a model, and why there are no others."""

    answers: dict[QuestionId, Answer] = field(default_factory=dict)
    errors: dict[QuestionId, str] = field(default_factory=dict)


def prompt_for(model: PointingModel, question: Question) -> str:
    """Return the prompt for a question: the model's own, with the target or the instruction as its query.

    Models that write RoboPoint's tuples get the prompt of the data set's authors, where it has one.
    """
    if model.dialect == _WRITES_TUPLES and question.prompt:
        return question.prompt
    return model.prompt.format(query=question.target or f'what this asks for: "{question.text}"')


def ask_model(
    opened: OpenModel, questions: Sequence[Question], *, progress: ProgressCallback | None = None
) -> Outcome:
    """Ask a model all questions, as many at once as its client allows.

    Args:
        opened: The model, its client and the cache of its replies.
        questions: The questions.
        progress: Called with the number of questions that were dealt with, and of all.

    Returns:
        The replies, also those that cannot be read, and the errors of questions without one.

    Raises:
        ModelError: No question got a reply.
    """
    outcome, lock = Outcome(), threading.Lock()

    def ask(question: Question) -> None:
        if len(outcome.errors) >= _FAILURE_THRESHOLD and not outcome.answers:
            return
        try:
            answer, error = _ask(opened, question), ""
        except Point2ActError as err:
            answer, error = None, str(err)
        with lock:
            if answer is not None:
                outcome.answers[question.id] = answer
            else:
                outcome.errors[question.id] = error
            if progress is not None:
                progress(len(outcome.answers) + len(outcome.errors), len(questions))

    pool = ThreadPoolExecutor(opened.client.concurrency, thread_name_prefix="ask")
    try:
        for future in [pool.submit(ask, question) for question in questions]:
            future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if questions and not outcome.answers:
        raise ModelError(
            f"none of {len(questions)} questions was answered: {next(iter(outcome.errors.values()))}"
        )
    return outcome


def _ask(opened: OpenModel, question: Question) -> Answer:
    crop = resize_image(read_rgb(question.image)[0], max_side=opened.model.image_side)
    request = Request(prompt_for(opened.model, question), (crop.image,), about=str(question.id))
    reply, _, _ = ask_with_cache(opened.client, request, lambda reply: reply, cache=opened.cache)
    return Answer(
        reply.text,
        seconds=reply.seconds,
        tokens=reply.tokens if any(reply.tokens) else None,
        shown=crop.size,
        input=reply.input_sizes[0] if reply.input_sizes else None,
        cost=_cost(reply, opened),
        dialect=opened.model.dialect,
    )


def _cost(reply: Reply, opened: OpenModel) -> float | None:
    """Return US dollars by the price in the model's file; None if unknown, as on a server of one's own."""
    model, client = opened.model, opened.client
    if model.price is None or not any(reply.tokens) or not isinstance(client, ServerClient):
        return None
    if client.identity["base_url"] != (model.server or "").rstrip("/"):
        return None
    return sum(number * price for number, price in zip(reply.tokens, model.price, strict=True)) / 1e6


def unanswered_sentences(errors: Mapping[QuestionId, str]) -> list[str]:
    """Return a sentence for each reason why questions were not answered."""
    reasons: dict[str, list[str]] = {}
    for name, error in errors.items():
        reasons.setdefault(error, []).append(str(name))
    return [
        f"{len(names)} questions, such as {names[0]}, were not answered: {reason}"
        for reason, names in reasons.items()
    ]
