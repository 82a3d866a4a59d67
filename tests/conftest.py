"""What every test shares: types checked as they run, a quiet machine, two captures."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import install_import_hook

# numba, torch and mujoco read these once, when they are imported. Tests share a small machine.
os.environ.setdefault("MUJOCO_GL", "egl")
_THREADS = min(os.cpu_count() or 1, 4)
os.environ.setdefault("NUMBA_NUM_THREADS", str(_THREADS))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # As the package has it: threads.py.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
        # Set by the process that starts the workers, for itself.
        os.environ[_name] = str(max(1, _THREADS // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])))
    else:
        os.environ.setdefault(_name, str(_THREADS))

REPOSITORY = Path(__file__).resolve().parent.parent


def checked_modules() -> list[str]:
    """Every module of the package but numba's kernels, which the checker cannot wrap.

    Packages are left out: the hook takes a name for a prefix, and would take their kernels along.
    """
    paths = (REPOSITORY / "point2act").rglob("*.py")
    return sorted(
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for path in paths
        if "kernels" not in path.name and path.name not in ("__init__.py", "__main__.py")
    )


install_import_hook(checked_modules(), "beartype.beartype")

# Repeatable, and without a deadline: the first example of a test pays for imports and compilation.
# A shell's background jobs ignore Ctrl-C, and so would every program that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("point2act", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("point2act")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests last."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test printed as UTF-8: other names cannot be sent from one process of pytest to another."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real captures recorded by others; they lie beside the repository and are not part of it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data")
    return folder


@pytest.fixture
def small_capture(tmp_path: Path) -> Path:
    """The folder of an RGB-D capture: 8 views of three boxes on a table, 64x48 pixels, ideal camera.

    Its scene is ``synthetic.TABLETOP``; file k shows ``synthetic.views()[k]``.
    """
    import synthetic  # imports the package, so only after the hook

    folder = tmp_path / "capture"
    synthetic.write_capture_files(folder, synthetic.views())
    return folder
