"""Shards of training data of grasp networks: what is written is read, and what is damaged is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from grasp_shards import ball_shard

from point2act.core.errors import LearningError
from point2act.grasp_learning.shards import Shard, read_shard, read_shards, write_shard


def written(folder: Path, shard: Shard, name: str = "one.npz") -> Path:
    write_shard(folder / name, shard)
    return folder / name


@pytest.mark.parametrize("count", [0, 1, 12])
def test_a_shard_is_read_as_it_was_written(tmp_path, count):
    shard = ball_shard(3, grasps=count)
    found = read_shard(written(tmp_path, shard))
    assert found.source == shard.source
    for one, other in ((shard.cloud, found.cloud), (shard.grasps, found.grasps)):
        for field in fields(one):
            expected, values = getattr(one, field.name), getattr(other, field.name)
            assert values.dtype == expected.dtype
            assert values.shape == expected.shape
            np.testing.assert_allclose(values, expected, atol=1e-6)


def test_names_of_any_language_are_kept(tmp_path):
    shard = ball_shard(0)
    named = replace(shard, source=replace(shard.source, part="取っ手 / ../the handle", family="Krüge"))
    assert read_shard(written(tmp_path, named)).source == named.source


def test_shards_come_in_the_order_of_their_names(tmp_path):
    for seed in (2, 0, 1):
        written(tmp_path, ball_shard(seed), f"{seed:04d}.npz")
    assert [shard.source.seed for shard in read_shards(tmp_path)] == [0, 1, 2]


def test_a_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(LearningError, match="has no shards"):
        list(read_shards(tmp_path))
    with pytest.raises(LearningError, match="has no shards"):
        list(read_shards(tmp_path / "absent"))


@pytest.mark.parametrize("kept", [0, 10, 500, -1])
def test_a_truncated_shard_is_named(tmp_path, kept):
    path = written(tmp_path, ball_shard(0))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(LearningError, match=r"one\.npz is damaged"):
        read_shard(path)


def edited(path: Path, **arrays: np.ndarray | None) -> Path:
    with np.load(path) as stored:
        merged = {**stored, **arrays}
    np.savez(path, **{name: values for name, values in merged.items() if values is not None})
    return path


@pytest.mark.parametrize(
    "arrays",
    [
        {"cloud_points": None},
        {"document": None},
        {"document": np.array("no JSON")},
        {"document": np.array("{}")},
        {"document": np.array(json.dumps({"version": 1, "effector": "panda", "color": "red"}))},
        {"grasp_lifted": np.zeros(3, dtype=bool)},
        {"grasp_score": np.full(40, np.nan)},
        {"grasp_score": np.array(1.0)},
        {"grasp_score": np.array(["good"] * 40)},
        {"grasp_lifted": np.array([{"an": "object"}], dtype=object)},
    ],
)
def test_a_shard_with_other_contents_is_named(tmp_path, arrays):
    with pytest.raises(LearningError, match=r"one\.npz is damaged"):
        read_shard(edited(written(tmp_path, ball_shard(0)), **arrays))


def test_another_version_is_refused(tmp_path):
    path = written(tmp_path, ball_shard(0))
    with np.load(path) as stored:
        document = json.loads(str(stored["document"]))
    edited(path, document=np.array(json.dumps(document | {"version": 2})))
    with pytest.raises(LearningError, match="of another version"):
        read_shard(path)
