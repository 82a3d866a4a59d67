"""Import of mink, after the choice of how MuJoCo renders, with a clear error if it is missing."""

from __future__ import annotations

from point2act.core import mujoco_import
from point2act.core.errors import ArmError

try:
    import mink
except ModuleNotFoundError as err:
    if err.name != "mink":
        raise
    raise ArmError('inverse kinematics needs mink: pip install "point2act[arm]"') from err

# mink imports MuJoCo, which chooses its OpenGL then: mujoco_import has to be first.
__all__ = ["mink", "mujoco_import"]
