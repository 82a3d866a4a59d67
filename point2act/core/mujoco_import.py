"""Import of MuJoCo, with a clear error if it or an offscreen OpenGL is missing."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from point2act.core.errors import SimulationError

# MuJoCo chooses its OpenGL on import; without a display only EGL or OSMesa can render.
if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "egl")

_NO_GL = (
    "MuJoCo cannot render with MUJOCO_GL={gl!r} ({cause}): install EGL (libegl1) and set MUJOCO_GL=egl, "
    "or install OSMesa (libosmesa6) and set MUJOCO_GL=osmesa"
)


def no_gl(cause: BaseException) -> SimulationError:
    """Return the error for a machine on which no OpenGL starts."""
    return SimulationError(_NO_GL.format(gl=os.environ.get("MUJOCO_GL", ""), cause=cause))


# EGL exports the symbols of Mesa's LLVM to the whole process, and torch's triton, which has its own LLVM,
# crashes if it is imported afterwards. So it is imported first.
with suppress(ImportError):
    importlib.import_module("triton")

try:
    mujoco = importlib.import_module("mujoco")  # not a statement: it has no type stubs
except ModuleNotFoundError as err:
    if err.name != "mujoco":
        raise no_gl(err) from err
    raise SimulationError('the simulator needs MuJoCo: pip install "point2act[sim]"') from err
except Exception as err:  # PyOpenGL fails in many ways: AttributeError, RuntimeError, ImportError
    raise no_gl(err) from err

if TYPE_CHECKING:
    MjModel = MjData = Renderer = Any
else:
    MjModel, MjData, Renderer = mujoco.MjModel, mujoco.MjData, mujoco.Renderer


def open_renderer(model: MjModel, height: int, width: int) -> Renderer:
    """Open an offscreen renderer, a context manager. Raises ``SimulationError`` if no OpenGL starts."""
    try:
        return mujoco.Renderer(model, height, width)
    except Exception as err:
        raise no_gl(err) from err
