"""``point2act serve``: the whole walk, and clients that err or mean harm."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
import uvicorn
from model_server import ModelServer
from recalled import Recalled
from small_run import write_capture

from point2act.core.errors import FleetError
from point2act.fleet.asking import Asker
from point2act.fleet.store import GRASPS, Outcome, Store
from point2act.grasping.grasps_json import write_grasps
from point2act.pipeline.run import place
from point2act.service.app import make_app
from point2act.service.client import ServiceClient, zipped
from point2act.service.limits import ServiceLimits
from point2act.service.service import Service
from point2act.service.serving import serve
from point2act.vlm.clients.factory import ClientConfig
from point2act.vlm.pointing.questions import AskConfig

TOKEN = "correct-horse-battery"
LIMITS = ServiceLimits(max_upload=2**20, max_body=2**16, max_captures=6, max_queue=3, job_seconds=20.0)


class Fake:
    """An executor whose jobs end when the test wants them to."""

    workers = 2

    def __init__(self, store: Store):
        self.store, self.go = store, threading.Event()
        self.go.set()
        self.solved: list[str] = []
        self.ends: dict[str, threading.Event] = {}

    def attempt(self, tasks):
        (task,) = tasks
        killed = self.ends.setdefault(task.name, threading.Event())
        while not self.go.wait(0.01) and not killed.is_set():
            pass
        if killed.is_set():
            return "the process that worked on it ended by SIGKILL"
        error = f"{task.points}: cannot" if task.options.seed == 13 else None
        self.store.job(task).mkdir(parents=True, exist_ok=True)
        (self.store.job(task) / GRASPS).write_text(
            json.dumps({"capture": str(task.capture), "results": [{"grasps": []}]})
        )
        self.store.record(task, Outcome("failed" if error else "done", 0.1, error))
        self.solved.append(task.name)
        return None

    def kill(self, task: str) -> None:
        self.ends.setdefault(task, threading.Event()).set()

    def close(self) -> None:
        self.go.set()


@contextmanager
def running(
    folder: Path, executor: Fake, limits: ServiceLimits = LIMITS, asker: Asker | None = None
) -> Iterator[str]:
    """A service on a free port of this machine."""
    service = Service(folder, executor, asker=asker, limits=limits)
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(service, folder, TOKEN), port=0, log_level="error", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        executor.go.set()
        server.should_exit = True
        thread.join()
        service.close()


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    return write_capture(tmp_path_factory.mktemp("captures") / "boxes")


@pytest.fixture
def fake(tmp_path) -> Fake:
    return Fake(Store(tmp_path / "service"))


@pytest.fixture
def url(fake, tmp_path) -> Iterator[str]:
    with running(tmp_path / "service", fake) as address:
        yield address


@pytest.fixture
def client(url) -> Iterator[ServiceClient]:
    with ServiceClient(url, token=TOKEN) as opened:
        yield opened


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


# ── the walk ───────────────────────────────────────────────────────────────────────────────────
def test_a_capture_goes_up_and_grasps_come_back(client, capture, fake):
    name = client.upload(capture)
    job = client.ask(name, points=capture / "points.json", options={"seed": 3})
    assert client.grasps(job) == {"capture": name, "results": [{"grasps": []}]}
    assert client.points(job) == json.loads((capture / "points.json").read_text())
    assert client.job(job).status == "done"
    assert len(fake.solved) == 1
    again = client.ask(name, points=capture / "points.json", options={"seed": 3})
    assert client.grasps(again)["capture"] == name
    assert len(fake.solved) == 1  # what is known is not done again


def test_the_page_of_the_documentation_works(capture, fake, tmp_path, capsys):
    page = Path(__file__).parent.parent / "docs" / "service.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    point = Recalled(capture / "points.json", capture, "qwen3_vl")
    with ModelServer(lambda request: point(request)) as model:
        asker = Asker(AskConfig(ClientConfig("qwen3_vl_8b", model.url, cache=tmp_path / "replies")))
        # The recorded answers are about a red box.
        program = block.replace("the handle of the mug", "the red box").replace('"…"', f'"{TOKEN}"')
        with running(tmp_path / "service", fake, asker=asker) as url:
            program = program.replace("http://server:8700", url).replace('"capture/"', repr(str(capture)))
            exec(program, {})
    assert capsys.readouterr().out.splitlines()[-1] == "done"
    assert len(model.requests) == 10


def test_events_follow_a_job(client, capture, fake):
    fake.go.clear()
    job = client.ask(client.upload(capture), points=capture / "points.json")
    states = []
    for state in client.events(job):
        states.append(state.status)
        fake.go.set()
    assert states[-1] == "done"
    assert set(states) <= {"queued", "running", "done"}


def test_the_service_estimates_before_it_works(client, capture, fake, tmp_path):
    name, points = client.upload(capture), json.loads((capture / "points.json").read_text())
    before = files(tmp_path / "service")
    new = client._http.post(f"/captures/{name}/estimate", json={"points": points}).json()
    assert new == {"known": False, "questions": 0, "seconds": None, "tokens": [0, 0], "money": 0.0}
    assert files(tmp_path / "service") == before
    assert client.grasps(client.ask(name, points=points))
    known = client._http.post(f"/captures/{name}/estimate", json={"points": points}).json()
    assert (known["known"], known["seconds"]) == (True, 0.0)


def test_the_service_describes_itself(url):
    schema = httpx.get(f"{url}/openapi.json").json()
    assert {"/captures", "/captures/{capture}/jobs", "/jobs/{job}/events", "/jobs/{job}/grasps.json"} <= set(
        schema["paths"]
    )
    body = schema["paths"]["/captures/{capture}/jobs"]["post"]["requestBody"]
    assert "queries" in body["content"]["application/json"]["schema"]["properties"]


def test_jobs_and_results_survive_a_restart(capture, fake, tmp_path):
    folder = tmp_path / "service"
    with running(folder, fake) as url, ServiceClient(url, token=TOKEN) as client:
        name = client.upload(capture)
        done = client.ask(name, points=capture / "points.json")
        assert client.grasps(done)
        bad = client.ask(name, points=capture / "points.json", options={"seed": 13})
        assert [state.status for state in client.events(bad)][-1] == "failed"
        fake.go.clear()
        waiting = [
            client.ask(name, points=capture / "points.json", options={"seed": seed}) for seed in range(1, 4)
        ]
        fake.ends.clear()
        stopped = Fake(fake.store)  # Of a process that was killed, nothing is written any more.
        shutil.copytree(folder, tmp_path / "killed")
    folder = tmp_path / "killed"
    stopped.store = Store(folder)
    with running(folder, stopped) as url, ServiceClient(url, token=TOKEN) as client:
        assert [client.grasps(job)["capture"] for job in (done, *waiting)] == [name] * 4
        assert client.job(bad).status == "failed"
        assert len(stopped.solved) == 3
        client.remove(name)
        assert client.grasps(done)["capture"] == name


def test_one_real_walk(capture, tmp_path):
    """Through the command and a real worker; the grasps are those of a session."""
    command = [sys.executable, "-m", "point2act.cli", "serve", "--output", tmp_path / "store", "--port", "0"]
    environment = {**os.environ, "POINT2ACT_TOKEN": TOKEN}
    with subprocess.Popen(
        [*command, "--workers", "1"], stdout=subprocess.PIPE, text=True, env=environment
    ) as served:
        try:
            assert served.stdout is not None
            address = re.fullmatch(r"service: (http://127\.0\.0\.1:\d+)\n", served.stdout.readline())
            assert address is not None
            with ServiceClient(address[1], token=TOKEN, timeout=120.0) as client:
                found = client.grasps(client.ask(client.upload(capture), points=capture / "points.json"))
        finally:
            children = psutil.Process(served.pid).children(recursive=True)
            served.kill()
            psutil.wait_procs(children, timeout=30)
    assert not any(child.is_running() for child in children)
    session = place(capture)
    answered = session.ask(capture / "points.json")
    write_grasps(tmp_path / "one.json", answered.results, capture=session.capture, gripper=answered.gripper)
    assert found["results"] == json.loads((tmp_path / "one.json").read_text())["results"]


# ── refusals ───────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("given", [None, "wrong", TOKEN[:-1], TOKEN + "x", "ü"])
def test_a_wrong_token_reaches_nothing(url, capture, given, tmp_path):
    headers = {} if given is None else {b"Authorization": f"Bearer {given}".encode()}
    with httpx.Client(base_url=url, headers=headers) as http:
        for method, path in [
            ("GET", "/health"),
            ("POST", "/captures"),
            ("GET", "/captures/x"),
            ("POST", "/captures/x/jobs"),
            ("GET", "/jobs/x"),
            ("GET", "/jobs/x/events"),
            ("DELETE", "/jobs/x"),
        ]:
            reply = http.request(method, path, content=zipped(capture) if method == "POST" else None)
            assert reply.status_code == 401, path
            assert "token" in reply.json()["error"]
    assert not files(tmp_path / "service")


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "/etc/passwd",
        ".",
        "%00",
        "jobs",
    ],
)
def test_no_file_of_the_machine_is_reachable(client, path, tmp_path):
    for way in (f"/captures/{path}", f"/jobs/{path}", f"/jobs/{path}/grasps.json", f"/{path}"):
        reply = client._http.get(way)
        assert reply.status_code in (404, 405), way
        assert "root:" not in reply.text
        assert str(tmp_path) not in reply.text


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "not valid JSON"),
        (b"[" * 20_000, "not valid JSON"),
        (b"[]", "it is"),
        (b"{}", "give either 'points'"),
        (b'{"queries": ["the lid"]}', "asks no model"),
        (b'{"queries": ' + json.dumps(["x"] * 30).encode() + b"}", "at most 20"),
        (b'{"points": {}}', "is not a points.json"),
        (b'{"points": {}, "gripper": "/etc/passwd"}', "no gripper has this name"),
        (b'{"points": {}, "gripper": "../x.toml"}', "no gripper has this name"),
        (b'{"points": {}, "arm": "/etc/passwd"}', "no arm has this name"),
        (b'{"points": {}, "device": "cuda"}', "unknown keys device"),
        (b'{"points": {}, "allow_outside": true}', "unknown keys allow_outside"),
        (b'{"points": {}, "seed": 1e400}', "seed"),
        (b'{"points": "' + b"x" * 70_000 + b'"}', "send at most 0.0625 MB"),
    ],
)
def test_a_malformed_job_is_refused_in_a_sentence(client, capture, body, says, tmp_path):
    name = client.upload(capture)
    before = files(tmp_path / "service")
    reply = client._http.post(f"/captures/{name}/jobs", content=body)
    assert reply.status_code in (413, 422)
    assert says in reply.json()["error"]
    assert str(tmp_path) not in reply.text
    assert files(tmp_path / "service") == before
    assert client._http.get("/health").json()["queued"] == 0


def test_a_failure_names_no_path_of_the_machine(client, capture, tmp_path):
    job = client.ask(client.upload(capture), points=capture / "points.json", options={"seed": 13})
    *_, last = client.events(job)
    assert last.error == f"requests/{job}/points.json: cannot"


def test_what_is_no_capture_is_refused_and_removed(client, tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("transforms.json", "{}")
    for body in (b"hello", content.getvalue()):
        reply = client._http.post("/captures", content=body)
        assert reply.status_code == 422
        assert str(tmp_path) not in reply.text
    assert not files(tmp_path / "service")


def test_a_page_of_another_site_is_refused(client):
    for origin, code in (("http://evil.example", 403), (str(client._http.base_url).rstrip("/"), 200)):
        assert client._http.get("/health", headers={"Origin": origin}).status_code == code


# ── limits ─────────────────────────────────────────────────────────────────────────────────────
@contextmanager
def connected(url: str, head: str, body: bytes = b"") -> Iterator[socket.socket]:
    """A connection on which bytes were sent."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        lines = [head, f"Host: {host}:{port}", f"Authorization: Bearer {TOKEN}", "", ""]
        connection.sendall("\r\n".join(lines).encode() + body)
        yield connection


def raw(url: str, head: str, body: bytes = b"") -> bytes:
    """Send bytes, and return the beginning of the reply."""
    with connected(url, head, body) as connection:
        return connection.recv(4096)


def within(seconds: float, holds: Callable[[], object]) -> bool:
    """Wait until something holds, and return whether it does."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(holds())


def test_ten_gigabytes_are_refused_before_they_are_sent(url, tmp_path):
    start = time.monotonic()
    reply = raw(url, "POST /captures HTTP/1.1\r\nContent-Length: 10737418240", b"x" * 1000)
    assert b"413" in reply.splitlines()[0]
    assert time.monotonic() - start < 5
    assert not files(tmp_path / "service")


def test_a_body_of_unknown_length_is_limited_as_it_comes(client, tmp_path):
    sent = 0

    def blocks():
        nonlocal sent
        for _ in range(1000):
            sent += 2**16
            yield bytes(2**16)

    with suppress(httpx.HTTPError):  # The server may close while the client still sends.
        assert client._http.post("/captures", content=blocks()).status_code == 413
    assert sent < 2**25
    assert not files(tmp_path / "service")


def test_a_cancelled_upload_leaves_nothing(url, client, capture, tmp_path):
    archive, folder = zipped(capture), tmp_path / "service"
    head = f"POST /captures HTTP/1.1\r\nContent-Length: {len(archive)}"
    with connected(url, head, archive[: len(archive) // 2]):
        assert within(10, lambda: files(folder))  # It is being received.
    assert within(10, lambda: not files(folder))
    assert client.upload(capture)


def test_the_queue_is_bounded_and_nothing_in_it_is_lost(client, capture, fake):
    name = client.upload(capture)
    fake.go.clear()
    points = json.loads((capture / "points.json").read_text())
    replies = [
        client._http.post(f"/captures/{name}/jobs", json={"points": points, "seed": seed})
        for seed in range(20, 30)
    ]
    taken = [reply.json()["job"] for reply in replies if reply.status_code == 202]
    refused = [reply for reply in replies if reply.status_code == 503]
    assert LIMITS.max_queue <= len(taken) <= LIMITS.max_queue + fake.workers
    assert len(refused) == 10 - len(taken)
    assert "jobs wait already" in refused[0].json()["error"]
    fake.go.set()
    assert [client.grasps(job)["capture"] for job in taken] == [name] * len(taken)
    assert client.ask(name, points=capture / "points.json", options={"seed": 40}, patience=10.0)


def test_the_number_of_captures_is_bounded(client, capture):
    names = [client.upload(capture) for _ in range(LIMITS.max_captures)]
    with pytest.raises(FleetError, match="delete one first"):
        client.upload(capture)
    client.remove(names[0])
    assert client.upload(capture)
    with pytest.raises(FleetError, match="no capture of this name"):
        client.ask(names[0], points=capture / "points.json")


def test_jobs_are_cancelled_while_they_wait_and_while_they_run(client, capture, fake):
    name = client.upload(capture)
    fake.go.clear()
    jobs = [
        client.ask(name, points=capture / "points.json", options={"seed": seed}) for seed in range(50, 54)
    ]
    for job in jobs:
        assert client.cancel(job).status == "cancelled"
    end = time.monotonic() + 10
    while client._http.get("/health").json()["running"] and time.monotonic() < end:
        time.sleep(0.02)
    fake.go.set()
    after = client.ask(name, points=capture / "points.json", options={"seed": 60})
    assert client.grasps(after)
    assert len(fake.solved) == 1
    assert client.cancel(after).status == "done"
    with pytest.raises(FleetError, match="is cancelled"):
        client.grasps(jobs[0])


def test_a_job_that_takes_too_long_is_ended(capture, fake, tmp_path):
    fake.go.clear()
    limits = ServiceLimits(job_seconds=0.2)
    with running(tmp_path / "service", fake, limits) as url, ServiceClient(url, token=TOKEN) as client:
        job = client.ask(client.upload(capture), points=capture / "points.json")
        *_, last = client.events(job)
        assert last.status == "failed"
        assert "it took over 0.2 s" in (last.error or "")


def test_an_upload_that_takes_too_long_is_ended(capture, fake, tmp_path):
    limits = ServiceLimits(upload_seconds=0.3)
    with running(tmp_path / "service", fake, limits) as url:
        reply = raw(url, "POST /captures HTTP/1.1\r\nContent-Length: 1000", b"x")
        assert b"408" in reply.splitlines()[0]
    assert not files(tmp_path / "service")


def test_old_jobs_are_forgotten(capture, fake, tmp_path):
    limits = ServiceLimits(max_jobs=2)
    with running(tmp_path / "service", fake, limits) as url, ServiceClient(url, token=TOKEN) as client:
        name = client.upload(capture)
        for seed in range(5):
            assert client.grasps(client.ask(name, points=capture / "points.json", options={"seed": seed}))
        end = time.monotonic() + 10
        while len(list((tmp_path / "service" / "requests").iterdir())) > 2 and time.monotonic() < end:
            time.sleep(0.02)
        assert len(list((tmp_path / "service" / "requests").iterdir())) == 2


def test_many_clients_at_once(url, capture):
    def one(number: int) -> str:
        with ServiceClient(url, token=TOKEN) as client:
            job = client.ask(
                name, points=capture / "points.json", options={"seed": 100 + number}, patience=60.0
            )
            return client.grasps(job)["capture"]

    with ServiceClient(url, token=TOKEN) as client:
        name = client.upload(capture)
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(one, range(36))) == [name] * 36


# ── the command ────────────────────────────────────────────────────────────────────────────────
def test_other_machines_need_a_token(fake, tmp_path, monkeypatch):
    monkeypatch.delenv("POINT2ACT_TOKEN", raising=False)
    service = Service(tmp_path / "service", fake)  # type: ignore[arg-type]
    with pytest.raises(FleetError, match="set a token in POINT2ACT_TOKEN"):
        serve(service, tmp_path / "service", host="0.0.0.0", port=0)
    service.close()


def test_a_service_that_is_not_there_is_one_sentence(capture):
    with ServiceClient("http://127.0.0.1:9") as client, pytest.raises(FleetError, match="does not answer"):
        client.upload(capture)
