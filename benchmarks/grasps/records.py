"""What became of grasps, in the field's words: shares by row and head, and how far chance moves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from point2act.simulation import Trial

Verdict = Literal["success", "localisation", "not_found", "collision", "geometry", "slip"]
"""Lifted by the part asked for; another object lifted, or the right one by another part, or the failed grasp
was not of the part at all; no grasp given; the gripper hit something on its path; it closed on nothing;
what it held was lost."""


@dataclass(frozen=True)
class Record:
    """One head's first grasp of one case in one row."""

    row: str
    seed: int
    head: str
    outcome: Verdict
    lifted: bool
    """The object asked for was lifted, shaken and held, by whichever part."""
    by_part: bool
    """It was, and by the part asked for."""
    object: str
    part: str
    n_grasps: int
    seconds: float
    """From the measured depth to grasps."""
    detail: str
    """Why there is no grasp; else the parts that the fingers touched."""


def verdict(trial: Trial, *, aimed: bool = True) -> Verdict:
    """The name of what a trial came to; ``aimed`` where the grasp was of the part asked for at all."""
    if trial.success:
        return "success" if trial.by_part else "localisation"
    if not aimed:
        return "localisation"
    names: dict[str, Verdict] = {
        "collision": "collision",
        "missed": "geometry",
        "slip": "slip",
        "wrong_object": "localisation",
        "no_grasp": "not_found",
    }
    return names[trial.outcome]


def wilson(successes: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): it stays within 0 and 1, and is honest for few trials."""
    if count == 0:
        return 0.0, 1.0
    z, share = 1.959964, successes / count
    middle = share + z**2 / (2 * count)
    spread = z * float(np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)))
    scale = 1 + z**2 / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


@dataclass(frozen=True)
class Summary:
    """Of one head in one row; shares of 1."""

    count: int
    lifted: float
    by_part: float
    between: tuple[float, float]
    """The interval of ``lifted``."""
    shares: dict[str, float]
    """Of each verdict."""
    seconds: tuple[float, float]
    """Median and 95th percentile."""


def summarise(records: Sequence[Record]) -> Summary:
    """The figures of records that belong together; at least one."""
    count = len(records)
    lifted = sum(record.lifted for record in records)
    seconds = [record.seconds for record in records]
    return Summary(
        count=count,
        lifted=lifted / count,
        by_part=sum(record.by_part for record in records) / count,
        between=wilson(lifted, count),
        shares={name: sum(r.outcome == name for r in records) / count for name in get_args(Verdict)},
        seconds=(float(np.median(seconds)), float(np.quantile(seconds, 0.95))),
    )


def groups(records: Sequence[Record]) -> dict[tuple[str, str], list[Record]]:
    """Records by row and head, in the order in which these first come."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        found.setdefault((record.row, record.head), []).append(record)
    return found


def table(records: Sequence[Record]) -> str:
    """Row by head: percent, except for the count and the seconds."""
    heading = ["row", "head", "n", "lift", "95 %", "by part", *get_args(Verdict)[1:], "s", "s p95"]
    lines = [heading]
    for (row, head), here in groups(records).items():
        s = summarise(here)
        between = f"{100 * s.between[0]:.0f}-{100 * s.between[1]:.0f}"
        shares = [f"{100 * s.shares[name]:.1f}" for name in heading[6:-2]]
        shown = [f"{100 * s.lifted:.1f}", between, f"{100 * s.by_part:.1f}", *shares]
        lines.append([row, head, str(s.count), *shown, *(f"{value:.2f}" for value in s.seconds)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.rjust, line, widths)) for line in lines)
