"""The same capture gives the same files, byte for byte, whatever the machine's habits.

Real commands, in processes of their own. Each differs from the first one in several ways at once: what makes
no difference alone makes none together.
"""

import json
import locale
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import synthetic

from point2act.core.geometry import project
from point2act.core.types import Answer, PointSet, Query
from point2act.data.points import write_points

# In one process ``test_run`` compares two runs with the same seed.
pytestmark = pytest.mark.full

LIKE_A_USER = """
import locale, os, sys
locale.setlocale(locale.LC_ALL, "")
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
from point2act.cli.main import main
main(sys.argv[2:])
"""
"""Start as a program with its user's locale, in which numbers may have commas, on a given number of
cores."""
QUICK = ("--fit.iterations", "15", "--start.target-count", "2500", "--seed", "3")
FILES = ("grasps.json", "scene.ply", "relevancy.ply")
BY_NATURE = re.compile(rb'"(capture|created)": "[^"]*"')
"""What differs: where the capture lies and when it was worked on."""
TOP = np.array([[0.0, 0.0, 0.1]])
"""Of the red box."""


@dataclass(frozen=True)
class Habits:
    """How a machine, and the person before it, are."""

    language: str = "C.UTF-8"
    zone: str = "UTC"
    hashes: str = "0"
    threads: str = "2"
    relative: bool = False
    """Whether to name the folders from where they lie."""

    @property
    def environment(self) -> dict[str, str]:
        pools = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        # Else as the tests' own settings have it, which are for a shared machine.
        users = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
        own = {"LC_ALL": self.language, "TZ": self.zone, "PYTHONHASHSEED": self.hashes}
        return users | own | dict.fromkeys(pools, self.threads)


def is_there(language: str) -> bool:
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, language)
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_ALL, before)
    return True


def some_language(*languages: str) -> str:
    """The first that this machine has."""
    return next((language for language in languages if is_there(language)), "C")


def write_capture(folder: Path) -> Path:
    """Ten views of three boxes, of which the red one is asked for; images so large that pools share them."""
    views = synthetic.views(10, height=120, width=160)
    synthetic.write_capture_files(folder, views)
    answers = [
        Answer(view.name, "red", project(view.camera, view.T_world_cam, TOP)[0] + offset)
        for view, offset in zip(views, np.random.default_rng(0).normal(0, 2, (10, 1, 2)), strict=True)
    ]
    write_points(folder / "points.json", PointSet((Query("red", "the red box"),), tuple(answers)))
    return folder


def copied_backwards(capture: Path, folder: Path) -> Path:
    """The same capture, whose files were made in another order: so folders list them in another."""
    for path in sorted(capture.rglob("*"), reverse=True):
        if path.is_file():
            place = folder / path.relative_to(capture)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    return folder


def outcome(capture: Path, output: Path, habits: Habits) -> dict[str, bytes]:
    """What ``point2act run`` writes, but for what differs by nature."""
    folder, places = output.parent, (capture, output)
    if habits.relative:
        places = tuple(Path(os.path.relpath(place, folder)) for place in places)
    run_it = ("run", str(places[0]), "--output", str(places[1]), *QUICK)
    command = [sys.executable, "-c", LIKE_A_USER, habits.threads, *run_it]
    run = subprocess.run(command, cwd=folder, env=habits.environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return {name: BY_NATURE.sub(rb'"\1": ""', (output / name).read_bytes()) for name in FILES}


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    return write_capture(tmp_path_factory.mktemp("first") / "capture")


@pytest.fixture(scope="module")
def first(capture, tmp_path_factory):
    return outcome(capture, tmp_path_factory.mktemp("out") / "out", Habits())


def test_there_is_something_to_compare(first):
    (result,) = json.loads(first["grasps.json"])["results"]
    assert result["grasps"]


GERMANS = Habits(some_language("de_DE.UTF-8"), "Europe/Berlin", "1", "1", relative=True)
TURKS = Habits(some_language("tr_TR.UTF-8"), "Pacific/Auckland", "random", "3")


@pytest.mark.parametrize("habits", [GERMANS, TURKS], ids=["one core", "three threads"])
def test_habits_change_no_byte(habits, capture, first, tmp_path):
    """Threads, cores, language, time zone, the order of sets, where one stands, and the order of files."""
    found = outcome(copied_backwards(capture, tmp_path / "elsewhere"), tmp_path / "out", habits)
    for name in FILES:
        assert found[name] == first[name], name
