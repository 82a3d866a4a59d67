"""Reasons for an empty result of grasp planning: the nearest miss, and what would help."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import voxel_downsample
from point2act.core.types import NearestMiss, NoAnswer
from point2act.grasping.antipodal.boundary import SolidPoints, SurfacePoints
from point2act.grasping.antipodal.collision import (
    SPARSE,
    approach_opening,
    box_distances,
    depth_inside,
    swept_back,
    table_heights,
    within,
)
from point2act.grasping.antipodal.contact_pairs import RAY_LENGTH, ContactPairs
from point2act.grasping.antipodal.evaluation import GraspConfig
from point2act.grasping.antipodal.pose_sampling import (
    PoseCounts,
    PoseSamplingConfig,
    approach_fans,
    pad_depths,
)
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.grippers import Boxes, Gripper

# Number of contact pairs, best first, among which the nearest miss is searched.
_PAIRS = 12


def no_surface_near(
    surface: SurfacePoints, action_point: Float[np.ndarray, "3"], farthest: float
) -> NoAnswer | None:
    """Return the reason if no surface was observed within a distance of the action point, else None."""
    distance = np.linalg.norm(surface.points[surface.seen] - action_point, axis=1)
    if (distance < farthest).any():
        return None
    nearest = f"the nearest is {1e3 * distance.min():.0f} mm away" if len(distance) else "there is none"
    return NoAnswer(
        "no_geometry",
        f"no surface was observed within {1e3 * farthest:.0f} mm of the action point, {nearest}: add views "
        "of this place",
    )


def nothing_stands_out(within: float) -> NoAnswer:
    """Return the reason where no object is found within a distance of the action point, metres."""
    return NoAnswer(
        "no_contact_pair",
        f"nothing stands out from the table within {1e3 * within:.0f} mm of the action point: point at the "
        "object",
    )


def why_none(
    volume: LocalVolume,
    solid: SolidPoints,
    pairs: ContactPairs,
    counts: PoseCounts,
    gripper: Gripper,
    *,
    config: GraspConfig,
) -> NoAnswer:
    """Return the reason for an empty result, with the nearest miss and the counts of rejected candidates."""
    pairing = config.pairs
    span = 1e3 * (gripper.max_width - 2 * pairing.min_clearance)
    reach = 1e3 * RAY_LENGTH * gripper.max_width
    rays = {"rays": pairs.tried, "rays_into_unseen_space": pairs.endless}
    if len(pairs):
        text, miss = _nearest_miss(volume, solid, pairs, gripper, config)
        return NoAnswer("all_collide", f"{text}: {_advice(counts)}", _counts(pairs, counts), miss)
    if len(pairs.wide):
        narrowest = 1e3 * pairs.wide.min()
        return NoAnswer(
            "too_wide",
            f"too wide by {narrowest - span:.0f} mm: the narrowest contact pair is {narrowest:.0f} mm, the "
            f"gripper spans {span:.0f} mm; try a narrower part",
            {"wide_pairs": len(pairs.wide), **rays},
        )
    if not pairs.tried:
        return nothing_stands_out(max(pairing.start_radii))
    if pairs.endless == pairs.tried:
        return NoAnswer(
            "too_wide",
            f"the object is wider than {reach:.0f} mm, or its other sides were not observed: add views from "
            "behind",
            rays,
        )
    slant = ""
    if np.isfinite(pairs.least_slant):
        slant = (
            f": the best pair is {np.rad2deg(pairs.least_slant):.0f} degrees off, friction holds "
            f"{np.rad2deg(np.arctan(pairing.friction)):.0f}"
        )
    return NoAnswer("no_contact_pair", f"opposite surfaces are too slanted{slant}; try another part", rays)


def _counts(pairs: ContactPairs, counts: PoseCounts) -> dict[str, int]:
    """Return the number of poses that each check rejects."""
    checks = {
        "contact_pairs": len(pairs),
        "poses": counts.tried,
        "table": counts.table,
        "fingers": counts.fingers,
        "palm": counts.palm,
        "closing_fingers": counts.neighbour,
        "unseen_space": counts.unseen,
    }
    return checks | {f"avoid: {text}": count for text, count in counts.avoided.items() if count}


def _advice(counts: PoseCounts) -> str:
    """Return what would help against the check that rejects most poses."""
    options = {
        "grasp a part higher above the table": counts.table,
        "clear what is beside it, or grasp another part": counts.fingers,
        "clear what is above it, or grasp another part": counts.palm,
        "move its neighbours away": counts.neighbour,
        "add views of the hidden sides": counts.unseen,
    }
    options |= {f"move it away from {text}": count for text, count in counts.avoided.items()}
    return max(options, key=lambda text: options[text])


def _nearest_miss(
    volume: LocalVolume, solid: SolidPoints, pairs: ContactPairs, gripper: Gripper, config: GraspConfig
) -> tuple[str, NearestMiss | None]:
    """Describe the pose with the smallest penetration."""
    sampling = config.poses
    points, depths = voxel_downsample(solid.points, sampling.palm_grid), pad_depths(gripper, sampling)
    # Points farther from the gripper than this leave enough clearance.
    margin, deep = max(sampling.finger_margin, sampling.palm_margin), float(np.abs(depths).max())
    fans = approach_fans(pairs, volume.cameras_in_volume, sampling)[:_PAIRS]
    least, obstacle = np.inf, ""
    miss: tuple[np.ndarray, np.ndarray, float] | None = None
    for middle, width, fan in zip(pairs.middles, pairs.widths, fans, strict=False):
        if not len(fan):
            continue
        opening = approach_opening(gripper, float(width), config.pairs.clearance)
        fingers = swept_back(gripper.fingers_at(opening), sampling.approach)
        body = swept_back(gripper.body_at(opening), sampling.approach)
        rotations = np.repeat(fan, len(depths), axis=0)
        origins = middle + np.tile(depths, len(fan))[:, None] * rotations[:, :, 2]
        boxes = fingers + body
        over = sampling.table_margin - table_heights(volume, rotations, origins, boxes)
        near = middle + within(points.T, middle, fan[0, :, 1], boxes, margin=margin, depth=deep).T
        # The table is checked for all poses at once: where it alone is worse, nothing else is checked.
        for pose in np.argsort(over, kind="stable"):
            if over[pose] >= least:
                break
            # A few points suffice to reject most poses.
            for every in (SPARSE, 1):
                missing = _missing(near[::every], rotations[pose], origins[pose], fingers, body, sampling)
                worst, what = max((float(over[pose]), "the table"), *missing)
                if worst >= least:
                    break
            else:
                least, obstacle = worst, what
                miss = (rotations[pose], origins[pose], opening)
    if miss is None or least <= 0:
        return "every gripper pose is rejected", None
    text = f"the nearest miss lacks {1e3 * least:.0f} mm of clearance to {obstacle}"
    rotation, origin, opening = miss
    return text, _with_hits(points, rotation, origin, opening, gripper, sampling)


def _with_hits(
    points: Float[np.ndarray, "n 3"],
    rotation: Float[np.ndarray, "3 3"],
    origin: Float[np.ndarray, "3"],
    opening: float,
    gripper: Gripper,
    sampling: PoseSamplingConfig,
) -> NearestMiss:
    """Return a pose with the points that are nearer to its fingers or palm than the margins."""
    local = (points - origin) @ rotation
    fingers = swept_back(gripper.fingers_at(opening), sampling.approach)
    body = swept_back(gripper.body_at(opening), sampling.approach)
    hit = box_distances(local, fingers) < sampling.finger_margin
    hit |= box_distances(local, body) < sampling.palm_margin
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, origin
    return NearestMiss(pose, opening, points[hit])


def _missing(
    points: Float[np.ndarray, "n 3"],
    rotation: Float[np.ndarray, "3 3"],
    origin: Float[np.ndarray, "3"],
    fingers: Boxes,
    body: Boxes,
    sampling: PoseSamplingConfig,
) -> tuple[tuple[float, str], tuple[float, str]]:
    """Return the clearance that fingers and palm lack at a pose, metres, and the obstacle."""
    local = (points - origin) @ rotation
    return (
        (depth_inside(local, fingers) + sampling.finger_margin, "something beside the object, with a finger"),
        (depth_inside(local, body) + sampling.palm_margin, "something, with the palm"),
    )
