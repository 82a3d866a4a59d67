"""Synthetic Gaussians, views and answers for benchmarks of the renderer, without other libraries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from point2act.core.geometry import inside, invert, project
from point2act.core.types import Camera, GaussianScene, Query, View
from point2act.splatting.gaussians import SH_DC, Activated, Projection, activated, freeze, to_parameters
from point2act.splatting.render import render
from point2act.splatting.rendering import project_view

BALL = np.array([0.0, 0.0, 0.12])
"""Centre of the ball, metres; it lies on the table, so that its radius is its height."""


def tabletop(n: int, rng: np.random.Generator) -> GaussianScene:
    """Return flat Gaussians, 2 to 6 mm wide, on a table of 0.9 m and, a quarter of them, on a ball on it."""
    on_ball = np.arange(n) % 4 == 0
    up = rng.normal(size=(n, 3))
    normals = np.where(on_ball[:, None], up / np.linalg.norm(up, axis=1, keepdims=True), [0.0, 0.0, 1.0])
    table = rng.uniform([-0.45, -0.45, 0.0], [0.45, 0.45, 0.0], (n, 3))
    means = np.where(on_ball[:, None], BALL + BALL[2] * normals, table)
    waves = np.sin(means @ np.array([[60.0, 20, 30], [15, 70, 25], [45, 10, 50]]).T)
    return GaussianScene(
        means=means,
        quats=_turns_to(normals),
        scales=np.column_stack([rng.uniform(0.002, 0.006, (n, 2)), np.full(n, 0.001)]),
        opacities=rng.uniform(0.3, 0.9, n),
        sh=(0.4 * waves / SH_DC)[:, None, :],
    )


def _turns_to(normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 4"]:
    """Return unit quaternions (wxyz) that rotate +z to the normals."""
    quats = np.column_stack([1 + normals[:, 2] + 1e-6, -normals[:, 1], normals[:, 0], np.zeros(len(normals))])
    return quats / np.linalg.norm(quats, axis=1, keepdims=True)


def leaves(scene: GaussianScene, *, device: torch.device | str = "cpu") -> Activated:
    """Return means, quaternions, scales and opacities as leaf tensors with gradients."""
    tensors = activated(to_parameters(scene, device=device))
    return Activated(*(tensor.detach().clone().requires_grad_() for tensor in tensors))


def poses(count: int, *, device: torch.device | str = "cpu") -> list[Tensor]:
    """Return T_cam_world of the cameras of ``orbit``."""
    return [torch.tensor(invert(T), dtype=torch.float32, device=device) for T in orbit(count)]


def camera(height: int, width: int) -> Camera:
    """Return a pinhole camera with a focal length of one image width."""
    return Camera(float(width), float(width), width / 2, height / 2, height, width)


def orbit(count: int) -> list[Float[np.ndarray, "4 4"]]:
    """Return T_world_cam of cameras around the table, 0.9 m from its centre and 37 degrees above it."""
    return [_looking_at_the_centre(angle) for angle in np.arange(count) * 2 * np.pi / count]


def _looking_at_the_centre(azimuth: float) -> Float[np.ndarray, "4 4"]:
    back = np.array([0.8 * np.cos(azimuth), 0.8 * np.sin(azimuth), 0.6])
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    T_world_cam = np.eye(4)
    T_world_cam[:3, :3] = np.column_stack([right, np.cross(-back, right), -back])
    T_world_cam[:3, 3] = 0.9 * back
    return T_world_cam


def views(count: int, height: int, width: int) -> list[View]:
    """Return views from all around without image content, which lifting does not need."""
    black = np.zeros((height, width, 3), np.uint8)
    lens = camera(height, width)
    return [View(f"{k:04d}.png", lens, T, black) for k, T in enumerate(orbit(count))]


def with_images(scene: GaussianScene, seen: Sequence[View], device: torch.device | str) -> list[View]:
    """Return the same views with rendered colour and depth."""
    gaussians = freeze(scene, device=device).gaussians
    colors = torch.tensor(0.5 + SH_DC * scene.sh[:, 0], dtype=torch.float32, device=device)
    taken = []
    for view in seen:
        pose = torch.tensor(view.T_cam_world, dtype=torch.float32, device=device)
        image = render(*gaussians, colors, pose, view.camera)
        rgb = (255 * image.features.clamp(0, 1)).round().to(torch.uint8).cpu().numpy()
        depth = torch.where(image.alpha > 0.5, image.depth, 0.0).cpu().numpy()
        taken.append(View(view.name, view.camera, view.T_world_cam, rgb, depth))
    return taken


def project_all(
    scene: GaussianScene, seen: Sequence[View], *, device: torch.device | str = "cpu"
) -> list[Projection]:
    """Project the scene into all views: the first step of lifting, which may be cached between queries."""
    kept = freeze(scene, device=device)
    return [project_view(view, kept) for view in seen]


def questions(count: int) -> list[Query]:
    """Return ``count`` queries."""
    return [Query(f"q{k}", f"spot {k} of the ball") for k in range(count)]


def answers(
    seen: Sequence[View], count: int, rng: np.random.Generator
) -> list[list[Float[np.ndarray, "_ 2"] | None]]:
    """Return for each query one point of the ball as it appears in each view, with 3 px of noise."""
    up = rng.normal(size=(count, 3))
    spots = BALL + BALL[2] * up / np.linalg.norm(up, axis=1, keepdims=True)
    return [[_pixels(view, spot, rng) for view in seen] for spot in spots]


def _pixels(
    view: View, spot: Float[np.ndarray, " 3"], rng: np.random.Generator
) -> Float[np.ndarray, "_ 2"] | None:
    pixels, _ = project(view.camera, view.T_world_cam, spot[None])
    pixels = pixels + rng.normal(scale=3.0, size=pixels.shape)
    return pixels[inside(view.camera, pixels)]
