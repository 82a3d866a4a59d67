"""Why there are no grasps, and what would have to change: the nearest miss."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from point2act.geometry import thinned
from point2act.grasps.boundary import Solid
from point2act.grasps.collision import (
    approach_opening,
    body_boxes,
    depth_inside,
    finger_boxes,
    plane_heights,
)
from point2act.grasps.pairs import REACH, PairConfig, Pairs
from point2act.grasps.poses import PoseConfig, Tally, depths_of, fans_of
from point2act.grasps.volume import LocalVolume
from point2act.grippers import Boxes, Gripper
from point2act.types import NoAnswer

_PAIRS = 12
"""Contact pairs about which the nearest miss is looked for, the best ones first."""


def why_none(
    volume: LocalVolume,
    solid: Solid,
    pairs: Pairs,
    tally: Tally,
    gripper: Gripper,
    *,
    opens: PairConfig,
    ways: PoseConfig,
) -> NoAnswer:
    """The reason for an empty answer, and in words how much was lacking."""
    span, reach = 1e3 * (gripper.max_width - 2 * opens.clearance), 1e3 * REACH * gripper.max_width
    if len(pairs):
        return NoAnswer(
            "all_collide", _collisions(pairs, tally) + _nearest(volume, solid, pairs, gripper, opens, ways)
        )
    if len(pairs.wide):
        narrowest = 1e3 * pairs.wide.min()
        return NoAnswer(
            "too_wide",
            f"too wide by {narrowest - span:.0f} mm: the narrowest of {len(pairs.wide)} contact pairs is "
            f"{narrowest:.0f} mm, the gripper spans {span:.0f} mm with room to open ({pairs.endless} of "
            f"{pairs.tried} rays into the object end in what was never seen)",
        )
    if not pairs.tried:
        within = 1e3 * max(opens.radii)
        return NoAnswer(
            "no_contact_pair", f"nothing stands out from the table within {within:.0f} mm of the action point"
        )
    if pairs.endless == pairs.tried:
        return NoAnswer(
            "too_wide",
            f"none of {pairs.tried} rays into the object comes out again within {reach:.0f} mm: it is wider "
            "than the gripper, or its other sides were not seen; views from behind it would tell",
        )
    slant = ""
    if np.isfinite(pairs.least_slant):
        slant = (
            f": the best pair is {np.rad2deg(pairs.least_slant):.0f} degrees off, "
            f"{np.rad2deg(np.arctan(opens.friction)):.0f} hold"
        )
    return NoAnswer(
        "no_contact_pair",
        f"of {pairs.tried} rays into the object {pairs.endless} do not come out again within {reach:.0f} mm; "
        f"where the others do, the surface is too slanted to hold{slant}",
    )


def _collisions(pairs: Pairs, tally: Tally) -> str:
    refused = [(text, count) for text, count in tally.avoided.items() if count]
    touched = "".join(f"; {count} would touch {text}, which is to be avoided" for text, count in refused)
    return (
        f"{len(pairs)} contact pairs, but none of {tally.tried} hand poses about them is free: the table is "
        f"in the way of {tally.table}, the fingers hit something in {tally.fingers}, the palm in "
        f"{tally.palm}, closing fingers would meet something else first in {tally.neighbour}, and "
        f"{tally.unseen} would reach into what was never seen{touched}"
    )


def _nearest(
    volume: LocalVolume, solid: Solid, pairs: Pairs, gripper: Gripper, opens: PairConfig, ways: PoseConfig
) -> str:
    """The pose that collides least, in words; empty when no pose is tried."""
    points = thinned(solid.points, ways.body_grid)
    fans = fans_of(pairs, volume.cameras_in_volume, ways)[:_PAIRS]
    least, words = np.inf, ""
    for middle, width, fan in zip(pairs.middles, pairs.widths, fans, strict=False):
        opening = approach_opening(gripper, float(width), opens.clearance)
        fingers = finger_boxes(gripper, opening, approach=ways.approach)
        body = body_boxes(gripper, opening, approach=ways.approach)
        for rotation in fan:
            for depth in depths_of(gripper, ways):
                origin = middle + depth * rotation[:, 2]
                lacking, what = _lacking(points, volume, rotation, origin, fingers, body, ways)
                if lacking < least:
                    least, words = lacking, what
    if not words or least <= 0:
        return ""
    return f"; the nearest miss lacks {1e3 * least:.0f} mm of room to {words}"


def _lacking(
    points: Float[np.ndarray, "n 3"],
    volume: LocalVolume,
    rotation: Float[np.ndarray, "3 3"],
    origin: Float[np.ndarray, "3"],
    fingers: Boxes,
    body: Boxes,
    ways: PoseConfig,
) -> tuple[float, str]:
    """What a hand at a pose lacks of room at its worst place, metres, and to what."""
    local = (points - origin) @ rotation
    rooms = [
        (depth_inside(local, fingers) + ways.margin, "something beside the object, with a finger"),
        (depth_inside(local, body) + ways.palm_margin, "something, with the palm"),
    ]
    table = volume.table_in_volume
    if table is not None:
        heights = [plane_heights(rotation[None], origin[None], boxes, table)[0] for boxes in (fingers, body)]
        rooms.append((ways.table_margin - float(min(heights)), "the table"))
    return max(rooms)
