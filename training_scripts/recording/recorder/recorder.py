"""Records a training run: to a folder in smdebug's layout, to memory for the rules, or both."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training_scripts._util.number_text import counted
from training_scripts.recording.recorder.learning_rates import LearningRates
from training_scripts.recording.recorder.resume import continue_trial
from training_scripts.recording.recorder.save_interval import planned
from training_scripts.recording.recorder.signs import Signs, facts_of
from training_scripts.recording.recorder.snapshots import Layers, Snapshot
from training_scripts.recording.recorder.step_buffer import Part, StepBuffer
from training_scripts.recording.recorder.thinning import ThinnedLosses
from training_scripts.recording.recorder.torch_reductions import Number, number_if_ready
from training_scripts.recording.recorder.worker import Worker, described
from training_scripts.recording.trial import run_facts
from training_scripts.recording.trial.layout import (
    CLASS_COUNTS,
    INPUT_IMAGE,
    LABELS,
    PREDICTIONS,
    VALID_LOSSES,
    VALID_PROBABILITIES,
)
from training_scripts.recording.trial.records import Array
from training_scripts.recording.trial.run_facts import RunFacts
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial
from training_scripts.training.callbacks import Callback

if TYPE_CHECKING:
    from torch import Tensor, nn

    from training_scripts.training.answers import Answers

# smdebug requires one file per step, 4 KiB of disk each. Longer runs therefore keep every second, third, ... loss, and
# for EVAL steps the mean since the last kept step.
LOSSES_OF_A_RUN = 20_000
# The predictions of every evaluation are kept: insights about single pictures and confidence intervals are computed
# from them. Only a run whose predictions would take more than this keeps fewer evaluations.
PREDICTION_BYTES, PREDICTIONS_OF_A_RUN_BYTES = 16, 64 << 20
NAMES_IN_RUN_JSON = 10_000
_WAIT_AT_END = 60.0


class Recorder(Callback):
    """Records the loss and accuracy of every step, and reductions of tensors at intervals.

    It works with any module and any training loop: call its hooks in the order that `Callback` describes::

        recorder = Recorder(None, memory=MemoryTrial())   # or a folder, or both
        recorder.run_begins(network, {"steps_per_epoch": 10, "optimizer": optimizer})
        for inputs, labels in batches:
            recorder.batch_ready("TRAIN", inputs, labels)
            logits = network(inputs)
            recorder.forward_done("TRAIN", logits)
            loss = cross_entropy(logits, labels); optimizer.zero_grad(); loss.backward()
            recorder.backward_done("TRAIN")
            optimizer.step()
            recorder.step_ends("TRAIN", loss.detach(), (logits.argmax(1) == labels).sum(), len(labels))
            scheduler.step()
        recorder.epoch_ends(1, {})                        # the trial now has all steps so far
        recorder.run_ends()

    Attributes:
        memory: The trial in memory, if any; complete up to the last `epoch_ends`, or up to half a minute ago.
        folder: The folder of the trial on disk; None without one.
    """

    def __init__(
        self,
        folder: Path | str | None,
        *,
        memory: MemoryTrial | None = None,
        train_interval: int = 0,
        eval_interval: int = 0,
        full_tensors: bool = False,
        report: Callable[[str], object] = print,
    ) -> None:
        """Writes nothing yet.

        Args:
            folder: The trial's folder; None records to memory only.
            memory: A trial that is filled at the end of every epoch.
            train_interval: Save weights, gradients and activations every N TRAIN steps; 0: every 100. Short runs save
                more often, so that there are about fifteen saves; full tensors are never saved more often.
            eval_interval: Labels, predictions and losses of the validation pictures are recorded at every evaluation.
                If they would take more than 64 MB, the run keeps every second, third, ... evaluation and the last,
                and also those every N EVAL steps; 0: no further ones.
            full_tensors: Also save full weights, gradients and activations: megabytes per save.
            report: Called with one line of log at a time.
        """
        self.folder = Path(folder) if folder is not None else None
        self.memory = memory
        self._report = report
        self._saving = planned(train_interval, 0)
        self._eval_interval = eval_interval
        self._full_tensors = full_tensors
        self._buffer: StepBuffer | None = None
        self._layers: Layers | None = None
        self._snapshot: Snapshot | None = None
        self._steps = {TRAIN: 0, EVAL: 0}
        self._evaluated_from = -1
        self._every = 1
        self._eval_losses = ThinnedLosses()
        self._epochs = self._epoch = 0
        self._rates: LearningRates | None = None
        self._worker = Worker()
        self._part: Part | None = None
        self._eval_parts = ThinnedLosses()
        self._signs: Signs | None = None
        self._class_counts: Array | None = None
        self._labels: Tensor | None = None

    def run_begins(self, network: nn.Module, facts: Mapping[str, Any]) -> None:
        """Opens the trial: a new one, or after a restart the one of the same run."""
        self._worker = described(facts)
        # Weights and gradients are the same in all workers.
        self._layers = Layers(network) if self._worker.is_first else None
        self._plan(facts)
        run: RunFacts = {**_run_json(facts), **facts_of(network, facts.get("optimizer"))}
        intervals = {TRAIN: self._saving.interval, EVAL: 1}
        self._buffer = StepBuffer(self.folder, self.memory, run, intervals, worker=self._worker, report=self._report)
        self._buffer.remark(self._saving.note())
        self._rates = LearningRates(facts["optimizer"], self._buffer) if facts.get("optimizer") else None
        self._signs = Signs(network, self._buffer)
        self._epoch = int(facts.get("epoch", 0) or 0)
        self._steps = continue_trial(self._buffer, run, facts, every=self._every)
        if facts.get("class_counts") and self._worker.is_first and not self._steps[TRAIN]:
            self._class_counts = np.asarray(facts["class_counts"], dtype=np.int64)

    def _plan(self, facts: Mapping[str, Any]) -> None:
        epochs = int(facts.get("hyperparameters", {}).get("epochs", 0) or 0)
        total = run_facts.steps_of(facts)
        self._saving = planned(self._saving.asked, total)
        self._every = max(1, math.ceil(total / LOSSES_OF_A_RUN))
        self._epochs = epochs

    def batch_ready(self, mode: str, inputs: Tensor, labels: Tensor) -> None:
        """Measures the batch; copies the weights before a step that is saved."""
        assert self._signs is not None
        self._signs.inputs(inputs)
        self._signs.targets(labels)
        self._labels = labels if mode == TRAIN else None
        if mode != TRAIN or not self._saving.at(self._steps[TRAIN]):
            if mode == EVAL and self._evaluated_from < 0:
                self._evaluated_from = self._steps[EVAL]
                self._signs.evaluation_begins()
            return
        self._snapshot = snapshot = Snapshot(full=self._full_tensors and self._saving.full_at(self._steps[TRAIN]))
        if self._layers is not None:
            self._layers.take_weights(snapshot)
            self._layers.watch_activations(snapshot)
        if inputs.dim() == 4 and inputs.shape[1] == 3:
            snapshot.keep_full(INPUT_IMAGE, inputs.detach().float().mean((2, 3)), "inputs")

    def forward_done(self, mode: str, logits: Tensor) -> None:
        """Measures the outputs; copies the predictions of a step that is saved."""
        labels, self._labels = self._labels, None
        if self._signs is not None:
            self._signs.outputs(logits)
            if labels is not None and not self._steps[TRAIN] % self._every:
                self._signs.single_losses(logits, labels)
        if self._snapshot is None or labels is None or mode != TRAIN:
            return
        if self._layers is not None:
            self._layers.ignore_activations()
            self._layers.check()
        self._snapshot.keep_full(LABELS, labels.int(), LABELS)
        self._snapshot.keep_full(PREDICTIONS, logits.detach().argmax(1).int(), PREDICTIONS)

    def backward_done(self, mode: str) -> None:
        """Reads the gradients of a step that is saved."""
        if self._snapshot is not None and mode == TRAIN and self._layers is not None:
            self._layers.take_gradients(self._snapshot)

    def part_done(self, mode: str, loss: Tensor, correct: Tensor, size: int) -> None:  # noqa: ARG002
        """Keeps this worker's part of the step, which is what it writes to disk."""
        self._part = number_if_ready(loss), number_if_ready(correct), size

    def step_ends(self, mode: str, loss: Tensor, correct: Tensor, size: int) -> None:
        """Buffers the step's loss and number of correct predictions, without waiting for a GPU."""
        assert self._buffer is not None
        part, self._part = self._part, None
        assert self._signs is not None
        step = self._steps[mode]
        self._steps[mode] = step + 1
        signs = self._signs.take(trained=mode == TRAIN)
        if mode == TRAIN and (self._snapshot is not None or not step % self._every):
            if self._rates is not None:
                signs |= self._rates.now()
            snapshot, self._snapshot = self._snapshot, None
            finished = None if snapshot is None else self._finished(snapshot)
            self._buffer.keep(mode, step, loss, correct, size, others=signs, part=part, snapshot=finished)
        elif mode == TRAIN:
            self._buffer.skip()
        elif mode == EVAL and not self._eval_losses.is_all:
            self._keep_some(step, loss=loss, correct=correct, size=size, part=part, signs=signs)
        else:
            self._buffer.keep(mode, step, loss, correct, size, others=signs, part=part)

    def _keep_some(
        self,
        step: int,
        *,
        loss: Tensor,
        correct: Tensor,
        size: int,
        part: Part | None,
        signs: Mapping[str, Number],
    ) -> None:
        assert self._buffer is not None
        number = step - max(self._evaluated_from, 0)
        kept = self._eval_losses.add(loss, correct, size, number=number)
        kept_part = None if part is None else self._eval_parts.add(*part, number=number)
        if kept is None:
            self._buffer.skip()
        else:
            self._buffer.keep(EVAL, step, *kept, others=signs, part=kept_part)

    def _finished(self, snapshot: Snapshot) -> Snapshot:
        if self._layers is not None:
            self._layers.take_updates(snapshot)
        if self._class_counts is not None:
            snapshot.keep_full(CLASS_COUNTS, self._class_counts, CLASS_COUNTS)
            self._class_counts = None
        return snapshot

    def evaluation_ends(self, split: str, answers: Answers) -> None:
        """Records the validation pictures' predictions and losses with the last step of the evaluation."""
        first, self._evaluated_from = self._evaluated_from, -1
        if split != "valid" or not self._steps[EVAL] or self._buffer is None:
            return
        self._plan_evaluations(self._steps[EVAL] - max(first, 0))
        if not self._worker.is_first or not self._records_predictions(max(first, 0), len(answers)):
            return  # the first worker records the predictions of all
        snapshot = Snapshot()
        snapshot.keep_full(LABELS, answers.targets.int(), LABELS)
        snapshot.keep_full(PREDICTIONS, answers.predictions.int(), PREDICTIONS)
        snapshot.keep_full(VALID_LOSSES, answers.losses, VALID_LOSSES)
        snapshot.keep_full(VALID_PROBABILITIES, answers.probabilities, VALID_PROBABILITIES)
        self._buffer.add_to_last(snapshot)

    def _plan_evaluations(self, steps: int) -> None:
        """Decides after the first evaluation, from its number of steps, whether later ones are thinned out."""
        assert self._buffer is not None
        if self._eval_losses.steps != steps:
            every = math.ceil(steps * self._epochs / LOSSES_OF_A_RUN)
            self._eval_losses, self._eval_parts = (ThinnedLosses(steps, max(1, min(steps, every))) for _ in range(2))
            self._buffer.learn({"eval_steps_per_epoch": steps})

    def _records_predictions(self, first: int, pictures: int) -> bool:
        """Whether the predictions of the evaluation that began with a step are recorded."""
        every = math.ceil(self._epochs * pictures * PREDICTION_BYTES / PREDICTIONS_OF_A_RUN_BYTES)
        if every <= 1 or self._epoch % every == 0 or self._epoch + 1 == self._epochs:
            return True
        assert self._buffer is not None
        self._buffer.remark(
            f"Because the run is long, predictions for the {pictures:,} validation pictures were recorded at one "
            f"evaluation in {every} and at the last one; mean loss and accuracy were recorded at every evaluation."
        )
        interval = self._eval_interval
        return bool(interval) and (self._steps[EVAL] - 1) // interval * interval >= first

    def epoch_ends(self, epoch: int, values: Mapping[str, float]) -> str | None:  # noqa: ARG002
        """Writes the epoch to disk and adds it to the trial in memory."""
        self._epoch = epoch
        if self._buffer is not None:
            self._buffer.flush()
        return None

    def run_ends(self) -> None:
        """Writes the rest and marks the trial as ended."""
        self._rates = None
        self._end_signs()
        if self._layers is not None:
            self._layers.ignore_activations()
        if self._buffer is not None:
            buffer, self._buffer = self._buffer, None
            buffer.flush()
            buffer.end(_WAIT_AT_END)

    def _end_signs(self) -> None:
        """Releases the network."""
        if self._signs is not None:
            self._signs.end()
            self._signs = None

    def abandoned(self, reason: str) -> None:
        """Writes the buffered steps and the reason why recording stopped; does not mark the trial as ended."""
        self._end_signs()
        if self._layers is not None:
            self._layers.ignore_activations()
        if self._buffer is not None:
            buffer, self._buffer = self._buffer, None
            buffer.abandon(
                f"recording stopped after {counted(buffer.global_step, 'step')}, and training continued: {reason}"
            )


def _run_json(facts: Mapping[str, Any]) -> RunFacts:
    """The content of `run.json`."""
    settings = dict(facts.get("hyperparameters", {}))
    names = facts.get("valid_names", ())
    return {
        "format": 1,
        "recorder": "builtin",
        "framework": "torch",
        "task": run_facts.CLASSIFICATION,
        "workers": described(facts).count,
        "fingerprint": facts.get("fingerprint", ""),
        "started": time.time(),
        "job": os.environ.get("TRAINING_JOB_NAME"),
        "hyperparameters": settings,
        "sizes": dict(facts.get("sizes", {})),
        "steps_per_epoch": facts.get("steps_per_epoch"),
        "batch_size": None if settings.get("batch-size") is None else int(settings["batch-size"]),
        "epochs": None if settings.get("epochs") is None else int(settings["epochs"]),
        "learning_rate": None if settings.get("lr") is None else float(settings["lr"]),
        "classes": list(facts.get("classes", ())),
        "class_counts": list(facts.get("class_counts", ())),
        "valid_names": list(names) if len(names) <= NAMES_IN_RUN_JSON else [],
        "inputs": facts.get("inputs"),
        "backbone": facts.get("backbone"),
        "feature_pass": facts.get("feature_pass"),
    }
