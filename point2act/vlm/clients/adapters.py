"""Adapters of a model's weights (PEFT), which ``point2act teach train`` writes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from point2act.core.errors import ModelError
from point2act.vlm.clients.client import PointingModel

CONFIG = "adapter_config.json"


def check_adapter(model: PointingModel) -> None:
    """Raise ``ModelError`` if a model names a folder that holds no adapter; no weights are read."""
    if model.adapter is not None and not (model.adapter / CONFIG).is_file():
        raise ModelError(
            f"{model.adapter}, the adapter of {model.name}, has no {CONFIG}: give the folder that point2act "
            "teach train wrote"
        )


def add_adapter(network: Any, adapter: Path) -> None:
    """Add an adapter to a loaded model; its weights stay apart from the model's own.

    Args:
        network: A model of transformers.
        adapter: Folder of the adapter.

    Raises:
        ModelError: PEFT is not installed, or the adapter cannot be read or is another model's.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT uses names that transformers has changed.
            report = network.load_adapter(str(adapter))
    except ImportError as err:
        raise ModelError(f"the adapter {adapter} needs PEFT: pip install 'point2act[teach]'") from err
    except Exception as err:  # Third-party files make transformers raise anything.
        raise ModelError(_unloadable(adapter, next(iter(str(err).splitlines()), type(err).__name__))) from err
    # transformers warns of missing weights and goes on with random ones.
    strange = report.missing_keys | report.unexpected_keys | report.mismatched_keys
    if strange:
        raise ModelError(_unloadable(adapter, f"{len(strange)} of its weights do not fit the model"))


def _unloadable(adapter: Path, why: str) -> str:
    return (
        f"the adapter {adapter} cannot be loaded ({why[:200]}): train it again, or name the model for which "
        "it was trained"
    )
