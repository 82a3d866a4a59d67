import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import views

from point2act.core.errors import SceneError
from point2act.core.types import RelevancyField
from point2act.splatting.densify import Densifier
from point2act.splatting.fit import FitConfig, Schedule, fit
from point2act.splatting.gaussians import freeze
from point2act.splatting.initialization import StartConfig, initialize_gaussians
from point2act.splatting.losses import depth_loss, photometric, psnr
from point2act.splatting.rendering import RenderedView, project_view, render_view

QUICK = FitConfig(iterations=60)


@pytest.fixture(scope="module")
def seen():
    return views(10)


@pytest.fixture(scope="module")
def initial(seen):
    config = StartConfig(target_count=3000)
    return initialize_gaussians(
        seen[1:], point_cloud_path=None, config=config, rng=np.random.default_rng(0)
    ).scene


@pytest.fixture(scope="module")
def fitted(initial, seen):
    return fit(initial, seen[1:], config=QUICK)


def picture_of(scene, view, relevancy=None) -> RenderedView:
    fixed = freeze(scene)
    return render_view(project_view(view, fixed), fixed, relevancy=relevancy)


def quality(scene, view) -> float:
    return psnr(picture_of(scene, view).rgb, view.rgb / 255.0)


def test_the_fit_explains_a_view_it_has_not_seen(initial, fitted, seen):
    assert quality(fitted, seen[0]) > quality(initial, seen[0]) + 2
    assert quality(fitted, seen[0]) > 22


def test_depth_is_that_of_the_boxes(fitted, seen):
    picture = picture_of(fitted, seen[0])
    covered = (seen[0].depth > 0) & (picture.alpha > 0.5)
    assert np.median(np.abs(picture.depth - seen[0].depth)[covered]) < 0.004


def test_the_same_seed_gives_the_same_scene(initial, fitted, seen):
    again = fit(initial, seen[1:], config=QUICK)
    np.testing.assert_array_equal(again.means, fitted.means)
    np.testing.assert_array_equal(again.sh, fitted.sh)


@pytest.mark.full
def test_the_fit_ends_where_it_no_longer_pays(initial, seen):
    """Long before the last step allowed, and with nothing gained by going on."""
    ends = []
    scene = fit(
        initial, seen[1:], config=FitConfig(iterations=3000), progress=lambda *step: ends.append(step)
    )
    done, announced = ends[-1]
    assert done == announced == len(ends) < 1500
    longer = fit(initial, seen[1:], config=FitConfig(iterations=2 * done, plateau=-np.inf))
    assert quality(scene, seen[0]) > quality(longer, seen[0]) - 0.3


def schedule_of(errors, plateau=0.02, final_rate=0.1):
    """Rates after each of the errors, one image a round, until the schedule ends."""
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = Schedule({"one": optimizer}, plateau=plateau, final_rate=final_rate, images=1, settled=0)
    rates = []
    for error in errors:
        for _ in range(20):  # steps of a round
            assert not schedule.ended
            schedule.step(torch.tensor(error))
        rates.append(optimizer.param_groups[0]["lr"])
        if schedule.ended:
            break
    return rates


def test_rates_stay_while_the_error_falls():
    assert schedule_of([0.9**k for k in range(30)]) == [1.0] * 30


def test_rates_are_halved_on_a_plateau_until_the_end():
    assert schedule_of([1.0] * 9) == [1.0, 0.5, 0.25, 0.125, 0.0625]
    assert schedule_of([1.0] * 9, final_rate=0.3) == [1.0, 0.5, 0.25]
    assert schedule_of([1.0, 0.99, 0.9], plateau=0.02) == [1.0, 0.5, 0.5]


def test_nothing_is_judged_while_gaussians_change():
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = Schedule({"one": optimizer}, plateau=0.02, final_rate=0.1, images=7, settled=100)
    for _ in range(100):
        schedule.step(torch.tensor(1.0))
    assert optimizer.param_groups[0]["lr"] == 1.0


AFTER_WARMING_UP = """
from point2act.splatting.cpu.compile_kernels import warm_up
warm_up(compiling=lambda: print("compiling"))

import numpy as np, torch
from numba.core.event import install_recorder
from synthetic import views
from point2act.splatting.fit import FitConfig, fit
from point2act.splatting.gaussians import freeze
from point2act.splatting.rendering import render_view, project_view
from point2act.splatting.render import gather
from point2act.splatting.initialization import initialize_gaussians

with install_recorder("numba:compile") as later:
    initial = initialize_gaussians(views(), point_cloud_path=None, rng=np.random.default_rng(0)).scene
    fixed = freeze(fit(initial, views(), config=FitConfig(iterations=2)))
    projection = project_view(views()[0], fixed)
    render_view(projection, fixed)
    for _ in range(2):
        gather(projection, torch.ones(projection.camera.height, projection.camera.width, 3))
print(len(later.buffer))
"""


@pytest.mark.full
def test_kernels_are_compiled_before_the_work_and_once(tmp_path):
    """Once on a machine, and only then with a notice."""

    def printed() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", AFTER_WARMING_UP],
            capture_output=True,
            text=True,
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
            cwd=os.path.dirname(__file__),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert printed() == ["compiling", "0"]
    assert printed() == ["0"]


@pytest.mark.full
def test_the_number_of_threads_changes_no_bit():
    """Images and scenes so large that torch and numba do share the work."""
    code = """
import hashlib, numpy as np, synthetic
from point2act.localization.relevancy import lift
from point2act.splatting.fit import FitConfig, fit
from point2act.splatting.gaussians import freeze
from point2act.splatting.rendering import render_surface, project_view
from point2act.splatting.initialization import StartConfig, initialize_gaussians
from point2act.core.types import Query
views = synthetic.views(4, height=240, width=320)
count, rng = StartConfig(target_count=12000), np.random.default_rng(0)
initial = initialize_gaussians(views, point_cloud_path=None, config=count, rng=rng)
scene = fit(initial.scene, views, config=FitConfig(iterations=30))
projections = [project_view(view, freeze(scene)) for view in views]
field = lift(projections, [[np.array([[150.0, 120.0]])] * 4], [Query("it", "it")])
arrays = (scene.means, scene.quats, scene.scales, scene.opacities, scene.sh, field.values)
arrays = (*arrays, render_surface(projections[0]).depth)
print(hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest())
"""
    digests = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        environment["PYTHONPATH"] = str(Path(__file__).parent)
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        digests.add(run.stdout)
    assert len(digests) == 1


def test_without_depth_gaussians_grow(initial, seen):
    colour_only = [dataclasses.replace(view, depth=None) for view in seen[1:]]
    densify = dataclasses.replace(QUICK.densify, start=10, every=10, stop=40, grow_grad2d=1e-5)
    grown = fit(initial, colour_only, config=dataclasses.replace(QUICK, densify=densify))
    assert len(grown) > len(initial)
    assert quality(grown, seen[0]) > quality(initial, seen[0])


def test_values_follow_the_gaussians_that_are_split_and_removed(initial, seen, monkeypatch):
    """Every new Gaussian has the value of one that was there, and no value is mixed."""
    step, kept = Densifier.step, {}

    def follow(densifier, number):
        before = kept.get("values", torch.arange(len(initial), dtype=torch.float32)[:, None])
        kept["values"] = step(densifier, number, before)

    monkeypatch.setattr(Densifier, "step", follow)
    densify = dataclasses.replace(QUICK.densify, start=10, every=10, stop=40, grow_grad2d=1e-5)
    colour_only = [dataclasses.replace(view, depth=None) for view in seen[1:]]
    grown = fit(initial, colour_only, config=dataclasses.replace(QUICK, densify=densify))
    values = kept["values"][:, 0].numpy()
    assert len(values) == len(grown) > len(initial)
    assert set(values) <= set(range(len(initial)))
    # A Gaussian lies near the one whose value it has.
    assert np.median(np.linalg.norm(grown.means - initial.means[values.astype(int)], axis=1)) < 0.03


def test_masked_pixels_teach_nothing(initial, seen):
    """Half of every image painted over and masked: the other half is learned as before."""
    spoiled = []
    for view in seen[1:]:
        rgb, mask = view.rgb.copy(), np.ones(view.rgb.shape[:2], bool)
        rgb[:, :20], mask[:, :20] = (255, 0, 255), False
        spoiled.append(dataclasses.replace(view, rgb=rgb, mask=mask))
    scene = fit(initial, spoiled, config=QUICK)
    magenta = np.array([1.0, 0.0, 1.0])
    assert np.abs(picture_of(scene, seen[0]).rgb - magenta).sum(axis=-1).min() > 0.3


def test_nothing_to_fit(initial, seen):
    with pytest.raises(SceneError, match="nothing to fit"):
        fit(initial, [])
    names = ("means", "quats", "scales", "opacities", "sh")
    none = dataclasses.replace(initial, **{name: getattr(initial, name)[:0] for name in names})
    with pytest.raises(SceneError, match="nothing to fit"):
        fit(none, seen)


def test_relevancy_is_drawn_as_a_channel(fitted, seen):
    values = (fitted.means[:, 2:3] > 0.05).astype(float)
    field = RelevancyField(queries=(), values=values)
    picture = picture_of(fitted, seen[0], relevancy=field)
    assert picture.relevancy.shape == (48, 64, 1)
    # The table is below, the top of the highest box above.
    assert picture.relevancy.min() < 0.05
    assert picture.relevancy.max() > 0.9


def test_losses_against_plain_loops():
    rng = np.random.default_rng(0)
    a, b = (torch.tensor(rng.uniform(size=(5, 7, 3))) for _ in range(2))
    mask = torch.tensor(rng.uniform(size=(5, 7)) > 0.5)
    wanted = [float((a[i, j] - b[i, j]).abs().mean()) for i in range(5) for j in range(7) if mask[i, j]]
    assert float(photometric(a, b, mask)) == pytest.approx(np.mean(wanted))
    depth, measured = (torch.tensor(rng.uniform(0.5, 1, size=(5, 7))) for _ in range(2))
    measured[0] = 0
    alpha = torch.ones(5, 7, dtype=torch.float64)
    alpha[1] = 0.2
    wanted = [
        float((depth[i, j] - measured[i, j]).abs() / measured[i, j]) for i in range(2, 5) for j in range(7)
    ]
    assert float(depth_loss(depth, measured, alpha)) == pytest.approx(np.mean(wanted))


def test_losses_of_nothing_are_zero():
    blank, none = torch.zeros(4, 4, 3), torch.zeros(4, 4, dtype=torch.bool)
    assert float(photometric(blank, blank + 1, none)) == 0
    assert float(depth_loss(torch.ones(4, 4), torch.zeros(4, 4), torch.ones(4, 4))) == 0


def test_psnr():
    black, grey = np.zeros((4, 4, 3)), np.full((4, 4, 3), 0.1)
    assert psnr(black, grey) == pytest.approx(20)
    assert psnr(black, black) == pytest.approx(120)
