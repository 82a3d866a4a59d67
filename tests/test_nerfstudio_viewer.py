"""Relevancy in nerfstudio's own viewer: the picture, its controls, and localizing the points again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.client import ClientConnection, connect

from point2act.core.errors import RunError
from point2act.core.types import Query
from point2act.visualization.drawing import relevancy_picture

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import nerfstudio_import  # noqa: F401 (before nerfstudio)
    from nerfstudio.plugins.types import MethodSpecification
    from test_plugin import first_eval_outputs, localize, make_pipeline, write_points

    from point2act.plugin.config import point2act_method
    from point2act.plugin.relevancy_view import RelevancyView, Sentence, overlay


def queries(*names: str) -> tuple[Query, ...]:
    return tuple(Query(name, f"the {name}") for name in names)


def view_of(*names: str) -> RelevancyView:
    view = RelevancyView(lambda: "localized")
    view.offer(queries(*names))
    return view


def redrawn(view: RelevancyView, outputs: dict[str, torch.Tensor], name: str) -> np.ndarray:
    """The overlay of one query from nerfstudio's other outputs, in plain numpy and in bytes."""
    shown = (outputs[f"relevancy_{name}"] * outputs["accumulation"])[..., 0].numpy()
    rgb = outputs["rgb"].numpy()
    report = relevancy_picture(np.round(255 * rgb).astype(np.uint8), shown) / 255
    return rgb + view.color_share.value * (report - rgb)


# ── the picture ────────────────────────────────────────────────────────────────────────────────
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 1.0]))
def test_the_picture_is_the_reports(seed: int, share: float):
    """The counterpart of visualization.drawing in bytes, which draws no scale on small pictures."""
    rng = np.random.default_rng(seed)
    rgb, relevancy = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8), rng.uniform(-0.2, 1.2, (20, 30))
    # Near a step of the colour map rounding decides.
    step = (0.15 + 0.85 * np.clip(relevancy, 0, 1)) * 256 % 1
    sure = np.minimum(step, 1 - step) > 1e-3
    rgb_in, relevancy_in = torch.tensor(rgb / 255).float(), torch.tensor(relevancy).float()
    drawn = overlay(rgb_in, relevancy_in, share, view_of().colors).numpy()
    expected = (1 - share) * rgb + share * relevancy_picture(rgb, relevancy)
    assert np.abs(255 * drawn - expected)[sure].max(initial=0) < 1.6  # the twin rounds twice


@given(st.integers(0, 2**32 - 1))
def test_the_picture_stays_a_picture(seed: int):
    rng = np.random.default_rng(seed)
    rgb, relevancy = torch.tensor(rng.random((5, 6, 3))), torch.tensor(rng.normal(0, 9, (5, 6)))
    colors = view_of().colors.double()
    torch.testing.assert_close(overlay(rgb, relevancy, 0.0, colors), rgb)
    full = overlay(rgb, relevancy, 1.0, colors)
    assert float(full.min()) >= 0
    assert float(full.max()) <= 1
    certain = relevancy >= 1
    torch.testing.assert_close(full[certain], colors[-1].expand(int(certain.sum()), 3))


def test_the_chosen_querys_relevancy_is_drawn(small_capture: Path):
    write_points(small_capture)
    pipeline = make_pipeline(small_capture)
    localize(pipeline.model)
    view = pipeline.model.relevancy_view
    seen = []
    for name in ("red box", "green"):
        view.chosen_query.value = f"the {name}"
        outputs = first_eval_outputs(pipeline)
        assert outputs["relevancy"].shape == (48, 64, 3)
        expected = redrawn(view, outputs, name)
        assert np.median(np.abs(outputs["relevancy"].numpy() - expected)) < 0.5 / 255
        assert np.abs(outputs["relevancy"].numpy() - expected).max() < 4 / 255
        seen.append(outputs["relevancy"])
    assert float((seen[0] - seen[1]).abs().max()) > 0.2
    view.color_share.value = 0.0
    outputs = first_eval_outputs(pipeline)
    torch.testing.assert_close(outputs["relevancy"], outputs["rgb"])


def test_nothing_is_drawn_in_training_or_without_queries(small_capture: Path):
    pipeline = make_pipeline(small_capture)
    assert "relevancy" not in first_eval_outputs(pipeline)
    write_points(small_capture)
    pipeline = make_pipeline(small_capture)
    outputs, _, _ = pipeline.get_train_loss_dict(0)
    assert set(outputs) == {"rgb", "depth", "accumulation"}


# ── the controls ───────────────────────────────────────────────────────────────────────────────
def test_a_choice_stays_while_its_query_does():
    view = view_of("a", "b")
    assert view.choice == 0
    view.chosen_query.value = "the b"
    view.offer((Query("new", "the new"), Query("b", "other words")))
    assert (view.choice, view.chosen_query.value) == (1, "other words")
    view.offer(queries("a", "new"))
    assert (view.choice, view.chosen_query.value) == (0, "the a")
    view.offer(())
    assert view.chosen_query.options == ["none yet"]


def test_an_unknown_choice_is_the_first():
    view = view_of("a", "b")
    view.chosen_query.value = "gone"
    assert view.choice == 0
    view.offer(queries("b", "a"))
    assert view.chosen_query.value == "the a"  # which was shown until now


def test_queries_with_the_same_text_are_distinguished():
    view = RelevancyView(lambda: "")
    view.offer((Query("left", "a mug"), Query("right", "a mug")))
    assert view.chosen_query.options == ["left", "right"]


def test_a_message_reaches_the_person_as_it_is():
    """Braces and angles would be code to the viewer's Markdown, underscores would be italics."""
    sentence = Sentence("Answer", "at first")
    sentence.gui_handle = handle = SimpleNamespace(content="")  # type: ignore[assignment]
    sentence.show("a_b {1} <c>")
    assert handle.content == r"a\_b \{1\} \<c\>"


def test_controls_are_no_part_of_a_checkpoint(small_capture: Path):
    write_points(small_capture)
    assert not [name for name in make_pipeline(small_capture).state_dict() if "view" in name]


# ── localizing again ──────────────────────────────────────────────────────────────────────────────
def press(model) -> str:
    """The button, as the viewer's thread presses it; what the person then reads."""
    button = model.relevancy_view.localize_button
    button.cb_hook(button)
    return model.relevancy_view.localize_report.text


def from_scratch(folder: Path, model) -> torch.Tensor:
    """What a training that starts with the points of today gives the same Gaussians."""
    other = make_pipeline(folder).model
    other.load_state_dict(model.state_dict())
    return other.relevancy


@pytest.mark.parametrize("test_mode", ["val", "test"])
def test_the_button_localizes_what_the_file_says_now(small_capture: Path, test_mode: str):
    write_points(small_capture)
    trained = make_pipeline(small_capture)
    localize(trained.model)
    pipeline = trained
    if test_mode == "test":
        pipeline = make_pipeline(small_capture, test_mode="test")
        pipeline.load_state_dict(trained.state_dict())
        assert pipeline.model.relevancy_view.chosen_query.options == ["the red box", "the green"]
    before = pipeline.model.relevancy.clone()
    write_points(small_capture, ("green", "red box", "blue"))  # names exchanged
    message = press(pipeline.model)
    assert message == "24 answers to 3 queries: green, red box, blue"
    torch.testing.assert_close(pipeline.model.relevancy, from_scratch(small_capture, pipeline.model))
    assert float((pipeline.model.relevancy[:, :2] - before).abs().max()) < 1e-5
    outputs = first_eval_outputs(pipeline)
    assert [name for name in outputs if name.startswith("relevancy")] == [
        *(f"relevancy_{name}" for name in ("green", "red box", "blue")),
        "relevancy",
    ]
    assert pipeline.model.relevancy_view.choice == 1  # "red box" was shown and still is
    if test_mode == "val":
        localize(pipeline.model)
        assert pipeline.model.relevancy.shape[1] == 3  # training goes on with the new ones


def test_points_may_come_after_the_training(small_capture: Path):
    pipeline = make_pipeline(small_capture)
    localize(pipeline.model)
    assert "points.json does not exist" in press(pipeline.model)
    write_points(small_capture)
    press(pipeline.model)
    assert "relevancy_green" in first_eval_outputs(pipeline)


def test_localizing_again_changes_nothing_where_nothing_changed(small_capture: Path):
    write_points(small_capture)
    trained = make_pipeline(small_capture)
    localize(trained.model)
    loaded = make_pipeline(small_capture, test_mode="test")
    loaded.load_state_dict(trained.state_dict())
    press(loaded.model)
    torch.testing.assert_close(loaded.model.relevancy, trained.model.relevancy)


def test_a_checkpoint_of_an_earlier_version_is_loaded(small_capture: Path):
    """It holds one more tensor, and is left as it is."""
    write_points(small_capture)
    trained = make_pipeline(small_capture)
    localize(trained.model)
    state = trained.state_dict()
    state["_model.evidence"] = torch.ones_like(trained.model.relevancy)
    names = set(state)
    loaded = make_pipeline(small_capture, test_mode="test")
    loaded.load_state_dict(state)
    torch.testing.assert_close(loaded.model.relevancy, trained.model.relevancy)
    assert set(state) == names


def test_a_run_is_localized_where_it_was_trained_though_images_have_come(small_capture: Path):
    """nerfstudio centres the cameras it finds: with some more, elsewhere."""
    write_points(small_capture)
    path = small_capture / "transforms.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps(whole | {"frames": whole["frames"][:6]}))
    points = json.loads((small_capture / "points.json").read_text())
    few = [answer for answer in points["answers"] if answer["image"] < "images/0006"]
    (small_capture / "points.json").write_text(json.dumps(points | {"answers": few}))
    trained = make_pipeline(small_capture)
    localize(trained.model)
    path.write_text(json.dumps(whole))
    loaded = make_pipeline(small_capture, test_mode="test")
    loaded.load_state_dict(trained.state_dict())
    press(loaded.model)
    # The new views see more of the surface, which moves a few Gaussians to other parts.
    changed = (loaded.model.relevancy - trained.model.relevancy).abs()
    assert float((changed > 1e-3).float().mean()) < 0.03


def spoil(folder: Path, how: str) -> str:
    """Break points.json; the message that is expected."""
    path = folder / "points.json"
    if how == "truncated":
        path.write_text(path.read_text()[:100])
        return "is not valid JSON"
    if how == "gone":
        path.unlink()
        return "does not exist"
    document = json.loads(path.read_text())
    document["answers"][0]["image"] = "images/other.png"
    path.write_text(json.dumps(document))
    return "no image 'images/other.png'"


@pytest.mark.parametrize("how", ["truncated", "gone", "another image"])
def test_broken_points_are_reported_and_change_nothing(small_capture: Path, how: str, capsys):
    write_points(small_capture)
    pipeline = make_pipeline(small_capture)
    localize(pipeline.model)
    before = first_eval_outputs(pipeline)
    expected = spoil(small_capture, how)
    message = press(pipeline.model)
    assert message.startswith("Nothing has changed. ")
    assert expected in message
    assert expected in " ".join(capsys.readouterr().out.split())
    for name, image in first_eval_outputs(pipeline).items():
        torch.testing.assert_close(image, before[name])


def test_any_other_failure_is_reported_too(small_capture: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise MemoryError("too much")

    write_points(small_capture)
    pipeline = make_pipeline(small_capture)
    monkeypatch.setattr("point2act.pipeline.session.project_view", fail)
    assert "MemoryError" in press(pipeline.model)


def test_a_checkpoint_waits_while_relevancies_are_exchanged(small_capture: Path):
    """Training saves while a person may press the button."""
    model = make_pipeline(small_capture).model
    saving = threading.Thread(target=model.state_dict)
    with model._exchanging:
        saving.start()
        saving.join(0.2)
        assert saving.is_alive()
    saving.join()


def test_where_no_images_are_loaded_the_button_says_so(small_capture: Path):
    model = make_pipeline(small_capture, test_mode="inference").model
    with pytest.raises(RunError, match="open the run with ns-viewer"):
        model.localize_again()
    assert "No images are loaded" in press(model)


# ── a real viewer ──────────────────────────────────────────────────────────────────────────────
class Browser:
    """Speaks to viser's server as its page does: elements by id, as the server last sent them."""

    def __init__(self, socket: ClientConnection):
        self._socket = socket
        self.elements: dict[str, dict[str, Any]] = {}
        self.pictures = 0

    def send(self, kind: str, **fields: object) -> None:
        self._socket.send(msgspec.msgpack.encode(fields | {"type": kind}))

    def labelled(self, label: str) -> dict[str, Any]:
        """The only element with this label, or nothing yet."""
        return next((e for e in self.elements.values() if e.get("label") == label), {})

    def set(self, label: str, value: object) -> None:
        self.send("GuiUpdateMessage", id=self.labelled(label)["id"], updates={"value": value})

    def wait(self, ready: Callable[[], bool], seconds: float = 30.0) -> None:
        """Listen until something is so."""
        end = time.monotonic() + seconds
        while not ready():
            received = self._socket.recv(timeout=end - time.monotonic(), decode=False)
            for message in msgspec.msgpack.decode(received):
                self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"].startswith("GuiAdd"):
            self.elements[message["id"]] = message
        elif message["type"] == "GuiUpdateMessage":
            self.elements.setdefault(message["id"], {}).update(message["updates"])
        self.pictures += message["type"] == "BackgroundImageMessage"

    def reads(self, text: str) -> bool:
        """Whether some text of the page holds these words; the Markdown's escapes aside."""
        return any(text in str(e.get("markdown", "")).replace("\\", "") for e in self.elements.values())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def opened_viewer(config: Path, log: Path) -> Iterator[Browser]:
    """``ns-viewer`` in a process of its own, and a page that is open on it."""
    port = free_port()
    options = ("--viewer.websocket-host", "127.0.0.1", "--viewer.websocket-port", str(port))
    command = [str(Path(sys.executable).parent / "ns-viewer"), "--load-config", str(config), *options]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    with (
        log.open("w") as out,
        subprocess.Popen(command, stdout=out, stderr=out, cwd=log.parent, env=environment) as server,
    ):
        try:
            await_server(server, port, log)
            with connect(f"ws://127.0.0.1:{port}", max_size=None) as connection:
                yield Browser(connection)
        finally:
            server.terminate()


def await_server(server: subprocess.Popen, port: int, log: Path) -> None:
    end = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text()[-3000:])


def saved_run(capture: Path, folder: Path) -> Path:
    """The config.yml of a run as ns-train leaves it, of Gaussians just placed."""
    assert isinstance(point2act_method, MethodSpecification)
    config: Any = deepcopy(point2act_method.config)
    config.output_dir, config.experiment_name, config.timestamp = folder / "out", "capture", "run"
    config.pipeline.datamanager.data = capture
    config.save_config()
    pipeline = make_pipeline(capture)
    localize(pipeline.model)
    config.get_checkpoint_dir().mkdir()
    state = {"step": 0, "pipeline": pipeline.state_dict()}
    torch.save(state, config.get_checkpoint_dir() / "step-000000000.ckpt")
    return config.get_base_dir() / "config.yml"


@pytest.mark.slow
def test_a_viewer_shows_relevancy_and_localizes_again(small_capture: Path, tmp_path: Path):
    write_points(small_capture)
    with opened_viewer(saved_run(small_capture, tmp_path), tmp_path / "viewer.log") as page:
        page.wait(lambda: bool(page.labelled("Localize the points again")))
        assert page.labelled("Query")["options"] == ["the red box", "the green"]
        pose = {"wxyz": (0.0, 1.0, 0.0, 0.0), "position": (0.0, 0.0, 9.0), "fov": 0.8, "aspect": 1.3}
        page.send("ViewerCameraMessage", **pose, look_at=(0.0, 0.0, 0.0), up_direction=(0.0, 1.0, 0.0))
        page.wait(lambda: "relevancy" in page.labelled("Output type")["options"])
        assert "relevancy_green" in page.labelled("Output type")["options"]
        before = page.pictures
        page.set("Output type", "relevancy")
        page.wait(lambda: page.pictures > before)
        write_points(small_capture, ("green", "blue"))
        page.set("Localize the points again", True)
        page.wait(lambda: page.reads("16 answers to 2 queries: green, blue"))
        page.wait(lambda: "relevancy_blue" in page.labelled("Output type")["options"])
        assert page.labelled("Query")["options"] == ["the green", "the blue"]
        (small_capture / "points.json").unlink()
        page.set("Localize the points again", True)
        page.wait(lambda: page.reads("points.json does not exist"))
    assert "Traceback" not in (tmp_path / "viewer.log").read_text()
