"""Files of pointing models: the shipped ones are right, and wrong ones say what to write."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from point2act.core import config_files
from point2act.core.errors import ModelError
from point2act.vlm.clients.client import PointingModel
from point2act.vlm.clients.models import load_model
from point2act.vlm.parsers import DIALECTS

SHIPPED = config_files.available("models")
LEAST = {
    "name": '"own"',
    "model": '"someone/Own-8B"',
    "dialect": '"qwen3_vl"',
    "prompt": '"Point to {query}."',
    "memory": '"20 GB"',
    "source": '"its card"',
}


def write(path: Path, **changes: str | None) -> Path:
    """A model's file with keys changed, added, or left out (None); values as TOML has them."""
    entries = {**LEAST, **changes}
    path.write_text("\n".join(f"{key} = {value}" for key, value in entries.items() if value is not None))
    return path


# ── the shipped ones ───────────────────────────────────────────────────────────────────────────
def test_every_family_is_there():
    dialects = {load_model(name).dialect for name in SHIPPED}
    assert len(SHIPPED) >= 12
    assert dialects >= set(DIALECTS) - {"auto", "molmo", "qwen2_vl"}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_complete(name: str):
    model = load_model(name)
    assert model.name == name
    assert model.dialect != "auto", "a shipped model's dialect is known"
    asked = model.prompt.format(query='the "red" {mug}')
    assert 'the "red" {mug}' in asked
    # Braces that the model is to see come in pairs, and none is left doubled.
    assert asked.count("{") == asked.count("}")
    assert "{{" not in asked
    assert not asked.startswith(("\n", " "))
    assert not asked.endswith(("\n", " "))


@pytest.mark.parametrize("name", SHIPPED)
def test_paid_services_have_an_address_and_a_key(name: str):
    model = load_model(name)
    if model.server is None:
        assert model.price is None
        assert model.key_variable == "POINT2ACT_API_KEY"
    else:
        assert model.server.startswith("https://")
        assert model.key_variable != "POINT2ACT_API_KEY"
        assert not model.local


def test_memory_is_what_the_parameters_take():
    """Billions of parameters times two bytes, and a little above it."""
    pattern = re.compile(r"about (\d+) GB in b?float16.*?([\d.]+) billion parameters are ([\d.]+) GB")
    counted = [found for name in SHIPPED if (found := pattern.match(load_model(name).memory))]
    assert len(counted) >= 8
    for found in counted:
        total, billions, weights = map(float, found.groups())
        assert weights == pytest.approx(2 * billions, rel=0.01)
        assert weights + 1 < total < 1.02 * weights + 3


def test_the_table_of_models_is_complete():
    table = (config_files._FOLDERS[0] / "models" / "README.md").read_text(encoding="utf-8")
    for name in SHIPPED:
        family, _, size = name.rpartition("_")
        assert f"`{name}`" in table or (f"`{family}_" in table and f"`_{size}`" in table), name
    optional = {field.name for field in fields(PointingModel)} - set(LEAST)
    assert all(f"`{key}`" in table or f"`[{key}]`" in table for key in optional)


# ── one's own ──────────────────────────────────────────────────────────────────────────────────
def test_what_is_written_is_read(tmp_path: Path):
    path = write(
        tmp_path / "own.toml",
        prompt="'''Point to {query}: [{{\"point\": [y, x]}}].'''",
        server='"http://localhost:8000/v1"',
        key_variable='"MY_KEY"',
        max_tokens="100",
        image_side="640",
        local="false",
        structured="true",
        price="[1, 2.5]",
        extra="{ top_k = 1 }",
    )
    assert load_model(path) == PointingModel(
        name="own",
        model="someone/Own-8B",
        dialect="qwen3_vl",
        prompt='Point to {query}: [{{"point": [y, x]}}].',
        memory="20 GB",
        source="its card",
        server="http://localhost:8000/v1",
        key_variable="MY_KEY",
        max_tokens=100,
        image_side=640,
        local=False,
        structured=True,
        price=(1.0, 2.5),
        extra={"top_k": 1},
    )


def test_what_is_left_out_has_the_classes_defaults(tmp_path: Path):
    values = {key: value.strip('"') for key, value in LEAST.items()}
    assert load_model(write(tmp_path / "own.toml")) == PointingModel(**values)


@pytest.mark.parametrize("key", LEAST)
def test_what_is_needed_is_missed(tmp_path: Path, key: str):
    with pytest.raises(ModelError, match=rf"own.toml: '{key}' is missing: "):
        load_model(write(tmp_path / "own.toml", **{key: None}))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("temperature", "0.5", r"unknown keys temperature: use adapter, dialect, extra, .*structured"),
        ("name", '" "', "write some text there"),
        ("model", "7", "write some text there"),
        ("dialect", '"qwen"', "use one of molmo, molmo2, qwen2_vl, .*auto"),
        ("dialect", "[1]", "use one of molmo"),
        ("server", '"localhost:8000"', "write an address such as http://localhost:8000/v1"),
        ("server", '"http:// x"', "write an address"),
        ("max_tokens", "0", "write a whole number, 1 or more"),
        ("max_tokens", "12.0", "write a whole number, 1 or more"),
        ("image_side", "true", "write a whole number, 1 or more"),
        ("local", '"yes"', "write true or false"),
        ("structured", "1", "write true or false"),
        ("price", "1.5", r"write two prices \[read, written\]"),
        ("price", "[1.5]", "write two prices"),
        ("price", "[1, -2]", "write two prices"),
        ("price", "[1, nan]", "write two prices"),
        ("price", "[1, 2, 'x']", "write two prices"),
        ("price", "[true, 2]", "write two prices"),
        ("extra", '"top_k"', r"write a table, \[extra\]"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, key: str, value: str, message: str):
    with pytest.raises(ModelError, match=message) as caught:
        load_model(write(tmp_path / "own.toml", **{key: value}))
    assert "own.toml" in str(caught.value)
    assert key in str(caught.value)


@pytest.mark.parametrize("value", ['"sk-abc123secret"', '"abc123secret"', "42", '"KEY secret"'])
def test_a_key_in_the_file_is_not_repeated(tmp_path: Path, value: str):
    with pytest.raises(ModelError, match="only into the environment") as caught:
        load_model(write(tmp_path / "own.toml", key_variable=value))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "prompt",
    [
        "Point to it.",
        "Point to {}.",
        "Point to {0}.",
        "Point to {thing}.",
        "Point to {query.text}.",
        "Point to {query!r}.",
        "Point to {query:>9}.",
        "Point to {query}: {x}",
        'Point to {query}: {"point": [y, x]}',
        "Point to {query",
        "Point to query}",
        "{{query}}",
    ],
)
def test_a_prompt_has_one_place_for_the_words(tmp_path: Path, prompt: str):
    with pytest.raises(ModelError, match=r"prompt needs \{query\}.*write \{\{ and \}\}"):
        load_model(write(tmp_path / "own.toml", prompt=f"'''{prompt}'''"))


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(ModelError, match=r"no model named 'gpt': use one of gemini_flash, .*qwen3_vl_8b"):
        load_model("gpt")


def test_the_example_to_add_a_model_loads(tmp_path: Path):
    text = (config_files._FOLDERS[0] / "models" / "README.md").read_text(encoding="utf-8")
    example = text.split("```toml\n")[1].split("```")[0]
    (tmp_path / "my_model.toml").write_text(example, encoding="utf-8")
    assert load_model(tmp_path / "my_model.toml").name == "my_model"
