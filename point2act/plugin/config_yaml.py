"""Safe reading of nerfstudio's config.yml.

nerfstudio writes its configs as YAML that names Python classes, and reads them with a loader that calls any
function that a file names. A run folder may come from another person, so classes are taken only from the
libraries that define configs, only configs, paths and enumerations are made, and nothing is called.
"""

from __future__ import annotations

import dataclasses
import sys
from enum import Enum
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any

import yaml
from yaml.constructor import UnsafeConstructor

_LIBRARIES = ("builtins", "nerfstudio", "pathlib", "point2act", "torch")
"""Libraries that define the classes of a point2act config."""

_MOVED_MODULES = {
    "point2act.heatmaps": "point2act.localization.heatmaps",
    "point2act.relevancy": "point2act.localization.relevancy",
    "point2act.splat.densify": "point2act.splatting.densify",
    "point2act.splat.start": "point2act.splatting.initialization",
}
"""Present modules of config classes that earlier runs name by old modules."""


def read_config(path: Path) -> Any:
    """Return the object that a config.yml describes.

    Raises:
        yaml.YAMLError: The file describes something other than a config.
    """
    register_moved_modules()
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_ConfigLoader)


def register_moved_modules() -> None:
    """Let YAML loaders, nerfstudio's own included, find the configs that earlier runs name by old modules."""
    for old, new in _MOVED_MODULES.items():
        sys.modules.setdefault(old, import_module(new))


class _ConfigLoader(yaml.Loader, UnsafeConstructor):
    """YAML loader of dataclasses, paths and enumerations that refuses modules and calls."""

    def find_python_module(self, name: str, mark: Any) -> Any:
        raise yaml.YAMLError(f"the module {name}, which no config needs")

    def find_python_name(self, name: str, mark: Any) -> Any:
        if name.split(".")[0] not in _LIBRARIES and "." in name:
            raise yaml.YAMLError(f"{name}, which no config needs")
        return super().find_python_name(name, mark)

    def make_python_instance(
        self, suffix: str, node: Any, args: Any = None, kwds: Any = None, newobj: bool = False
    ) -> Any:
        if suffix == "builtins.getattr":
            return _member(*(args or ()))
        kind = self.find_python_name(suffix, node.start_mark)
        made = isinstance(kind, type) and (
            issubclass(kind, PurePath | Enum) or (newobj and dataclasses.is_dataclass(kind) and not args)
        )
        if not made:
            raise yaml.YAMLError(f"{suffix}, which is no config: it would be called")
        return super().make_python_instance(suffix, node, args, kwds, newobj)


def _member(kind: Any = None, name: Any = None, *others: Any) -> Enum:
    """Return a member of an enumeration, which Python 3.11.2 (Debian 12) writes as a call of ``getattr``.

    Raises:
        yaml.YAMLError: It is anything else.
    """
    if others or not (isinstance(kind, type) and issubclass(kind, Enum) and name in kind.__members__):
        raise yaml.YAMLError("builtins.getattr, which is no config: it would be called")
    return kind[name]
