"""``point2act batch``: manifest, keys, store, executors, interruptions and questions to a model."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_server import ModelServer, in_turn, status
from PIL import Image
from recalled import Recalled
from small_run import write_capture

from point2act.cli.main import main
from point2act.core.errors import FleetError
from point2act.core.progress import Stages
from point2act.data.capture import read_capture
from point2act.data.points import read_points
from point2act.fleet import solve
from point2act.fleet.asking import UNANSWERED, Asker, AskingCost, costs
from point2act.fleet.batch import run_batch
from point2act.fleet.estimate import estimate
from point2act.fleet.executors import SerialExecutor, open_executor
from point2act.fleet.identity import Identification, Task
from point2act.fleet.manifest import Job, JobOptions, read_manifest
from point2act.fleet.processes import ProcessExecutor
from point2act.fleet.results import Row
from point2act.fleet.store import FIELD, GRASPS, RECORD, Outcome, Store
from point2act.vlm.clients.factory import ClientConfig
from point2act.vlm.clients.server import ServerConfig
from point2act.vlm.pointing.questions import AskConfig, name_queries


def write_manifest(path: Path, *lines: object) -> Path:
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def job_of(capture: Path, points: Path | None = None, **options: object) -> Job:
    return Job(0, capture, points or capture / "points.json", (), replace(JobOptions(), **options))


def task_of(job: Job, folder: Path = Path("answers")) -> Task:
    return Identification().task(job, None, folder)


def comparable(folder: Path) -> dict[str, str]:
    """Every file of a store's results by its name, without dates and durations."""
    files = [*folder.glob("jobs/*/*/*.json"), folder / "results.jsonl"]
    varying = r'"(created|seconds|scene_seconds)": [^,\n}]*|"stages": \{[^}]*\}'
    return {str(file.relative_to(folder)): re.sub(varying, "", file.read_text()) for file in files}


def changed(folder: Path) -> dict[Path, int]:
    """When each file of the jobs was written."""
    return {file: file.stat().st_mtime_ns for file in folder.glob("jobs/*/*/*")}


@pytest.fixture(scope="module")
def captures(tmp_path_factory) -> Path:
    """Two captures, the second moved by 10 cm, in one folder."""
    folder = tmp_path_factory.mktemp("fleet")
    moved = np.eye(4)
    moved[0, 3] = 0.1
    write_capture(folder / "a")
    write_capture(folder / "b", T=moved)
    return folder


class StandIn:
    """An executor that writes an empty result for each job."""

    workers = 2

    def __init__(self, store: Store):
        self.store = store

    def attempt(self, tasks):
        for task in tasks:
            self.store.job(task).mkdir(parents=True)
            (self.store.job(task) / GRASPS).write_text("{}")
            self.store.record(task, Outcome("done", 1.0))

    def close(self):
        pass


# ── the manifest ───────────────────────────────────────────────────────────────────────────────
def test_a_manifest_has_a_job_in_each_line_that_is_not_blank(tmp_path):
    path = write_manifest(
        tmp_path / "m.jsonl",
        {"capture": "a", "points": "a/points.json"},
        "",
        {"capture": "/b", "queries": ["the lid", {"text": "the tray", "role": "place"}], "seed": 3},
        "   ",
        {"capture": "c", "points": "p.json", "gripper": "own/g.toml", "max_views": 9},
    )
    first, second, third = read_manifest(path, JobOptions(gripper="robotiq_2f85"))
    assert [first.number, second.number, third.number] == [0, 1, 2]
    assert first.capture == tmp_path / "a"
    assert first.points == tmp_path / "a" / "points.json"
    assert first.options == JobOptions(gripper="robotiq_2f85")
    assert second.capture == Path("/b")
    assert second.points is None
    assert [(q.text, q.role) for q in second.queries] == [("the lid", "grasp"), ("the tray", "place")]
    assert second.options.seed == 3
    assert third.options.gripper == str(tmp_path / "own/g.toml")
    assert third.options.max_views == 9


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not valid JSON"),
        ("[1]", "it is"),
        ('{"points": "p"}', "'capture' is missing"),
        ('{"capture": "a"}', "give either 'points'"),
        ('{"capture": "a", "points": "p", "queries": ["x"]}', "give either 'points'"),
        ('{"capture": "a", "points": "p", "color": 1}', "unknown keys color: use allow_outside"),
        ('{"capture": 1, "points": "p"}', "'capture' is 1"),
        ('{"capture": " ", "points": "p"}', "'capture' is ' '"),
        ('{"capture": "a", "queries": []}', "'queries' is []"),
        ('{"capture": "a", "queries": ["  "]}', "queries[0].text"),
        ('{"capture": "a", "queries": [{"text": "x", "role": "eat"}]}', "queries[0].role"),
        ('{"capture": "a", "points": "p", "seed": NaN}', "NaN"),
        ('{"capture": "a", "points": "p", "seed": -1}', "'seed' is -1"),
        ('{"capture": "a", "points": "p", "seed": true}', "'seed' is True"),
        ('{"capture": "a", "points": "p", "max_views": 0}', "'max_views' is 0"),
        ('{"capture": "a", "points": "p", "sensor": "sonar"}', "'sensor' is 'sonar'"),
        ('{"capture": "a", "capture": "b", "points": "p"}', "twice"),
        ('{"capture": "a\\u0000", "points": "p"}', "null character"),
        ("[" * 10_000, "not valid JSON"),
    ],
)
def test_a_malformed_line_is_reported_with_its_number(tmp_path, line, says):
    good = {"capture": "a", "points": "p"}
    path = write_manifest(tmp_path / "m.jsonl", good, "", line, good)
    with pytest.raises(FleetError) as err:
        read_manifest(path)
    assert f"{path}: line 3: " in str(err.value)
    assert says in str(err.value)
    assert "\n" not in str(err.value)


def test_every_malformed_line_is_reported_up_to_some(tmp_path):
    path = write_manifest(tmp_path / "m.jsonl", *["{"] * 8)
    with pytest.raises(FleetError, match=r"line 1: .*line 5: .*; and 3 more lines"):
        read_manifest(path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00", None])
def test_a_file_that_is_no_manifest_is_one_sentence(tmp_path, content):
    path = tmp_path / "m.jsonl"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(FleetError, match=re.escape(str(path))):
        read_manifest(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(
    line=st.dictionaries(
        st.sampled_from(["capture", "points", "queries", "seed", "gripper", "max_side", "x"]), VALUES
    )
    | st.text()
)
def test_any_line_is_a_job_or_one_sentence(line, tmp_path_factory):
    path = write_manifest(tmp_path_factory.mktemp("lines") / "m.jsonl", json.dumps(line))
    try:
        read_manifest(path)
        sentence = "line 1: "
    except FleetError as err:
        sentence = str(err)
    assert "line 1: " in sentence
    assert "\n" not in sentence


def test_the_lines_of_the_documentation_are_jobs(tmp_path):
    page = (Path(__file__).parent.parent / "docs" / "fleets.md").read_text(encoding="utf-8")
    manifest, results = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (tmp_path / "m.jsonl").write_text(manifest, encoding="utf-8")
    jobs = read_manifest(tmp_path / "m.jsonl")
    assert [bool(job.queries) for job in jobs] == [False, False, True]
    for number, line in enumerate(results.splitlines()):
        row = json.loads(line)
        assert row["job"] == number
        assert list(row) == ["job", "status", "grasps", "error", "seconds"]


# ── keys ───────────────────────────────────────────────────────────────────────────────────────
def test_a_key_depends_on_contents_and_not_on_dates_and_places(captures, tmp_path):
    key = task_of(job_of(captures / "a")).key
    copied = shutil.copytree(captures / "a", tmp_path / "copy")
    for file in copied.rglob("*"):
        os.utime(file, (1, 1))
    again = task_of(job_of(copied))
    assert again.key == key
    assert again.name != task_of(job_of(captures / "a")).name  # a result names its capture
    image = next((copied / "images").iterdir())
    data = bytearray(image.read_bytes())
    data[-1] ^= 1
    image.write_bytes(data)
    os.utime(image, (1, 1))
    assert task_of(job_of(copied)).key != key


@pytest.mark.parametrize(
    "option",
    [
        {"seed": 1},
        {"gripper": "robotiq_2f85"},
        {"arm": "panda"},
        {"sensor": "tof"},
        {"max_side": 200},
        {"max_views": 5},
        {"metric": True},
        {"refine_poses": False},
        {"device": "cpu"},
    ],
)
def test_a_key_depends_on_every_option_and_the_scene_on_some(captures, option):
    plain, other = task_of(job_of(captures / "a")), task_of(job_of(captures / "a", **option))
    assert other.key != plain.key
    assert (other.scene == plain.scene) == (option.keys() <= {"gripper", "arm", "sensor"})


def test_a_key_depends_on_the_points_and_the_release(captures, tmp_path, monkeypatch):
    key = task_of(job_of(captures / "a")).key
    assert task_of(job_of(captures / "a", captures / "b" / "points.json")).key != key
    monkeypatch.setattr("point2act.fleet.identity.version", lambda name: "99")
    assert task_of(job_of(captures / "a")).key != key


def test_a_key_depends_on_the_content_of_a_gripper_of_ones_own(captures, tmp_path):
    shipped = Path(__file__).parent.parent / "configs" / "grippers" / "panda.toml"
    own = tmp_path / "own.toml"
    own.write_text(shipped.read_text())
    before = task_of(job_of(captures / "a", gripper=str(own))).key
    assert before == task_of(job_of(captures / "a")).key
    own.write_text(shipped.read_text().replace("max_width = 0.08", "max_width = 0.07"))
    assert task_of(job_of(captures / "a", gripper=str(own))).key != before


# ── the store ──────────────────────────────────────────────────────────────────────────────────
def test_a_record_is_found_until_it_is_damaged_or_forgotten(captures, tmp_path):
    store, task = Store(tmp_path / "store"), task_of(job_of(captures / "a"))
    outcome = Outcome("done", 1.5, stages={"find the grasps": 1.0}, scene_seconds=0.5)
    assert store.find(task) is None
    store.record(task, outcome)
    assert store.find(task) is None  # without grasps.json it is not complete
    (store.job(task) / GRASPS).write_text("{}")
    assert store.find(task) == outcome
    assert list(store.records()) == [outcome]
    for damage in ("", "{}", "[]", '{"version": 1, "status": "done", "more": 1}', "\0"):
        (store.job(task) / RECORD).write_text(damage)
        assert store.find(task) is None
    store.record(task, outcome)
    store.forget(task)
    store.forget(task)
    assert store.find(task) is None


def test_an_equal_job_in_another_place_is_copied_with_its_own_capture(captures, tmp_path):
    store, task = Store(tmp_path / "store"), task_of(job_of(captures / "a"))
    other = task_of(job_of(shutil.copytree(captures / "a", tmp_path / "moved")))
    assert not store.copy_equal(other)
    (store.job(task)).mkdir(parents=True)
    (store.job(task) / GRASPS).write_text(json.dumps({"capture": "old", "results": [1]}))
    store.record(task, Outcome("done", 9.0))
    assert store.copy_equal(other)
    copied = json.loads((store.job(other) / GRASPS).read_text())
    assert copied == {"capture": (tmp_path / "moved").as_posix(), "results": [1]}
    assert store.find(other) == Outcome("done", 0.0)


def test_one_batch_at_a_time_works_on_a_store(tmp_path):
    store = Store(tmp_path / "store")
    with store.exclusive():
        with pytest.raises(FleetError, match="another batch works on"), store.exclusive():
            pass
        with store.working(), store.working():  # any number of workers
            pass
    with store.exclusive():
        pass


def test_a_batch_waits_for_the_workers_of_one_that_was_killed(tmp_path):
    store, order = Store(tmp_path / "store"), []

    def work():
        with store.working():
            order.append("works")
            started.set()
            time.sleep(0.3)
            order.append("ends")

    started = threading.Event()
    worker = threading.Thread(target=work)
    worker.start()
    started.wait()
    with store.exclusive():
        order.append("next")
    worker.join()
    assert order == ["works", "ends", "next"]


# ── the whole command ──────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def done(captures, tmp_path_factory) -> Path:
    """The store of a batch with failures, done by processes."""
    write_manifest(
        captures / "m.jsonl",
        {"capture": "a", "points": "a/points.json"},
        {"capture": "nowhere", "points": "a/points.json"},
        "",
        {"capture": "b", "points": "b/points.json"},
        {"capture": "a", "points": "a/points.json", "gripper": "robotiq_2f85"},
        {"capture": "a", "points": "a/transforms.json"},
        {"capture": "a", "points": "a/points.json"},
    )
    store = tmp_path_factory.mktemp("store") / "fleet ü"
    run = subprocess.run(
        [sys.executable, "-m", "point2act.cli", "batch", captures / "m.jsonl", "--output", store],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "jobs: 6, 4 done, 2 failed" in run.stdout
    return store


def rows(store: Path) -> list[dict]:
    return [json.loads(line) for line in (store / "results.jsonl").read_text().splitlines()]


def test_results_have_a_line_for_each_job_in_order(done):
    found = rows(done)
    assert [row["job"] for row in found] == [0, 1, 2, 3, 4, 5]
    assert [row["status"] for row in found] == ["done", "failed", "done", "done", "failed", "done"]
    assert all(set(row) == {"job", "status", "grasps", "error", "seconds"} for row in found)
    for row in found:
        if row["status"] == "done":
            assert json.loads((done / row["grasps"]).read_text())["results"][0]["grasps"]
            assert row["error"] is None
            assert row["seconds"] > 0
        else:
            assert row["grasps"] is None
            assert row["error"]
    assert found[0]["grasps"] == found[5]["grasps"]
    assert "nowhere" in found[1]["error"]
    assert "is not a points.json" in found[4]["error"]


def test_a_table_and_a_page_say_the_same(done):
    import pyarrow.parquet as pq

    assert pq.read_table(done / "results.parquet").to_pylist() == rows(done)
    page = (done / "index.html").read_text()
    assert "2 of 6 jobs failed" in page
    assert "is not a points.json" in page
    assert "find the grasps" in page


@pytest.mark.full
def test_the_grasps_are_those_of_run_without_depth(tmp_path):
    capture, store = write_capture(tmp_path / "capture", depth=False), Store(tmp_path / "store")
    main(["run", str(capture), "--metric", "--output", str(tmp_path / "out")])
    single = json.loads((tmp_path / "out" / "grasps.json").read_text())
    (row,) = run_batch([job_of(capture, metric=True)], store, SerialExecutor(store))
    assert single["results"] == json.loads((store.folder / str(row.grasps)).read_text())["results"]


def test_the_grasps_are_those_of_run(captures, done, tmp_path):
    main(["run", str(captures / "b"), "--output", str(tmp_path / "out"), "--fit.iterations", "1"])
    single = json.loads((tmp_path / "out" / "grasps.json").read_text())
    batch = json.loads((done / rows(done)[2]["grasps"]).read_text())
    assert single.pop("created")
    assert batch.pop("created")
    assert single == batch


@pytest.mark.full
def test_this_process_gets_the_same_bytes(captures, done, tmp_path):
    store = Store(tmp_path / "serial")
    jobs = read_manifest(captures / "m.jsonl")
    run_batch(jobs, store, SerialExecutor(store))
    assert comparable(store.folder) == comparable(done)


def test_a_second_call_does_nothing_again(captures, done, capsys):
    before, listed = changed(done), (done / "results.jsonl").read_bytes()
    main(["batch", str(captures / "m.jsonl"), "--output", str(done)])
    assert "jobs: 6, 4 done, 2 failed" in capsys.readouterr().out
    assert changed(done) == before
    assert (done / "results.jsonl").read_bytes() == listed


def test_moved_captures_are_not_done_again(captures, done, tmp_path, capsys):
    shutil.copytree(captures, tmp_path / "elsewhere")
    store = shutil.copytree(done, tmp_path / "store")
    good = {"capture": "a", "points": "a/points.json"}, {"capture": "b", "points": "b/points.json"}
    moved = write_manifest(tmp_path / "elsewhere" / "good.jsonl", *good)
    main(["batch", str(moved), "--output", str(store)])
    assert "2 done" in capsys.readouterr().out
    assert not psutil.Process().children()
    for row in rows(store):
        if row["status"] == "done":
            document = json.loads((store / row["grasps"]).read_text())
            assert document["capture"].startswith((tmp_path / "elsewhere").as_posix())


def test_a_dry_run_counts_and_writes_nothing(captures, done, tmp_path, capsys):
    main(["batch", str(captures / "m.jsonl"), "--output", str(tmp_path / "new"), "--dry-run"])
    printed = capsys.readouterr().out
    assert "jobs: 6, 0 of them done or failed before, 1 with files" in printed
    assert "scenes: 2 to make, for 4 jobs" in printed
    assert "seconds: unknown" in printed
    assert not (tmp_path / "new").exists()
    before = changed(done)
    main(["batch", str(captures / "m.jsonl"), "--output", str(done), "--dry-run"])
    assert "scenes: 0 to make, for 0 jobs" in capsys.readouterr().out
    more = read_manifest(captures / "m.jsonl", JobOptions(seed=5))
    expected = estimate(more, Store(done), asker=None, workers=2, stages=Stages(show=False))
    took = [row["seconds"] for row in rows(done) if row["seconds"]]
    assert expected.seconds is not None
    assert min(took) / 4 < expected.seconds < sum(took)
    assert changed(done) == before


def test_failures_are_tried_again_on_demand(captures, done, tmp_path):
    store = Store(shutil.copytree(done, tmp_path / "store"))
    broken = next(file for file in store.folder.glob(f"jobs/*/*/{RECORD}") if "failed" in file.read_text())
    before = broken.stat().st_mtime_ns
    jobs = read_manifest(captures / "m.jsonl")
    run_batch(jobs, store, SerialExecutor(store))
    assert broken.stat().st_mtime_ns == before
    run_batch(jobs, store, SerialExecutor(store), retry=True)
    assert broken.stat().st_mtime_ns > before


def test_a_broken_image_fails_the_jobs_on_its_capture_alone(captures, tmp_path, monkeypatch):
    capture, store = shutil.copytree(captures / "a", tmp_path / "a"), Store(tmp_path / "store")
    image = next((capture / "images").iterdir())
    image.write_bytes(image.read_bytes()[:-100])
    attempts = []

    def counting(context, *given):
        attempts.append(context)
        return make_session(context, *given)

    make_session = solve._session
    monkeypatch.setattr(solve, "_session", counting)
    grippers = ("panda", "robotiq_2f85")
    jobs = [replace(job_of(capture, gripper=name), number=n) for n, name in enumerate(grippers)]
    for row in run_batch(jobs, store, SerialExecutor(store)):
        assert row.status == "failed"
        assert image.name in (row.error or "")
    assert len(attempts) == 1  # not tried again for the second job
    assert len(list(store.records())) == 2


def test_an_interrupt_ends_the_processes(captures, tmp_path):
    line = {"capture": str(captures / "a"), "points": str(captures / "a" / "points.json")}
    manifest = write_manifest(tmp_path / "m.jsonl", line)
    command = [sys.executable, "-m", "point2act.cli", "batch", manifest, "--output", tmp_path / "store"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as batch:
        while not (children := psutil.Process(batch.pid).children()):
            assert batch.poll() is None
            time.sleep(0.05)
        batch.send_signal(signal.SIGINT)
        _, errors = batch.communicate(timeout=60)
    assert batch.returncode == 130
    assert b"Traceback" not in errors
    psutil.wait_procs(children, timeout=30)
    assert not any(child.is_running() for child in children)


def test_a_capture_that_changes_meanwhile_is_not_recorded(captures, tmp_path):
    capture, store = shutil.copytree(captures / "a", tmp_path / "a"), Store(tmp_path / "store")

    class Changing(SerialExecutor):
        def attempt(self, tasks):
            os.utime(capture / "transforms.json", (1, 1))
            return super().attempt(tasks)

    (row,) = run_batch([job_of(capture)], store, Changing(store))
    assert row.status == "failed"
    assert "has changed since" in (row.error or "")
    assert not list(store.records())


def test_a_process_that_is_killed_is_replaced(captures, tmp_path):
    store, killed = Store(tmp_path / "store"), []

    class Fragile(ProcessExecutor):
        def attempt(self, tasks):
            if not killed:
                threading.Timer(0.5, self.kill_all).start()
            return super().attempt(tasks)

        def kill_all(self):
            killed.extend(workers())
            for worker in killed:
                worker.kill()

    def workers():
        return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]

    (row,) = run_batch([job_of(captures / "a")], store, Fragile(store, workers=1))
    assert killed
    assert (row.status, row.error) == ("done", None)
    assert not workers()


def test_a_process_that_dies_every_time_fails_its_job_alone(captures, tmp_path):
    store = Store(tmp_path / "store")
    jobs = [replace(job_of(captures / name), number=number) for number, name in enumerate("ab")]
    bad = task_of(jobs[0]).name

    class Dying(StandIn):
        def attempt(self, tasks):
            if any(task.name == bad for task in tasks):
                return "the process that worked on it ended by SIGSEGV"
            return super().attempt(tasks)

    failed, other = run_batch(jobs, store, Dying(store))
    assert failed == Row(0, "failed", None, "the process that worked on it ended by SIGSEGV", 0.0)
    assert other.status == "done"
    assert len(list(store.records())) == 1  # the failure is not recorded: it is tried again


@pytest.mark.full
@pytest.mark.parametrize("kills", [1, 10])
def test_kill_at_any_moment_loses_nothing_and_repeats_nothing(captures, done, tmp_path, kills):
    rng, store = np.random.default_rng(kills), tmp_path / "store"
    command = [sys.executable, "-m", "point2act.cli", "batch", captures / "m.jsonl", "--output", store]
    written: dict[Path, int] = {}
    for moment in rng.uniform(1.0, 12.0, kills):
        batch = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            batch.wait(moment)
        except subprocess.TimeoutExpired:
            children = psutil.Process(batch.pid).children(recursive=True)
            batch.send_signal(signal.SIGKILL)  # the parent alone: its workers have to notice
            batch.wait()
            psutil.wait_procs(children, timeout=30)
            assert not any(child.is_running() for child in children)
        records = {file: at for file, at in changed(store).items() if file.name == RECORD}
        assert written.items() <= records.items()
        written = records
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert written.items() <= changed(store).items()
    assert comparable(store) == comparable(done)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--workers", "0"], "--workers 0"),
        (["--ray-address", "auto"], "--executor ray"),
    ],
)
def test_options_that_contradict_are_one_sentence(captures, tmp_path, capsys, arguments, says):
    write_manifest(tmp_path / "m.jsonl", {"capture": "a", "points": "p"})
    with pytest.raises(SystemExit) as stop:
        main(["batch", str(tmp_path / "m.jsonl"), "--output", str(tmp_path / "s"), *arguments])
    assert stop.value.code == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


# ── Ray ────────────────────────────────────────────────────────────────────────────────────────
def test_ray_that_is_absent_is_one_sentence(captures, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(FleetError, match=r'pip install "point2act\[ray\]"'):
        open_executor("ray", Store(tmp_path))


@pytest.mark.full
def test_ray_gets_the_same_bytes(captures, done, tmp_path):
    pytest.importorskip("ray", reason='needs pip install "point2act[ray]"')
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-m", "point2act.cli", "batch", captures / "m.jsonl", "--executor", "ray"]
    subprocess.run(
        [*command, "--workers", "2", "--output", tmp_path / "store"],
        env={**os.environ, "HOME": str(home)},
        check=True,
        capture_output=True,
    )
    assert comparable(tmp_path / "store") == comparable(done)
    assert not (home / ".ray").exists()


# ── questions ──────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def answering(captures):
    """What answers like the recorded points of capture a."""
    return Recalled(captures / "a" / "points.json", captures / "a", "qwen3_vl")


def config(server: ModelServer, tmp_path: Path, **requests: object) -> AskConfig:
    client = ClientConfig("qwen3_vl_8b", server.url, cache=tmp_path / "replies")
    return AskConfig(replace(client, requests=replace(ServerConfig(backoff=0.01), **requests)))


def test_a_model_is_asked_once_and_a_failure_is_asked_again(captures, answering, tmp_path):
    unknown = shutil.copytree(captures / "b", tmp_path / "unknown")
    for image in (unknown / "images").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(image))).save(image)
    write_manifest(
        tmp_path / "m.jsonl",
        {"capture": str(captures / "a"), "queries": ["the red box"]},
        {"capture": str(captures / "a"), "queries": ["the red box"], "gripper": "robotiq_2f85"},
        {"capture": str(unknown), "queries": ["the red box"]},
    )
    jobs, store = read_manifest(tmp_path / "m.jsonl"), Store(tmp_path / "store")
    with ModelServer(answering) as server:
        asker = Asker(config(server, tmp_path, concurrency=3))
        planned = estimate(jobs, store, asker=asker, workers=1, stages=Stages(show=False))
        assert (planned.scenes, planned.questions, planned.tokens) == (2, 20, None)
        found = run_batch(jobs, store, StandIn(store), asker=asker)
        asked = len(server.requests)
        # The answers recall the images of capture a alone.
        assert [row.status for row in found] == ["done", "done", "failed"]
        assert "none of 10 questions was answered" in (found[2].error or "")
        assert server.most_in_flight <= 3
        assert sum(costs(store.answers), AskingCost()).questions == 10
        assert sum(costs(store.answers), AskingCost()).tokens_read == 10_000
        planned = estimate(jobs, store, asker=asker, workers=1, stages=Stages(show=False))
        assert (planned.questions, planned.tokens) == (10, (10_000, 200))
        before = changed(store.folder)
        run_batch(jobs, store, StandIn(store), asker=asker)
        assert changed(store.folder) == before
        assert len(server.requests) > asked  # about the unknown images


def test_questions_without_an_answer_are_listed(captures, answering, tmp_path):
    capture, points = read_capture(captures / "a"), tmp_path / "answers" / "points.json"
    with ModelServer(answering, in_turn(*[status(500)] * 3)) as server:
        asker = Asker(config(server, tmp_path, retries=0, concurrency=1))
        asker.ask(capture, name_queries([("the red box", "grasp")]), 150, points)
    listed = json.loads(points.with_name(UNANSWERED).read_text())["unanswered"]
    answered = {answer.image for answer in read_points(points, capture).answers}
    assert len(listed) == 3
    assert answered.isdisjoint(row["image"] for row in listed)
    assert answered | {row["image"] for row in listed} == {frame.name for frame in capture.frames}
    assert all("500" in row["error"] for row in listed)


def test_an_equal_job_elsewhere_gets_the_field_too(captures, tmp_path):
    store = Store(tmp_path / "store")
    shutil.copytree(captures / "a", tmp_path / "copy")
    first, other = (task_of(job_of(place, fields=True)) for place in (captures / "a", tmp_path / "copy"))
    assert first.key == other.key != task_of(job_of(captures / "a")).key
    store.job(first).mkdir(parents=True)
    (store.job(first) / GRASPS).write_text('{"capture": "a"}')
    (store.job(first) / FIELD).write_bytes(b"field")
    store.record(first, Outcome("done", 1.0))
    assert store.copy_equal(other)
    assert (store.job(other) / FIELD).read_bytes() == b"field"


def test_the_number_of_requests_is_limited_for_the_whole_batch(captures, tmp_path):
    write_manifest(
        tmp_path / "m.jsonl",
        *({"capture": str(captures / name), "queries": ["the red box"]} for name in "ab"),
    )
    store = Store(tmp_path / "store")
    with ModelServer(lambda request: "no", lambda request, earlier: status(500)) as server:
        asked = config(server, tmp_path, retries=0)
        limited = replace(asked.client.requests.limits, max_requests=7)
        client = replace(asked.client, requests=replace(asked.client.requests, limits=limited))
        found = run_batch(
            read_manifest(tmp_path / "m.jsonl"), store, SerialExecutor(store), asker=Asker(AskConfig(client))
        )
        assert [row.status for row in found] == ["failed", "failed"]
        assert len(server.requests) == 7
    assert not list(store.records())


def test_queries_without_a_model_are_one_sentence_before_any_work(captures, tmp_path, capsys):
    write_manifest(tmp_path / "m.jsonl", {"capture": str(captures / "a"), "queries": ["the lid"]})
    with pytest.raises(SystemExit) as stop:
        main(["batch", str(tmp_path / "m.jsonl"), "--output", str(tmp_path / "s")])
    assert stop.value.code == 2
    assert "--model" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
