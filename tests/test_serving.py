"""The page's server gives nothing but the page, and only to pages of its own."""

from __future__ import annotations

import re
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from point2act.core.errors import Point2ActError
from point2act.visualization.viewer.request_filter import filtered, own_names, refusal

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import viser
    from viser.infra._async_message_buffer import AsyncMessageBuffer
    from viser.infra._messages import Message
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import ClientConnection, connect

    from point2act.visualization.viewer.serving import ViewerConfig, serve

NAMES = own_names(("robot.lab",))
FILE = Path(__file__).resolve()


# ── who is turned away ─────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "host", ["localhost:8080", "127.0.0.1:1", "[::1]:80", "192.168.1.7", "Robot.Lab:8080"]
)
def test_own_names_and_addresses_are_served(host: str):
    assert refusal("/", host, None, NAMES) is None
    assert refusal("/assets/a.js?b=..", host, f"http://{host}", NAMES) is None


@pytest.mark.parametrize(
    "host", [None, "", "evil.example", "localhost.evil.example", "[", "127.0.0.1.nip.io:8080"]
)
def test_other_names_are_not(host: str | None):
    found = refusal("/", host, None, NAMES)
    assert found is not None
    assert found[0] == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:8081", "file://"])
def test_pages_from_elsewhere_are_not(origin: str):
    found = refusal("/", "localhost:8080", origin, NAMES)
    assert found is not None
    assert found[0] == 403


@given(st.lists(st.sampled_from(["..", "%2e%2e", ".", "a", "%2f", "", "..\\", "%5c.."]), max_size=8))
def test_no_path_leads_out(steps: list[str]):
    """What is let through stays under the root however it is read."""
    path = "/" + "/".join(steps)
    if refusal(path, "localhost", None, NAMES) is None:
        for read in (
            path,
            path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace("\\", "/"),
        ):
            assert (Path("/root") / read.lstrip("/")).resolve().is_relative_to("/root")


# ── a real server ──────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def server() -> Iterator[viser.ViserServer]:
    server = serve(ViewerConfig(port=8700, pages=2))
    yield server
    server.stop()


def fetched(server: viser.ViserServer, path: str, host: str = "localhost") -> bytes:
    """What comes back for a path, sent as it is."""
    with socket.create_connection(("127.0.0.1", server.get_port()), timeout=20) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while more := line.recv(65536):
            answer += more
    return answer


def test_the_page_comes(server: viser.ViserServer):
    answer = fetched(server, "/")
    assert b" 200 " in answer.split(b"\r\n")[0]
    assert b"<html" in answer.lower()


@pytest.mark.parametrize("up", ["/..", "/%2e%2e", "/a/..", "/../..", "/..\\.."])
def test_no_file_of_the_machine_comes(server: viser.ViserServer, up: str):
    answer = fetched(server, up + 12 * "/.." + str(FILE))
    assert b" 404 " in answer.split(b"\r\n")[0]
    assert b"The page's server" not in answer


def test_files_that_never_change_are_kept_by_the_browser(server: viser.ViserServer):
    """The page starts a worker script whenever the Gaussians change: it must not need the server for that."""
    page = fetched(server, "/").decode()
    (script,) = re.findall(r'"\.?(/assets/[^"]*\.js)"', page)
    assert b"immutable" in fetched(server, script).split(b"\r\n\r\n")[0]
    assert "immutable" not in page.split("\r\n\r\n")[0]


def test_another_name_gets_nothing(server: viser.ViserServer):
    answer = fetched(server, "/", host="evil.example")
    assert b" 403 " in answer.split(b"\r\n")[0]
    assert b"--names evil.example" in answer
    assert b"<html" not in answer.lower()


def test_only_its_own_pages_may_speak_and_only_so_many(server: viser.ViserServer):
    url = f"ws://localhost:{server.get_port()}"
    with pytest.raises(InvalidStatus):
        connect(url, origin="http://evil.example")  # type: ignore[arg-type]
    origin = f"http://localhost:{server.get_port()}"
    version = getattr(viser, "__version__", None)  # 1.x serves pages of its own version alone
    subprotocols = None if version is None else [f"viser-v{version}"]
    options = {"origin": origin, "subprotocols": subprotocols, "proxy": None}
    with connect(url, **options) as one, connect(url, **options):  # type: ignore[arg-type]
        assert one.recv(timeout=20)
        with pytest.raises(InvalidStatus) as full:
            connect(url, **options)  # type: ignore[arg-type]
        assert full.value.response.status_code == 503
        assert _ends(one, b"0" * (51 * 2**20))


def _ends(line: ClientConnection, message: bytes) -> bool:
    """Whether a message ends the connection."""
    try:
        line.send(message)
        while True:
            line.recv(timeout=20)
    except ConnectionClosed:
        return True
    except TimeoutError:
        return False


def test_what_is_sent_arrives_in_that_order(server: viser.ViserServer, monkeypatch: pytest.MonkeyPatch):
    """Also what one thread sends while another is in ``atomic()``: left to later, it would win for good."""
    sent: list[str] = []
    push = AsyncMessageBuffer.push

    def record(buffer: AsyncMessageBuffer, message: Message) -> None:
        sent.extend(re.findall(r"\w+ of \d+", str(message)))
        push(buffer, message)

    monkeypatch.setattr(AsyncMessageBuffer, "push", record)
    words = server.gui.add_markdown("")

    def say(text: str) -> None:
        words.content = text

    texts = [f"{word} of {number}" for number in range(50) for word in ("planning", "ready")]
    for planning, ready in zip(texts[::2], texts[1::2], strict=True):
        with server.atomic():
            thinking = threading.Thread(target=say, args=(planning,))
            thinking.start()
            thinking.join()
        say(ready)
    end = time.monotonic() + 20
    while len(sent) < len(texts) and time.monotonic() < end:
        time.sleep(0.01)
    assert sent == texts


def test_a_server_that_is_not_known_is_not_used():
    with pytest.raises(Point2ActError, match="viser"), filtered(NAMES, 1):
        pass


def test_other_servers_are_started_as_before():
    modules = [import_module(f"websockets.{name}server") for name in ("", "asyncio.")]
    before = [module.serve for module in modules]
    serve(ViewerConfig(port=8710)).stop()
    assert [module.serve for module in modules] == before
