"""Report of a run: one self-contained HTML page with queries, model answers, reconstruction and grasps."""

from point2act.visualization.report.inputs import ReportInput, ReportTrial, ReportView
from point2act.visualization.report.write import add_section, trial_section, write_report

__all__ = ["ReportInput", "ReportTrial", "ReportView", "add_section", "trial_section", "write_report"]
