"""Constraints from language: a model names what must hold in each step of a plan."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

import numpy as np
from jaxtyping import UInt8

from point2act.core.constraints import (
    KINDS,
    AxisName,
    Constraint,
    PointName,
    When,
)
from point2act.core.types import Plan
from point2act.vlm.clients.cache import ReplyCache
from point2act.vlm.clients.client import ModelClient, Reply, Request
from point2act.vlm.pointing.corrected_reply import ask_until_readable
from point2act.vlm.pointing.task_planner import EXAMPLE, EXAMPLE_INSTRUCTION, scene_sentence

# Models mistake keys and contradict themselves more often here than in a plan. Chosen.
_ATTEMPTS = 3

# Tokens. A constraint with the keys of all kinds takes about 130. Chosen.
_MAX_TOKENS = 8192

POINTS: dict[PointName, str] = {
    "action_point": "where to act on it",
    "center": "the middle of its box",
    "top": "its highest point, in the middle",
    "bottom": "its lowest point, in the middle",
    "rim": "the middle of its opening, for what has one",
    "hole": "the middle of the hole through it, for a handle or a ring",
    "side_1": "one end along its longest axis",
    "side_2": "the other end along its longest axis",
    "far_left": "its far left corner, seen from the robot: far is away from the robot",
    "far": "the middle of its far end",
    "far_right": "its far right corner",
    "left": "the middle of its left end",
    "right": "the middle of its right end",
    "near_left": "its near left corner",
    "near": "the middle of its near end",
    "near_right": "its near right corner",
}
"""What the points of a region are, by ``PointName``."""

AXES: dict[AxisName, str] = {
    "up": "the direction that is upward where it is now; it turns with the thing",
    "long": "along its longest extent",
    "middle": "along its second longest extent",
    "short": "along its shortest extent",
    "rim_normal": "out of its opening, for what has one",
    "hole_axis": "through its hole, for a handle or a ring",
}
"""What the axes of a region are, by ``AxisName``."""

OTHERS = {
    "gripper.center": "the point halfway between the fingertips",
    "gripper.approach": "the axis along which the gripper moves onto a thing",
    "gripper.closing": "the axis along which the fingers close",
    "world.up": "the axis against gravity",
    "world.forward": "the axis that points away from the robot's base",
    "world.left": "the axis to the left of the robot",
}
"""What the features of the gripper and of the world are, points and axes."""

TIMES: dict[When, str] = {
    "precondition": "at the start of the step",
    "path": "all the way through the step",
    "goal": "at the end of the step's motion",
    "postcondition": "after that, such as an opened gripper",
}
"""When constraints hold, by ``When``."""

EXAMPLE_CONSTRAINTS = {
    "steps": [
        {
            "constraints": [
                {"kind": "gripper_width", "width": 1.0, "when": "precondition"},
                {
                    "kind": "keep_away",
                    "point": "gripper.center",
                    "region": "red_scissors_blades",
                    "distance": 0.03,
                    "when": "path",
                },
                {
                    "kind": "point_to_point",
                    "point": "gripper.center",
                    "target": "red_scissors_finger_loops.action_point",
                },
                {"kind": "gripper_width", "width": 0.0, "when": "postcondition"},
            ]
        },
        {
            "constraints": [
                {"kind": "keep_grasp", "query": "red_scissors_finger_loops"},
                {
                    "kind": "point_to_point",
                    "point": "red_scissors_finger_loops.bottom",
                    "target": "pencil_tray_empty_compartment.center",
                    "distance": 0.01,
                    "along": "world.up",
                },
                {"kind": "gripper_width", "width": 1.0, "when": "postcondition"},
            ]
        },
    ]
}

_PROMPT = """\
A robot with one arm and a two-finger gripper carries out a plan, step by step. {seen}
For each step, write what must hold: constraints on points and axes of the things that the plan names.

The person wants: {instruction}

The plan
{plan}

Names of the things
{queries}

Points of a thing, written as "NAME.point"
{points}

Axes of a thing, written as "NAME.axis"
{axes}

Points and axes of the gripper and the world
{others}

Kinds of constraints, with their keys
{kinds}

All kinds have
- "when": {times}
- "tolerance": the largest error that is accepted, metres, or radians for angles (default {tolerance:g})
- "weight": how much it counts beside the others (default {weight:g})

Rules
- Lengths are metres, angles are radians.
- To take hold of a thing, bring gripper.center to its action_point, and close the gripper to width 0 as the
  postcondition. To let go, open it to width 1, which means fully open, as the postcondition.
- Only what the gripper holds can be moved: in every step that moves a thing, keep_grasp names what the
  gripper took hold of. A thing that moves takes its points and axes along.
- No more than is needed: what the step would fail without, and what keeps things and people unharmed; most
  often two to five constraints a step.
- Use no other names, points, axes, kinds and keys than those above.
- Reply with one JSON object with an entry for each of the {steps} steps, in order, that follows this JSON
  Schema, and with nothing else; keys that would be null may be left out:
{schema}

For another plan, for {example_instruction}
{example_plan}
a good reply would be:
{example}
"""


def plan_constraints(
    client: ModelClient,
    plan: Plan,
    *,
    images: Sequence[UInt8[np.ndarray, "_h _w 3"]] = (),
    cache: ReplyCache | None = None,
) -> Plan:
    """Have a model name the constraints of each step of a plan, the second of ReSem3D's two stages.

    An unusable reply is shown to the model with its error, and the model is asked up to twice more.

    Args:
        client: The client of the model.
        plan: The plan; constraints that it has are replaced.
        images: A few RGB images of the scene; without them the model has to guess what is there.
        cache: Cache of replies; None to always send the request.

    Returns:
        The plan with constraints.

    Raises:
        ModelError: There is no reply.
        ReplyError: The third reply is unusable, too.
    """
    from point2act.data.constraint_reply import parse_constraints, reply_schema

    schema = reply_schema()
    request = Request(_prompt(plan, len(images), schema), tuple(images), schema, _MAX_TOKENS)

    def read(reply: Reply) -> Plan:
        return parse_constraints(reply.text, plan)

    return ask_until_readable(client, request, read, attempts=_ATTEMPTS, cache=cache)


def _prompt(plan: Plan, images: int, schema: dict[str, Any]) -> str:
    return _PROMPT.format(
        seen=scene_sentence(images),
        instruction=json.dumps(" ".join(plan.instruction.split()), ensure_ascii=False),
        plan="\n".join(f"{number}. {step.action}" for number, step in enumerate(plan.steps, start=1)),
        queries="\n".join(f"- {query.name}: {query.text} (to {query.role})" for query in plan.queries),
        points=_lines(POINTS.items()),
        axes=_lines(AXES.items()),
        others=_lines(OTHERS.items()),
        kinds="\n".join(_kind(name, record) for name, record in KINDS.items()),
        times=", ".join(f'"{when}" ({meaning})' for when, meaning in TIMES.items()),
        tolerance=Constraint.tolerance,
        weight=Constraint.weight,
        steps=len(plan.steps),
        schema=json.dumps(schema),
        example_instruction=json.dumps(EXAMPLE_INSTRUCTION),
        example_plan=json.dumps(EXAMPLE),
        example=json.dumps(EXAMPLE_CONSTRAINTS),
    )


def _lines(meanings: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {meaning}" for name, meaning in meanings)


def _kind(name: str, record: type[Constraint]) -> str:
    """Return a line with what a kind means and the keys that it has beside those of all kinds."""
    from point2act.data.constraint_documents import record_fields

    shared = {field.name: field.default for field in fields(Constraint)}
    own = (field for field in record_fields(record) if shared.get(field.name, ...) != field.default)
    return f"- {name}: {record.__doc__} Keys: {', '.join(map(_key, own))}"


def _key(field: Field[Any]) -> str:
    if field.default is MISSING:
        return field.name
    return f"{field.name} (default {'null' if field.default is None else field.default})"
