"""What the callbacks of frameworks make of unusual steps; `test_programs.py` has them in the frameworks themselves."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from dogbreed_sdk import ConfigurationError
from dogbreed_sdk.debugging import Trial
from dogbreed_sdk.recording.callback import callback_class
from dogbreed_sdk.recording.lightning import LightningHooks
from dogbreed_sdk.recording.loss_calls import LossCalls
from dogbreed_sdk.recording.transformers import TransformersHooks
from training_scripts.recording.trial.file_trial import FileTrial

pytestmark = pytest.mark.extras

LOSS = "loss_output_0"


def values(folder: Path, name: str, mode: str = "TRAIN") -> list[float]:
    trial: Trial = FileTrial(folder / "debug-output")
    return [round(value, 5) for value in trial.tensor(name).series(mode).values.tolist()]


class Lightning:
    """What a Trainer of Lightning calls, without it."""

    def __init__(self, folder: Path, *, accumulate: int = 1) -> None:
        self.module: Any = nn.Linear(2, 3)
        self.module.hparams = {"lr": 0.1}
        optimizer = torch.optim.SGD(self.module.parameters(), lr=0.1)
        self.trainer = SimpleNamespace(
            num_training_batches=4,
            optimizers=[optimizer],
            max_epochs=-1,
            accumulate_grad_batches=accumulate,
            callback_metrics={},
        )
        self.hooks = LightningHooks(folder, rules=False, profile=False)
        self.hooks.on_train_start(self.trainer, self.module)

    def step(self, outputs: Any, batch: Any = None, *, compute: Any = None) -> None:
        self.hooks.on_train_batch_start(self.trainer, self.module, batch, 0)
        if compute is not None:
            compute()
        self.hooks.on_before_backward(self.trainer, self.module, None)
        self.hooks.on_train_batch_end(self.trainer, self.module, outputs, batch, 0)


def test_lightning_steps_that_return_outputs_and_labels_or_the_loss_alone(tmp_path: Path) -> None:
    lightning = Lightning(tmp_path, accumulate=2)
    outputs, labels = torch.eye(3)[[0, 1, 1, 2]], torch.tensor([0, 1, 2, 2])
    lightning.step({"loss": torch.tensor(0.5), "logits": outputs, "labels": labels})
    lightning.step({"loss": torch.tensor(0.25)}, batch={"x": torch.zeros(7, 2)})
    lightning.step(None)  # a step that the module skipped
    lightning.hooks.on_train_end(lightning.trainer, lightning.module)
    assert values(tmp_path, LOSS) == [1.0, 0.5]
    assert values(tmp_path, "accuracy") == [0.75]
    assert values(tmp_path, "step_size") == [4, 7]


def test_a_lightning_module_that_logs_its_validation_loss_without_torchs_functions(tmp_path: Path) -> None:
    lightning = Lightning(tmp_path)
    lightning.step({"loss": torch.tensor(0.5)})
    lightning.trainer.callback_metrics["val_loss"] = torch.tensor(0.75)
    lightning.hooks.on_validation_batch_start(lightning.trainer, lightning.module, None, 0)
    lightning.hooks.on_validation_batch_end(lightning.trainer, lightning.module, None, None, 0)
    lightning.hooks.on_validation_epoch_end(lightning.trainer, lightning.module)
    lightning.hooks.on_exception(lightning.trainer, lightning.module, KeyError("stop"))
    assert values(tmp_path, LOSS, "EVAL") == [0.75]
    assert "KeyError" in FileTrial(tmp_path / "debug-output").run["notes"][-1]


def test_the_call_of_a_loss_function_shows_outputs_and_labels(tmp_path: Path) -> None:
    calls, outputs, labels = LossCalls(), torch.randn(4, 3, requires_grad=True), torch.tensor([0, 1, 2, 0])
    calls.start()
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)(outputs * 2, target=labels)
    found = calls.take()
    assert found is not None
    assert torch.equal(found.outputs, outputs * 2)
    assert not found.outputs.requires_grad
    assert torch.equal(found.labels, labels)
    assert found.loss == loss
    functional.mse_loss(outputs, outputs)
    assert calls.take() is None


class Model(nn.Module):
    """A model of transformers' kind."""

    def __init__(self, *, computes_loss: bool = True) -> None:
        super().__init__()
        self.layer, self.computes_loss = nn.Linear(2, 3), computes_loss
        self.config = SimpleNamespace(id2label={0: "LABEL_0", 1: "LABEL_1"})

    def forward(self, inputs: Any, labels: Any = None, num_items_in_batch: Any = None) -> dict[str, Any]:
        logits = self.layer(inputs)
        if not self.computes_loss:
            return {"logits": logits}
        loss = functional.cross_entropy(logits, labels, reduction="sum") / (num_items_in_batch or len(labels))
        return {"loss": loss, "logits": logits}


def begin(folder: Path, model: Model) -> TransformersHooks:
    hooks = TransformersHooks(folder, rules=False, profile=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    arguments, state = SimpleNamespace(learning_rate=0.1, logging_dir="x"), SimpleNamespace(num_train_epochs=1.5)
    hooks.on_train_begin(arguments, state, None, model=model, optimizer=optimizer, train_dataloader=None)
    return hooks


def test_a_micro_batch_of_transformers_has_its_own_mean_loss(tmp_path: Path) -> None:
    model, inputs, labels = Model(), torch.randn(4, 2), torch.tensor([0, 1, 2, 0])
    hooks = begin(tmp_path, model)
    loss = functional.cross_entropy(model.layer(inputs), labels).item()
    model(inputs, labels=labels, num_items_in_batch=torch.tensor(16))
    hooks.on_substep_end(None, None, None)
    model(inputs, labels=labels)
    hooks.on_step_end(None, None, None)
    model.eval()
    model(inputs, labels=labels)
    hooks.on_train_end(None, None, None)
    assert values(tmp_path, LOSS) == pytest.approx([loss, loss], abs=1e-4)
    assert values(tmp_path, LOSS, "EVAL") == pytest.approx([loss], abs=1e-4)
    assert FileTrial(tmp_path / "debug-output").run["parameters"] == {"learning_rate": 0.1}
    assert not model._forward_hooks


def test_the_logged_losses_of_a_model_that_computes_none(tmp_path: Path) -> None:
    model = Model(computes_loss=False)
    hooks = begin(tmp_path, model)
    model(torch.randn(4, 2))
    hooks.on_step_end(None, None, None)
    hooks.on_log(None, None, None, logs={"loss": 1.5, "epoch": 0.1})
    hooks.on_log(None, None, None, logs={"eval_loss": 1.25})
    hooks.on_train_end(None, None, None)
    assert (values(tmp_path, LOSS), values(tmp_path, LOSS, "EVAL")) == ([1.5], [1.25])


def test_a_framework_that_is_not_installed_is_named_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no_such_framework is not installed"):
        callback_class(LightningHooks, modules=("no_such_framework",), base="Callback", install="pip install it")
