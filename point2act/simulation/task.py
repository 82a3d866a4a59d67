"""Manipulation tasks: a scene, an instruction with its plan, and the conditions of success in physics.

A task file is a scene file with the further keys ``instruction``, ``long``, ``[[step]]`` and ``[[success]]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from point2act.core import config_files
from point2act.core.documents import Document, Text, TomlTable, check
from point2act.core.errors import SimulationError
from point2act.core.mujoco_import import MjData, MjModel, mujoco
from point2act.core.types import Plan, Step, Target
from point2act.data.constraint_documents import Constraints, check_references
from point2act.physics.layout import QueryTarget, SceneLayout, parse_layout
from point2act.physics.scene import Scene, settled
from point2act.simulation.conditions import (
    AnyCondition,
    Condition,
    JointAtLeast,
    PhysicalState,
    ShareInside,
)


@dataclass(frozen=True, eq=False)
class Task:
    """A manipulation task in a settled scene."""

    name: str
    instruction: str
    long: bool
    """Whether it has four or more steps."""
    scene: Scene
    plan: Plan
    """The instruction in steps, each with its targets and constraints."""
    conditions: tuple[Condition, ...]
    """All of them must hold at the end."""


@dataclass(frozen=True)
class Verdict:
    """A condition in a state."""

    condition: Condition
    holds: bool
    value: float
    """What the condition measures, in its unit."""


@dataclass(frozen=True)
class Success:
    """The conditions of a task in a state."""

    verdicts: tuple[Verdict, ...]

    def __bool__(self) -> bool:
        return all(verdict.holds for verdict in self.verdicts)


class TaskMonitor:
    """Judges a task while it is executed, since a pressed button springs back."""

    def __init__(self, task: Task, model: MjModel):
        """Start with all joints of fixtures at zero.

        Args:
            task: The task.
            model: Model of its scene, possibly with a robot in it.
        """
        self._task, self._model = task, model
        self._reached = {fixture.name: 0.0 for fixture in task.scene.layout.fixtures if fixture.joint}

    def update(self, data: MjData) -> None:
        """Remember how far the joints of fixtures are, after each physics step."""
        for name, most in self._reached.items():
            self._reached[name] = max(most, float(data.joint(name).qpos[0]))

    def success(self, data: MjData) -> Success:
        """Judge the present state, and the largest positions of joints up to it.

        Args:
            data: State of the model; its kinematics and contacts are updated.
        """
        self.update(data)
        mujoco.mj_forward(self._model, data)
        state = PhysicalState(self._task.scene.layout, self._model, data, self._reached)
        return Success(tuple(Verdict(one, *one.check(state)) for one in self._task.conditions))


def succeeded(task: Task, model: MjModel, data: MjData) -> Success:
    """Judge one state of a task; what was reached before it does not count.

    Args:
        task: The task.
        model: Model of its scene, possibly with a robot in it.
        data: State of the model; its kinematics and contacts are updated.
    """
    return TaskMonitor(task, model).success(data)


def load_task(name_or_path: str | Path, seed: int = 0) -> Task:
    """Read a task, place the objects of its scene by the seed, and let them settle.

    Args:
        name_or_path: Shipped name, or path of a ``.toml`` file.
        seed: Seed of positions, rotations and sizes.

    Raises:
        SimulationError: if the file is invalid, or the scene does not settle.
    """
    path, table = config_files.load("tasks", name_or_path, SimulationError)
    layout, file = parse_layout(path, table), check(_TaskFile, table, SimulationError, place=str(path))
    try:
        steps = tuple(_step(one, layout) for one in file.step)
        queries = {target.query.name for step in steps for target in step.targets}
        check_references([step.constraints for step in steps], queries, place="step")
        for condition in file.success:
            _check_names(condition, layout)
    except ValueError as err:
        raise SimulationError(f"{path}: {err}; compare with a shipped task") from err
    plan = Plan(file.instruction, steps)
    return Task(path.stem, file.instruction, file.long, settled(layout, seed), plan, tuple(file.success))


class _StepTable(TomlTable):
    """Write a table with an action."""

    action: Text
    targets: list[str] = Field([])
    constraints: Constraints = Field([])


class _TaskFile(Document):
    """What a task's file has beside the keys of a scene."""

    instruction: Text
    long: bool = False
    step: list[_StepTable] = Field(min_length=1, description="write [[step]] tables")
    success: list[AnyCondition] = Field(min_length=1, description="write [[success]] tables")


def _step(table: _StepTable, layout: SceneLayout) -> Step:
    known = {target.query.name: target for target in layout.targets}
    unknown = [name for name in table.targets if name not in known]
    if unknown:
        raise ValueError(f"step '{table.action}' has the target '{unknown[0]}': use {', '.join(known)}")
    targets = tuple(_target(known[name], table.action) for name in table.targets)
    return Step(table.action, targets, tuple(one.constraint() for one in table.constraints))


def _target(target: QueryTarget, reason: str) -> Target:
    thing, part = (name.replace("_", " ") for name in (target.thing, target.part))
    return Target(target.query, thing, part or None, reason)


def _check_names(condition: Condition, layout: SceneLayout) -> None:
    """Raise a ValueError if a condition names what the scene does not have."""
    parts = {body.name: [part.name for part in body.parts] for body in layout.bodies}
    if isinstance(condition, ShareInside):
        parts |= {name.partition("/")[0]: found for name, found in parts.items() if "/" in name}
    jointed = [fixture.name for fixture in layout.fixtures if fixture.joint]
    if isinstance(condition, JointAtLeast) and condition.thing not in jointed:
        known = ", ".join(jointed) or "none"
        raise ValueError(f"'{condition.thing}' has no joint; those of the fixtures with one: {known}")
    for thing_key, part_key in (("thing", "part"), ("other", "other_part")):
        thing, part = getattr(condition, thing_key, None), getattr(condition, part_key, "")
        if thing is not None and (thing not in parts or part not in ("", *parts[thing])):
            what = f"{thing}.{part}" if part else thing
            raise ValueError(f"a condition names '{what}', but there are {', '.join(sorted(parts))}")
