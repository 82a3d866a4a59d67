"""A finished run of ``point2act run`` or ``ns-train point2act``, opened by the path that a user types."""

from __future__ import annotations

from pathlib import Path

from point2act.data.run_manifest import NAME
from point2act.pipeline.finished_run import FinishedRun


def open_scene(path: Path) -> FinishedRun:
    """Open a run by its folder, its run.json or its config.yml.

    Raises:
        Point2ActError: If the run cannot be read.
    """
    if path.suffix == ".json" or path.is_dir():
        return FinishedRun.read(path)
    # nerfstudio takes seconds to import.
    from point2act.plugin.run import load_run

    return load_run(path)


def is_run(path: Path) -> bool:
    """Return whether a path names a run, not a capture."""
    return path.name == NAME or path.suffix in (".yml", ".yaml") or (path / NAME).is_file()
