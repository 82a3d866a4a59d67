"""Constraints as documents: what is written is read, what is wrong is named with its place and the fix."""

from __future__ import annotations

import inspect
import math
from dataclasses import MISSING, fields
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from point2act.core.constraints import (
    KINDS,
    UP,
    Above,
    ArcPath,
    Axis,
    AxisName,
    AxisToAxis,
    Constraint,
    GripperAxis,
    GripperWidth,
    Height,
    KeepAway,
    KeepGrasp,
    KeepUpright,
    LinePath,
    Point,
    PointName,
    PointToPoint,
    When,
    WorldAxis,
)
from point2act.core.documents import check
from point2act.core.errors import PointsError
from point2act.core.types import Plan, PointSet, Query, Step, Target
from point2act.data.constraint_documents import MAX_CONSTRAINTS, constraint_document
from point2act.data.documents import PlanDocument, PointsDocument, StepDocument
from point2act.data.points import read_points, write_points
from point2act.data.task_plan import plan_document

BOTTOM, TOP = Point("mug", "bottom"), Point("coaster", "top")
EXAMPLES = [
    PointToPoint(BOTTOM, TOP),
    AxisToAxis(Axis("mug", "up")),
    Height(BOTTOM, TOP, min_height=0.1),
    Above(BOTTOM, TOP),
    KeepAway(Point("gripper", "center"), "coaster"),
    KeepUpright(Axis("mug", "up")),
    KeepGrasp("mug"),
    LinePath(BOTTOM, TOP),
    ArcPath(BOTTOM, TOP, UP),
    GripperWidth(0.0),
]
"""One of each kind, with nothing but what has to be given."""


def step(*constraints: object) -> dict:
    return {"action": "set the mug down", "targets": [], "constraints": list(constraints)}


def read(*documents: object) -> tuple[Constraint, ...]:
    return check(StepDocument, step(*documents), PointsError).step().constraints


# ── one constraint ─────────────────────────────────────────────────────────────────────────────
def test_a_document_is_the_one_promised():
    document = {
        "kind": "point_to_point",
        "point": "mug.bottom",
        "target": "coaster.top",
        "distance": 0.01,
        "along": "gripper.approach",
        "when": "path",
        "tolerance": 0.02,
        "weight": 2,
    }
    along = Axis("gripper", "approach")
    made = PointToPoint(BOTTOM, TOP, 0.01, along, when="path", tolerance=0.02, weight=2.0)
    assert read(document) == (made,)
    assert constraint_document(made) == document


@pytest.mark.parametrize("constraint", EXAMPLES, ids=KINDS)
def test_defaults_are_those_of_the_records(constraint: Constraint):
    document = constraint_document(constraint)
    required = {field.name for field in fields(constraint) if field.default is MISSING}
    assert set(document) == {"kind", *required} | (
        {"min_height"} if isinstance(constraint, Height) else set()
    )
    assert KINDS[document["kind"]] is type(constraint)
    assert read(document) == (constraint,)


@pytest.mark.parametrize("name", ["a.b", "mug 2", "кружка", " x ", ".", "mug.bottom"])
def test_the_name_of_a_query_may_have_dots(name: str):
    made = PointToPoint(Point(name, "bottom"), TOP)
    assert read(constraint_document(made)) == (made,)


PUT = {"kind": "point_to_point", "point": "mug.bottom", "target": "coaster.top"}
LIFT = {"kind": "height", "point": "mug.bottom", "target": "coaster.top"}
AWAY = {"kind": "keep_away", "point": "mug.bottom", "region": "coaster"}
TURN = {"kind": "axis_to_axis", "axis": "mug.up"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (3, 'constraints[0]\' is 3: write {"kind": …} with one of point_to_point, axis_to_axis'),
        ({}, 'constraints[0]\' is {}: write {"kind": …} with one of point_to_point'),
        ({"kind": "weld"}, "constraints[0]' is {'kind': 'weld'}: write {\"kind\": …} with one of"),
        ({"kind": "height"}, "'constraints[0].point' is missing: write a point as \"QUERY.name\""),
        (
            PUT | {"tolerence": 1},
            "unknown keys tolerence in constraints[0]: use along, distance, kind, point",
        ),
        (PUT | {"point": "mug"}, "constraints[0].point is 'mug': write a point as"),
        (PUT | {"point": ".top"}, "constraints[0].point is '.top': write a point as"),
        (PUT | {"point": 3}, "constraints[0].point is 3: write a point as"),
        (PUT | {"point": None}, "constraints[0].point is None: write a point as"),
        (PUT | {"point": "a\x1b.top"}, "constraints[0].point is 'a\\x1b.top': write a point as"),
        (PUT | {"point": "mug.botom"}, "is 'mug.botom': 'mug' has no point 'botom': use one of action_point"),
        (PUT | {"target": "gripper.top"}, "'gripper' has no point 'top': use one of center"),
        (PUT | {"target": "world.center"}, "is 'world.center', but the world has axes only: write a point"),
        (PUT | {"along": "mug.top"}, "constraints[0].along is 'mug.top': 'mug' has no axis 'top': use one"),
        (PUT | {"along": "up"}, "constraints[0].along is 'up': write an axis as"),
        (PUT | {"distance": "far"}, "'constraints[0].distance' is 'far': write metres, -10 to 10"),
        (PUT | {"distance": 50}, "'constraints[0].distance' is 50: write metres, -10 to 10"),
        (PUT | {"distance": math.nan}, "'constraints[0].distance' is nan: write metres"),
        (PUT | {"when": "later"}, "is 'later': write precondition, path, goal or postcondition"),
        (PUT | {"tolerance": 0}, "'constraints[0].tolerance' is 0: write a positive number, metres, or"),
        (PUT | {"weight": -1.0}, "'constraints[0].weight' is -1.0: write a positive number"),
        (TURN | {"angle": 90}, "'constraints[0].angle' is 90: write radians, 0 to pi"),
        (TURN | {"target": "world.down"}, "'world' has no axis 'down': use one of up, forward, left"),
        (AWAY | {"distance": -0.1}, "'constraints[0].distance' is -0.1: write metres, 0 to 10"),
        (AWAY | {"region": "gripper"}, "constraints[0].region is 'gripper': write the name of a query"),
        ({"kind": "keep_grasp", "query": 3}, "constraints[0].query is 3: write the name of a query"),
        (LIFT, "constraints[0] has no limit: write min_height, max_height or both"),
        (
            LIFT | {"min_height": 0.2, "max_height": 0.1},
            "constraints[0] has min_height 0.2 above max_height 0.1: write min_height as the lower one",
        ),
    ],
)
def test_what_is_wrong_is_named(document: object, message: str):
    with pytest.raises(PointsError) as caught:
        read(document)
    assert message in str(caught.value)


def test_endless_lists_are_refused():
    with pytest.raises(PointsError, match=f"list up to {MAX_CONSTRAINTS} constraints"):
        read(*[PUT] * (MAX_CONSTRAINTS + 1))


# ── of one step ────────────────────────────────────────────────────────────────────────────────
def width(value: float, **changes: Any) -> dict:
    return {"kind": "gripper_width", "width": value} | changes


HOLD = {"kind": "keep_grasp", "query": "mug"}


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (width(0.0), width(0.08), "constraints has gripper_width 0 and 0.08 as the same goal: keep one"),
        (HOLD, width(0.08, when="path"), "has keep_grasp of 'mug' and gripper_width 0.08 as the same path"),
        (width(0.08, when="path"), HOLD, "has keep_grasp of 'mug' and gripper_width 0.08 as the same path"),
        (PUT, PUT | {"target": "tray.top"}, "has two goals for 'mug.bottom', at coaster.top and at tray.top"),
        (PUT, PUT | {"distance": 0.1}, "has two goals for 'mug.bottom'"),
        (PUT, PUT | {"along": "world.left"}, "has two goals for 'mug.bottom'"),
    ],
)
def test_contradictions_are_refused(first: dict, second: dict, message: str):
    with pytest.raises(PointsError) as caught:
        read(first, TURN, second)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "documents",
    [
        (width(0.0), width(0.08, when="postcondition")),
        (width(0.0), width(0.005)),
        (HOLD, width(0.08, when="postcondition")),
        (HOLD, width(0.0, when="path")),
        (PUT, PUT),
        (PUT, PUT | {"target": "tray.top", "weight": 0.1}),
        (PUT, PUT | {"target": "tray.top", "point": "mug.top"}),
        (PUT | {"when": "precondition"}, PUT | {"target": "tray.top"}),
    ],
)
def test_what_may_hold_together_is_read(documents: tuple[dict, ...]):
    assert len(read(*documents)) == 2


# ── of a plan ──────────────────────────────────────────────────────────────────────────────────
QUERIES = tuple(Query(name, f"the {name}") for name in ("mug", "coaster", "tray"))
TARGETS = tuple(Target(query, query.name, None, "") for query in QUERIES[:2])


@pytest.mark.parametrize("name", ["cup", "tray"])
def test_constraints_refer_to_queries_of_the_plan(name: str):
    """Also not to another query of the file."""
    steps = (Step("lift", TARGETS), Step("put", (), (EXAMPLES[0], KeepUpright(Axis(name, "up")))))
    with pytest.raises(PointsError) as caught:
        check(PointsDocument, points(Plan("tidy up", steps)), PointsError)
    assert str(caught.value) == (
        f"plan.steps[1].constraints[1] refers to '{name}', which is no query of the plan: "
        "its queries are coaster, mug"
    )


def points(plan: Plan) -> dict:
    return {"version": 1, "queries": list(map(vars, QUERIES)), "answers": [], "plan": plan_document(plan)}


def test_the_gripper_and_the_world_are_no_queries():
    made = PointToPoint(BOTTOM, Point("gripper", "center"), along=Axis("world", "left"))
    plan = Plan("tidy up", (Step("lift", TARGETS, (made,)),))
    found = check(PointsDocument, points(plan), PointsError).plan
    assert found is not None
    assert found.plan().steps[0].constraints == (made,)


def test_a_plan_keeps_its_constraints(tmp_path):
    plan = Plan("tidy up", (Step("lift", TARGETS, tuple(EXAMPLES)), Step("wave", ())))
    write_points(tmp_path / "points.json", PointSet(QUERIES, (), plan))
    found = read_points(tmp_path / "points.json").plan
    assert found is not None
    assert [made.constraints for made in found.steps] == [tuple(EXAMPLES), ()]
    assert "constraints" not in plan_document(found)["steps"][1]


regions = st.sampled_from([query.name for query in QUERIES])
lengths = st.floats(0.0, 10.0)
positive = st.floats(0.0, 1e6, exclude_min=True)
values: dict[object, st.SearchStrategy] = {
    Point: st.builds(Point, regions, st.sampled_from(get_args(PointName)))
    | st.just(Point("gripper", "center")),
    Axis: st.builds(Axis, regions, st.sampled_from(get_args(AxisName)))
    | st.builds(Axis, st.just("gripper"), st.sampled_from(get_args(GripperAxis)))
    | st.builds(Axis, st.just("world"), st.sampled_from(get_args(WorldAxis))),
    str: regions,
    When: st.sampled_from(get_args(When)),
    float: lengths,
}
special = {"tolerance": positive, "weight": positive, "angle": st.floats(0.0, math.pi)}


@st.composite
def constraints(draw: st.DrawFn) -> Constraint:
    """Any constraint that a document can hold."""
    record = draw(st.sampled_from(list(KINDS.values())))
    if record is Height:
        low, high = sorted((draw(lengths), draw(lengths)))
        limits = draw(st.sampled_from(((low, high), (low, None), (None, high))))
        return Height(draw(values[Point]), draw(values[Point]), *limits, when=draw(values[When]))
    hints = get_type_hints(record)
    names = inspect.signature(record).parameters
    own = {name: draw(special.get(name.removeprefix("max_"), values.get(hints[name]))) for name in names}
    return record(**own)


@given(constraint=constraints())
def test_every_constraint_can_be_kept(constraint: Constraint):
    document = constraint_document(constraint)
    assert read(document) == (constraint,)
    assert constraint_document(read(document)[0]) == document


@given(steps=st.lists(st.lists(constraints(), max_size=1), min_size=1, max_size=3))
def test_a_plan_that_is_written_is_read(steps: list[list[Constraint]]):
    targets = tuple(Target(query, query.name, None, "") for query in QUERIES)
    plan = Plan("tidy up", tuple(Step("act", targets, tuple(found)) for found in steps))
    document = plan_document(plan)
    made = check(PlanDocument, document, PointsError)
    made.check_queries(QUERIES)
    assert [step.constraints for step in made.plan().steps] == [step.constraints for step in plan.steps]
    assert plan_document(made.plan()) == document
