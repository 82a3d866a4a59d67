"""Configs of nerfstudio runs: members of enumerations are read, and nothing that a file names is called."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

pytest.importorskip("nerfstudio", reason="the plugin needs nerfstudio: pip install point2act[nerfstudio]")

import yaml

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import nerfstudio_import  # noqa: F401 (before nerfstudio)
    from nerfstudio.cameras.cameras import CameraType

from point2act.plugin.config_yaml import read_config

_KIND = "!!python/name:nerfstudio.cameras.cameras.CameraType ''"
_MEMBER = CameraType.FISHEYE.name


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_member_of_an_enumeration_is_read_as_any_python_writes_it(tmp_path: Path):
    """As 3.11.2, of Debian 12, and as all others."""
    by_name = f"!!python/object/apply:builtins.getattr\n- {_KIND}\n- {_MEMBER}\n"
    by_value = f"!!python/object/apply:nerfstudio.cameras.cameras.CameraType\n- {CameraType.FISHEYE.value}\n"
    assert read_config(written(tmp_path, by_name)) is CameraType.FISHEYE
    assert read_config(written(tmp_path, by_value)) is CameraType.FISHEYE
    assert read_config(written(tmp_path, yaml.dump([CameraType.FISHEYE]))) == [CameraType.FISHEYE]


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
