"""Import of open3d, with a clear error if the system lacks a library that it needs."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from types import ModuleType

from point2act.core.errors import SceneError

# Readers of data sets for learning, not used here: with scikit-learn and pandas, two of open3d's three and a
# half seconds. They are imported by ``import open3d.ml`` as ever.
_LEARNING = "open3d.ml"
# Maximum number of imports while other threads import too.
_ATTEMPTS = 5


def open3d() -> ModuleType:
    """Import open3d, which takes a second or two.

    Raises:
        SceneError: The system lacks a library that open3d needs.
    """
    if "open3d" in sys.modules:
        return import_module("open3d")
    placeholder = sys.modules.setdefault(_LEARNING, ModuleType(_LEARNING))
    with warnings.catch_warnings():
        # A warning about a missing GPU, which is not used here.
        warnings.simplefilter("ignore", ImportWarning)
        try:
            return _import()
        except OSError as err:  # a bare container has no libGL
            raise SceneError(
                f"open3d cannot start ({err}): install the system's OpenGL, on Debian and Ubuntu with "
                "apt-get install libgl1 libx11-6 libgomp1"
            ) from err
        finally:
            if sys.modules.get(_LEARNING) is placeholder:
                del sys.modules[_LEARNING]


def _import() -> ModuleType:
    """Import open3d again where another thread imports something meanwhile."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return import_module("open3d")
        except RuntimeError as err:
            # open3d iterates over all modules: "dictionary changed size during iteration".
            if "changed size" not in str(err):
                raise
    return import_module("open3d")
