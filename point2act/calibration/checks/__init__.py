"""What is wrong or weak with a capture, told before anybody trains on it."""

from point2act.calibration.checks.findings import Evidence, Finding, Report, Severity
from point2act.calibration.checks.run_checks import CheckConfig, run_checks

__all__ = ["CheckConfig", "Evidence", "Finding", "Report", "Severity", "run_checks"]
