"""``point2act teach train``: tiny models of real architectures, trained by TRL, loaded and asked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from PIL import Image
from safetensors.torch import load_file, save_file

from point2act.cli.main import main
from point2act.core.errors import ModelError, TeachingError
from point2act.teaching.data_set import write_examples
from point2act.teaching.documents import Example
from point2act.teaching.training import TrainConfig, Trained, train_model
from point2act.vlm.clients.client import PointingModel, Request
from point2act.vlm.clients.factory import ClientConfig, open_model
from point2act.vlm.clients.local import LocalClient, LocalConfig
from point2act.vlm.clients.models import load_model
from point2act.vlm.clients.server import ServerClient

needs_trl = pytest.mark.skipif(
    find_spec("trl") is None or find_spec("peft") is None,
    reason="the extra 'teach' is not installed: pip install 'point2act[teach]'",
)
QUESTION = Request("Point to the box.", (np.zeros((56, 84, 3), np.uint8),))
CONFIG = TrainConfig(rank=4, learning_rate=1e-2, epochs=4, batch=4, at_once=4, device="cpu")


def make_data(folder: Path, *, held_out: int = 4) -> Path:
    """Twelve pictures of a white box on black, four of another scene."""
    (folder / "images").mkdir(parents=True)
    rng, examples = np.random.default_rng(0), []
    for number in range(12):
        x, y = rng.integers(10, 46, 2)
        image = np.zeros((56, 84, 3), np.uint8)
        image[y - 6 : y + 6, x - 6 : x + 6] = 255
        name = f"images/{number:016x}.jpg"
        Image.fromarray(image).save(folder / name)
        content = {
            "id": str(number),
            "scene": "desk" if number >= held_out else "shelf",
            "split": "train" if number >= held_out else "held_out",
            "kind": "point",
            "image": name,
            "width": 84,
            "height": 56,
            "question": "the box",
            "points": [(float(x), float(y))],
            "weight": 0.9,
            "camera": {"fx": 100.0, "fy": 100.0, "cx": 42.0, "cy": 28.0},
            "T_world_cam": np.eye(4).tolist(),
        }
        examples.append(Example.model_validate(content))
    write_examples(folder, examples)
    return folder


def tiny(base: Path, dialect: str = "qwen3_vl", **changes: object) -> PointingModel:
    words = ("Point to {query}.", "1 MB", "made here")
    return PointingModel("tiny", str(base), dialect, *words, max_tokens=16, **changes)


def answer(model: PointingModel) -> str:
    return LocalClient(model, config=LocalConfig(device="cpu", dtype="float32")).ask(QUESTION).text


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("teach") / "data")


@pytest.fixture(scope="module")
def taught(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[PointingModel, Path, Trained]:
    """A model, the folder of its adapter, and what came of the training."""
    folder = tmp_path_factory.mktemp("taught")
    base = tiny(tiny_models.save_qwen3_vl(folder / "base"))
    return base, folder / "out", train_model(data, base, folder / "out", config=CONFIG)


# ── training ──────────────────────────────────────────────────────────────────────────────────
@needs_trl
def test_the_loss_falls_and_the_adapter_answers(taught: tuple[PointingModel, Path, Trained]):
    base, output, found = taught
    assert found.steps == 8
    assert found.last_loss < found.first_loss - 0.3
    assert len(found.held_out_losses) == 5
    assert found.held_out_losses[-1] < found.held_out_losses[0] - 0.3
    again = load_model(output / "model.toml")
    assert (again.name, again.adapter, again.prompt) == ("tiny_taught", output / "adapter", base.prompt)
    assert answer(again) != answer(base)
    assert answer(again) == answer(again)
    assert not (output / "checkpoints").exists()
    card = (output / "adapter/README.md").read_text()
    assert "8 steps of 4 examples" in card
    assert f"{found.held_out_losses[-1]:.3f}" in card
    assert json.loads((output / "training.json").read_text())["parameters"] == found.parameters


@needs_trl
def test_replies_with_and_without_the_adapter_are_not_mixed_up(taught: tuple[PointingModel, Path, Trained]):
    base, output, _ = taught
    model = load_model(output / "model.toml")
    known = [LocalClient(each).identity for each in (base, model)]
    assert known[0] != known[1]
    assert known[0] == {key: value for key, value in known[1].items() if key != "adapter"}


@needs_trl
def test_a_finished_training_is_not_overwritten(data: Path, taught: tuple[PointingModel, Path, Trained]):
    base, output, _ = taught
    with pytest.raises(TeachingError, match="has a trained adapter"):
        train_model(data, base, output, config=CONFIG)


@pytest.mark.full
@needs_trl
@pytest.mark.parametrize("save", [tiny_models.save_qwen2_5_vl, tiny_models.save_qwen2_vl])
def test_other_architectures(data: Path, tmp_path: Path, save: Callable[[Path], Path]):
    base = tiny(save(tmp_path / "base"))
    found = train_model(data, base, tmp_path / "out", config=CONFIG)
    assert found.held_out_losses[-1] < found.held_out_losses[0] - 0.3
    assert answer(load_model(tmp_path / "out/model.toml")) != answer(base)


@pytest.mark.full
@needs_trl
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    data: Path, taught: tuple[PointingModel, Path, Trained], tmp_path: Path
):
    """It goes on from the last pass, and gives the same weights."""
    base, output, _ = taught

    def interrupt(done: int, _: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_model(data, base, tmp_path / "out", config=CONFIG, progress=interrupt)
    assert not (tmp_path / "out/adapter").exists()
    steps = []
    train_model(data, base, tmp_path / "out", config=CONFIG, progress=lambda done, _: steps.append(done))
    assert steps == [5, 6, 7, 8]
    name = "adapter/adapter_model.safetensors"
    assert (tmp_path / "out" / name).read_bytes() == (output / name).read_bytes()


@pytest.mark.full
@needs_trl
def test_a_taught_model_is_taught_again(
    data: Path, taught: tuple[PointingModel, Path, Trained], tmp_path: Path
):
    first = load_model(taught[1] / "model.toml")
    found = train_model(data, first, tmp_path / "out", config=CONFIG)
    assert found.held_out_losses[0] == pytest.approx(taught[2].held_out_losses[-1], abs=0.01)
    assert found.held_out_losses[-1] < found.held_out_losses[0]
    assert load_model(tmp_path / "out/model.toml").name == "tiny_taught"


@pytest.mark.full
@needs_trl
def test_what_does_not_improve_the_held_out_answers_is_not_kept(
    data: Path, taught: tuple[PointingModel, Path, Trained], tmp_path: Path
):
    steps = []
    with pytest.raises(TeachingError, match="got no better"):
        train_model(
            data,
            load_model(taught[1] / "model.toml"),
            tmp_path / "out",
            config=replace(CONFIG, learning_rate=1e-12, epochs=8),
            progress=lambda done, _: steps.append(done),
        )
    assert steps == [1, 2, 3, 4], "the second pass is no better than the first"
    assert not (tmp_path / "out/adapter").exists()


@pytest.mark.full
@needs_trl
def test_the_image_encoder_is_adapted_on_request(
    data: Path, taught: tuple[PointingModel, Path, Trained], tmp_path: Path
):
    base, output, _ = taught
    train_model(data, base, tmp_path / "out", config=replace(CONFIG, vision=True, max_steps=2))
    assert not any("visual" in name for name in adapter_weights(output))
    assert any("visual" in name for name in adapter_weights(tmp_path / "out"))


def adapter_weights(output: Path) -> set[str]:
    return set(load_file(output / "adapter/adapter_model.safetensors"))


@pytest.mark.full
@needs_trl
def test_the_command_as_a_person_runs_it(data: Path, tmp_path: Path):
    base = tiny_models.save_qwen3_vl(tmp_path / "base")
    keys = {"name": "tiny", "model": str(base), "dialect": "qwen3_vl", "prompt": "Point to {query}."}
    lines = [f'{key} = "{value}"' for key, value in (keys | {"memory": "1 MB", "source": "here"}).items()]
    (tmp_path / "tiny.toml").write_text("\n".join(lines))
    words = ["train", str(data), "--model", str(tmp_path / "tiny.toml"), "--output", str(tmp_path / "out")]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "point2act.cli",
            "teach",
            *words,
            "--batch",
            "4",
            "--learning-rate",
            "0.01",
            "--device",
            "cpu",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "held-out examples: loss" in done.stdout
    assert load_model(tmp_path / "out/model.toml").adapter == tmp_path / "out/adapter"


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────
def test_without_the_extra_it_says_what_to_install(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TeachingError, match=r"needs trl and peft: pip install 'point2act\[teach\]'"):
        train_model(data, tiny(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@needs_trl
@pytest.mark.parametrize(
    ("left", "says"),
    [("note.txt", "already exists"), ("settings.json", "started with other data, model or options")],
)
def test_what_is_in_the_folder_is_not_overwritten(data: Path, tmp_path: Path, left: str, says: str):
    (tmp_path / left).write_text("{}")
    with pytest.raises(TeachingError, match=says):
        train_model(data, tiny(tmp_path / "base"), tmp_path, config=CONFIG)
    assert (tmp_path / left).read_text() == "{}"


@needs_trl
def test_held_out_examples_alone_teach_nothing(tmp_path: Path):
    folder = make_data(tmp_path / "data", held_out=12)
    with pytest.raises(TeachingError, match="has held-out examples only"):
        train_model(folder, tiny(tmp_path), tmp_path / "out")


@needs_trl
def test_a_dialect_that_cannot_be_written_is_refused(data: Path, tmp_path: Path):
    with pytest.raises(TeachingError, match="answers cannot be written in 'auto'"):
        train_model(data, tiny(tmp_path, "auto"), tmp_path / "out")


@needs_trl
def test_a_model_that_is_not_there(data: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="cannot be read or downloaded"):
        train_model(data, tiny(tmp_path / "none"), tmp_path / "out", config=CONFIG)
    assert not (tmp_path / "out/adapter").exists()


@pytest.mark.parametrize(
    "words", [["--rank", "0"], ["--epochs", "-1"], ["--learning-rate", "nan"], ["--max-steps", "0"]]
)
def test_options_out_of_range_are_refused(tmp_path: Path, words: list[str], capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["teach", "train", str(tmp_path), "--model", "qwen3_vl_2b", "--output", "out", *words])
    assert stopped.value.code == 2
    assert f"{words[0]} {words[1]}: give a" in capsys.readouterr().err


# ── adapters ──────────────────────────────────────────────────────────────────────────────────
def test_a_folder_without_an_adapter_is_refused(tmp_path: Path):
    with pytest.raises(ModelError, match=r"has no adapter_config\.json"):
        LocalClient(tiny(tmp_path, adapter=tmp_path))


@needs_trl
@pytest.mark.parametrize("damage", ["other model", "truncated", "no weights", "nonsense"])
def test_a_broken_adapter_is_one_sentence(
    taught: tuple[PointingModel, Path, Trained], tmp_path: Path, damage: str
):
    base, output, _ = taught
    adapter = shutil.copytree(output / "adapter", tmp_path / "adapter")
    weights = adapter / "adapter_model.safetensors"
    if damage == "other model":
        other = {name: value[:, :-1].clone() for name, value in load_file(weights).items()}
        save_file(other, weights, metadata={"format": "pt"})
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "no weights":
        weights.unlink()
    else:
        (adapter / "adapter_config.json").write_text("[1, 2]")
    with pytest.raises(ModelError, match=r"the adapter .* cannot be loaded \(.+\): train it again"):
        answer(tiny(Path(base.model), adapter=adapter))


def test_a_server_does_not_answer_without_the_adapter(tmp_path: Path):
    path = tmp_path / "own.toml"
    keys = {"name": "own", "model": "a/b", "dialect": "qwen3_vl", "prompt": "{query}", "memory": "1 MB"}
    lines = [f'{key} = "{value}"' for key, value in (keys | {"source": "x", "adapter": "there"}).items()]
    path.write_text("\n".join(lines))
    assert load_model(path).adapter == tmp_path / "there"
    config = {"model": str(path), "server": "http://localhost:1/v1", "remember": False}
    with pytest.raises(ModelError, match="without the adapter of own"):
        open_model(ClientConfig(**config))
    assert isinstance(open_model(ClientConfig(**config, served_as="taught")).client, ServerClient)
