"""Outcomes of grasps: fractions by condition and planner, with confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from point2act.simulation import Trial

Verdict = Literal["success", "localisation", "not_found", "collision", "geometry", "slip"]
"""Lifted by the queried part; another object or part lifted, or a failed grasp of another part; no grasp;
collision on the path; closed on nothing; lost after contact."""


@dataclass(frozen=True)
class Record:
    """The first grasp of one planner for one case in one condition."""

    condition: str
    seed: int
    planner: str
    outcome: Verdict
    lifted: bool
    """Whether the queried object was lifted, shaken and held, by any of its parts."""
    by_part: bool
    """Whether it was lifted by the queried part."""
    object: str
    part: str
    n_grasps: int
    seconds: float
    """Seconds from the measured depth to grasps."""
    detail: str
    """The reason why there is no grasp, or else the parts that the fingers touched."""


def verdict(trial: Trial, *, aimed: bool = True) -> Verdict:
    """Return the verdict of a trial; ``aimed`` is whether the grasp was of the queried part."""
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
    """Return the 95 % score interval of a proportion (Wilson 1927), which stays within 0 and 1."""
    if count == 0:
        return 0.0, 1.0
    z, share = 1.959964, successes / count
    middle = share + z**2 / (2 * count)
    spread = z * float(np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)))
    scale = 1 + z**2 / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def percent(flags: Sequence[bool]) -> str:
    """Return the share of what is true in percent, with its 95 % interval; a dash for nothing."""
    if not flags:
        return "–"
    low, high = wilson(sum(flags), len(flags))
    return f"{100 * np.mean(flags):.0f} ({100 * low:.0f} to {100 * high:.0f})"


@dataclass(frozen=True)
class Summary:
    """Results of one planner in one condition, as fractions."""

    count: int
    lifted: float
    by_part: float
    between: tuple[float, float]
    """Confidence interval of ``lifted``."""
    shares: dict[str, float]
    """Fraction of each verdict."""
    seconds: tuple[float, float]
    """Median and 95th percentile of the planning time, seconds."""


def summarise(records: Sequence[Record]) -> Summary:
    """Summarise records of one planner and condition; at least one."""
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
    """Group records by condition and planner, in order of first occurrence."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        found.setdefault((record.condition, record.planner), []).append(record)
    return found


def table(records: Sequence[Record]) -> str:
    """Return a table by condition and planner: percent, except for the count and the seconds."""
    heading = ["condition", "planner", "n", "lift", "95 %", "by part", *get_args(Verdict)[1:], "s", "s p95"]
    lines = [heading]
    for (condition, planner), here in groups(records).items():
        s = summarise(here)
        between = f"{100 * s.between[0]:.0f}-{100 * s.between[1]:.0f}"
        shares = [f"{100 * s.shares[name]:.1f}" for name in heading[6:-2]]
        shown = [f"{100 * s.lifted:.1f}", between, f"{100 * s.by_part:.1f}", *shares]
        lines.append([condition, planner, str(s.count), *shown, *(f"{value:.2f}" for value in s.seconds)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.rjust, line, widths)) for line in lines)
