"""Configuration shared by all tests: types checked at run time, thread counts, order, captures and runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from filelock import FileLock
from jaxtyping import install_import_hook

if TYPE_CHECKING:
    from small_run import SmallRun

# numba, torch and mujoco read these once, at import.
os.environ.setdefault("MUJOCO_GL", "egl")
_THREADS = min(os.cpu_count() or 1, 4)
os.environ.setdefault("NUMBA_NUM_THREADS", str(_THREADS))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # As in core/threads.py.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
        # The parent process has set it for itself: overwrite it.
        os.environ[_name] = str(max(1, _THREADS // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])))
    else:
        os.environ.setdefault(_name, str(_THREADS))

REPOSITORY = Path(__file__).resolve().parent
LONGEST = (
    "viewer_page",
    "plugin",
    "grasps",
    "session",
    "nerfstudio_viewer",
    "simulation",
    "initialization",
    "checks",
    "hostile",
    "run",
)
"""Test files that take longest in ``make test`` on two cores, in this order."""


def checked_modules() -> list[str]:
    """Return every module of the package except numba kernels, which the type checker cannot wrap.

    Packages are omitted: the hook takes a name as a prefix, which would include their kernels.
    """
    paths = (REPOSITORY / "point2act").rglob("*.py")
    return sorted(
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for path in paths
        if "kernels" not in path.name and path.name not in ("__init__.py", "__main__.py")
    )


# Takes a quarter of the time: only in ``make test-all``; pyrefly checks the same types in ``make lint``.
if "POINT2ACT_CHECK_TYPES" in os.environ:
    install_import_hook(checked_modules(), "beartype.beartype")

# Background jobs of a shell ignore Ctrl-C, and so would every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: the first example of a test pays for imports and compilation.
for _profile, _examples in (("dev", 15), ("ci", 50), ("nightly", 300)):
    hypothesis.settings.register_profile(_profile, deadline=None, derandomize=True, max_examples=_examples)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that parallel workers finish at about the same time.

    A file stays in one piece, so that its module fixtures are set up once.
    """
    order = {f"test_{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Encode the output of a test as UTF-8: xdist cannot send other bytes between processes."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of recorded captures beside the repository; the test is skipped where there is none."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data")
    return folder


@pytest.fixture
def small_capture(tmp_path: Path) -> Path:
    """Folder of an RGB-D capture: 8 views of three boxes on a table, 64x48 pixels, ideal camera.

    Its scene is ``synthetic.TABLETOP``; file k shows ``synthetic.views()[k]``.
    """
    import synthetic  # Imports the package, which has to follow the import hook.

    folder = tmp_path / "capture"
    synthetic.write_capture_files(folder, synthetic.views())
    return folder


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """A finished run of the small scene, made once for all parallel workers; read it, do not change it."""
    import small_run

    parallel = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if parallel else base) / "small-run"
    with FileLock(f"{folder}.lock"):
        return small_run.make_small_run(folder)
