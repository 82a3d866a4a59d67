"""What a check says: findings with a severity, the figures behind them, and what is fine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "remark"]
"""Grasps from it will be wrong; they may suffer; good to know."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "remark")
"""Worst first."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or weak."""

    severity: Severity
    code: str
    """A name for programs, which stays the same from version to version."""
    message: str
    """One sentence for people: what is the matter, and what to do; no full stop."""
    images: tuple[str, ...] = ()
    """Where, by the names in transforms.json; none where it concerns the capture as a whole."""
    value: float | None = None
    """The figure that decided, in the message's unit."""


@dataclass(frozen=True)
class Evidence:
    """What one kind of evidence comes to."""

    findings: tuple[Finding, ...] = ()
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """What was measured, None where it could not be."""
    fine: str | None = None
    """What is as it should be, in a few words; None where that cannot be said."""


@dataclass(frozen=True)
class Report:
    """All of it, the worst findings first."""

    findings: tuple[Finding, ...]
    figures: Mapping[str, float | None]
    fine: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 with nothing but remarks, 1 with warnings, 2 with errors."""
        severities = {finding.severity for finding in self.findings}
        return 2 if "error" in severities else 1 if "warning" in severities else 0

    def document(self) -> dict[str, Any]:
        """The report for programs, as JSON has it."""
        findings = [
            {
                "severity": finding.severity,
                "code": finding.code,
                "message": finding.message,
                "images": list(finding.images),
                "value": finding.value,
            }
            for finding in self.findings
        ]
        return {"version": 1, "findings": findings, "figures": dict(self.figures), "fine": list(self.fine)}


def merge_evidence(parts: Sequence[Evidence]) -> Report:
    """The report of several kinds of evidence; equally severe findings keep their order."""
    findings = sorted(
        (finding for part in parts for finding in part.findings),
        key=lambda finding: SEVERITIES.index(finding.severity),
    )
    figures = {name: value for part in parts for name, value in part.figures.items()}
    return Report(tuple(findings), figures, tuple(part.fine for part in parts if part.fine))
