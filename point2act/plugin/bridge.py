"""Conversions between nerfstudio's frames and cameras and those of point2act.

nerfstudio recentres, rotates and rescales a capture before it trains. That is a similarity from the
capture's world frame to "nerf", nerfstudio's. Its cameras are OpenGL's camera-to-world (3x4), ours
OpenCV's ``T_world_cam`` (4x4). Functions on tensors keep gradients; the rest is float64 numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras, CameraType
from scipy.spatial.transform import Rotation
from torch import Tensor

from point2act.core.geometry import nearest_rotation, opengl_to_opencv, transform
from point2act.core.types import Camera, GaussianScene, View
from point2act.splatting.gaussians import sh_basis


@dataclass(frozen=True, eq=False)
class Similarity:
    """``S_a_b`` maps points of frame b to frame a: ``p_a = scale * rotation @ p_b + translation``."""

    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    scale: float

    @property
    def matrix(self) -> Float[np.ndarray, "4 4"]:
        """The similarity as a homogeneous matrix."""
        return transform(self.scale * self.rotation, self.translation)

    @staticmethod
    def from_matrix(matrix: Float[np.ndarray, "4 4"]) -> Similarity:
        """Return the similarity of a homogeneous matrix."""
        scale = float(np.cbrt(np.linalg.det(matrix[:3, :3])))
        return Similarity(matrix[:3, :3] / scale, matrix[:3, 3].copy(), scale)

    @staticmethod
    def from_dataparser(transform: Float[np.ndarray, "3 4"], scale: float) -> Similarity:
        """Return ``S_nerf_original`` of a dataparser's ``dataparser_transform`` and ``dataparser_scale``."""
        return Similarity(transform[:, :3], scale * transform[:, 3], scale)

    @staticmethod
    def between(T_a_cams: Float[np.ndarray, "n 4 4"], T_b_cams: Float[np.ndarray, "n 4 4"]) -> Similarity:
        """Return ``S_a_b`` from the same cameras posed in both frames, at two places or more.

        Least squares: the mean rotation by SVD (Markley 1988), then scale and translation from the centres.
        """
        rotation = nearest_rotation(np.einsum("nij,nkj->ik", T_a_cams[:, :3, :3], T_b_cams[:, :3, :3]))
        a, b = T_a_cams[:, :3, 3], T_b_cams[:, :3, 3] @ rotation.T
        spread_a, spread_b = a - a.mean(axis=0), b - b.mean(axis=0)
        scale = float((spread_a * spread_b).sum() / (spread_b**2).sum())
        return Similarity(rotation, a.mean(axis=0) - scale * b.mean(axis=0), scale)

    def inverse(self) -> Similarity:
        """Return ``S_b_a`` of ``S_a_b``."""
        back = self.rotation.T
        return Similarity(back, -back @ self.translation / self.scale, 1 / self.scale)

    def move_points(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Map points of b to a."""
        return self.scale * (points @ self.rotation.T) + self.translation

    def move_pose(self, T_b_cam: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
        """Map a pose to ``T_a_cam``, which is rigid: lengths measured from the camera grow by ``scale``."""
        return transform(self.rotation @ T_b_cam[:3, :3], self.move_points(T_b_cam[:3, 3]))

    def move_view(self, view: View) -> View:
        """Map a view of b to a: pose and depth."""
        depth = None if view.depth is None else view.depth * self.scale
        return replace(view, T_world_cam=self.move_pose(view.T_world_cam), depth=depth)

    def move_scene(self, scene: GaussianScene) -> GaussianScene:
        """Map Gaussians of b to a: centres, sizes, axes and the directions of their colours."""
        quats = Rotation.from_matrix(self.rotation) * Rotation.from_quat(scene.quats[:, [1, 2, 3, 0]])
        return GaussianScene(
            means=self.move_points(scene.means),
            quats=quats.as_quat()[:, [3, 0, 1, 2]],
            scales=scene.scales * self.scale,
            opacities=scene.opacities,
            sh=rotate_sh(scene.sh, self.rotation),
        )


def rotate_sh(
    sh: Float[np.ndarray, "n k 3"], rotation: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "n k 3"]:
    """Rotate spherical harmonics: ``f'(rotation @ d) == f(d)`` for every direction d.

    Each degree is closed under rotation, so the matrix that a least-squares fit over a few dozen
    directions finds is exact. Works up to degree 3 (k = 16).
    """
    degree = round(np.sqrt(sh.shape[1])) - 1
    if degree == 0:
        return sh
    directions = np.random.default_rng(0).normal(size=(64, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    before = sh_basis(torch.from_numpy(directions), degree).numpy()
    after = sh_basis(torch.from_numpy(directions @ rotation.T), degree).numpy()
    matrix, *_ = np.linalg.lstsq(after, before, rcond=None)
    return np.einsum("jk,nkc->njc", matrix, sh)


def poses_of(cameras: Cameras) -> Float[np.ndarray, "n 4 4"]:
    """Return ``T_nerf_cam`` of nerfstudio's cameras."""
    poses = np.tile(np.eye(4), (len(cameras), 1, 1))
    poses[:, :3] = cameras.camera_to_worlds.detach().cpu().numpy()
    return np.array([opengl_to_opencv(pose) for pose in poses]).reshape(-1, 4, 4)


def cameras_of(views: Sequence[View]) -> Cameras:
    """Return nerfstudio's cameras of at least one view in nerfstudio's frame."""

    def column(name: str, dtype: torch.dtype) -> Tensor:
        return torch.tensor([[getattr(view.camera, name)] for view in views], dtype=dtype)

    poses = np.stack([opengl_to_opencv(view.T_world_cam)[:3] for view in views])
    return Cameras(
        camera_to_worlds=torch.tensor(poses, dtype=torch.float32),
        fx=column("fx", torch.float32),
        fy=column("fy", torch.float32),
        cx=column("cx", torch.float32),
        cy=column("cy", torch.float32),
        width=column("width", torch.int64),
        height=column("height", torch.int64),
        camera_type=CameraType.PERSPECTIVE,
    )


def camera_of(cameras: Cameras) -> Camera:
    """Return the pinhole camera of a single nerfstudio camera.

    Distortion is ignored: images are undistorted when they are loaded.
    """
    fx, fy, cx, cy = (float(getattr(cameras, name).item()) for name in ("fx", "fy", "cx", "cy"))
    height, width = (int(getattr(cameras, name).item()) for name in ("height", "width"))
    return Camera(fx, fy, cx, cy, height, width)


def opencv_pose(camera_to_world: Float[Tensor, "3 4"]) -> Float[Tensor, "4 4"]:
    """Return ``T_nerf_cam`` of one camera, with gradients."""
    flip = camera_to_world.new_tensor([1.0, -1.0, -1.0, 1.0])
    last = camera_to_world.new_tensor([[0.0, 0.0, 0.0, 1.0]])
    return torch.cat([camera_to_world * flip, last])


def invert_pose(T_a_b: Float[Tensor, "4 4"]) -> Float[Tensor, "4 4"]:
    """Invert a rigid transform, with gradients."""
    rotation = T_a_b[:3, :3].T
    top = torch.cat([rotation, -rotation @ T_a_b[:3, 3:]], dim=1)
    return torch.cat([top, T_a_b[3:]])
