"""The documentation: its commands are commands, its JSON is valid, its links lead somewhere."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
import write_schemas
import yaml
from jsonschema import Draft202012Validator

from point2act.cli import options
from point2act.cli.overview import module_of
from point2act.core.constraints import KINDS, AxisName, Constraint, PointName, When
from point2act.data.documents import StepDocument

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """The words of every command in the page's shell blocks."""
    lines = [line for block in blocks(page, "bash") for line in block.replace("\\\n", " ").splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


class AcceptedError(Exception):
    """The command line has been parsed."""


def accept(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse the arguments of a point2act command with its own parser, and do nothing else."""
    module = importlib.import_module(module_of(words[0]))
    last = next(name for name in ("parse_advanced", "parse_kind", "parse") if hasattr(module, name))

    def parse(*given: Any) -> None:
        getattr(options, last)(*given)
        raise AcceptedError

    monkeypatch.setattr(module, last, parse)
    # SystemExit: --help shows the help.
    with pytest.raises((AcceptedError, SystemExit)) as end:
        module.main(words[1:])
    assert isinstance(end.value, AcceptedError) or end.value.code in (None, 0), words


def test_readme_is_a_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_files_in_the_documentation_are_valid():
    documents = (json.loads(block) for block in blocks(ROOT / "docs" / "formats.md", "json"))
    points, grasps, step, tracks, act = documents
    StepDocument.model_validate(step)
    for name, document in (("points", points), ("grasps", grasps), ("tracks", tracks), ("act", act)):
        Draft202012Validator(write_schemas.schema(name)).validate(document)
        write_schemas.MODELS[name].model_validate(document)


def test_the_table_of_constraints_has_all_their_fields():
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    drawing = (ROOT / "docs" / "assets" / "constraints.svg").read_text(encoding="utf-8")
    shared = {field.name for field in fields(Constraint)}
    for kind, record in KINDS.items():
        row = re.search(rf"^\| `{kind}` \|([^|]*)\|", page, re.MULTILINE)
        assert row, kind
        names = set(re.findall(r"`([a-z_]+)`", row[1]))
        assert names == {field.name for field in fields(record)} - shared, kind
        assert f">{kind}</text>" in drawing
    for name in (*get_args(PointName), *get_args(AxisName), *get_args(When)):
        assert f"`{name}`" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_the_documentation_compiles(page: Path):
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")


OTHER_PROGRAMS = {"export", "git", "vllm", "python3", "ns-train", "cd", "source", "rosdep"}
ROS = ROOT / "integrations" / "ros2"


def accept_ros(words: list[str]) -> None:
    """Check the names of a launch file or of an interface, its fields, and the node's name for it."""
    if words[0] == "launch":
        assert (ROS / words[1] / "launch" / words[2]).is_file()
        return
    name, kind, request = [word for word in words[2:] if not word.startswith("--")]
    package, folder, interface = kind.split("/")
    text = (ROS / package / folder / f"{interface}.{folder}").read_text(encoding="utf-8")
    asked = text.partition("\n---\n")[0]
    assert all(re.search(rf"^\w+ {field}$", asked, re.MULTILINE) for field in yaml.safe_load(request))
    node = (ROS / "point2act_ros" / "point2act_ros" / "node.py").read_text(encoding="utf-8")
    assert f'"{name.replace("/point2act/", "~/")}"' in node


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_accepted(page: Path, monkeypatch: pytest.MonkeyPatch):
    """Each option of each command exists; what the commands do is tested where they are."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for words in commands(page):
        program, *rest = [word for word in words if not re.match("[A-Z_]+=", word)]
        if program == "point2act":
            accept(rest[: rest.index(">")] if ">" in rest else rest, monkeypatch)
        elif program == "make":
            assert re.search(rf"^{rest[0]}:", makefile, re.MULTILINE), words
        elif program == "pip":
            assert all(f"{extra} = [" in extras for extra in re.findall(r"\w+(?=\])", rest[1])), words
        elif program == "python":
            assert rest[0] == "-m" or (ROOT / rest[0]).is_file(), words
        elif program == "ros2":
            accept_ros(rest)
        else:
            assert program in OTHER_PROGRAMS, words
