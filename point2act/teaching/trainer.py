"""TRL's trainer, set up for pointing models."""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point2act.core.errors import TeachingError
from point2act.core.files import new_folder
from point2act.core.types import ProgressCallback
from point2act.vlm.clients.client import PointingModel
from point2act.vlm.clients.weights import choose_device, first_line, load_weights, out_of_memory

if TYPE_CHECKING:
    from point2act.teaching.training import TrainConfig, Trained
else:
    Trained = TrainConfig = Any

# RoboPoint's fraction of the steps in which the learning rate rises.
_WARM_UP = 0.03


def check_installed() -> None:
    """Raise ``TeachingError`` if the extra ``teach`` is not installed."""
    missing = [name for name in ("trl", "peft") if importlib.util.find_spec(name) is None]
    if missing:
        raise TeachingError(f"training needs {' and '.join(missing)}: pip install 'point2act[teach]'")


def fit(
    train: Sequence[dict[str, Any]],
    held_out: Sequence[dict[str, Any]],
    model: PointingModel,
    output: Path,
    config: TrainConfig,
    progress: ProgressCallback | None,
) -> Trained:
    """Train an adapter and write it, see ``training.train_model``."""
    checkpoints = output / "checkpoints"
    last = _last_checkpoint(checkpoints)
    with warnings.catch_warnings():
        # TRL and PEFT use names that transformers has since changed.
        warnings.simplefilter("ignore", FutureWarning)
        trainer = _trainer(train, held_out, model, checkpoints, config, progress)
        trainer.args.eval_on_start = bool(held_out) and last is None
        try:
            trainer.train(resume_from_checkpoint=last)
        except (RuntimeError, MemoryError, ValueError) as err:
            raise TeachingError(_why(err, model)) from err
    trained = _summary(trainer, output)
    if not math.isfinite(trained.last_loss):
        raise TeachingError("the loss is not finite: lower --learning-rate, and choose another --output")
    before, *after = trained.held_out_losses or (math.inf,)
    if after and min(after) >= before:
        raise TeachingError(
            f"the answers to the held-out examples got no better (loss {before:.3f} before, {min(after):.3f} "
            "at best): lower --learning-rate, or collect more examples; choose another --output"
        )
    with new_folder(output / "adapter", TeachingError) as folder:
        trainer.model.save_pretrained(folder)
    return trained


def _last_checkpoint(folder: Path) -> str | None:
    from transformers.trainer_utils import get_last_checkpoint

    return get_last_checkpoint(str(folder)) if folder.is_dir() else None


def _trainer(
    train: Sequence[dict[str, Any]],
    held_out: Sequence[dict[str, Any]],
    model: PointingModel,
    checkpoints: Path,
    config: TrainConfig,
    progress: ProgressCallback | None,
) -> Any:
    from transformers import EarlyStoppingCallback, PrinterCallback
    from trl import SFTTrainer

    device = choose_device(config.device)
    weights = load_weights(
        replace(model, adapter=None),
        device=device,
        dtype="float32" if device == "cpu" else "bfloat16",
        path=config.path,
    )
    network, lora = _network(weights.network, model, config)
    callbacks: list[Any] = [] if progress is None else [_reporter(progress)]
    if held_out:
        callbacks.append(EarlyStoppingCallback(config.patience))
    trainer = SFTTrainer(
        model=network,
        args=_arguments(checkpoints, config, device=device, watched=bool(held_out)),
        train_dataset=_dataset(train),
        eval_dataset=_dataset(held_out) if held_out else None,
        processing_class=weights.processor,
        peft_config=lora,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _network(network: Any, model: PointingModel, config: TrainConfig) -> tuple[Any, Any]:
    """Return what to train: the model with its adapter, or the model and the new adapter's settings."""
    from peft import LoraConfig, PeftModel

    if model.adapter is not None:
        return PeftModel.from_pretrained(network, str(model.adapter), is_trainable=True), None
    linear = "all-linear" if config.vision else _linear_of_language(network)
    lora = LoraConfig(r=config.rank, lora_alpha=2 * config.rank, target_modules=linear, task_type="CAUSAL_LM")
    return network, lora


def _linear_of_language(network: Any) -> list[str]:
    """Return the names of the language model's linear layers, which RoboPoint adapts."""
    from torch.nn import Linear

    language = network.get_decoder()
    prefix = next(name for name, module in network.named_modules() if module is language)
    return [f"{prefix}.{name}" for name, module in language.named_modules() if isinstance(module, Linear)]


def _dataset(rows: Sequence[dict[str, Any]]) -> Any:
    """Return rows whose images are read when they are needed."""
    from datasets import Dataset, Features, Image, List, Value

    turns = List({"role": Value("string"), "content": Value("string")})
    features = Features(images=List(Image(mode="RGB")), prompt=turns, completion=turns)
    return Dataset.from_list(list(rows), features=features)


def _arguments(checkpoints: Path, config: TrainConfig, *, device: str, watched: bool) -> Any:
    from trl import SFTConfig

    at_once = min(config.at_once, config.batch)
    return SFTConfig(
        output_dir=str(checkpoints),
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=_WARM_UP,
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        per_device_train_batch_size=at_once,
        per_device_eval_batch_size=at_once,
        gradient_accumulation_steps=max(1, round(config.batch / at_once)),
        activation_checkpointing=device != "cpu",
        bf16=device != "cpu",
        use_cpu=device == "cpu",
        max_length=None,  # Cutting a prompt would cut its image.
        save_strategy="epoch",
        save_total_limit=2,
        eval_strategy="epoch" if watched else "no",
        load_best_model_at_end=watched,
        logging_steps=1,
        seed=config.seed,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
    )


def _reporter(progress: ProgressCallback) -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        """Passes the trainer's steps on."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            progress(state.global_step, state.max_steps)

    return Reporter()


def _summary(trainer: Any, output: Path) -> Trained:
    from point2act.teaching.training import Trained

    history = trainer.state.log_history
    losses = [entry["loss"] for entry in history if "loss" in entry]
    some = max(1, len(losses) // 8)
    return Trained(
        folder=output / "adapter",
        steps=trainer.state.global_step,
        first_loss=sum(losses[:some]) / some,
        last_loss=sum(losses[-some:]) / some,
        held_out_losses=tuple(entry["eval_loss"] for entry in history if "eval_loss" in entry),
        parameters=sum(each.numel() for each in trainer.model.parameters() if each.requires_grad),
    )


def _why(err: Exception, model: PointingModel) -> str:
    if out_of_memory(err):
        return (
            f"training {model.name} does not fit into memory: lower --at-once, use a smaller model, or "
            f"images of fewer pixels (collect with a smaller --max-side). To answer, it needs {model.memory}"
        )
    return f"training {model.name} failed ({first_line(err)}): try other options, or another version of trl"
