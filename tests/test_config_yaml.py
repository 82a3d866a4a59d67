"""Configs of nerfstudio runs: members of enumerations are read, and nothing that a file names is called."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("nerfstudio", reason="the plugin needs nerfstudio: pip install point2act[nerfstudio]")

import yaml
from nerfstudio.utils.writer import EventName

from point2act.plugin.config_yaml import read_config

_KIND = "!!python/name:nerfstudio.utils.writer.EventName ''"
_MEMBER = EventName.ETA.name


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_member_of_an_enumeration_is_read_as_any_python_writes_it(tmp_path: Path):
    """As 3.11.2, of Debian 12, and as all others."""
    by_name = f"!!python/object/apply:builtins.getattr\n- {_KIND}\n- {_MEMBER}\n"
    by_value = f"!!python/object/apply:nerfstudio.utils.writer.EventName\n- {EventName.ETA.value}\n"
    assert read_config(written(tmp_path, by_name)) is EventName.ETA
    assert read_config(written(tmp_path, by_value)) is EventName.ETA
    assert read_config(written(tmp_path, yaml.dump([EventName.ETA]))) == [EventName.ETA]


@pytest.mark.parametrize(
    "arguments",
    [
        f"- {_KIND}\n- mro\n",
        f"- {_KIND}\n- __init__\n",
        f"- {_KIND}\n",
        f"- {_KIND}\n- {_MEMBER}\n- 1\n",
        "- !!python/name:pathlib.Path ''\n- home\n",
        "- text\n- upper\n",
    ],
)
def test_other_attributes_are_refused(tmp_path: Path, arguments: str):
    with pytest.raises(yaml.YAMLError, match="it would be called"):
        read_config(written(tmp_path, f"!!python/object/apply:builtins.getattr\n{arguments}"))
