"""Queries that ask for all instances, such as "all the screws": each becomes a region of its own.

The likelihood of a query knows one thing that is meant. Instances are therefore found one after another: each
takes the point nearest to it out of every answer, until no further place has support. Then each is localized
once more without the points of the others, so that its confidence does not suffer from them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from point2act.core.geometry import project, to_tangents
from point2act.core.types import NoAnswer
from point2act.localization.view_answers import QueryAnswers
from point2act.pipeline.query import AnswerConfig, Localization, QueryContext, localize

# Largest number of instances, and of Gaussians of an instance that answers are compared with. Chosen.
_MAX_INSTANCES = 30
_SAMPLES = 300
# Owner of a point that belongs to no instance yet.
_FREE = -1

Owners = list[Int[np.ndarray, " _"] | None]
"""Instance of every point in every view; None where a view was not asked."""


def localize_all(context: QueryContext, *, config: AnswerConfig) -> Localization:
    """Find all instances that a query means.

    Answers about whole images count; crops and choices, which are about one thing, do not.

    Returns:
        The first instance with the relevancy of all, and all in ``instances``; without any, the reason.
    """
    owners: Owners = [
        None if points is None else np.full(len(points), _FREE) for points in context.answers.whole
    ]
    number = 0
    while True:
        one = localize(_only(context, owners, {_FREE}), config=config)
        if isinstance(one.region, NoAnswer) or number == _MAX_INSTANCES:
            break
        if not _claim(one, owners, number, within=config.region.support.agree):
            break
        number += 1
    each = (localize(_only(context, owners, {_FREE, k}), config=config) for k in range(number))
    found = [instance for instance in each if not isinstance(instance.region, NoAnswer)]
    if not found:
        return one
    relevancy = np.max([instance.relevancy for instance in found], axis=0)
    named = tuple(_named(instance, k) for k, instance in enumerate(found))
    return replace(named[0], relevancy=relevancy, instances=named)


def each_instance(localized: Iterable[Localization]) -> Iterator[Localization]:
    """Yield every query that means one thing, and every instance of the others."""
    for one in localized:
        yield from one.instances or (one,)


def _only(context: QueryContext, owners: Owners, wanted: Collection[int]) -> QueryContext:
    """Return the context with the points of some owners alone."""
    left: list[Float[np.ndarray, "_ 2"] | None] = [
        None if points is None or owner is None else points[np.isin(owner, list(wanted))]
        for points, owner in zip(context.answers.whole, owners, strict=True)
    ]
    return replace(context, answers=QueryAnswers(left), pixels=left)


def _claim(one: Localization, owners: Owners, number: int, *, within: float) -> bool:
    """Give an instance the nearest free point of every view; return whether there was any.

    Args:
        one: The instance.
        owners: Changed in place.
        number: Number of the instance.
        within: Largest angle between the point and the instance, radians.
    """
    body = one.context.scene.means[one.extent]
    body = body[:: max(len(body) // _SAMPLES, 1)]
    claimed = False
    for view, points, owner in zip(one.context.views, one.context.answers.whole, owners, strict=True):
        if points is None or owner is None or len(points) == 0:
            continue
        pixels, depths = project(view.camera, view.T_world_cam, body)
        if not (depths > 0).any():
            continue
        surface, answers = (to_tangents(view.camera, at) for at in (pixels[depths > 0], points))
        distance = np.linalg.norm(answers[:, None] - surface, axis=2).min(axis=1)
        nearest = int(distance.argmin())
        if distance[nearest] < within:
            owner[np.flatnonzero(owner == _FREE)[nearest]] = number
            claimed = True
    return claimed


def _named(one: Localization, number: int) -> Localization:
    """Return an instance under a name of its own; the first one keeps the query's."""
    if number == 0:
        return one
    query = one.query
    own = replace(query, name=f"{query.name}-{number + 1}", text=f"{query.text} ({number + 1})")
    return replace(one, context=replace(one.context, query=own))
