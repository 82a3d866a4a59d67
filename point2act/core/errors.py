"""The exceptions that point2act raises.

A message names the file or argument, the problem and the fix. The command line
prints it as one sentence and exits with code 2.
"""


class Point2ActError(Exception):
    """An error that the user can fix; the message says how."""


class CaptureError(Point2ActError):
    """A capture folder with a bad transforms.json, image, depth file or pose."""


class PointsError(Point2ActError):
    """A points.json that is unreadable or names an unknown image, an unknown query or a point outside."""


class ReplyError(Point2ActError):
    """A model reply that cannot be parsed without guessing; the message quotes it."""


class ModelError(Point2ActError):
    """A model that cannot be queried: a bad file, server, key or weights, or no view got an answer."""


class ResultsError(Point2ActError):
    """A grasps.json, or results to write to one, that are not valid."""


class SceneError(Point2ActError):
    """A scene that cannot be reconstructed, saved or read."""


class GripperError(Point2ActError):
    """A gripper file that is missing or invalid."""


class HandError(Point2ActError):
    """A hand file that is missing or invalid."""


class ArmError(Point2ActError):
    """An arm file that is missing, invalid or without a gripper mount, or mink that is not installed."""


class PlanError(Point2ActError):
    """A plan cannot be carried out in a scene."""


class RobotError(Point2ActError):
    """A robot of one's own that cannot be loaded, lacks something, or does not answer."""


class RunError(Point2ActError):
    """A finished run (run.json and scene, or config.yml and checkpoint) that cannot be used."""


class SimulationError(Point2ActError):
    """A simulator that cannot start, or an invalid scene file."""


class ScoringError(Point2ActError):
    """A data set of a pointing benchmark, or stored answers to it, that cannot be read or do not match."""


class FleetError(Point2ActError):
    """A manifest, a store or a server of many jobs that cannot be used."""


class TeachingError(Point2ActError):
    """Training data that cannot be collected, read or exported."""


class LearningError(Point2ActError):
    """Training data or weights of grasp networks that cannot be generated, read or fitted."""


class ReportError(Point2ActError):
    """A report.html that cannot be extended."""
