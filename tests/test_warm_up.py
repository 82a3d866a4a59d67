"""Kernels compile once on a machine, and only then is anybody told."""

import os
import subprocess
import sys

import pytest

CODE = """
from point2act.splat.warm_up import warm_up
warm_up(compiling=lambda: print("compiling"))

import numpy as np, torch
from numba.core.event import install_recorder
from synthetic import views
from point2act.splat.fit import FitConfig, fit
from point2act.splat.gaussians import still
from point2act.splat.picture import draw_picture, look_from
from point2act.splat.render import gather
from point2act.splat.start import start

with install_recorder("numba:compile") as later:
    begun = start(views(), point_cloud_path=None, rng=np.random.default_rng(0)).scene
    fixed = still(fit(begun, views(), config=FitConfig(iterations=2)))
    sight = look_from(views()[0], fixed)
    draw_picture(sight, fixed)
    for _ in range(2):
        gather(sight, torch.ones(sight.camera.height, sight.camera.width, 3))
print(len(later.buffer))
"""


@pytest.mark.slow
def test_kernels_are_compiled_before_the_work_and_once(tmp_path):
    def told() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            capture_output=True,
            text=True,
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
            cwd=os.path.dirname(__file__),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert told() == ["compiling", "0"]
    assert told() == ["0"]
