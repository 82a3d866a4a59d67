"""Why there are no grasps, and what would have to change: the nearest miss."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import voxel_downsample
from point2act.core.types import NoAnswer
from point2act.grasping.antipodal.boundary import Solid
from point2act.grasping.antipodal.collision import (
    SPARSE,
    approach_opening,
    body_boxes,
    depth_inside,
    finger_boxes,
    plane_heights,
    within,
)
from point2act.grasping.antipodal.contact_pairs import REACH, PairConfig, Pairs
from point2act.grasping.antipodal.pose_sampling import PoseConfig, Tally, depths_of, fans_of
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.grippers import Boxes, Gripper

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
    points, depths = voxel_downsample(solid.points, ways.body_grid), depths_of(gripper, ways)
    # What is farther from a hand than this leaves room, which no pose lacks.
    margin, deep = max(ways.margin, ways.palm_margin), float(np.abs(depths).max())
    fans = fans_of(pairs, volume.cameras_in_volume, ways)[:_PAIRS]
    least, words = np.inf, ""
    for middle, width, fan in zip(pairs.middles, pairs.widths, fans, strict=False):
        if not len(fan):
            continue
        opening = approach_opening(gripper, float(width), opens.clearance)
        fingers = finger_boxes(gripper, opening, approach=ways.approach)
        body = body_boxes(gripper, opening, approach=ways.approach)
        rotations = np.repeat(fan, len(depths), axis=0)
        origins = middle + np.tile(depths, len(fan))[:, None] * rotations[:, :, 2]
        hand = fingers + body
        over = _lacking_to_table(volume.table_in_volume, rotations, origins, hand, ways)
        near = middle + within((points - middle).T, fan[0, :, 1], hand, margin=margin, depth=deep).T
        # The table is looked at for all poses at once: where it alone is worse, nothing else needs to be.
        for pose in np.argsort(over, kind="stable"):
            if over[pose] >= least:
                break
            # A few of the points tell of most poses that they are worse.
            for every in (SPARSE, 1):
                rooms = _lacking(near[::every], rotations[pose], origins[pose], fingers, body, ways)
                lacking, what = max((float(over[pose]), "the table"), *rooms)
                if lacking >= least:
                    break
            else:
                least, words = lacking, what
    if not words or least <= 0:
        return ""
    return f"; the nearest miss lacks {1e3 * least:.0f} mm of room to {words}"


def _lacking_to_table(
    table: Float[np.ndarray, "4"] | None,
    rotations: Float[np.ndarray, "k 3 3"],
    origins: Float[np.ndarray, "k 3"],
    hand: Boxes,
    ways: PoseConfig,
) -> Float[np.ndarray, " k"]:
    """How far hands at poses are too low over the table, metres; negative where there is room."""
    if table is None:
        return np.full(len(rotations), -np.inf)
    return ways.table_margin - plane_heights(rotations, origins, hand, table)


def _lacking(
    points: Float[np.ndarray, "n 3"],
    rotation: Float[np.ndarray, "3 3"],
    origin: Float[np.ndarray, "3"],
    fingers: Boxes,
    body: Boxes,
    ways: PoseConfig,
) -> tuple[tuple[float, str], tuple[float, str]]:
    """What fingers and palm at a pose lack of room at their worst places, metres, and to what."""
    local = (points - origin) @ rotation
    return (
        (depth_inside(local, fingers) + ways.margin, "something beside the object, with a finger"),
        (depth_inside(local, body) + ways.palm_margin, "something, with the palm"),
    )
