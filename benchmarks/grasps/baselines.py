"""Simple planners at the true position: random, straight down, and antipodal pairs of points."""

from __future__ import annotations

import numpy as np

from benchmarks.grasps.cases import Case, grasp_at
from benchmarks.grasps.clouds import CLEARANCE, facing, hits, measured, open_gripper, table_height, thinned
from point2act.core.geometry import frame_from_normal
from point2act.core.types import Grasp
from point2act.grasping.grippers import Gripper

Found = tuple[tuple[Grasp, ...], str]
"""Grasps, best first, or none and the reason."""


def random(case: Case, gripper: Gripper, rng: np.random.Generator) -> Found:
    """Sample a pose within 2 cm of the action point and 60 degrees of straight down; it must mostly fail."""
    away = rng.standard_normal(3)
    away *= 0.02 * rng.uniform() ** (1 / 3) / np.linalg.norm(away)
    down, turn = rng.uniform(0.5, 1.0), rng.uniform(0, 2 * np.pi)
    level = np.sqrt(1 - down**2)
    approach = np.array([level * np.cos(turn), level * np.sin(turn), -down])
    roll, (a, b, _) = rng.uniform(0, 2 * np.pi), frame_from_normal(approach[None])[0].T
    T = facing(approach, np.cos(roll) * a + np.sin(roll) * b)
    T[:3, 3] = case.region.action_point + away
    return (grasp_at(T, gripper.max_width),), ""


def straight_down(case: Case, gripper: Gripper, rng: np.random.Generator) -> Found:
    """Plan a grasp from above at the action point, across the narrowest extent of the points near it.

    The extent is that of the points within half the gripper's opening, over 18 directions; the tips stay
    above the table and the palm above the highest point there.
    """
    goal, reach = case.region.action_point, gripper.max_width / 2
    points, _ = measured(case, 0.12)
    table = table_height(points)
    level = np.linalg.norm(points[:, :2] - goal[:2], axis=1)
    near = points[(level < reach) & (points[:, 2] > table + 0.003) & (abs(points[:, 2] - goal[2]) < 0.03)]
    if len(near) < 10:
        return (), "nothing was measured near the action point"
    angles = np.arange(18) * np.pi / 18
    ways = np.stack([np.cos(angles), np.sin(angles), np.zeros(18)], axis=1)
    low, high = np.quantile((near - goal) @ ways.T, [0.02, 0.98], axis=0)
    narrow = int((high - low).argmin())
    T = facing(np.array([0.0, 0.0, -1.0]), ways[narrow])
    T[:3, 3] = goal + (low + high)[narrow] / 2 * ways[narrow]
    tip, palm = gripper.finger.high[:, 2].max(), gripper.body.high[:, 2].max()
    top = float(np.quantile(points[level < reach, 2], 0.99))
    T[2, 3] = max(goal[2], table + tip + 0.002, top + palm + 0.002)
    return (grasp_at(T, float((high - low)[narrow])),), ""


def antipodal(case: Case, gripper: Gripper, rng: np.random.Generator) -> Found:
    """Return the first collision-free one of 2000 antipodal pairs of measured points.

    Both normals are within the friction cone of 0.5, and the second point is within 3 mm of the line from the
    first along its inward normal; the approach is random and points down by at least 0.3. There is no score.
    """
    goal = case.region.action_point
    points, normals = measured(case, 0.25)
    body = points[:, 2] > table_height(points) + 0.002
    local = body & (np.linalg.norm(points - goal, axis=1) < 0.03 + gripper.max_width)
    surface, outward = points[local], normals[local]
    starts = np.flatnonzero(np.linalg.norm(surface - goal, axis=1) < 0.03)
    if not len(starts):
        return (), "nothing was measured near the action point"
    cosine, widest = np.cos(np.arctan(0.5)), gripper.max_width - 2 * CLEARANCE
    obstacles, _ = thinned(points, normals, 0.004)
    for start in rng.choice(starts, 2000):
        axis = -outward[start]
        away = surface - surface[start]
        ahead = away @ axis
        aside = np.einsum("ij,ij->i", away, away) - ahead**2
        opposite = (ahead > 0.003) & (ahead < widest) & (aside < 0.003**2) & (outward @ axis > cosine)
        if not opposite.any():
            continue
        end = surface[np.flatnonzero(opposite)[ahead[opposite].argmin()]]
        roll, (a, b, _) = rng.uniform(0, 2 * np.pi), frame_from_normal(axis[None])[0].T
        T = facing(np.cos(roll) * a + np.sin(roll) * b, axis)
        T[:3, 3] = (surface[start] + end) / 2
        width = float(np.linalg.norm(end - surface[start]))
        if T[2, 2] < -0.3 and not hits(obstacles, T, open_gripper(gripper, width)).any():
            return (grasp_at(T, width, np.stack([surface[start], end])),), ""
    return (), "no pair of points that face each other can be reached"
