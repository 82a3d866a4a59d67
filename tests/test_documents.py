"""Models of file formats: what is wrong is named with its place, its value and what belongs there."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import pytest
import write_schemas
from jsonschema import Draft202012Validator
from pydantic import Field

from point2act.core.documents import Document, TomlTable, Words, check
from point2act.core.errors import PointsError


class Wheel(TomlTable):
    """Write a wheel as {"radius": …}."""

    radius: float = Field(gt=0, description="write the radius in metres")
    spokes: int = 8


class Hay(TomlTable):
    """Write hay as {"kind": "hay", "bales": …}."""

    kind: Literal["hay"]
    bales: int = Field(description="write the number of bales")


class Milk(TomlTable):
    """Write milk as {"kind": "milk", "litres": …}."""

    kind: Literal["milk"]
    litres: float = Field(description="write the volume in litres")


class Cart(Document):
    """Write a cart."""

    name: Words
    wheels: list[Wheel] = Field(min_length=1, description="list the wheels")
    spare: Wheel | None = None
    load: list[Annotated[Hay | Milk, Field(discriminator="kind", description="write hay or milk")]] = Field(
        []
    )
    sizes: dict[str, tuple[float, float]] = Field({}, description="write sizes by name")
    secret: Words = Field("x", description="write it elsewhere", json_schema_extra={"writeOnly": True})


GOOD = {"name": "hay cart", "wheels": [{"radius": 1}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wheels": [{"radius": -1}]}, "'wheels[0].radius' is -1: write the radius in metres"),
        ({"wheels": [{}]}, "'wheels[0].radius' is missing: write the radius in metres"),
        ({"wheels": [3]}, "'wheels[0]' is 3: write a wheel as {\"radius\": …}"),
        ({"wheels": []}, "'wheels' is []: list the wheels"),
        ({"name": 3}, "'name' is 3: it should be a valid string"),
        ({"name": True, "wheels": [{"radius": "1"}]}, "'name' is True: it should be a valid string"),
        (
            {"wheels": [{"radius": 1, "b": 0, "a": 0}]},
            "unknown keys b, a in wheels[0]: use radius, spokes",
        ),
        ({"spare": {"radius": 1, "spokes": 2.5}}, "'spare.spokes' is 2.5: it should be a valid integer"),
        ({"spare": []}, "'spare' is []: write a wheel as {\"radius\": …}"),
        ({"sizes": {"\x1b[1m": [0]}}, "'sizes['\\x1b[1m']' is [0]: write sizes by name"),
        ({"load": [{"kind": "hay"}]}, "'load[0].bales' is missing: write the number of bales"),
        (
            {"load": [{"kind": "milk", "litres": "1"}]},
            "'load[0].litres' is '1': write the volume in litres",
        ),
        (
            {"load": [{"kind": "milk", "litres": 1, "milk": 1}]},
            "unknown keys milk in load[0]: use kind, litres",
        ),
        ({"load": [{"kind": "oil"}]}, "'load[0]' is {'kind': 'oil'}: write hay or milk"),
        ({"secret": 123}, "'secret' is wrong: write it elsewhere"),
    ],
)
def test_what_is_wrong_is_named(change: dict, message: str):
    with pytest.raises(PointsError) as caught:
        check(Cart, GOOD | change, PointsError, place="cart.json")
    assert str(caught.value) == f"cart.json: {message}"


def test_a_document_as_a_whole():
    assert check(Cart, GOOD | {"later": 1}, PointsError).wheels[0].radius == 1
    with pytest.raises(PointsError, match=r"^it is \[\]: write a cart$"):
        check(Cart, [], PointsError)


@pytest.mark.parametrize("name", write_schemas.MODELS)
def test_the_shipped_schemas_are_those_of_the_models(name: str):
    shipped = json.loads(write_schemas.path(name).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(shipped)
    assert shipped == write_schemas.schema(name), "run make schemas"
