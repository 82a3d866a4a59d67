"""A query of a prepared task located anew, after fresh answers have refuted its region."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from point2act.acting.execution.preparation import PreparedTask, Source, prepare
from point2act.core.errors import PlanError
from point2act.core.geometry import at_pixels, back_project, inside, invert, project, transform_points
from point2act.core.types import Answer
from point2act.data.capture import disk_to_view, view_to_disk

# Largest distance of a fresh answer from the surface of things that the capture shows, metres: further, what
# is there now was not there. Chosen: above the errors of the depth of both cameras.
_STOOD = 0.02
# Largest difference of a point's depth from that of a view that shows it, metres. Chosen, likewise.
_SHOWN = 0.02


def locate_again(
    prepared: PreparedTask, query: str, places: Sequence[Float[np.ndarray, " 3"]]
) -> PreparedTask | None:
    """Locate a query anew, from its answers of before and from fresh ones that refute its region.

    Answers of before that mean a point nearer to the refuted region than to the fresh ones do not count. Each
    fresh one is the answer in one view of the capture that shows its point.

    Args:
        prepared: The task, with what it was prepared from.
        query: Name of the query.
        places: Surface points that the fresh answers mean, base frame, metres; at least one.

    Returns:
        The task with the query located anew; None if nothing stood there in the capture, or if the plan is
        not possible with what stood there.
    """
    source = prepared.source
    if source is None:
        return None
    session, T_base_world = source.session, source.session.capture.T_base_world
    assert T_base_world is not None
    world = transform_points(invert(T_base_world), np.array(places))
    parts = session.segmentation(source.config.segmentation).parts
    stood = parts.points[parts.things]
    if not len(stood) or np.median(KDTree(stood).query(world)[0]) > _STOOD:
        return None
    refuted = transform_points(invert(T_base_world), prepared.surfaces[query])
    answers = [one for one in source.points.answers if one.query != query]
    answers += [
        one for one in source.points.answers if one.query == query and _counts(source, one, refuted, world)
    ]
    answers += _in_views(source, query, world)
    points = replace(
        source.points,
        answers=tuple(answers),
        choices=tuple(one for one in source.points.choices if one.query != query),
    )
    try:
        return prepare(session, points, prepared.plan, source.gripper, source.config)
    except PlanError:
        return None


def _counts(
    source: Source, answer: Answer, refuted: Float[np.ndarray, "n 3"], fresh: Float[np.ndarray, "m 3"]
) -> bool:
    """Return whether all points of an answer are nearer to fresh ones than to the refuted region.

    That something is not visible may be about what was meant wrongly.
    """
    views = {view.name: number for number, view in enumerate(source.session.views)}
    if answer.image not in views or not len(answer.points):
        return False
    number = views[answer.image]
    view, frame = source.session.views[number], source.session.frames[number]
    pixels = disk_to_view(frame, view, answer.points)
    depth = at_pixels(source.session.surfaces[number].depth, pixels)
    meant = back_project(view.camera, view.T_world_cam, pixels, depth.astype(float))
    return bool((KDTree(fresh).query(meant)[0] < KDTree(refuted).query(meant)[0]).all())


def _in_views(source: Source, query: str, points: Float[np.ndarray, "m 3"]) -> Iterator[Answer]:
    """Yield each point as the answer in one view that shows it, evenly spread over the views."""
    session = source.session
    every = list(zip(session.views, session.frames, session.surfaces, strict=True))
    for number, point in enumerate(points):
        first = number * len(every) // len(points)
        for view, frame, surface in (*every[first:], *every[:first]):
            pixel, depth = project(view.camera, view.T_world_cam, point[None])
            shown = np.abs(at_pixels(surface.depth, pixel) - depth) < _SHOWN
            if (inside(view.camera, pixel) & shown).all():
                yield Answer(frame.name, query, view_to_disk(frame, view, pixel), model="asked again")
                break
