"""Reconstruction of a scene from views: which views are fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic
import torch

from point2act.core.progress import Stages
from point2act.data.scene_ply import as_stored
from point2act.splatting.fit import FitConfig
from point2act.splatting.initialization import StartConfig, initialize_gaussians
from point2act.splatting.reconstruct import ReconstructionConfig, Reconstructor

START = StartConfig(target_count=500)
CONFIG = ReconstructionConfig(start=START, fit=FitConfig(iterations=2))


def reconstructor(config: ReconstructionConfig = CONFIG) -> Reconstructor:
    return Reconstructor(config, True, None, 0, torch.device("cpu"), Stages(show=False))


@pytest.mark.parametrize(("count", "words"), [(1, "1 view with depth"), (3, "3 views with depth")])
def test_a_few_views_with_depth_are_not_fitted(count, words):
    views = synthetic.views(8)[:count]
    make = reconstructor()
    built = make.reconstruct(views)
    assert built.start == f"depth, not fitted: {words}"
    assert "fit the Gaussians" not in make.stages.seconds
    assert built.psnr is None
    initial = initialize_gaussians(views, point_cloud_path=None, config=START, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(built.scene.means, as_stored(initial.scene).means)


@pytest.mark.parametrize("change", ["more views", "a view without depth", "the option"])
def test_others_are_fitted(change):
    views = list(synthetic.views(8)[: 4 if change == "more views" else 3])
    config = CONFIG
    if change == "a view without depth":
        views[1] = replace(views[1], depth=None)
    if change == "the option":
        config = replace(CONFIG, min_fitted_views=1)
    make = reconstructor(config)
    assert make.reconstruct(views).start == "depth"
    assert "fit the Gaussians" in make.stages.seconds


def test_a_fit_from_depth_starts_on_images_of_half_the_size(monkeypatch):
    fitted = []

    def recorded(scene, views, *, config, **_):
        fitted.append((views[0].camera.width, config.iterations))
        return scene

    monkeypatch.setattr("point2act.splatting.reconstruct.fit", recorded)
    views = synthetic.views(8)
    width = views[0].camera.width
    for iterations, expected in {1000: [126, 874], 40: [10, 30], None: [126, None], 3: [3]}.items():
        reconstructor(replace(CONFIG, fit=FitConfig(iterations=iterations))).reconstruct(views)
        widths = [width // 2, width] if len(expected) == 2 else [width]
        assert fitted == list(zip(widths, expected, strict=True))
        fitted.clear()
