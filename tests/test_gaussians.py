import numpy as np
import pytest
import torch

from point2act.core.types import GaussianScene
from point2act.splatting.gaussians import activated, colors, freeze, sh_basis, to_parameters, to_scene


def some_scene(count: int = 50, degree: int = 2, seed: int = 0) -> GaussianScene:
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    return GaussianScene(
        means=rng.normal(size=(count, 3)),
        quats=quats / np.linalg.norm(quats, axis=1, keepdims=True),
        scales=rng.uniform(0.001, 0.1, (count, 3)),
        opacities=rng.uniform(0.01, 0.99, count),
        sh=rng.normal(size=(count, (degree + 1) ** 2, 3)),
    )


def test_there_and_back():
    scene = some_scene()
    back = to_scene(to_parameters(scene, degree=2))
    for name in ("means", "quats", "scales", "opacities", "sh"):
        np.testing.assert_allclose(getattr(back, name), getattr(scene, name), rtol=2e-5, atol=1e-6)


def test_parameters_are_leaves_with_splatfactos_names():
    parameters = to_parameters(some_scene(), degree=3)
    assert tuple(parameters) == ("means", "scales", "quats", "opacities", "features_dc", "features_rest")
    assert all(tensor.is_leaf and tensor.requires_grad for tensor in parameters.values())
    assert parameters["features_rest"].shape == (50, 15, 3)
    assert not parameters["features_rest"][:, 8:].any()


def test_opacities_of_one_and_zero_stay_finite():
    scene = some_scene(3)
    hard = GaussianScene(scene.means, scene.quats, scene.scales, np.array([0.0, 1.0, 0.5]), scene.sh)
    assert torch.isfinite(activated(to_parameters(hard)).opacities).all()


def test_spherical_harmonics_are_orthonormal():
    rng = np.random.default_rng(0)
    directions = torch.tensor(rng.normal(size=(200_000, 3)))
    directions /= directions.norm(dim=1, keepdim=True)
    basis = sh_basis(directions, 3)
    gram = basis.T @ basis / len(basis) * 4 * np.pi
    np.testing.assert_allclose(gram, np.eye(16), atol=0.03)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_the_sign_of_every_harmonic_is_the_field_s(degree):
    """Kerbl et al.'s order: degree 1 is (-y, z, -x); a viewer shows the wrong colours otherwise."""
    basis = sh_basis(torch.eye(3, dtype=torch.float64), degree)
    assert basis.shape == (3, (degree + 1) ** 2)
    if degree > 0:
        np.testing.assert_array_equal(np.sign(basis[:, 1:4]), [[0, 0, -1], [-1, 0, 0], [0, 1, 0]])


def test_colors_follow_the_direction():
    scene = some_scene(1, degree=1)
    sh = np.zeros((1, 4, 3))
    sh[0, 2] = 0.5
    shiny = GaussianScene(np.zeros((1, 3)), scene.quats, scene.scales, scene.opacities, sh)
    up = to_parameters(shiny, degree=1)
    above, below = torch.eye(4), torch.eye(4)
    above[2, 3], below[2, 3] = 1.0, -1.0
    # The Gaussian lies below the upper camera: direction -z.
    assert (colors(up, above, degree=1) < 0.5).all()
    assert (colors(up, below, degree=1) > 0.5).all()
    np.testing.assert_allclose(colors(up, above, degree=0).detach(), 0.5)


def test_a_still_scene_is_the_scene_without_gradients():
    scene = some_scene(degree=1)
    fixed = freeze(scene)
    assert fixed.degree == 1
    np.testing.assert_allclose(fixed.gaussians.scales, scene.scales, rtol=2e-5)
    np.testing.assert_allclose(fixed.gaussians.opacities, scene.opacities, rtol=2e-5)
    tensors = (*fixed.gaussians, *fixed.parameters.values())
    assert not any(tensor.requires_grad for tensor in tensors)
