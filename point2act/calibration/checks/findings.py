"""Results of checks: findings with a severity, measured figures, and what passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool

from point2act.core.types import View

Severity = Literal["error", "warning", "remark"]
"""Error: grasps will be wrong; warning: they may be worse; remark: for information."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "remark")
"""Severities, worst first."""


@dataclass(frozen=True)
class Finding:
    """A problem of the capture."""

    severity: Severity
    code: str
    """Stable identifier for programs."""
    message: str
    """One sentence on the problem and what to do, without a full stop."""
    images: tuple[str, ...] = ()
    """Names of the images concerned, as in transforms.json; empty if it concerns the whole capture."""
    value: float | None = None
    """Measured value that decided, in the unit of the message."""


@dataclass(frozen=True)
class Evidence:
    """Result of one check."""

    findings: tuple[Finding, ...] = ()
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """Measured values by name, None if not measurable."""
    fine: str | None = None
    """What passed, in a few words; None if undecided."""


@dataclass(frozen=True)
class Report:
    """Results of all checks, the worst findings first."""

    findings: tuple[Finding, ...]
    figures: Mapping[str, float | None]
    fine: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 without warnings or errors, 1 with warnings, 2 with errors."""
        severities = {finding.severity for finding in self.findings}
        return 2 if "error" in severities else 1 if "warning" in severities else 0

    def document(self) -> dict[str, Any]:
        """Return the report as a JSON document."""
        findings = [asdict(finding) | {"images": list(finding.images)} for finding in self.findings]
        return {"version": 1, "findings": findings, "figures": dict(self.figures), "fine": list(self.fine)}


def flag(
    views: Sequence[View],
    flags: Sequence[bool] | Bool[np.ndarray, " n"],
    severity: Severity,
    code: str,
    message: str,
    value: float | None = None,
) -> list[Finding]:
    """Return a finding on the flagged views; none if no view is flagged."""
    names = tuple(view.name for view, flagged in zip(views, flags, strict=True) if flagged)
    return [Finding(severity, code, message, names, value)] if names else []


def merge_evidence(parts: Sequence[Evidence]) -> Report:
    """Merge the results of several checks; equally severe findings keep their order."""
    findings = sorted(
        (finding for part in parts for finding in part.findings),
        key=lambda finding: SEVERITIES.index(finding.severity),
    )
    figures = {name: value for part in parts for name, value in part.figures.items()}
    return Report(tuple(findings), figures, tuple(part.fine for part in parts if part.fine))
