"""Quality checks of a capture, and repair of its depth registration and poses."""

from point2act.calibration.checks.findings import Evidence, Finding, Report, Severity
from point2act.calibration.checks.run_checks import CheckConfig, run_checks

__all__ = ["CheckConfig", "Evidence", "Finding", "Report", "Severity", "run_checks"]
