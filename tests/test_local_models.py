"""Models through transformers: tiny ones of the real architectures, saved and loaded as downloads are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from reply_formats import format_reply, resolution

from point2act.core.errors import ModelError
from point2act.vlm.clients.client import PointingModel, Request
from point2act.vlm.clients.local import LocalClient, LocalConfig
from point2act.vlm.parsers import parse_reply, qwen_input_size

FAMILIES: dict[str, Callable[[Path], Path]] = {
    "qwen2_vl": tiny_models.save_qwen2_vl,
    "qwen2_5_vl": tiny_models.save_qwen2_5_vl,
    "qwen3_vl": tiny_models.save_qwen3_vl,
    "molmo2": tiny_models.save_molmo2,
}
SIZES = [(333, 517), (97, 1201), (20, 20), (480, 640)]
"""Heights and widths: odd, thin, tiny, usual."""


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: save(tmp_path_factory.mktemp(name)) for name, save in FAMILIES.items()}


@pytest.fixture(scope="session")
def clients(folders: dict[str, Path]) -> dict[str, LocalClient]:
    return {name: client(name, folder) for name, folder in folders.items()}


def pointing_model(dialect: str, **changes: Any) -> PointingModel:
    values = {
        "name": "tiny",
        "model": f"no-one/tiny-{dialect}",
        "dialect": dialect,
        "prompt": "Point to {query}.",
        "memory": "1 MB",
        "source": "made here",
        "max_tokens": 12,
    }
    return PointingModel(**{**values, **changes})


def client(dialect: str, folder: Path | None, **changes: Any) -> LocalClient:
    return LocalClient(
        pointing_model(dialect, **changes),
        config=LocalConfig(device="cpu", dtype="float32", path=folder),
    )


def noise(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_they_are_tiny(folders: dict[str, Path]):
    for folder in folders.values():
        assert (folder / "model.safetensors").stat().st_size < 4_000_000  # bytes: a million float32


# ── from a question to a reply ─────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_question_has_a_reply_always_the_same(
    clients: dict[str, LocalClient], name: str, size: tuple[int, int]
):
    request = Request("Point to the mug.", (noise(size),))
    first, again = clients[name].ask(request), clients[name].ask(request)
    assert first.text
    assert first.text == again.text
    assert first.seconds > 0
    assert first.tokens[0] > 20
    assert 1 <= first.tokens[1] <= 12


@pytest.mark.parametrize("name", FAMILIES)
def test_the_images_and_the_words_matter(clients: dict[str, LocalClient], name: str):
    def ask(words: str, *seeds: int) -> str:
        return clients[name].ask(Request(words, tuple(noise((60, 80), seed) for seed in seeds))).text

    texts = [ask("the mug", 0), ask("the pan", 0), ask("the mug", 1), ask("the mug", 0, 1), ask("the mug")]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_images_come_before_the_words(
    clients: dict[str, LocalClient], monkeypatch: pytest.MonkeyPatch, name: str
):
    weights = clients[name]._load()
    asked = []

    def listen(**inputs: Any) -> torch.Tensor:
        asked.append(weights.processor.tokenizer.decode(inputs["input_ids"][0]))
        return inputs["input_ids"]

    monkeypatch.setattr(weights.network, "generate", listen)
    reply = clients[name].ask(Request("Point to the <mug>.", (noise((60, 80)), noise((40, 40)))))
    assert (reply.text, reply.tokens[1]) == ("", 0)
    image = "<im_patch>" if name == "molmo2" else "<|image_pad|>"
    assert asked[0].rindex(image) < asked[0].index("Point to the <mug>.<|im_end|>")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_loaded_again_says_the_same(
    clients: dict[str, LocalClient], folders: dict[str, Path], name: str
):
    """Although its publisher's settings are to sample."""
    assert json.loads((folders[name] / "generation_config.json").read_text())["do_sample"] is True
    request = Request("Point to the mug.", (noise((60, 80)),))
    assert client(name, folders[name]).ask(request).text == clients[name].ask(request).text


def test_the_usual_precision_works(folders: dict[str, Path]):
    usual = LocalClient(pointing_model("qwen2_5_vl"), config=LocalConfig(path=folders["qwen2_5_vl"]))
    assert usual.ask(Request("Point to the mug.", (noise((60, 80)),))).text


def test_threads_take_turns(clients: dict[str, LocalClient]):
    requests = [Request(f"Point to thing {k}.", (noise((40, 40), k),)) for k in range(6)]
    alone = [clients["qwen3_vl"].ask(request).text for request in requests]
    with ThreadPoolExecutor(6) as pool:
        together = [reply.text for reply in pool.map(clients["qwen3_vl"].ask, requests)]
    assert together == alone
    assert clients["qwen3_vl"].concurrency == 1


# ── where points are ───────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("qwen2_vl", {"factor": 28, "min_pixels": 56 * 56, "max_pixels": 28 * 28 * 1280}),
        ("qwen2_5_vl", {"factor": 28, "min_pixels": 3136, "max_pixels": 12845056}),
        ("qwen3_vl", {"factor": 32, "min_pixels": 65536, "max_pixels": 16777216}),
        ("molmo2", None),
    ],
)
def test_sizes_are_those_that_the_processor_made(
    clients: dict[str, LocalClient], name: str, rule: dict[str, int] | None, size: tuple[int, int]
):
    reply = clients[name].ask(Request("Point to the mug.", (noise(size), noise((100, 60)))))
    expected = () if rule is None else (qwen_input_size(size, **rule), qwen_input_size((100, 60), **rule))
    assert reply.input_sizes == expected


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FAMILIES)
def test_what_the_network_sees_is_found_in_the_image(
    clients: dict[str, LocalClient], monkeypatch: pytest.MonkeyPatch, name: str, size: tuple[int, int]
):
    """A network that really points: it finds the bright spot in what the processor shows it.

    It answers in its family's units, from its own resized view, and knows nothing of the image. The reply has
    to come back to where the spot is.
    """
    weights = clients[name]._load()
    true = np.array([0.62 * size[1], 0.41 * size[0]])

    def point(**inputs: Any) -> torch.Tensor:
        (across, down), view = spot_in_view(name, inputs)
        at = (across, down) if name == "qwen2_5_vl" else (across / view[1] * 1000, down / view[0] * 1000)
        x, y = (round(value) for value in at)
        text = {
            "qwen2_vl": f"<|box_start|>({x - 9},{y - 9}),({x + 9},{y + 9})<|box_end|>",
            "molmo2": f'<points coords="1 1 {x} {y}">spot</points>',
        }.get(name, f'[{{"point_2d": [{x}, {y}], "label": "spot"}}]')
        written = weights.processor.tokenizer(text + "<|im_end|>", return_tensors="pt").input_ids
        return torch.cat([inputs["input_ids"], written], dim=1)

    monkeypatch.setattr(weights.network, "generate", point)
    reply = clients[name].ask(Request("Point to the bright spot.", (bright_spot(size, true),)))
    seen = reply.input_sizes[0] if reply.input_sizes else None
    (found,) = parse_reply(reply.text, name, image_size=size, input_size=seen)
    # Half a unit of the dialect, and what resampling moves a spot by: a pixel of the coarser side.
    unit = np.array(size[::-1]) / (seen[::-1] if name == "qwen2_5_vl" and seen else 1000)
    blur = np.maximum(1, np.array(size[::-1]) / (seen or (378, 378))[::-1])
    assert (np.abs(np.array(found) - true) <= 0.5 * unit + blur).all()


def bright_spot(size: tuple[int, int], at: np.ndarray) -> np.ndarray:
    """A black image with a soft spot about a pixel (x, y), a twentieth of the image wide."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    far = ((x - at[0]) / (0.05 * size[1])) ** 2 + ((y - at[1]) / (0.05 * size[0])) ** 2
    return np.repeat(np.round(255 * np.exp(-far / 2)).astype(np.uint8)[..., None], 3, axis=2)


def spot_in_view(name: str, inputs: dict[str, Any]) -> tuple[np.ndarray, tuple[int, int]]:
    """Where (x, y) the light is in the patches that a network is given, and the view's height and width."""
    if (
        name == "molmo2"
    ):  # the first crop is the whole image; 27 by 27 patches of 14 by 14 pixels, colour last
        patches = inputs["pixel_values"][0].reshape(27, 27, 14, 14, 3).mean(-1)
        view = patches.permute(0, 2, 1, 3).reshape(378, 378)
    else:  # patches in groups of two by two; in each: colour, two frames, rows, columns
        _, rows, columns = inputs["image_grid_thw"][0].tolist()
        side = 16 if name == "qwen3_vl" else 14
        patches = inputs["pixel_values"].reshape(rows // 2, columns // 2, 2, 2, 3, 2, side, side).mean((4, 5))
        view = patches.permute(0, 2, 4, 1, 3, 5).reshape(rows * side, columns * side)
    light = (view - view.min()).double().numpy()
    light[light < 0.02 * light.max()] = 0
    y, x = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5
    return np.array([(light * x).sum(), (light * y).sum()]) / light.sum(), light.shape


@pytest.mark.parametrize("size", SIZES[:2])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_known_reply_comes_through_word_for_word(
    clients: dict[str, LocalClient], monkeypatch: pytest.MonkeyPatch, name: str, size: tuple[int, int]
):
    """generate itself writes it, a token at a time, with no choice left; special tokens are not lost."""
    model = client(name, None, max_tokens=200)
    model._weights = weights = clients[name]._load()
    points = [(0.31 * size[1], 0.77 * size[0]), (0.9 * size[1], 0.2 * size[0])]
    rule = {"min_pixels": 3136, "max_pixels": 12845056}
    seen = qwen_input_size(size, **rule) if name == "qwen2_5_vl" else None
    text = format_reply(points, name, size, seen)
    tokens = weights.processor.tokenizer(text + "<|im_end|>").input_ids
    asked = [0]

    def allowed(_: int, so_far: torch.Tensor) -> list[int]:
        asked[0] = asked[0] or len(so_far)
        return [tokens[len(so_far) - asked[0]]]

    generate = weights.network.generate
    monkeypatch.setattr(
        weights.network, "generate", lambda **inputs: generate(**inputs, prefix_allowed_tokens_fn=allowed)
    )
    reply = model.ask(Request("Point to the mugs.", (noise(size),)))
    assert reply.text == text
    assert reply.tokens == (asked[0], len(tokens))
    found = parse_reply(reply.text, name, image_size=size, input_size=seen and reply.input_sizes[0])
    step = np.array(resolution(name, size, seen))
    assert (np.abs(np.array(found) - points) <= 0.5 * step + 1e-6).all()


def test_a_reply_may_be_cut_off(clients: dict[str, LocalClient], folders: dict[str, Path]):
    request = Request("Point to the mug.", (noise((60, 80)),))
    short = client("qwen3_vl", folders["qwen3_vl"], max_tokens=3).ask(request)
    assert short.tokens[1] == 3
    whole = clients["qwen3_vl"]._load().processor.tokenizer
    assert len(whole(clients["qwen3_vl"].ask(request).text).input_ids) > 3


# ── who is asked ───────────────────────────────────────────────────────────────────────────────
def test_identity_changes_with_what_replies_depend_on(folders: dict[str, Path], tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(folders["qwen3_vl"], folder)
    hub = client("qwen3_vl", None)
    known = [
        client("qwen3_vl", folder).identity,
        hub.identity,
        client("qwen3_vl", None, max_tokens=13).identity,
        client("qwen3_vl", None, model="someone/else").identity,
        LocalClient(pointing_model("qwen3_vl"), config=LocalConfig(dtype="bfloat16")).identity,
    ]
    (folder / "model.safetensors").write_bytes(b"other weights")
    known.append(client("qwen3_vl", folder).identity)
    assert len({json.dumps(identity) for identity in known}) == len(known)
    assert client("qwen3_vl", folder).identity == known[-1]
    on_gpu = LocalClient(
        pointing_model("qwen3_vl"), config=LocalConfig(device="cuda", dtype="float32")
    ).identity
    assert on_gpu == hub.identity


def test_nothing_heavy_is_imported_before_the_first_question():
    """So that a run whose answers are all remembered starts at once."""
    code = (
        "import sys\n"
        "from point2act.vlm.clients.local import LocalClient, LocalConfig\n"
        "from point2act.vlm.clients.models import load_model\n"
        "print(LocalClient(load_model('qwen3_vl_8b')).identity['model'])\n"
        "assert not {'torch', 'transformers', 'openai'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Qwen/Qwen3-VL-8B-Instruct"


# ── what goes wrong ────────────────────────────────────────────────────────────────────────────
QUESTION = Request("Point to the mug.", (np.zeros((20, 20, 3), np.uint8),))


def failure(model: LocalClient, request: Request = QUESTION) -> str:
    with pytest.raises(ModelError) as caught:
        model.ask(request)
    return str(caught.value)


def test_a_model_that_only_servers_have_is_refused():
    with pytest.raises(ModelError, match=r"does not support .*tiny-robopoint \(tiny\): .*--server"):
        LocalClient(pointing_model("robopoint", local=False))


def test_a_folder_without_a_model_is_refused(tmp_path: Path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ModelError, match="not a folder with a model"):
            client("qwen3_vl", folder)


@pytest.mark.parametrize("device", ["banana", "cuda:99"])
def test_a_device_that_is_not_there(folders: dict[str, Path], device: str):
    config = LocalConfig(device=device, path=folders["qwen3_vl"])
    message = failure(LocalClient(pointing_model("qwen3_vl"), config=config))
    assert message.startswith(f"device '{device}' cannot be used (")
    assert message.endswith(": use cpu, cuda, cuda:1 or mps")


def test_a_model_that_was_not_downloaded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = failure(client("qwen3_vl", None, model="no-one/has-this-model"))
    assert "no-one/has-this-model cannot be read or downloaded: " in message
    assert "'hf download no-one/has-this-model'" in message
    assert "--server" in message


def test_an_architecture_that_transformers_does_not_have(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "unknown_type"}')
    message = failure(client("qwen3_vl", tmp_path))
    assert "`unknown_type`" in message
    assert "pip install -U transformers" in message
    assert "--server" in message


def test_a_failure_to_load_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Twenty-four views would each wait for the network to give up."""
    (tmp_path / "config.json").write_text('{"model_type": "unknown_type"}')
    model = client("qwen3_vl", tmp_path)
    first = failure(model)
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", lambda *a, **k: pytest.fail("tried again"))
    assert failure(model) == first


def broken(
    folders: dict[str, Path], tmp_path: Path, file: str, change: Callable[[bytes], bytes]
) -> LocalClient:
    shutil.copytree(folders["qwen3_vl"], tmp_path / "model")
    path = tmp_path / "model" / file
    path.write_bytes(change(path.read_bytes()))
    return client("qwen3_vl", tmp_path / "model")


def test_a_download_that_was_cut_off(folders: dict[str, Path], tmp_path: Path):
    message = failure(broken(folders, tmp_path, "model.safetensors", lambda data: data[: len(data) // 2]))
    assert "cannot be loaded" in message
    assert f"'hf download no-one/tiny-qwen3_vl --local-dir {tmp_path / 'model'}'" in message


def test_weights_that_are_missing(folders: dict[str, Path], tmp_path: Path):
    """transformers would make them up and go on."""
    from safetensors.torch import load, save

    lost = "model.visual.blocks.0.mlp.linear_fc1.weight"

    def lose(data: bytes) -> bytes:
        kept = load(data)
        key = next(key for key in kept if key.endswith(lost.removeprefix("model.")))
        del kept[key]
        return save(kept, metadata={"format": "pt"})

    message = failure(broken(folders, tmp_path, "model.safetensors", lose))
    assert f"incomplete: 1 are missing, such as {lost}" in message


def test_a_processor_without_a_chat_template(folders: dict[str, Path], tmp_path: Path):
    model = broken(folders, tmp_path, "config.json", bytes)
    (tmp_path / "model" / "chat_template.jinja").unlink()
    assert "does not have a chat template" in failure(model)


def test_an_image_that_the_processor_refuses(clients: dict[str, LocalClient]):
    thin = Request("Point to the mug.", (np.zeros((10, 2400, 3), np.uint8),))
    message = failure(clients["qwen2_5_vl"], thin)
    assert "cannot process the request with 2400x10" in message
    assert clients["qwen2_5_vl"].ask(QUESTION).text, "the next one is answered"


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        MemoryError(),
    ],
)
def test_too_little_memory(
    clients: dict[str, LocalClient],
    folders: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
):
    def fail(*_: Any, **__: Any) -> None:
        raise error

    model = clients["qwen3_vl"]
    monkeypatch.setattr(model._load().network, "generate", fail)
    assert "failed on 20x20 (cpu, " in failure(model)
    assert "try a smaller image_side in its file, or a smaller model" in failure(model)
    monkeypatch.setattr("transformers.AutoModelForImageTextToText.from_pretrained", fail)
    message = failure(client("qwen3_vl", folders["qwen3_vl"]))
    assert "does not fit into the memory of cpu" in message
    assert message.endswith("It needs 1 MB")
