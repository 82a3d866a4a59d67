"""Imports point down only, and the ground floor is light. See the floors below."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "point2act"

# Everyone may use these; the ground floor uses nothing else of ours.
FOUNDATION = {
    "types",
    "errors",
    "geometry",
    "config_files",
    "files",
    "grippers",
    "looks",
    "plans",
    "ply",
    "replies",
}
# numpy, scipy, pillow. A package counts with all its modules.
GROUND = {"capture", "points", "results", "runs", "dialects", "heatmaps", "place", "region", "grasps"}
# Nobody imports these but the command line. They, reports and drawings may use the pipeline.
SKINS = {"__main__", "cli", "commands", "plugin", "simulate", "viewer"}
ABOVE_PIPELINE = SKINS | {"report", "drawing"}
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


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name within it; ``grasps.plan``, ``capture``."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if parts:
            found[".".join(parts)] = path
    return found


def room(module: str) -> str:
    return module.split(".")[0]


def imported_names(source: str) -> set[str]:
    """What a module's text imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_rooms(source: str, rooms: set[str]) -> set[str]:
    """The rooms of the package that a module's text imports."""
    names = imported_names(source)
    return {name.split(".")[1] for name in names if name.startswith("point2act.")} & rooms


def trespasses(module: str, imported: set[str]) -> set[str]:
    """Which rooms a module must not import."""
    imported = imported - {room(module)}
    if room(module) in FOUNDATION:
        return imported - FOUNDATION
    if room(module) in GROUND:
        return imported - FOUNDATION
    if room(module) in ("__main__", "cli", "commands"):
        return set()
    return imported & (
        SKINS if room(module) in ABOVE_PIPELINE | {"pipeline"} else SKINS | {"pipeline", "work"}
    )


@pytest.mark.parametrize("module", modules())
def test_imports_point_down(module: str):
    rooms = {room(name) for name in modules()}
    imported = imported_rooms(modules()[module].read_text(encoding="utf-8"), rooms)
    assert not trespasses(module, imported)


def test_colmap_has_one_door():
    texts = {name: path.read_text(encoding="utf-8") for name, path in modules().items()}
    users = {name for name, text in texts.items() if "pycolmap" in imported_names(text)}
    assert users == {"colmap"}


def light_modules() -> list[str]:
    """The foundation and the ground floor, compiled kernels aside: those exist to import numba."""
    return [
        f"point2act.{name}"
        for name in modules()
        if room(name) in FOUNDATION | GROUND and "kernels" not in name.split(".")[-1]
    ]


def heavy_after(imports: list[str], folder: Path) -> list[str]:
    """Which heavy libraries a fresh interpreter has loaded after importing modules."""
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        + "".join(f"import {name}\n" for name in imports)
        + f"print(*(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_ground_floor_is_light():
    assert {"point2act.types", "point2act.capture", "point2act.points"} <= set(light_modules())
    assert heavy_after(light_modules(), PACKAGE.parent) == []


# ── these tests can fail ───────────────────────────────────────────────────────────────────────
def test_a_heavy_import_is_noticed(tmp_path: Path):
    (tmp_path / "numba.py").write_text("")
    (tmp_path / "innocent.py").write_text("import numba\n")
    assert heavy_after(["innocent"], tmp_path) == ["numba"]


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("points", "from point2act.capture import read_capture", {"capture"}),
        ("points", "def f():\n    import point2act.splat.render", {"splat"}),
        ("types", "from point2act import points", {"points"}),
        ("grasps.plan", "from point2act.grasps.pairs import x\nfrom point2act.types import Grasp", set()),
        ("pipeline", "from point2act.plugin.config import x\nfrom point2act.points import y", {"plugin"}),
        ("splat.fit", "import point2act.pipeline", {"pipeline"}),
        ("work", "import point2act.pipeline", {"pipeline"}),
        ("pipeline", "import point2act.work", set()),
        ("plugin.model", "import point2act.pipeline", set()),
        ("simulate.trial", "from point2act.simulate.scene import x\nimport point2act.plugin", {"plugin"}),
        ("cli", "from point2act.simulate.scene import x", set()),
    ],
)
def test_a_wrong_import_is_noticed(module: str, source: str, expected: set[str]):
    rooms = {"points", "capture", "splat", "types", "grasps", "plugin", "simulate", "pipeline", "work"}
    assert trespasses(module, imported_rooms(source, rooms)) == expected
