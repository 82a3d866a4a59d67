"""No NaN leaves the fit: a step that would bring one is skipped, as if its image had not been drawn."""

import dataclasses
import itertools
import logging

import numpy as np
import pytest
import torch
from synthetic import views

from point2act.core.errors import SceneError
from point2act.core.types import GaussianScene
from point2act.splatting import fit as fitting
from point2act.splatting.fit import FitConfig, fit
from point2act.splatting.initialization import StartConfig, initialize_gaussians
from point2act.splatting.nonfinite_steps import finite_only, is_finite

NAMES = ("means", "quats", "scales", "opacities", "sh")
SHORT = FitConfig(iterations=8)
BAD = 4
"""The step, counted from 0, that goes wrong."""


@pytest.fixture(scope="module")
def seen():
    return views(5)


@pytest.fixture(scope="module")
def initial(seen):
    config = StartConfig(target_count=600)
    return initialize_gaussians(
        seen, point_cloud_path=None, config=config, rng=np.random.default_rng(0)
    ).scene


def is_whole(scene: GaussianScene) -> bool:
    return len(scene) > 0 and all(np.isfinite(getattr(scene, name)).all() for name in NAMES)


def with_some(scene: GaussianScene, name: str, value, rows=slice(0, 5)) -> GaussianScene:
    array = getattr(scene, name).copy()
    array[rows] = value
    return dataclasses.replace(scene, **{name: array})


def shown_in(order, monkeypatch) -> None:
    """Let the images come up in this order."""
    monkeypatch.setattr(fitting, "_shuffled", lambda count, rng: itertools.cycle(order))


def spoil(change, monkeypatch, steps=(BAD,)) -> None:
    """Let the gradients, or the loss, of some steps be changed just after they were worked out."""
    backward, number = fitting._backward, itertools.count()

    def spoilt(parameters, *rest):
        loss = backward(parameters, *rest)
        return change(parameters, loss) if next(number) in steps else loss

    monkeypatch.setattr(fitting, "_backward", spoilt)


def spoils(name: str, value: float):
    def change(parameters, loss):
        parameters[name].grad.view(-1)[7] = value
        return loss

    return change


WRONG = {
    "the loss is NaN": lambda parameters, loss: loss * torch.nan,
    "the loss is infinite": lambda parameters, loss: loss / 0,
    "a gradient is NaN": spoils("means", np.nan),
    "a gradient is infinite": spoils("quats", -np.inf),
    "a gradient is too large for its square": spoils("features_dc", 1e25),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_bad_step_never_was(wrong, initial, seen, monkeypatch, caplog):
    """Scene, moments, rates and the number of steps: as in the fit in which that image did not come up."""
    order = [0, 1, 2, 3, 4, 2, 0, 3, 1]
    shown_in(order[:BAD] + order[BAD + 1 :], monkeypatch)
    without = fit(initial, seen, config=SHORT)
    assert not caplog.records
    shown_in(order, monkeypatch)
    spoil(WRONG[wrong], monkeypatch)
    with caplog.at_level(logging.WARNING):
        skipped = fit(initial, seen, config=SHORT)
    for name in NAMES:
        np.testing.assert_array_equal(getattr(skipped, name), getattr(without, name))
    (record,) = caplog.records
    assert f"skipped because of non-finite gradients: 1, for {seen[4].name};" in record.getMessage()


def test_a_bad_step_does_harm_where_it_is_taken(initial, seen, monkeypatch):
    """What the test above is for."""
    spoil(WRONG["a gradient is NaN"], monkeypatch)
    monkeypatch.setattr(fitting, "is_finite", lambda loss, parameters: True)
    assert len(fit(initial, seen, config=SHORT)) < len(initial)


def test_without_depth_a_bad_step_never_was(initial, seen, monkeypatch):
    """The strategy that splits and prunes does not hear of it either."""
    config = FitConfig(
        iterations=8, densify=dataclasses.replace(SHORT.densify, start=2, every=4, stop=8, grow_grad2d=1e-5)
    )
    coloured = [dataclasses.replace(view, depth=None) for view in seen]
    order = [0, 1, 2, 3, 4, 2, 0, 3, 1]
    shown_in(order[:BAD] + order[BAD + 1 :], monkeypatch)
    without = fit(initial, coloured, config=config)
    shown_in(order, monkeypatch)
    spoil(WRONG["a gradient is NaN"], monkeypatch)
    skipped = fit(initial, coloured, config=config)
    np.testing.assert_array_equal(skipped.means, without.means)


def test_many_bad_steps_are_survived_while_one_image_is_good(initial, seen, monkeypatch, caplog):
    shown_in(range(5), monkeypatch)
    spoil(WRONG["a gradient is NaN"], monkeypatch, steps=[step for step in range(99) if step % 5 != 2])
    assert is_whole(fit(initial, seen, config=SHORT))
    # Seven rounds of one good step and four bad ones, and the way to the eighth.
    assert "30, for images/0000.png, images/0001.png, images/0003.png and 1 more" in caplog.text


def test_no_good_step_at_all(initial, seen, monkeypatch):
    spoil(WRONG["the loss is NaN"], monkeypatch, steps=range(99))
    with pytest.raises(SceneError, match=r"cannot go on.* none of the images .*point2act check"):
        fit(initial, seen, config=SHORT)


DEGENERATE = [
    *(("scales", value) for value in (0.0, 1e-30, 1e30, np.nan, np.inf)),
    *(("opacities", value) for value in (0.0, 1.0, np.nan)),
    *(("quats", value) for value in (0.0, 1e30, np.nan)),
    *(("means", value) for value in (1e30, np.inf, np.nan)),
    *(("sh", value) for value in (np.inf, np.nan)),
]


@pytest.mark.parametrize(("name", "value"), DEGENERATE)
def test_degenerate_gaussians(name, value, initial, seen, caplog):
    """Those of finite numbers stay, others are left out with a warning; the rest fits as it does alone."""
    fitted = fit(with_some(initial, name, value), seen, config=SHORT)
    assert is_whole(fitted)
    left_out = 0 if np.isfinite(value) else 5
    assert len(fitted) == len(initial) - left_out
    assert (f"5 of {len(initial)} Gaussians had non-finite values" in caplog.text) == bool(left_out)


@pytest.mark.parametrize("size", [1e-6, 0.5])
@pytest.mark.parametrize("ahead", [0.0, 0.0101])
def test_a_camera_inside_a_gaussian(size, ahead, initial, seen):
    T = seen[0].T_world_cam
    inside = with_some(initial, "means", T[:3, 3] + ahead * T[:3, 2])
    assert is_whole(fit(with_some(inside, "scales", size), seen, config=SHORT))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0])
def test_depth_that_is_no_number_is_no_reading(value, initial, seen):
    found, wanted = (
        fit(initial, [with_depth(view, here) for view in seen], config=SHORT) for here in (value, 0.0)
    )
    for name in NAMES:
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


@pytest.mark.parametrize("value", [1e-40, 1e-30, 1e30, 3e38])
def test_depth_of_any_size(value, initial, seen):
    assert is_whole(fit(initial, [with_depth(view, value) for view in seen], config=SHORT))


def with_depth(view, value):
    depth = view.depth.copy()
    depth[20:30, 20:40] = value
    return dataclasses.replace(view, depth=depth)


@pytest.mark.parametrize("away", [1e6, 1e30, 1e38])
def test_a_camera_far_away(away, initial, seen):
    T = seen[1].T_world_cam.copy()
    T[:3, 3] = away
    moved = dataclasses.replace(seen[1], T_world_cam=T)
    assert is_whole(fit(initial, [*seen, moved], config=SHORT))


def test_a_pose_that_is_no_number(initial, seen):
    wrong = dataclasses.replace(seen[1], T_world_cam=np.full((4, 4), np.nan))
    with pytest.raises(SceneError, match=r"pose of images/0001\.png is not finite"):
        fit(initial, [seen[0], wrong], config=SHORT)


def test_nothing_but_numbers_that_are_none(initial, seen):
    with pytest.raises(SceneError, match="nothing to fit"):
        fit(with_some(initial, "means", np.nan, slice(None)), seen, config=SHORT)


def test_a_finite_scene_stays_the_same(initial):
    assert finite_only(initial) is initial


def test_what_a_finite_step_is():
    """Beside plain words: every number, and its square, below the largest of float32."""
    rng = np.random.default_rng(0)
    for value in (0.0, -3.0, 1e18, 1e20, np.inf, -np.inf, np.nan):
        tensor = torch.zeros(11, 3, requires_grad=True)
        tensor.grad = torch.zeros(11, 3)
        tensor.grad.view(-1)[rng.integers(33)] = value
        wanted = bool(np.isfinite(np.float64(value))) and float(value) ** 2 < np.finfo(np.float32).max
        assert is_finite(torch.tensor(1.0), {"means": tensor}) == wanted, value
