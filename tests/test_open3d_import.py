"""Import of open3d: quick, with its learning left for those who ask for it."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from point2act.core import open3d_import
from point2act.core.errors import SceneError


def in_fresh_python(program: str) -> str:
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return finished.stdout.strip()


def test_learning_is_imported_only_on_demand():
    program = (
        "import sys; from point2act.core.open3d_import import open3d; o3d = open3d(); assert open3d() is o3d;"
        "print('open3d.ml' in sys.modules, 'sklearn' in sys.modules, hasattr(o3d, 'pipelines'));"
        "import open3d.ml; print(o3d.ml.datasets.__name__)"
    )
    assert in_fresh_python(program).split() == ["False", "False", "True", "open3d.ml.datasets"]


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    def fail(name: str) -> None:
        raise OSError("libGL.so.1: cannot open shared object file")

    monkeypatch.delitem(sys.modules, "open3d", raising=False)
    monkeypatch.setattr(open3d_import, "import_module", fail)
    with pytest.raises(SceneError, match=r"libGL\.so\.1.*apt-get install libgl1"):
        open3d_import.open3d()


def test_an_import_in_another_thread_does_not_stop_it(monkeypatch: pytest.MonkeyPatch):
    found, tries = ModuleType("open3d"), []

    def collide(name: str) -> ModuleType:
        tries.append(name)
        if len(tries) < 3:
            raise RuntimeError("dictionary changed size during iteration")
        return found

    monkeypatch.delitem(sys.modules, "open3d", raising=False)
    monkeypatch.setattr(open3d_import, "import_module", collide)
    assert open3d_import.open3d() is found
    assert len(tries) == 3


def test_other_errors_of_the_import_are_raised(monkeypatch: pytest.MonkeyPatch):
    def fail(name: str) -> None:
        raise RuntimeError("no device")

    monkeypatch.delitem(sys.modules, "open3d", raising=False)
    monkeypatch.setattr(open3d_import, "import_module", fail)
    with pytest.raises(RuntimeError, match="no device"):
        open3d_import.open3d()
