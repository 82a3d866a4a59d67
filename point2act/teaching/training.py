"""Fine-tuning a pointing model on a data set: LoRA by TRL's trainer, in a folder that can be resumed."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point2act.core.errors import TeachingError
from point2act.core.files import read_json, write_json
from point2act.core.types import ProgressCallback
from point2act.teaching.data_set import NAME, read_examples
from point2act.teaching.export import Pupil, as_chat
from point2act.vlm.clients.client import PointingModel
from point2act.vlm.parsers import WRITTEN_DIALECTS

if TYPE_CHECKING:
    from point2act.teaching.documents import Example
else:
    Example = Any

SETTINGS, RESULT, ADAPTER, CHECKPOINTS = "settings.json", "training.json", "adapter", "checkpoints"
"""Names in the output folder."""


@dataclass(frozen=True)
class TrainConfig:
    """How a model is fine-tuned."""

    # RoboPoint has rank 128 for 1.4 million examples; captures give hundreds or thousands. Chosen.
    rank: int = 16
    """Rank of the adapter's matrices (LoRA); their scale is twice the rank, as RoboPoint has it."""
    # RoboPoint: 2e-4 for its language model.
    learning_rate: float = 2e-4
    """Highest learning rate; it rises at first, and falls along a cosine."""
    # RoboPoint goes once through 1.4 million examples. Chosen for small data sets, with early stopping.
    epochs: int = 3
    """Most passes over the examples."""
    max_steps: int | None = None
    """Most steps; None for all of the passes."""
    # RoboPoint: 16 on each of 8 GPUs. Chosen: one of them.
    batch: int = 16
    """Examples of a step."""
    # An image of 1024 pixels is about 1000 tokens. Chosen for GPUs of 24 GB.
    at_once: int = 2
    """Examples that are processed at once; fewer need less memory."""
    patience: int = 1
    """Passes without a better answer to the held-out examples after which training stops."""
    vision: bool = False
    """Adapt the image encoder, too, for pictures unlike those that it knows; RoboPoint keeps it as it is."""
    seed: int = 0
    """Seed of the adapter's first weights and of the order of the examples."""
    device: str | None = None
    """Device: cuda, cuda:1, mps or cpu; by default cuda if available, else cpu."""
    path: Path | None = None
    """Folder with the model's weights and processor, in place of the download from Hugging Face."""


@dataclass(frozen=True)
class Trained:
    """An adapter that was trained. Losses are those of the answers' tokens, nats."""

    folder: Path
    steps: int
    first_loss: float
    """Mean over the first steps, an eighth of all."""
    last_loss: float
    """Mean over the last steps, an eighth of all."""
    held_out_losses: tuple[float, ...]
    """Before training and after each pass; empty without held-out examples."""
    parameters: int
    """Number of weights of the adapter."""


def train_model(
    data: Path,
    model: PointingModel,
    output: Path,
    *,
    config: TrainConfig = TrainConfig(),
    progress: ProgressCallback | None = None,
) -> Trained:
    """Fine-tune a model on the examples of a data set, on those of the split ``train``.

    After each pass the held-out examples are answered; the weights of the best pass are kept, and training
    stops when they get no better (``patience``). An interrupted call is resumed from its last pass by the
    same call. ``model.toml`` in the output folder is the model with its adapter, for ``--model``.

    Args:
        data: Folder that ``point2act teach collect`` wrote.
        model: Model to teach; if it has an adapter, the training goes on from that.
        output: Folder of the adapter, new, empty, or left by a call with the same settings.
        config: How the model is trained.
        progress: Called with the number of steps done and of all steps.

    Raises:
        TeachingError: The data cannot be read, the output is something else, or training fails.
        ModelError: The model cannot be loaded, or its dialect not written.
    """
    from point2act.teaching import adapter_files, trainer

    trainer.check_installed()
    rows = {split: _rows(data, model, split) for split in ("train", "held_out")}
    if not rows["train"]:
        raise TeachingError(f"{data / NAME} has held-out examples only: collect with a smaller --held-out")
    _prepare(output, _settings(data, model, config))
    trained = trainer.fit(rows["train"], rows["held_out"], model, output, config, progress)
    adapter_files.write_files(output, model, data, config, trained)
    write_json(output / RESULT, asdict(replace(trained, folder=Path(ADAPTER))) | {"folder": ADAPTER})
    shutil.rmtree(output / CHECKPOINTS, ignore_errors=True)
    return trained


def _rows(data: Path, model: PointingModel, split: str) -> list[dict[str, Any]]:
    """Return the examples of a split as TRL's prompts and completions, so that only answers are learnt."""
    if model.dialect not in WRITTEN_DIALECTS:
        raise TeachingError(
            f"answers cannot be written in {model.dialect!r}, the dialect of {model.name}: name one of "
            f"{', '.join(WRITTEN_DIALECTS)} in its file"
        )
    pupil = Pupil(model.dialect, model.prompt)
    return [_row(example, data, pupil) for example in read_examples(data) if example.split == split]


def _row(example: Example, data: Path, pupil: Pupil) -> dict[str, Any]:
    chat = as_chat(example, data, form="trl", pupil=pupil)
    (question,), (answer,) = ([message] for message in chat["messages"])
    return {
        "images": chat["images"],
        "prompt": [{"role": "user", "content": question["content"][-1]["text"]}],
        "completion": [{"role": "assistant", "content": answer["content"][0]["text"]}],
    }


def _settings(data: Path, model: PointingModel, config: TrainConfig) -> dict[str, Any]:
    """Return everything that the adapter depends on."""
    examples = hashlib.sha256((data / NAME).read_bytes()).hexdigest()
    asked = {"model": model.model, "prompt": model.prompt, "dialect": model.dialect}
    chosen = {key: value for key, value in asdict(config).items() if key != "device"}
    document = asked | chosen | {"adapter": model.adapter, "examples": examples}
    return json.loads(json.dumps(document, default=str))


def _prepare(output: Path, settings: dict[str, Any]) -> None:
    """Write the settings into a new folder, or check those of one that was left."""
    if (output / RESULT).exists():
        raise TeachingError(f"{output} has a trained adapter: choose another --output, or delete it")
    if (output / SETTINGS).exists():
        if read_json(output / SETTINGS, TeachingError) != settings:
            raise TeachingError(
                f"{output} was started with other data, model or options: choose another --output, "
                "or delete it"
            )
        return
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise TeachingError(f"{output} already exists: choose another --output, or delete it")
    write_json(output / SETTINGS, settings)
