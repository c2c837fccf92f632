"""RecorderCallback: records what a Trainer of PyTorch Lightning trains.

from dogbreed_sdk.recording.lightning import RecorderCallback

trainer = Trainer(max_epochs=10, callbacks=[RecorderCallback("run")])
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from dogbreed_sdk.recording.callback import RecordingCallback, callback_class
from dogbreed_sdk.recording.loss_calls import LossCall, LossCalls

# By these names, a step may return more than its loss.
_OUTPUTS, _LABELS = ("outputs", "logits", "preds", "predictions"), ("labels", "targets", "target", "y")
_VALIDATION_LOSSES = ("val_loss", "valid_loss", "validation_loss", "val/loss", "valid/loss")


class LightningHooks(RecordingCallback):
    """Records what a Trainer trains; the arguments are those of `dogbreed_sdk.Recorder`.

    The loss of every batch is recorded, in training and in validation. Outputs and labels, with which accuracy is
    computed, are those of the call of torch's loss function (`cross_entropy`, `mse_loss`, ...), or of the dictionary
    that `training_step` and `validation_step` return: its keys `outputs` and `labels`. The run's hyperparameters are
    those that the module has stored with `save_hyperparameters`.
    """

    framework = "lightning"
    _validated = False

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Opens the recording."""
        batches = trainer.num_training_batches
        self._calls = LossCalls()
        self._begin(
            model=pl_module,
            # A module with several optimizers steps them itself; their gradients do not belong to one loss.
            optimizer=trainer.optimizers[0] if len(trainer.optimizers) == 1 else None,
            hyperparameters=dict(pl_module.hparams),
            epochs=trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None,
            steps_per_epoch=batches if isinstance(batches, int) and batches > 0 else None,
        )

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Begins to look for the call of the loss function."""
        if self.recorder is not None:
            self._calls.start()

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:  # noqa: ARG002
        """Stops looking for that call, since the loss has been computed."""
        if self.recorder is not None:
            self._calls.stop()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Records a training step."""
        if self.recorder is None:
            return
        call = self._calls.take()
        loss, given = _returned(outputs)
        if loss is not None:
            loss = loss * trainer.accumulate_grad_batches  # Lightning has divided it
        elif call is None:
            return
        else:
            loss = call.loss
        self.recorder.step(loss, **_shown(given, call), size=_size(batch))

    def on_validation_batch_start(
        self,
        trainer: Any,  # noqa: ARG002
        pl_module: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,
    ) -> None:
        """Begins to look for the call of the loss function; a further validation set is another curve."""
        if self.recorder is not None and dataloader_idx == 0:
            self._calls.start()

    def on_validation_batch_end(  # noqa: PLR0917 - Lightning's signature
        self,
        trainer: Any,  # noqa: ARG002
        pl_module: Any,  # noqa: ARG002
        outputs: Any,
        batch: Any,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,
    ) -> None:
        """Records a batch of an evaluation."""
        if self.recorder is None or dataloader_idx:
            return
        call = self._calls.take()
        loss, given = _returned(outputs)
        if loss is None:
            loss = call.loss if call is not None else None
        if loss is not None:
            self._validated = True
            self.recorder.evaluate(loss, **_shown(given, call), size=_size(batch))

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Records the logged loss where no batch showed one."""
        if self.recorder is None or self._validated:
            return
        logged = next(
            (trainer.callback_metrics[name] for name in _VALIDATION_LOSSES if name in trainer.callback_metrics), None
        )
        if logged is not None:
            self.recorder.evaluate(logged)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Ends an epoch."""
        if self.recorder is not None:
            self.recorder.epoch()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Ends the recording with the exception that ended the training."""
        if self.recorder is not None:
            self._calls.stop()
        self._end(exception)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Ends the recording."""
        self._end()


def _returned(outputs: Any) -> tuple[Any, Mapping[str, Any]]:
    """The loss that a step has returned, None if there is none, and what it has returned with it."""
    if isinstance(outputs, Mapping):
        return outputs.get("loss"), outputs
    return (outputs if hasattr(outputs, "detach") and outputs.numel() == 1 else None), {}


def _shown(given: Mapping[str, Any], call: LossCall | None) -> dict[str, Any]:
    """Outputs and labels: those that the step has returned, otherwise those that its loss was computed from."""
    outputs = next((given[name] for name in _OUTPUTS if name in given), None)
    labels = next((given[name] for name in _LABELS if name in given), None)
    if (outputs is None or labels is None) and call is not None:
        return {"outputs": call.outputs, "labels": call.labels}
    return {"outputs": outputs, "labels": labels}


def _size(batch: Any) -> int | None:
    """The number of samples: the length of the first tensor of a batch."""
    if hasattr(batch, "dim"):
        return len(batch) if batch.dim() else None
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (list, tuple)) else ()
    return next((size for size in map(_size, parts) if size is not None), None)


@functools.cache
def _class() -> type:
    # Both names of the package have a class Callback, and a Trainer accepts its own package's alone.
    modules = ("lightning.pytorch", "pytorch_lightning")
    return callback_class(LightningHooks, modules=modules, base="Callback", install="pip install lightning")


def __getattr__(name: str) -> Any:
    """`RecorderCallback`, made when it is asked for: this module can be imported where Lightning is not installed."""
    if name == "RecorderCallback":
        return _class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
