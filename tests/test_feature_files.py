"""Lifted features as files, as columns, and as colours."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from point2act.core.errors import Point2ActError, SceneError
from point2act.core.types import GaussianScene
from point2act.data.columns import write_columns
from point2act.localization.feature_files import (
    feature_colors,
    read_features,
    write_crops,
    write_features,
)
from point2act.localization.features import FeatureCrop, SceneFeatures, crop_columns


def some_features(count: int = 40, channels: int = 6, seed: int = 0) -> SceneFeatures:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, channels)).astype(np.float32)
    seen = np.where(np.arange(count) % 5 == 0, 0, 1).astype(np.float32)
    return SceneFeatures(values, seen, rng.normal(size=(count, 3)))


def scene_of(count: int = 40) -> GaussianScene:
    rng = np.random.default_rng(1)
    quats = np.tile([1.0, 0, 0, 0], (count, 1))
    return GaussianScene(
        rng.normal(size=(count, 3)), quats, np.ones((count, 3)), np.ones(count) / 2, np.zeros((count, 1, 3))
    )


def some_crops(counts: tuple[int, ...] = (5, 2)) -> list[FeatureCrop]:
    rng = np.random.default_rng(2)
    return [
        FeatureCrop(
            np.eye(4),
            0.1,
            rng.normal(size=(count, 3)),
            rng.random((count, 3)),
            rng.normal(size=(count, 4)).astype(np.float32),
            rng.normal(size=(count, 3)),
        )
        for count in counts
    ]


# ── npz ────────────────────────────────────────────────────────────────────────────────────────
def test_features_come_back(tmp_path: Path):
    scene, features = scene_of(), some_features()
    write_features(tmp_path / "new" / "features.npz", scene, features)
    means, found = read_features(tmp_path / "new" / "features.npz")
    np.testing.assert_allclose(means, scene.means, rtol=1e-6)
    np.testing.assert_array_equal(found.values, features.values)
    np.testing.assert_array_equal(found.seen, features.seen)
    np.testing.assert_allclose(found.normals, features.normals, rtol=1e-6)


def test_features_of_another_scene_are_refused(tmp_path: Path):
    with pytest.raises(SceneError, match="40 features are no features of 41 Gaussians"):
        write_features(tmp_path / "a.npz", scene_of(41), some_features())
    assert not (tmp_path / "a.npz").exists()


GOOD = {
    "means": np.zeros((4, 3)),
    "values": np.ones((4, 2)),
    "seen": np.ones(4),
    "normals": np.ones((4, 3)),
}
BROKEN = {
    "missing": {name: array for name, array in GOOD.items() if name != "seen"},
    "other lengths": GOOD | {"seen": np.ones(3)},
    "flat": GOOD | {"values": np.ones(4)},
    "no channels": GOOD | {"values": np.ones((4, 0))},
    "text": GOOD | {"values": np.array([["a", "b"]] * 4)},
    "objects": GOOD | {"values": np.array([[None, None]] * 4)},
    "nan": GOOD | {"values": np.full((4, 2), np.nan)},
    "scalar": GOOD | {"means": np.array(1.0)},
    "empty": {name: array[:0] for name, array in GOOD.items()},
}


@pytest.mark.parametrize("kind", BROKEN)
def test_malformed_files_are_refused(kind: str, tmp_path: Path):
    path = tmp_path / "a.npz"
    np.savez(path, allow_pickle=True, **BROKEN[kind])
    with pytest.raises(SceneError, match=r"a\.npz .*: write it again"):
        read_features(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"nothing", b"\x93NUMPY\x01\x00"])
def test_other_files_are_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(SceneError, match="write it again"):
        read_features(path)
    with pytest.raises(SceneError, match="write it again"):
        read_features(tmp_path / "absent.npz")


def test_truncated_files_are_refused(tmp_path: Path):
    path = tmp_path / "a.npz"
    write_features(path, scene_of(), some_features())
    whole = path.read_bytes()
    for share in (0.3, 0.6, 0.95):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(SceneError, match="write it again"):
            read_features(path)


def test_crops_are_columns_of_a_file(tmp_path: Path):
    crops = some_crops()
    write_crops(tmp_path / "crops.npz", crops)
    with np.load(tmp_path / "crops.npz") as file:
        assert set(file.files) == set(crop_columns(crops))
        np.testing.assert_allclose(file["observation.crop_1.features"], crops[1].features)


# ── parquet ────────────────────────────────────────────────────────────────────────────────────
def test_columns_come_back(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    frames = [crop_columns(some_crops(counts)) for counts in ((5, 2), (3, 0))]
    write_columns(tmp_path / "crops.parquet", frames, episode=7, rate=10.0)
    table = parquet.read_table(tmp_path / "crops.parquet")
    assert set(table.column_names) == {*frames[0], "episode_index", "frame_index", "timestamp"}
    for number, row in enumerate(table.to_pylist()):
        assert (row["episode_index"], row["frame_index"]) == (7, number)
        assert row["timestamp"] == pytest.approx(number / 10)
        for name, array in frames[number].items():
            assert np.array(row[name]).size == array.size
            if array.size:
                np.testing.assert_array_equal(np.array(row[name], dtype=array.dtype), array)


@pytest.mark.parametrize("frames", [[], [{"a": np.zeros(2)}, {"b": np.zeros(2)}]])
def test_frames_have_the_same_columns(frames: list[dict[str, np.ndarray]], tmp_path: Path):
    pytest.importorskip("pyarrow")
    with pytest.raises(Point2ActError, match="the same columns"):
        write_columns(tmp_path / "a.parquet", frames)
    assert not list(tmp_path.iterdir())


def test_pyarrow_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Point2ActError, match=r"point2act\[datasets\]"):
        write_columns(tmp_path / "a.parquet", [{"a": np.zeros(2)}])


# ── colours ────────────────────────────────────────────────────────────────────────────────────
@settings(max_examples=50, deadline=None)
@given(
    arrays(
        np.float32, st.tuples(st.integers(1, 12), st.integers(1, 6)), elements=st.floats(-1e3, 1e3, width=32)
    )
)
def test_colours_of_any_features_are_colours(values: np.ndarray):
    features = SceneFeatures(values, np.ones(len(values), np.float32), np.zeros((len(values), 3)))
    colors = feature_colors(features)
    assert colors.shape == (len(values), 3)
    assert np.isfinite(colors).all()
    assert colors.min() >= 0
    assert colors.max() <= 1


def test_the_first_component_is_the_first_channel():
    """Along one axis of features, red grows, or falls, with the feature alone."""
    values = np.linspace(-1, 1, 200)[:, None] * np.array([[3.0, -4.0, 0.0, 1.0]])
    colors = feature_colors(
        SceneFeatures(values.astype(np.float32), np.ones(200, np.float32), np.zeros((200, 3)))
    )
    steps = np.diff(colors[:, 0])
    assert (steps >= -1e-6).all() or (steps <= 1e-6).all()
    assert colors[:, 0].max() - colors[:, 0].min() == 1
    assert (colors[:, 1:] == 0.5).all()


def test_components_are_those_of_a_singular_value_decomposition():
    features = some_features(200, 8)
    seen = features.seen > 0
    centered = features.values[seen].astype(np.float64) - features.values[seen].mean(axis=0)
    projected = centered @ np.linalg.svd(centered, full_matrices=False)[2][:3].T
    colors = feature_colors(features)
    inner = (colors[seen] > 0).all(axis=1) & (colors[seen] < 1).all(axis=1)
    for axis in range(3):
        same = np.corrcoef(colors[seen][inner, axis], projected[inner, axis])[0, 1]
        assert abs(same) > 0.99
    assert (colors[~seen] == 0.5).all()


def test_features_that_no_view_sees_are_grey():
    features = SceneFeatures(np.ones((3, 4), np.float32), np.zeros(3, np.float32), np.zeros((3, 3)))
    assert (feature_colors(features) == 0.5).all()
