"""Thread that localizes queries and plans grasps for the page, one job after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from point2act.core.types import Role
from point2act.visualization.viewer.worker import Worker

if TYPE_CHECKING:
    from point2act.pipeline.interactive import InteractiveSession
else:
    # Imports torch, which is not needed to show a scene.
    InteractiveSession = Any


@dataclass(frozen=True)
class Notify:
    """Callbacks to the page; each returns at once, from any thread."""

    changed: Callable[[], None]
    """Called when the state of the session has changed."""
    query_added: Callable[[str], None]
    """Called with the name of a new query."""
    busy: Callable[[str | None, float], None]
    """Called with the running task, or None, and its progress from 0 to 1."""
    message: Callable[[str], None]
    """Called with a sentence for the user."""
    failed: Callable[[BaseException], None]
    """Called with what a job raised."""


class _GiveWayError(Exception):
    """Planning has ended before it was done, for a job that waits."""


class PlannerThread:
    """Jobs for an interactive session; all public methods return at once."""

    def __init__(
        self, interactive: InteractiveSession, notify: Notify, shown_query: Callable[[], str | None]
    ):
        """Start the thread; ``shown_query`` returns the query on the page, which is planned first."""
        self.interactive = interactive
        self._notify, self._shown_query = notify, shown_query
        self.worker = Worker("planner", notify.failed)

    def plan_all(self) -> None:
        """Localize queries that have no region yet, and plan for every query."""
        self.worker.do(self._localize_all)

    def change_points(self, query: str, change: Callable[[InteractiveSession], object]) -> None:
        """Change the points of a query, then localize and plan it again."""
        self.worker.do(lambda: self._change_points(query, change))

    def undo(self) -> None:
        """Take back the last change of answers, then localize and plan again."""
        self.worker.do(self._undo)

    def add_query(self, text: str, role: Role, *, ask: bool) -> None:
        """Add a query; with ``ask`` the model is asked for points, else the user points."""
        self.worker.do(lambda: self._add_query(text, role, ask))

    def set_gripper(self, gripper: str) -> None:
        """Plan for another gripper or hand."""
        self.worker.do(lambda: self._set_gripper(gripper), instead_of="gripper")

    def export(self, encode: Callable[[InteractiveSession], bytes], send: Callable[[bytes], None]) -> None:
        """Finish planning for every query, then encode and send a file."""
        self.worker.do(lambda: self._export(encode, send))

    def _localize_all(self) -> None:
        unknown = self.interactive.unlocalized()
        if unknown:
            self._notify.busy("Localizing queries …", 0.0)
            self.interactive.localize(*unknown)
        self._show_and_plan()

    def _change_points(self, query: str, change: Callable[[InteractiveSession], object]) -> None:
        change(self.interactive)
        self._notify.busy("Lifting points …", 0.0)
        self.interactive.localize(query)
        self._show_and_plan()

    def _undo(self) -> None:
        if not self.interactive.undo():
            self._notify.message("There is nothing to undo.")
            return
        self.interactive.localize()
        self._show_and_plan()

    def _add_query(self, text: str, role: Role, ask: bool) -> None:
        query = self.interactive.add(text, role)
        self.interactive.localize(query.name)
        self._notify.query_added(query.name)
        if not ask:
            self._notify.message(
                "Now press “Click on it in the scene”, or open a photograph, and click on the object."
            )
            self._show_and_plan()
            return
        self._notify.busy("Asking the model …", 0.0)
        warnings = self.interactive.ask(
            query, lambda done, total: self._notify.busy("Asking the model …", done / max(total, 1))
        )
        if warnings:
            self._notify.message(" ".join(warnings))
        self._change_points(query.name, lambda interactive: None)

    def _set_gripper(self, gripper: str) -> None:
        self.interactive.set_gripper(gripper)
        self._show_and_plan()

    def _export(self, encode: Callable[[InteractiveSession], bytes], send: Callable[[bytes], None]) -> None:
        while self._plan_one(lambda: None):
            pass
        send(encode(self.interactive))

    def _show_and_plan(self) -> None:
        """Show the new state, and plan one query per job, so that clicks are handled in between."""
        self._notify.changed()
        self.worker.do(self._plan_next, instead_of="plan")

    def _plan_next(self) -> None:
        try:
            more = self._plan_one(self._give_way)
        except _GiveWayError:
            more = True
        if more:
            self.worker.do(self._plan_next, instead_of="plan")

    def _give_way(self) -> None:
        """End planning if a job waits: that for a hand would take a minute, and may no longer be wanted."""
        if self.worker.waiting:
            raise _GiveWayError

    def _plan_one(self, between: Callable[[], None]) -> bool:
        """Plan for one query, first the one on the page, and return whether there was one to plan.

        Args:
            between: Called before each further step; what it raises ends the planning.
        """
        waiting = self.interactive.unplanned()
        if not waiting:
            self._notify.busy(None, 0.0)
            return False
        shown, count = self._shown_query(), len(self.interactive.state.points.queries)
        before = 1 - len(waiting) / count
        self._notify.busy("Planning …", before)

        def step(done: int, total: int) -> None:
            if done < total:
                between()
            self._notify.busy("Planning …", before + done / total / count)

        self.interactive.plan(shown if shown in waiting else waiting[0], step)
        self._notify.changed()
        return True
