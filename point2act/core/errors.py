"""Every error that point2act raises on purpose.

A message names the file or argument, says what is wrong with it and what to do. The command line
prints it as one sentence and exits with code 2.
"""


class Point2ActError(Exception):
    """Something the user can mend; the message says how."""


class CaptureError(Point2ActError):
    """A capture folder cannot be used: its transforms.json, an image, a depth file or a pose."""


class PointsError(Point2ActError):
    """A points.json cannot be used: unreadable, an unknown image or query, points outside the image."""


class ReplyError(Point2ActError):
    """A model's reply cannot be read without guessing; the message shows it."""


class ModelError(Point2ActError):
    """A model cannot be asked: its file, its server, its key, its weights, or no view got an answer."""


class ResultsError(Point2ActError):
    """A grasps.json cannot be used, or results would make a wrong one."""


class SceneError(Point2ActError):
    """A scene cannot be reconstructed, saved or read back."""


class GripperError(Point2ActError):
    """A gripper file is missing or wrong."""


class ArmError(Point2ActError):
    """An arm's file is missing or wrong, it has no place for the gripper, or mink is not installed."""


class RunError(Point2ActError):
    """A finished run (run.json and scene, or config.yml and checkpoint) cannot be used."""


class SimulationError(Point2ActError):
    """The simulator cannot start, or a simulated scene file is wrong."""


class ReportError(Point2ActError):
    """A report.html cannot be added to."""
