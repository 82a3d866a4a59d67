"""The test server as a program: it says of every image of a capture what a points.json says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from point2act.core.errors import ModelError
from point2act.data.capture import read_capture, read_image
from point2act.data.crops import resize_image
from point2act.vlm.clients.client import PointingModel, Request
from point2act.vlm.clients.server import ServerClient, ServerConfig
from point2act.vlm.parsers import parse_reply

PROGRAM = Path(__file__).with_name("model_server.py")
MODEL = PointingModel("test", "test", "gemini", "{query}", "none", "Chosen.", key_variable="TEST_SERVER_KEY")


@contextmanager
def running(*arguments: object) -> Iterator[str]:
    """The address of a server in a process of its own."""
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def write_points(path: Path, names: list[str]) -> None:
    """Image k shows the mug at (5 + 6k, 20), and no teapot; one image does not exist yet."""
    answers = [
        {"image": name, "query": "mug", "points": [[5.0 + 6 * index, 20.0]], "visible": True}
        for index, name in enumerate([*names, "images/never.png"])
    ]
    queries = [{"name": "mug", "text": "the mug"}, {"name": "pot", "text": "the mug beside the teapot"}]
    path.write_text(json.dumps({"version": 1, "queries": queries, "answers": answers}))


def test_it_knows_the_images_of_a_capture_that_grows(small_capture: Path, tmp_path: Path):
    frames = read_capture(small_capture).frames
    points, log = tmp_path / "points.json", tmp_path / "log"
    write_points(points, [frame.name for frame in frames])
    transforms = small_capture / "transforms.json"
    whole = json.loads(transforms.read_text())
    transforms.write_text(json.dumps(whole | {"frames": whole["frames"][:1]}))
    options = ("--points", points, "--capture", small_capture, "--dialect", "gemini", "--log", log)
    with running(*options) as url:
        client = ServerClient(MODEL, url, served_as=None, config=ServerConfig(retries=0))
        for index, frame in enumerate(frames):
            transforms.write_text(json.dumps(whole | {"frames": whole["frames"][: index + 1]}))
            crop = resize_image(read_image(frame), max_side=50)
            for words, expected in (
                ("the mug", [[5.0 + 6 * index, 20.0]]),
                ("the mug beside the teapot", []),
            ):
                reply = client.ask(Request(f"Point at {words}.", (crop.image,)))
                found = np.array(parse_reply(reply.text, "gemini", image_size=crop.size)).reshape(-1, 2)
                np.testing.assert_allclose(crop.to_disk(found), np.array(expected).reshape(-1, 2), atol=0.05)
        with pytest.raises(ModelError, match="no query of points"):
            client.ask(Request("the fork", (crop.image,)))
        with pytest.raises(ModelError, match="not of the capture"):
            client.ask(Request("the mug", (255 - crop.image,)))
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(e["image"], e["query"]) for e in entries] == [
        (f.name, q) for f in frames for q in ("mug", "pot")
    ]
