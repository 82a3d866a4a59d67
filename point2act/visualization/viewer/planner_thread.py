"""What is worked out for the page, in a thread of its own: one thing after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from point2act.core.types import Role
from point2act.visualization.viewer.worker import Worker

if TYPE_CHECKING:
    from point2act.pipeline.interactive import InteractiveSession
else:
    # It brings torch, which is not needed to show a scene.
    InteractiveSession = Any


@dataclass(frozen=True)
class Telling:
    """How people are told; each returns at once, from any thread."""

    changed: Callable[[], None]
    """The interactive stands elsewhere now."""
    looked_for: Callable[[str], None]
    """There is a new query; they may want to look at it."""
    busy: Callable[[str | None, float], None]
    """What is under way, and how far, from 0 to 1; None for nothing."""
    say: Callable[[str], None]
    """A sentence."""
    failed: Callable[[BaseException], None]


class Thinking:
    """Jobs for a interactive. All public methods return at once."""

    def __init__(
        self, interactive: InteractiveSession, telling: Telling, looked_at: Callable[[], str | None]
    ):
        """``looked_at`` says which query people look at: it is planned for first."""
        self.interactive = interactive
        self._tell, self._looked_at = telling, looked_at
        self.worker = Worker("think", telling.failed)

    def begin(self) -> None:
        """Locate what is not, and act on everything."""
        self.worker.do(self._locate_all)

    def hear(self, query: str, says: Callable[[InteractiveSession], object]) -> None:
        """Somebody says something about a query: it is lifted again."""
        self.worker.do(lambda: self._lift(query, says))

    def add(self, text: str, role: Role, *, ask: bool) -> None:
        """Look for something else; have the model asked, or leave it to people to point."""
        self.worker.do(lambda: self._add(text, role, ask))

    def use(self, gripper: str) -> None:
        """Plan with another gripper."""
        self.worker.do(lambda: self._use(gripper), instead_of="gripper")

    def make(self, make: Callable[[InteractiveSession], bytes], send: Callable[[bytes], None]) -> None:
        """Make a file of everything, and send it."""
        self.worker.do(lambda: self._make(make, send))

    def _locate_all(self) -> None:
        unknown = self.interactive.unlocalized()
        if unknown:
            self._tell.busy("Finding the places …", 0.0)
            self.interactive.localize(*unknown)
        self._moved_on()

    def _lift(self, query: str, says: Callable[[InteractiveSession], object]) -> None:
        says(self.interactive)
        self._tell.busy("Lifting …", 0.0)
        self.interactive.localize(query)
        self._moved_on()

    def _add(self, text: str, role: Role, ask: bool) -> None:
        query = self.interactive.add(text, role)
        self.interactive.localize(query.name)
        self._tell.looked_for(query.name)
        if not ask:
            self._tell.say("Now open a photograph, and click on it there.")
            self._moved_on()
            return
        self._tell.busy("Asking …", 0.0)
        troubles = self.interactive.ask(
            query, lambda done, total: self._tell.busy("Asking …", done / max(total, 1))
        )
        if troubles:
            self._tell.say(" ".join(troubles))
        self._lift(query.name, lambda interactive: None)

    def _use(self, gripper: str) -> None:
        self.interactive.set_gripper(gripper)
        self._moved_on()

    def _make(self, make: Callable[[InteractiveSession], bytes], send: Callable[[bytes], None]) -> None:
        while self._act():
            pass
        send(make(self.interactive))

    def _moved_on(self) -> None:
        """Show it, and act on what is waiting, one query a job: what people say comes in between."""
        self._tell.changed()
        self.worker.do(self._act_next, instead_of="act")

    def _act_next(self) -> None:
        if self._act():
            self.worker.do(self._act_next, instead_of="act")

    def _act(self) -> bool:
        """Act on one query that is waiting, first the one that people look at; whether there was one."""
        waiting = self.interactive.unplanned()
        if not waiting:
            self._tell.busy(None, 0.0)
            return False
        looked_at = self._looked_at()
        self._tell.busy("Planning …", 1 - len(waiting) / len(self.interactive.state.points.queries))
        self.interactive.plan(looked_at if looked_at in waiting else waiting[0])
        self._tell.changed()
        return True
