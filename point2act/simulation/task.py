"""Manipulation tasks: a scene, an instruction with its plan, and the conditions of success in physics.

A task file is a scene file with the further keys ``instruction``, ``long``, ``[[step]]`` and ``[[success]]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_args

from point2act.core import config_files, constraints
from point2act.core.constraints import Axis, Constraint, Point, When, queries_of
from point2act.core.errors import SimulationError
from point2act.core.mujoco_import import MjData, MjModel, mujoco
from point2act.core.types import Plan, Step, Target
from point2act.simulation import conditions
from point2act.simulation.conditions import Condition, JointAtLeast, PhysicalState, ShareInside
from point2act.simulation.layout import QueryTarget, SceneLayout, parse_layout
from point2act.simulation.scene import Scene, settled

R = TypeVar("R", bound=Constraint | Condition | Point | Axis)


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
    layout = parse_layout(path, table)
    try:
        instruction = str(table["instruction"])
        steps = tuple(_step(entry, layout) for entry in table["step"])
        plan = Plan(instruction, steps)
        _check_queries(plan)
        judged = tuple(_condition(entry, layout) for entry in table["success"])
    except KeyError as err:
        raise SimulationError(f"{path}: the key {err} is missing; compare with a shipped task") from err
    except (TypeError, ValueError) as err:
        raise SimulationError(f"{path}: {err}; compare with a shipped task") from err
    return Task(path.stem, instruction, bool(table.get("long", False)), settled(layout, seed), plan, judged)


def _step(entry: Mapping[str, Any], layout: SceneLayout) -> Step:
    known = {target.query.name: target for target in layout.targets}
    action, names = str(entry["action"]), entry.get("targets", [])
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"the step '{action}' has the target '{unknown[0]}': use one of {', '.join(known)}")
    targets = tuple(_target(known[name], action) for name in names)
    return Step(action, targets, tuple(_constraint(one) for one in entry.get("constraints", ())))


def _target(target: QueryTarget, reason: str) -> Target:
    thing, part = (name.replace("_", " ") for name in (target.thing, target.part))
    return Target(target.query, thing, part or None, reason)


def _check_queries(plan: Plan) -> None:
    """Raise a ValueError for a constraint on a query that is no step's target, which is never located."""
    known = [query.name for query in plan.queries]
    for step in plan.steps:
        for constraint in step.constraints:
            for name in queries_of(constraint):
                if name not in known:
                    raise ValueError(
                        f"a constraint of '{step.action}' names '{name}', but the targets of the steps are "
                        f"{', '.join(known)}"
                    )


def _constraint(entry: Mapping[str, Any]) -> Constraint:
    return _record(constraints.KINDS, entry, "a constraint")


def _condition(entry: Mapping[str, Any], layout: SceneLayout) -> Condition:
    condition = _record(conditions.KINDS, entry, "a condition")
    parts = {body.name: [part.name for part in body.parts] for body in layout.bodies}
    if isinstance(condition, ShareInside):
        parts |= {name.partition("/")[0]: found for name, found in parts.items() if "/" in name}
    jointed = [fixture.name for fixture in layout.fixtures if fixture.joint]
    if isinstance(condition, JointAtLeast) and condition.thing not in jointed:
        raise ValueError(f"'{condition.thing}' has no joint: of the fixtures {', '.join(jointed)} have one")
    for thing_key, part_key in (("thing", "part"), ("other", "other_part")):
        thing, part = getattr(condition, thing_key, None), getattr(condition, part_key, "")
        if thing is not None and (thing not in parts or part not in ("", *parts[thing])):
            what = f"{thing}.{part}" if part else thing
            raise ValueError(
                f"the condition '{entry['kind']}' names '{what}', but there are {', '.join(sorted(parts))}"
            )
    return condition


def _record(kinds: Mapping[str, type[R]], entry: Mapping[str, Any], what: str) -> R:
    """Return the record of a table's kind; each key is one of its fields."""
    if entry["kind"] not in kinds:
        raise ValueError(f"{what} cannot be a '{entry['kind']}': use one of {', '.join(kinds)}")
    kind = kinds[entry["kind"]]
    known = {field.name: field for field in fields(kind)}
    values = {key: value for key, value in entry.items() if key != "kind"}
    for key in values:
        if key not in known:
            raise ValueError(f"{what} of the kind '{entry['kind']}' has no '{key}', only {', '.join(known)}")
    for key, field in known.items():
        if field.default is MISSING and key not in values:
            raise ValueError(f"{what} of the kind '{entry['kind']}' lacks its '{key}'")
    return kind(**{key: _VALUES[str(known[key].type)](value) for key, value in values.items()})


def _feature(kind: Callable[[str, str], R]) -> Callable[[str], R]:
    def split(words: str) -> R:
        of, _, name = words.rpartition(".")
        return kind(of, name)

    return split


def _when(word: str) -> str:
    if word not in get_args(When):
        raise ValueError(f"a constraint cannot hold at '{word}': use one of {', '.join(get_args(When))}")
    return word


_VALUES: dict[str, Callable[[Any], Any]] = {
    "str": str,
    "float": float,
    "float | None": float,
    "tuple[float, float, float]": lambda values: tuple(map(float, values)),
    "Point": _feature(Point),
    "Axis": _feature(Axis),
    "When": _when,
}
"""What makes the value of a field from that of a TOML key, by the field's annotation."""
