"""The demo: its steps in their order; what they do is tested where they live, and by ``make demo``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from point2act.cli import demo, run, simulate, view
from point2act.core.errors import SimulationError


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The commands that are given, in turn; none is carried out."""
    given: list[tuple[str, ...]] = []
    for module in (simulate, run, view):
        name = module.__name__.rpartition(".")[2]

        def note(argv: Sequence[str], name: str = name) -> None:
            given.append((name, *argv))

        monkeypatch.setattr(module, "main", note)
    return given


def test_a_capture_a_run_and_its_trials(typed: list[tuple[str, ...]], tmp_path: Path):
    demo.main(["--output", str(tmp_path / "d"), "--seed", "3"])
    table, out, trial = (str(tmp_path / "d" / name) for name in ("table", "out", "trial"))
    assert typed == [
        ("simulate", "--scene", "tabletop", "--seed", "3", "--sensor", "stereo", "--output", table),
        ("run", table, "--output", out),
        ("simulate", "--try", f"{out}/grasps.json", "--output", trial),
    ]


def test_and_a_look_at_it(typed: list[tuple[str, ...]], tmp_path: Path):
    demo.main(["--output", str(tmp_path / "d"), "--view"])
    assert typed[-1] == ("view", str(tmp_path / "d" / "out"))


def test_what_is_there_is_not_written_over(typed: list[tuple[str, ...]], tmp_path: Path):
    (tmp_path / "table").mkdir()
    with pytest.raises(SimulationError, match="--output"):
        demo.main(["--output", str(tmp_path)])
    assert typed == []
