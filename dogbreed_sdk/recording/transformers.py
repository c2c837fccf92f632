"""RecorderCallback: records what a Trainer of Hugging Face's transformers trains.

from dogbreed_sdk.recording.transformers import RecorderCallback

trainer = Trainer(model, arguments, train_dataset=..., callbacks=[RecorderCallback("run")])
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from dogbreed_sdk.recording.callback import RecordingCallback, callback_class

# The arguments of a Trainer that change what is learned; it has a hundred more.
_PARAMETERS = (
    "learning_rate",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "max_steps",
    "optim",
    "weight_decay",
    "lr_scheduler_type",
    "warmup_steps",
    "warmup_ratio",
    "max_grad_norm",
    "label_smoothing_factor",
    "bf16",
    "fp16",
    "seed",
)
_PREDICTS_NEXT = ("ForCausalLM", "LMHeadModel")
_IGNORED = -100


class TransformersHooks(RecordingCallback):
    """Records what a Trainer trains; the arguments are those of `dogbreed_sdk.Recorder`.

    The loss of every batch, its outputs and labels are those of the model's forward pass, in training and in
    evaluations. Where the model computes no loss itself, as with `compute_loss_func`, the losses that the Trainer logs
    are recorded, at its `logging_steps` and evaluations. The run's hyperparameters are those of `TrainingArguments`
    that change what is learned.
    """

    framework = "transformers"
    _hook: Any = None
    _seen: dict[str, Any] | None = None
    _computes_loss = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002
        """Opens the recording."""
        model, loader = given["model"], given.get("train_dataloader")
        length = len(loader) if loader is not None and hasattr(loader, "__len__") else 0
        self._begin(
            model=model,
            optimizer=given.get("optimizer"),
            hyperparameters={name: value for name in _PARAMETERS if (value := getattr(args, name, None)) is not None},
            epochs=max(1, math.ceil(state.num_train_epochs or 1)),
            steps_per_epoch=length or None,
            classes=_classes(model),
        )
        self._hook = model.register_forward_hook(self._passed, with_kwargs=True)

    def _passed(self, model: Any, _inputs: Any, named: Mapping[str, Any], output: Any) -> None:
        """Takes the loss of a forward pass; a step of the Trainer, or a batch of its evaluation."""
        if self.recorder is None:
            return
        batch = _batch(model, named, output)
        if batch is None:
            return
        self._computes_loss = True
        if model.training:
            self._seen = batch
        else:
            self.recorder.evaluate(**batch)

    def on_substep_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002
        """Records a micro-batch of a step with gradient accumulation."""
        self._step()

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002
        """Records a training step."""
        self._step()

    def _step(self) -> None:
        seen, self._seen = self._seen, None
        if self.recorder is not None and seen is not None:
            self.recorder.step(**seen)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **given: Any) -> None:  # noqa: ARG002
        """Records the logged losses of a model that computes none itself."""
        if self.recorder is None or self._computes_loss or not logs:
            return
        if "loss" in logs:
            self.recorder.step(float(logs["loss"]))
        if "eval_loss" in logs:
            self.recorder.evaluate(float(logs["eval_loss"]))

    def on_epoch_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002
        """Ends an epoch."""
        if self.recorder is not None:
            self.recorder.epoch()

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002
        """Ends the recording."""
        if self._hook is not None:
            self._hook.remove()
        self._end()


def _batch(model: Any, named: Mapping[str, Any], output: Any) -> dict[str, Any] | None:
    """The arguments of `Recorder.step` for a forward pass; None if it computed no loss."""
    loss = output.get("loss") if isinstance(output, Mapping) else None
    if loss is None or loss.numel() != 1:
        return None
    outputs, labels = output.get("logits"), named.get("labels")
    total = named.get("num_items_in_batch")
    loss = loss.detach()
    if labels is not None and total is not None:  # the loss is a share of that of several micro-batches
        loss = loss * total / labels.ne(_IGNORED).sum().clamp(min=1)
    size = len(labels) if labels is not None else None
    if type(model).__name__.endswith(_PREDICTS_NEXT) and outputs is not None and labels is not None:
        outputs, labels = outputs[:, :-1], labels[:, 1:]
    return {"loss": loss, "outputs": outputs, "labels": labels, "size": size}


def _classes(model: Any) -> Sequence[str] | None:
    """The names of the classes in the model's configuration; None for those that it makes up."""
    names = getattr(getattr(model, "config", None), "id2label", None) or {}
    listed = [str(names[number]) for number in sorted(names)]
    return None if all(name.startswith("LABEL_") for name in listed) else listed


@functools.cache
def _class() -> type:
    install = "pip install 'transformers[torch]'"
    return callback_class(TransformersHooks, modules=("transformers",), base="TrainerCallback", install=install)


def __getattr__(name: str) -> Any:
    """`RecorderCallback`, made when it is asked for: this module can be imported without transformers."""
    if name == "RecorderCallback":
        return _class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
