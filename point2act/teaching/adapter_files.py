"""Files beside a trained adapter: the model's file for ``--model``, and a model card."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from point2act.core.files import write_text
from point2act.vlm.clients.client import PointingModel

if TYPE_CHECKING:
    from point2act.teaching.training import TrainConfig, Trained

_KEYS = ("name", "model", "dialect", "prompt", "memory", "source", "max_tokens", "image_side")
_CARD = """\
# {name}

An adapter (LoRA) of {model}, trained by `point2act teach train` to point where many views of a scene agree.

- **Use:** `--model model.toml` in the folder above, with the same question as in training: {prompt}
- **Data:** `{data}`; see its `examples.jsonl`. Labels are the
  consensus of a model's own answers, not of people.
- **Training:** {steps} steps of {batch} examples, {parameters} weights of rank {rank}, seed {seed}. Loss of
  the answers' tokens: {first_loss:.3f} at first, {last_loss:.3f} at last{held_out}.
- **Limits:** how well it points elsewhere was not measured: compare it with the model itself by
  `point2act bench-model`. The license of {model} holds for what is derived from it.
"""


def write_files(
    output: Path, model: PointingModel, data: Path, config: TrainConfig, trained: Trained
) -> None:
    """Write model.toml, which names the adapter beside it, and the adapter's model card.

    Args:
        output: Folder with the adapter.
        model: Model that was taught.
        data: Folder of the examples.
        config: How it was trained.
        trained: What came of it.
    """
    write_text(output / "model.toml", _model_file(model, config))
    losses = [f"{loss:.3f}" for loss in trained.held_out_losses]
    card = _CARD.format(
        **asdict(trained) | asdict(config),
        name=_name(model),
        model=model.model,
        prompt=f"`{model.prompt.strip()}`",
        data=data.name,
        held_out=f"; of the held-out examples, before and after each pass: {', '.join(losses)}"
        if losses
        else "",
    )
    write_text(trained.folder / "README.md", card)


def _name(model: PointingModel) -> str:
    return model.name if model.adapter is not None else f"{model.name}_taught"


def _model_file(model: PointingModel, config: TrainConfig) -> str:
    """Return the model's file with an adapter; strings of JSON are strings of TOML."""
    values = {key: getattr(model, key) for key in _KEYS} | {"name": _name(model)}
    if config.path is not None:
        values["model"] = str(config.path.resolve())
    values["adapter"] = "adapter"
    lines = (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return "\n".join(lines) + "\n"
