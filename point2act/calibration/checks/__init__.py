"""What is wrong or weak with a capture, told before anybody trains on it."""

from point2act.calibration.checks.examine import CheckConfig, examine
from point2act.calibration.checks.findings import Evidence, Finding, Report, Severity

__all__ = ["CheckConfig", "Evidence", "Finding", "Report", "Severity", "examine"]
