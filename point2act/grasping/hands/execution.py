"""Execution of a hand's grasps before one is chosen; what executes them is given by the caller."""

from __future__ import annotations

from collections.abc import Callable

from point2act.core.types import Grasp
from point2act.grasping.hands.checks import Execution
from point2act.grasping.hands.task import HandTask

Execute = Callable[[Grasp], Execution]
"""Executes a grasp in the world frame with joints."""
Executor = Callable[[HandTask], Execute | None]
"""Prepares the executions of a task's grasps, such as ``execute_measured``; None where they say nothing."""
