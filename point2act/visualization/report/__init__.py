"""One self-contained HTML page that shows what was asked, said, built and decided."""

from point2act.visualization.report.inputs import ReportInput, ReportView
from point2act.visualization.report.page import add_section
from point2act.visualization.report.trials import ReportTrial, trial_section
from point2act.visualization.report.write import write_report

__all__ = ["ReportInput", "ReportTrial", "ReportView", "add_section", "trial_section", "write_report"]
