"""Runs with any number of Gaussians, in temporary folders."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.common.capture import workspace
from benchmarks.common.tables import Table, made, simulated
from benchmarks.localization.levels import LEVELS, drawn
from point2act.core.geometry import quaternion_to_matrix
from point2act.core.types import GaussianScene
from point2act.data.points import write_points
from point2act.data.run_manifest import read_run, write_run
from point2act.data.scene_ply import read_splat_ply, write_splat_ply

TABLE = Table("tabletop", 500)
"""A table on which nothing was tuned: 24 views of 320x240, and queries with simulated answers."""


@cache
def run_of(count: int) -> Path:
    """Write a run whose scene has ``count`` Gaussians, with its points.json; return its folder."""
    opened, folder = simulated(TABLE), workspace() / f"view-{count}"
    folder.mkdir()
    scene = resized(opened.session.scene, count, np.random.default_rng(0))
    write_splat_ply(folder / "scene.ply", scene)
    run = replace(read_run(made(TABLE)), scene=folder / "scene.ply")
    if run.geometry is not None:
        geometry = resized(read_splat_ply(run.geometry), count, np.random.default_rng(0))
        write_splat_ply(folder / "geometry.ply", geometry)
        run = replace(run, geometry=folder / "geometry.ply")
    write_run(folder, run)
    write_points(folder / "points.json", drawn(opened, LEVELS["typical"], 1))
    return folder


def resized(scene: GaussianScene, count: int, rng: np.random.Generator) -> GaussianScene:
    """Return a random subset of a scene's Gaussians, or each split into smaller ones where it has fewer.

    The parts of a Gaussian are distributed so that together they have its covariance.
    """
    fewer = count <= len(scene)
    chosen = np.sort(rng.choice(len(scene), count, replace=False)) if fewer else np.arange(count) % len(scene)
    share = min(1.0, len(scene) / count)
    axes = quaternion_to_matrix(scene.quats[chosen]) * scene.scales[chosen][:, None, :]
    strewn = np.sqrt(1 - share) * rng.standard_normal((count, 3))
    return GaussianScene(
        means=scene.means[chosen] + (axes @ strewn[:, :, None])[:, :, 0],
        quats=scene.quats[chosen],
        scales=np.sqrt(share) * scene.scales[chosen],
        opacities=scene.opacities[chosen],
        sh=scene.sh[chosen],
    )
