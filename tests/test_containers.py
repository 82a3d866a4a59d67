"""The container files: instructions, copied files, options of the command, services. None is built here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from point2act.cli import serve
from point2act.cli.options import list_options

FOLDER = Path(__file__).resolve().parent.parent / "integrations" / "service"
FILES = sorted(FOLDER.glob("Containerfile*"))
INSTRUCTIONS = {"FROM", "ARG", "RUN", "COPY", "ENV", "USER", "VOLUME", "EXPOSE", "ENTRYPOINT"}


def instructions(path: Path) -> list[tuple[str, str]]:
    """The instructions of a container file with their arguments, continued lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", path.read_text(encoding="utf-8")).replace("\\\n", " ")
    return [(words[0], words[1]) for line in text.splitlines() if (words := line.split(None, 1))]


def options_of_serve() -> set[str]:
    return {flag for option in list_options(serve.Arguments) for flag in option.flags}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_container_file_is_well_formed(path):
    found = instructions(path)
    assert found[0][0] == "FROM"
    assert {name for name, _ in found} <= INSTRUCTIONS
    assert [argument for name, argument in found if name == "USER"] == ["robot"]  # not root
    (entry,) = (json.loads(argument) for name, argument in found if name == "ENTRYPOINT")
    assert entry[:2] == ["point2act", "serve"]
    assert {word for word in entry if word.startswith("--")} <= options_of_serve()
    for _, argument in (pair for pair in found if pair[0] == "RUN"):
        assert argument.count("(") == argument.count(")")
        assert not argument.rstrip().endswith("&&")


def test_compose_names_files_and_options_that_exist():
    document = yaml.safe_load((FOLDER / "compose.yml").read_text(encoding="utf-8"))
    services = document["services"]
    assert set(services) == {"cpu", "cuda", "model"}
    for name in ("cpu", "cuda"):
        build = services[name]["build"]
        context = (FOLDER / build["context"]).resolve()
        assert (context / "pyproject.toml").is_file()
        assert (context / build["dockerfile"]).is_file()
        assert "POINT2ACT_TOKEN" in services[name]["environment"]
        command = services[name].get("command", [])
        assert {word for word in command if word.startswith("--")} <= options_of_serve()
    used = {volume.split(":")[0] for service in services.values() for volume in service["volumes"]}
    assert used == set(document["volumes"])
    assert set(services["cuda"]["depends_on"]) <= set(services)
