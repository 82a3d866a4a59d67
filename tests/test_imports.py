"""Importing the core loads no heavy library. The order of packages is a contract in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "point2act"

LIGHT = (
    "core.config_files",
    "core.constraints",
    "core.errors",
    "core.files",
    "core.geometry",
    "core.logs",
    "core.planes",
    "core.ply",
    "core.progress",
    "core.reply_text",
    "core.secrets",
    "core.threads",
    "core.types",
    "data.capture",
    "data.constraint_words",
    "data.crops",
    "data.points",
    "data.run_manifest",
    "data.scene_ply",
    "data.step_reply",
    "data.task_plan",
    "localization.heatmaps",
    "localization.likelihood",
    "localization.multiview_consensus",
    "localization.part_tree",
    "localization.ray_consensus",
    "localization.region",
    "localization.support",
    "grasping.antipodal",
    "grasping.grasps_json",
    "grasping.grippers",
    "grasping.placement",
    "vlm.parsers",
)
"""numpy, scipy and pillow only. A package counts with all its modules."""
HEAVY = (
    "torch",
    "nerfstudio",
    "gsplat",
    "open3d",
    "numba",
    "pycolmap",
    "mujoco",
    "mink",
    "transformers",
    "cv2",
    "viser",
)


def light_modules() -> list[str]:
    """Modules under ``LIGHT``, compiled kernels aside: those exist to import numba."""
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if "kernels" not in path.stem and any(name == one or name.startswith(one + ".") for one in LIGHT):
            names.append(f"point2act.{name.removesuffix('.__init__')}")
    return names


def heavy_after(imports: list[str], folder: Path) -> list[str]:
    """Heavy libraries that a fresh interpreter has loaded after importing modules."""
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        + "".join(f"import {name}\n" for name in imports)
        + f"print(*(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_core_is_light():
    modules = light_modules()
    assert {"point2act.core.types", "point2act.data.capture", "point2act.grasping.antipodal.plan"} <= set(
        modules
    )
    assert all(any(name.startswith(f"point2act.{one}") for name in modules) for one in LIGHT)
    assert heavy_after(modules, PACKAGE.parent) == []


def test_a_heavy_import_is_noticed(tmp_path: Path):
    (tmp_path / "numba.py").write_text("")
    (tmp_path / "innocent.py").write_text("import numba\n")
    assert heavy_after(["innocent"], tmp_path) == ["numba"]
