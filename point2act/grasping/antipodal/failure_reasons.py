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
"""Number of contact pairs, best first, among which the nearest miss is searched."""


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
    """Return the reason for an empty result, with the nearest miss and the counts of removed candidates."""
    span, reach = 1e3 * (gripper.max_width - 2 * opens.clearance), 1e3 * REACH * gripper.max_width
    if len(pairs):
        nearest = _nearest(volume, solid, pairs, gripper, opens, ways)
        return NoAnswer("all_collide", nearest + _advice(tally), _counts(pairs, tally))
    if len(pairs.wide):
        narrowest = 1e3 * pairs.wide.min()
        return NoAnswer(
            "too_wide",
            f"too wide by {narrowest - span:.0f} mm: the narrowest contact pair is {narrowest:.0f} mm, the "
            f"gripper spans {span:.0f} mm with clearance; try a narrower part or a wider gripper",
            {"wide_pairs": len(pairs.wide), "rays": pairs.tried, "rays_into_unseen_space": pairs.endless},
        )
    if not pairs.tried:
        within = 1e3 * max(opens.radii)
        return NoAnswer(
            "no_contact_pair", f"nothing stands out from the table within {within:.0f} mm of the action point"
        )
    if pairs.endless == pairs.tried:
        return NoAnswer(
            "too_wide",
            f"no ray into the object comes out again within {reach:.0f} mm: it is wider than the gripper, or "
            "its other sides were not seen; add views from behind",
            {"rays": pairs.tried, "rays_into_unseen_space": pairs.endless},
        )
    slant = ""
    if np.isfinite(pairs.least_slant):
        slant = (
            f": the best pair is {np.rad2deg(pairs.least_slant):.0f} degrees off, "
            f"{np.rad2deg(np.arctan(opens.friction)):.0f} hold"
        )
    return NoAnswer(
        "no_contact_pair",
        f"opposite surfaces are too slanted to hold{slant}; try another part",
        {"rays": pairs.tried, "rays_into_unseen_space": pairs.endless},
    )


def _counts(pairs: Pairs, tally: Tally) -> dict[str, int]:
    """Return the numbers of gripper poses that each check removed."""
    checks = {
        "contact_pairs": len(pairs),
        "poses": tally.tried,
        "table": tally.table,
        "fingers": tally.fingers,
        "palm": tally.palm,
        "closing_fingers": tally.neighbour,
        "unseen_space": tally.unseen,
    }
    return checks | {f"avoid: {text}": count for text, count in tally.avoided.items() if count}


def _advice(tally: Tally) -> str:
    """Return what would help, from the check that removed most poses."""
    avoided = {f"clear {text}, which is to be avoided": count for text, count in tally.avoided.items()}
    options = {
        "grasp a part higher above the table": tally.table,
        "clear what is beside it, or grasp another part": tally.fingers,
        "clear what is above it, or grasp another part": tally.palm,
        "move its neighbours away": tally.neighbour,
        "add views of the hidden sides": tally.unseen,
    } | avoided
    return "; " + max(options, key=lambda text: options[text])


def _nearest(
    volume: LocalVolume, solid: Solid, pairs: Pairs, gripper: Gripper, opens: PairConfig, ways: PoseConfig
) -> str:
    """Describe the pose that collides least."""
    points, depths = voxel_downsample(solid.points, ways.body_grid), depths_of(gripper, ways)
    # Points farther from the gripper than this leave enough clearance.
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
        end_effector = fingers + body
        over = _lacking_to_table(volume.table_in_volume, rotations, origins, end_effector, ways)
        near = middle + within((points - middle).T, fan[0, :, 1], end_effector, margin=margin, depth=deep).T
        # The table is checked for all poses at once: where it alone is worse, nothing else is checked.
        for pose in np.argsort(over, kind="stable"):
            if over[pose] >= least:
                break
            # A few of the points suffice to reject most poses.
            for every in (SPARSE, 1):
                clearances = _lacking(near[::every], rotations[pose], origins[pose], fingers, body, ways)
                lacking, what = max((float(over[pose]), "the table"), *clearances)
                if lacking >= least:
                    break
            else:
                least, words = lacking, what
    if not words or least <= 0:
        return "every gripper pose collides"
    return f"the nearest miss lacks {1e3 * least:.0f} mm of clearance to {words}"


def _lacking_to_table(
    table: Float[np.ndarray, "4"] | None,
    rotations: Float[np.ndarray, "k 3 3"],
    origins: Float[np.ndarray, "k 3"],
    end_effector: Boxes,
    ways: PoseConfig,
) -> Float[np.ndarray, " k"]:
    """How far grippers at poses are too low over the table, metres; negative where there is clearance."""
    if table is None:
        return np.full(len(rotations), -np.inf)
    return ways.table_margin - plane_heights(rotations, origins, end_effector, table)


def _lacking(
    points: Float[np.ndarray, "n 3"],
    rotation: Float[np.ndarray, "3 3"],
    origin: Float[np.ndarray, "3"],
    fingers: Boxes,
    body: Boxes,
    ways: PoseConfig,
) -> tuple[tuple[float, str], tuple[float, str]]:
    """What fingers and palm at a pose lack of clearance at their worst places, metres, and to what."""
    local = (points - origin) @ rotation
    return (
        (depth_inside(local, fingers) + ways.margin, "something beside the object, with a finger"),
        (depth_inside(local, body) + ways.palm_margin, "something, with the palm"),
    )
