"""``point2act export lerobot|webdataset|parquet``: what is written is what was found."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_run import write_capture

from point2act.cli.main import main
from point2act.core.errors import SceneError
from point2act.data.capture import load_views, read_capture
from point2act.data.points import read_points
from point2act.data.scene_ply import read_relevancy_ply, write_relevancy_ply
from point2act.fleet.datasets.webdataset import ShardWriter
from point2act.fleet.store import RECORD

KINDS = ("lerobot", "webdataset", "parquet")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Two equal jobs, one job without grasps, one that fails; a trial of the first."""
    folder = tmp_path_factory.mktemp("batch")
    write_capture(folder / "boxes")
    lines = [
        {"capture": "boxes", "points": "boxes/points.json", "fields": True},
        {"capture": "nowhere", "points": "boxes/points.json"},
        {"capture": "boxes", "points": "boxes/points.json", "fields": True},
    ]
    (folder / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    main(["batch", str(folder / "m.jsonl"), "--output", str(folder / "store"), "--executor", "serial"])
    (job,) = (folder / "store").glob("jobs/*/*/grasps.json")
    trial = {"query": "red", "success": True, "outcome": "held", "by_part": True, "lifted": True, "rise": 0.2}
    job.with_name("trials.json").write_text(json.dumps({"version": 1, "trials": [trial]}))
    return folder / "store"


def grasps_of(store: Path) -> dict[str, Any]:
    (path,) = store.glob("jobs/*/*/grasps.json")
    return {row["query"]["name"]: row for row in json.loads(path.read_text())["results"]}


def views_of(store: Path) -> dict[str, Any]:
    return {view.name: view for view in load_views(read_capture(store.parent / "boxes"))}


def exported(kind: str, source: Path, output: Path, *options: str) -> Path:
    main(["export", kind, str(source), "--output", str(output), *options])
    return output


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def samples(path: Path) -> dict[str, dict[str, bytes]]:
    """The samples of a shard by the convention: a member's name up to the first dot is the key."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            key, _, extension = member.name.partition(".")
            data = tar.extractfile(member)
            assert data is not None
            found.setdefault(key, {})[extension] = data.read()
    return found


# ── LeRobot ────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def lerobot(store, tmp_path_factory) -> Path:
    return exported("lerobot", store, tmp_path_factory.mktemp("lerobot") / "set")


@pytest.mark.parametrize("episode", [0, 1])
def test_a_lerobot_dataset_becomes_the_capture_again(store, lerobot, tmp_path, episode):
    capture = tmp_path / "capture"
    main(["capture", "lerobot", str(lerobot), "--episode", str(episode), "--output", str(capture)])
    before = list(views_of(store).values())
    after = load_views(read_capture(capture))
    assert len(after) == len(before)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.rgb, other.rgb)
        np.testing.assert_allclose(one.T_world_cam, other.T_world_cam, atol=1e-6)
        np.testing.assert_allclose(one.camera.K, other.camera.K, rtol=1e-6)
        np.testing.assert_allclose(one.depth, other.depth, atol=1e-6)


def test_frames_have_answers_and_the_best_grasp(store, lerobot):
    rows = pq.read_table(lerobot / "data/chunk-000/file-000.parquet").to_pylist()
    points = read_points(store.parent / "boxes" / "points.json", read_capture(store.parent / "boxes"))
    info = json.loads((lerobot / "meta/info.json").read_text())
    assert len(rows) == info["total_frames"] == 20
    assert info["features"].keys() == rows[0].keys()
    tasks = pq.read_table(lerobot / "meta/tasks.parquet").to_pandas()
    assert list(tasks.index) == ["the red box", "the unicorn"]
    answers = {(answer.image, answer.query): answer for answer in points.answers}
    best = grasps_of(store)["red"]["grasps"][0]
    names = list(views_of(store))
    for number, row in enumerate(rows):
        assert (row["index"], row["frame_index"], row["episode_index"]) == (number, number % 10, number // 10)
        query = ("red", "unicorn")[row["task_index"]]
        given = answers[names[row["frame_index"]], query].points
        assert row["answer.count"] == len(given)
        np.testing.assert_allclose(np.reshape(row["answer.points"], (-1, 2))[: len(given)], given, rtol=1e-6)
        assert set(row["answer.points"][2 * len(given) :]) == {-1.0}
        assert row["trial.success"] == (1 if query == "red" else -1)
        if query == "red":
            np.testing.assert_allclose(row["action"][:3], np.array(best["T_world_gripper"])[:3, 3], rtol=1e-6)
            assert row["action"][7] == pytest.approx(best["width"])
        else:
            assert (row["grasp.count"], row["action"]) == (0, [0.0] * 8)


def test_the_quaternion_is_that_of_the_grasp(store, lerobot):
    row = pq.read_table(lerobot / "data/chunk-000/file-000.parquet").to_pylist()[0]
    w, x, y, z = row["action"][3:7]
    R = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    grasp = grasps_of(store)["red"]["grasps"][0]["T_world_gripper"]
    np.testing.assert_allclose(R, np.array(grasp)[:3, :3], atol=1e-5)
    assert w >= 0


def test_episodes_are_located(lerobot):
    rows = pq.read_table(lerobot / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [(row["dataset_from_index"], row["dataset_to_index"], row["tasks"]) for row in rows] == [
        (0, 10, ["the red box"]),
        (10, 20, ["the unicorn"]),
    ]


def test_images_that_differ_in_size_are_refused_for_lerobot(store, tmp_path, capsys):
    folder = shutil.copytree(store, tmp_path / "store")
    (first,) = folder.glob("jobs/*/*")
    other = shutil.copytree(first, first.with_name("other"))
    record = json.loads((other / RECORD).read_text())
    record["source"]["max_side"] = 64
    (other / RECORD).write_text(json.dumps(record))
    row = {"job": 7, "status": "done", "grasps": (other / "grasps.json").relative_to(folder).as_posix()}
    with (folder / "results.jsonl").open("a") as file:
        file.write(json.dumps({**row, "error": None, "seconds": 1.0}) + "\n")
    with pytest.raises(SystemExit) as stop:
        exported("lerobot", folder, tmp_path / "set")
    assert stop.value.code == 2
    assert "64x48" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
    assert len(samples(exported("webdataset", folder, tmp_path / "set") / "views-000000.tar")) == 20


# ── WebDataset ─────────────────────────────────────────────────────────────────────────────────
def test_a_sample_has_an_image_and_its_answers(store, tmp_path):
    found = samples(exported("webdataset", store, tmp_path / "set") / "views-000000.tar")
    views = views_of(store)
    assert len(found) == 10
    for key, sample in found.items():
        assert key.startswith("job000000-view")
        described = json.loads(sample["json"])
        view = views[described["image"]]
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(sample["color.png"]))), view.rgb)
        depth = np.asarray(Image.open(io.BytesIO(sample["depth.png"]))) / 1000
        np.testing.assert_allclose(depth, view.depth, atol=5e-4)
        np.testing.assert_allclose(described["T_world_cam"], view.T_world_cam)
        assert [(answer["query"], len(answer["points"])) for answer in described["answers"]] == [
            ("red", 1),
            ("unicorn", 0),
        ]


def test_a_query_has_its_grasps_its_trial_and_its_field(store, tmp_path):
    found = samples(exported("webdataset", store, tmp_path / "set") / "queries-000000.tar")
    red, unicorn = found["job000000-query0000"], found["job000000-query0001"]
    described = json.loads(red["json"])
    assert described["grasps"] == grasps_of(store)["red"]["grasps"]
    assert described["trial"]["outcome"] == "held"
    assert json.loads(unicorn["json"])["trial"] is None
    field = np.load(io.BytesIO(red["field.npy"]))
    (ply,) = store.glob("jobs/*/*/relevancy.ply")
    centers, values = read_relevancy_ply(ply)
    np.testing.assert_array_equal(field, np.column_stack([centers, values[:, 0]]))
    # The Gaussians that are meant lie at the red box.
    near = np.linalg.norm(field[:, :3] - json.loads(red["json"])["action_point"], axis=1) < 0.05
    assert field[near, 3].max() > 0.9 > field[~near, 3].mean()


def test_shards_have_a_bounded_size_and_lose_nothing(tmp_path):
    with ShardWriter(tmp_path, "x", 4000) as shards:
        for number in range(20):
            shards.add(f"s{number:02d}", {"a.bin": bytes([number]) * 1000, "json": b"{}"})
    paths = sorted(tmp_path.iterdir())
    assert len(paths) > 3
    found = {key: sample for path in paths for key, sample in samples(path).items()}
    assert found == {f"s{n:02d}": {"a.bin": bytes([n]) * 1000, "json": b"{}"} for n in range(20)}


# ── Parquet ────────────────────────────────────────────────────────────────────────────────────
def test_tables_can_be_joined(store, tmp_path):
    folder = exported("parquet", store, tmp_path / "set")
    tables = {path.stem: pq.read_table(path).to_pylist() for path in folder.iterdir()}
    assert tables.keys() == {"images", "answers", "results", "grasps", "trials", "fields"}
    assert (len(tables["images"]), len(tables["answers"]), len(tables["results"])) == (10, 20, 2)
    assert {row["image"] for row in tables["images"]} == {row["image"] for row in tables["answers"]}
    grasps = grasps_of(store)["red"]["grasps"]
    assert [row["score"] for row in tables["grasps"]] == [grasp["score"] for grasp in grasps]
    first = np.reshape(tables["grasps"][0]["T_world_gripper"], (4, 4))
    np.testing.assert_array_equal(first, grasps[0]["T_world_gripper"])
    assert [(row["query"], row["success"]) for row in tables["trials"]] == [("red", True)]
    reasons = {row["query"]: row["reason"] for row in tables["results"]}
    assert reasons["red"] is None
    assert reasons["unicorn"]
    for row in tables["fields"]:
        assert 3 * len(row["relevancy"]) == len(row["centers"]) > 0


# ── all of them ────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("kind", KINDS)
def test_a_second_export_has_the_same_bytes_and_replaces_nothing(kind, store, tmp_path, capsys):
    first = contents(exported(kind, store, tmp_path / "one"))
    assert first
    assert contents(exported(kind, store, tmp_path / "two")) == first
    with pytest.raises(SystemExit) as stop:
        exported(kind, store, tmp_path / "one")
    assert stop.value.code == 2
    assert "already exists" in capsys.readouterr().err
    assert contents(tmp_path / "one") == first


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_exported_too(kind, small_run, tmp_path):
    folder = exported(kind, small_run.output, tmp_path / "set")
    expected = json.loads((small_run.output / "grasps.json").read_text())["results"]
    if kind == "webdataset":
        found = samples(folder / "queries-000000.tar").values()
        assert [json.loads(sample["json"])["grasps"] for sample in found] == [r["grasps"] for r in expected]
        assert all("field.npy" in sample for sample in found)
    elif kind == "parquet":
        assert pq.read_table(folder / "grasps.parquet").num_rows == sum(len(r["grasps"]) for r in expected)
    else:
        assert json.loads((folder / "meta/info.json").read_text())["total_episodes"] == len(expected)


def remove_points(store: Path) -> None:
    (store.parent / "boxes" / "points.json").unlink()


def remove_capture(store: Path) -> None:
    shutil.rmtree(store.parent / "boxes")


def old_record(store: Path) -> None:
    (path,) = store.glob(f"jobs/*/*/{RECORD}")
    document = json.loads(path.read_text())
    del document["source"]
    path.write_text(json.dumps(document))


def escaping(store: Path) -> None:
    row = {"job": 0, "status": "done", "grasps": "../secret/grasps.json", "error": None, "seconds": 1}
    (store / "results.jsonl").write_text(json.dumps(row))


def truncated_field(store: Path) -> None:
    (path,) = store.glob("jobs/*/*/relevancy.ply")
    path.write_bytes(path.read_bytes()[:-10])


def wrong_trials(store: Path) -> None:
    (path,) = store.glob("jobs/*/*/trials.json")
    path.write_text('{"trials": [{"query": "red", "success": "yes"}]}')


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (remove_points, "points.json does not exist"),
        (remove_capture, "boxes"),
        (old_record, "an earlier release wrote it"),
        (escaping, "leads out of the store"),
        (truncated_field, "relevancy.ply"),
        (wrong_trials, "is not a trials.json"),
        (lambda store: (store / "results.jsonl").write_text("[1]\n"), "line 1 is no result"),
        (lambda store: (store / "results.jsonl").write_text("{\n"), "line 1 is not valid JSON"),
        (lambda store: (store / "results.jsonl").write_text(""), "no job that is done"),
        (lambda store: (store / "results.jsonl").unlink(), "give the output folder"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(damage, says, store, tmp_path, capsys):
    # A copy of the batch at the place of the original, which grasps.json names.
    kept = shutil.copytree(store.parent, tmp_path / "kept")
    try:
        damage(store)
        with pytest.raises(SystemExit) as stop:
            exported("parquet", store, tmp_path / "set")
    finally:
        shutil.rmtree(store.parent)
        shutil.move(kept, store.parent)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert not (tmp_path / "set").exists()
    assert not list(tmp_path.glob(".set*"))


def test_a_cloud_without_relevancies_is_refused(tmp_path, small_run):
    with pytest.raises(SceneError, match="has no relevancies"):
        read_relevancy_ply(small_run.output / "scene.ply")


def test_relevancies_are_read_as_they_were_written(tmp_path, small_run):
    result = small_run.result()
    write_relevancy_ply(tmp_path / "r.ply", result.scene, result.relevancy)
    centers, values = read_relevancy_ply(tmp_path / "r.ply")
    np.testing.assert_array_equal(centers, result.scene.means.astype(np.float32))
    np.testing.assert_array_equal(values, result.relevancy.values.astype(np.float32))
