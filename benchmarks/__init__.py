"""Measurements: ``python -m benchmarks`` runs them all, ``python -m benchmarks render`` one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One measured number."""

    name: str
    value: float
    unit: str
    better: Literal["lower", "higher"] = "lower"
