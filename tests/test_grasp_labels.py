"""Grasps labelled in physics: what is written, and that a call can be interrupted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from point2act.core.errors import GripperError, LearningError
from point2act.grasp_learning.generate import GenerateConfig, generate
from point2act.grasp_learning.labels import LabelConfig
from point2act.grasp_learning.shards import read_shards
from point2act.grasp_learning.tables import TableConfig
from point2act.grasping.end_effector import load_end_effector

pytest.importorskip("mujoco")
SMALL = GenerateConfig(
    shapes=1, parts=1, views=5, tables=TableConfig(alone=1.0), labels=LabelConfig(grasps=3, points=600)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("labels")
    found = generate("panda", made, SMALL, jobs=1)
    assert (found.regions, found.skipped) == (1, 0)
    return made


def test_grasps_of_a_block_are_lifted_by_it(folder):
    (shard,) = read_shards(folder)
    assert (shard.source.effector, shard.source.family, shard.source.part) == ("panda", "block", "block")
    assert len(shard.grasps) == 3
    assert shard.grasps.lifted.sum() >= 2  # a few millimetres off, as executed
    np.testing.assert_array_equal(shard.grasps.by_part, shard.grasps.lifted)
    assert not (shard.grasps.lifted & ~shard.grasps.free).any()


def test_cloud_lies_around_the_grasps(folder):
    (shard,) = read_shards(folder)
    cloud = shard.cloud
    assert 100 < len(cloud) <= 600
    np.testing.assert_allclose(np.linalg.norm(cloud.normals, axis=1), 1, atol=1e-3)
    assert cloud.probability[cloud.on_object].max() > 0.9  # the whole block was asked for
    assert (cloud.probability[~cloud.on_object] == 0).all()
    for T in shard.grasps.T_cloud_gripper:
        assert np.linalg.norm(cloud.points[cloud.on_object] - T[:3, 3], axis=1).min() < 0.05


def test_widths_are_open_on_the_approach(folder):
    (shard,) = read_shards(folder)
    assert (shard.grasps.pregrasp > shard.grasps.joints).all()
    assert shard.grasps.joints.shape == (3, 1)


def test_a_second_call_only_adds_what_is_missing(folder, tmp_path):
    (path,) = folder.glob("*.npz")
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    counts = []
    found = generate(
        "panda", folder, SMALL, jobs=1, progress=lambda done, total: counts.append((done, total))
    )
    assert (found.grasps, counts) == (3, [(1, 1)])
    assert path.stat().st_mtime_ns == written
    path.unlink()
    generate("panda", folder, SMALL, jobs=1)
    assert path.read_bytes() == before


def test_a_folder_of_another_effector_is_refused(folder):
    with pytest.raises(LearningError, match="has grasps of 'panda'"):
        generate("allegro", folder, SMALL, jobs=1)


def test_an_unknown_effector_is_refused_before_any_work(tmp_path):
    with pytest.raises(GripperError):
        generate("claw", tmp_path / "none", SMALL)
    assert not (tmp_path / "none").exists()


def test_hands_and_grippers_are_found_by_name():
    assert load_end_effector("allegro").name == "allegro"
    assert load_end_effector("panda").name == "panda"


@pytest.mark.full
def test_the_number_of_processes_makes_no_difference(tmp_path):
    two = replace(SMALL, shapes=2)
    contents = []
    for jobs in (1, 2):
        generate("panda", tmp_path / str(jobs), two, jobs=jobs)
        contents.append({path.name: path.read_bytes() for path in (tmp_path / str(jobs)).iterdir()})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 2


@pytest.mark.full
def test_grasps_of_a_hand_have_all_its_joints(tmp_path):
    generate("allegro", tmp_path, SMALL, jobs=1)
    (shard,) = read_shards(tmp_path)
    assert shard.grasps.joints.shape == shard.grasps.pregrasp.shape == (len(shard.grasps), 16)
    assert shard.grasps.lifted.any()
