"""No NaN leaves nerfstudio's trainer: a step that would bring one is skipped and reported."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_plugin import make_pipeline

from point2act.core.errors import SceneError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import nerfstudio_import  # noqa: F401 (before nerfstudio)
    from nerfstudio.engine.callbacks import TrainingCallbackAttributes
    from nerfstudio.engine.optimizers import Optimizers
    from nerfstudio.engine.trainer import Trainer

    from point2act.plugin.config import point2act_method

STEPS, BAD = 6, 3


class Training:
    """Steps of nerfstudio's own trainer, without its folders and its viewer."""

    def __init__(self, capture: Path, **model_options):
        self.pipeline = make_pipeline(capture, **model_options)
        self.model = self.pipeline.model
        self.optimizers = Optimizers(point2act_method.config.optimizers, self.pipeline.get_param_groups())
        self.gradient_accumulation_steps = dict.fromkeys(self.optimizers.parameters, 1)
        self.device, self.mixed_precision, self._start_step = "cpu", False, 0
        self.grad_scaler = torch.amp.GradScaler("cpu", enabled=False)
        self.config = SimpleNamespace(log_gradients=False, max_num_iterations=STEPS)
        attributes = TrainingCallbackAttributes(
            optimizers=self.optimizers, grad_scaler=self.grad_scaler, pipeline=self.pipeline, trainer=self
        )
        self.callbacks = self.model.get_training_callbacks(attributes)

    def step(self, number: int) -> None:
        before, after = self.callbacks
        before.run_callback(number)
        Trainer.train_iteration(self, number)
        after.run_callback(number)

    def state(self) -> dict[str, torch.Tensor]:
        """Parameters and Adam's moments."""
        found = {f"{name}": tensor.detach().clone() for name, tensor in self.model.gauss_params.items()}
        for name, optimizer in self.optimizers.optimizers.items():
            for tensor in optimizer.param_groups[0]["params"]:
                for key, value in optimizer.state[tensor].items():
                    found[f"{name}.{key}"] = value.clone()
        return found


def spoil(training: Training, steps: set[int], name: str = "means") -> None:
    """Let a gradient be NaN in these steps."""

    def change(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * torch.nan if training.model.step in steps else gradient

    training.model.gauss_params[name].register_hook(change)


def is_finite(training: Training) -> bool:
    return all(bool(torch.isfinite(tensor.float()).all()) for tensor in training.state().values())


@pytest.mark.parametrize("densify", [False, True])
def test_a_bad_step_is_not_taken(densify: bool, small_capture: Path, caplog: pytest.LogCaptureFixture):
    training = Training(small_capture, densify=densify)
    spoil(training, {BAD})
    for number in range(STEPS):
        before = training.state()
        training.step(number)
        after = training.state()
        same = all(torch.equal(before[name], after[name]) for name in before if name in after)
        assert same == (number == BAD)
    assert is_finite(training)
    (record,) = [record for record in caplog.records if "skipped" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert "non-finite gradients: 1, for images/" in record.getMessage()


def test_refined_poses_stay_finite(small_capture: Path):
    refined = replace(point2act_method.config.pipeline.model.camera_optimizer, mode="SO3xR3")
    training = Training(small_capture, camera_optimizer=refined)
    adjustment = training.model.camera_optimizer.pose_adjustment
    adjustment.register_hook(lambda gradient: gradient * torch.inf)
    before = training.state()
    training.step(0)
    assert bool(torch.isfinite(adjustment).all())
    assert all(torch.equal(before[name], tensor) for name, tensor in training.state().items())


def test_without_the_look_a_bad_step_does_harm(small_capture: Path, monkeypatch: pytest.MonkeyPatch):
    """What the tests above are for."""
    monkeypatch.setattr("point2act.plugin.finite.is_finite", lambda loss, parameters: True)
    training = Training(small_capture)
    spoil(training, {0})
    training.step(0)
    assert not is_finite(training)


def test_no_good_step_at_all(small_capture: Path):
    training = Training(small_capture)
    spoil(training, set(range(99)))
    images = len(training.pipeline.datamanager.train_dataset)
    for number in range(images - 1):
        training.step(number)
    with pytest.raises(SceneError, match=r"cannot go on.* none of the images .*point2act check"):
        training.step(images - 1)
    assert is_finite(training)
