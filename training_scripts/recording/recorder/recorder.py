"""Records a training run while it is trained: into a folder in smdebug's layout, into memory for rules, or both."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training_scripts.recording.recorder.resume import continue_trial
from training_scripts.recording.recorder.save_interval import planned
from training_scripts.recording.recorder.snapshots import Layers, Taken
from training_scripts.recording.recorder.step_buffer import Books
from training_scripts.recording.recorder.thinning import Thinned
from training_scripts.recording.trial import run_facts
from training_scripts.recording.trial.layout import CLASS_COUNTS, INPUT_IMAGE, LABELS, PREDICTIONS, VALID_LOSSES
from training_scripts.recording.trial.records import Array
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial
from training_scripts.training.callbacks import Watcher

if TYPE_CHECKING:
    from torch import Tensor, nn

# smdebug wants a file a step, 4 KiB of disk each: longer runs keep every second, third, ... loss, of EVAL steps the
# mean since the last that was kept.
LOSSES_OF_A_RUN = 20_000
# Answers to the valid pictures are kept of every evaluation: insights about single pictures, and how sure a mean is,
# rest on them. Only where they would take more than this is every second, third, ... evaluation kept.
ANSWER_BYTES, ANSWERS_OF_A_RUN_BYTES = 12, 64 << 20
NAMES_IN_RUN_JSON = 10_000
_WAIT_AT_END = 60.0


class Recorder(Watcher):
    """Records what happens: losses and accuracies of every step, numbers that stand for tensors now and then.

    It also serves other training loops, with any module: call its hooks in the order that `Watcher` describes::

        recorder = Recorder(None, memory=MemoryTrial())   # or a folder, or both
        recorder.run_begins(network, {"steps_per_epoch": 10})
        for inputs, labels in batches:
            recorder.batch_ready("TRAIN", inputs, labels)
            logits = network(inputs)
            recorder.forward_done("TRAIN", logits)
            loss = cross_entropy(logits, labels); optimizer.zero_grad(); loss.backward()
            recorder.backward_done("TRAIN")
            optimizer.step()
            recorder.step_ends("TRAIN", loss.detach(), (logits.argmax(1) == labels).sum(), len(labels))
        recorder.epoch_ends(1, {})                        # the trial now has all steps so far
        recorder.run_ends()

    Attributes:
        memory: The trial in memory, where one was asked for; complete up to the last `epoch_ends`, or to half a
            minute ago.
        folder: Where the trial on disk lies; None where there is none.
    """

    def __init__(
        self,
        folder: Path | str | None,
        *,
        memory: MemoryTrial | None = None,
        train_interval: int = 0,
        eval_interval: int = 0,
        full_tensors: bool = False,
        report: Callable[[str], Any] = print,
    ) -> None:
        """Nothing is recorded or written yet.

        Args:
            folder: The trial's folder; None to record into memory only.
            memory: Is filled at the end of every epoch.
            train_interval: Weights, gradients and activations every N TRAIN steps; 0: every 100. In short runs
                more often, so that there are about fifteen saves; of whole tensors never.
            eval_interval: Labels, predictions and losses of the valid pictures are recorded at every evaluation. Only
                a run whose answers would take more than 64 MB keeps those of every second, third, ... evaluation and
                the last, or those every N EVAL steps where that is more; 0: as few as that.
            full_tensors: Whole weights, gradients and activations, too: megabytes a save.
            report: Takes one line of log at a time.
        """
        self.folder = Path(folder) if folder is not None else None
        self.memory = memory
        self._report = report
        self._saving = planned(train_interval, 0)
        self._eval_interval = eval_interval
        self._full_tensors = full_tensors
        self._books: Books | None = None
        self._layers: Layers | None = None
        self._taken: Taken | None = None
        self._steps = {TRAIN: 0, EVAL: 0}
        self._evaluated_from = -1
        self._every = 1
        self._judged = Thinned()
        self._epochs = self._epoch = 0
        self._class_counts: Array | None = None
        self._labels: Tensor | None = None

    def run_begins(self, network: nn.Module, facts: Mapping[str, Any]) -> None:
        """Opens the trial: a new one, or that of the same run which a restart continues."""
        self._layers = Layers(network)
        self._plan(facts)
        run = _run_json(facts)
        intervals = {TRAIN: self._saving.interval, EVAL: 1}
        self._books = Books(self.folder, self.memory, run, intervals, report=self._report)
        self._books.remark(self._saving.note())
        self._epoch = int(facts.get("epoch", 0) or 0)
        self._steps = continue_trial(self._books, run, facts, every=self._every)
        if facts.get("class_counts") and not self._steps[TRAIN]:
            self._class_counts = np.asarray(facts["class_counts"], dtype=np.int64)

    def _plan(self, facts: Mapping[str, Any]) -> None:
        epochs = int(facts.get("hyperparameters", {}).get("epochs", 0) or 0)
        total = run_facts.steps_of(facts)
        self._saving = planned(self._saving.asked, total)
        self._every = max(1, math.ceil(total / LOSSES_OF_A_RUN))
        self._epochs = epochs

    def batch_ready(self, mode: str, inputs: Tensor, labels: Tensor) -> None:
        """At a step that is saved, takes the weights as they are before it."""
        if mode != TRAIN or not self._saving.at(self._steps[TRAIN]):
            if mode == EVAL and self._evaluated_from < 0:
                self._evaluated_from = self._steps[EVAL]
            return
        assert self._layers is not None
        self._taken = taken = Taken(whole=self._full_tensors and self._saving.whole_at(self._steps[TRAIN]))
        self._labels = labels
        self._layers.take_weights(taken)
        self._layers.watch_activations(taken)
        if inputs.dim() == 4 and inputs.shape[1] == 3:
            taken.keep_whole(INPUT_IMAGE, inputs.detach().float().mean((2, 3)), "inputs")

    def forward_done(self, mode: str, logits: Tensor) -> None:
        """At a step that is saved, takes the predictions."""
        if self._taken is None or mode != TRAIN:
            return
        assert self._layers is not None
        self._layers.ignore_activations()
        self._layers.check()
        self._taken.keep_whole(LABELS, self._labels.int(), LABELS)  # type: ignore[union-attr]
        self._taken.keep_whole(PREDICTIONS, logits.detach().argmax(1).int(), PREDICTIONS)
        self._labels = None

    def backward_done(self, mode: str) -> None:
        """At a step that is saved, takes the gradients."""
        if self._taken is not None and mode == TRAIN:
            assert self._layers is not None
            self._layers.take_gradients(self._taken)

    def step_ends(self, mode: str, loss: Tensor, correct: Tensor, size: int) -> None:
        """Keeps the step's loss and number of right answers, where they lie."""
        assert self._books is not None
        step = self._steps[mode]
        self._steps[mode] = step + 1
        if self._taken is not None and mode == TRAIN:
            self._books.keep(mode, step, loss, correct, size, taken=self._finished(self._taken))
            self._taken = None
        elif mode == TRAIN and step % self._every:
            self._books.skip()
        elif mode == EVAL and not self._judged.is_all:
            self._keep_some(step, loss, correct, size)
        else:
            self._books.keep(mode, step, loss, correct, size)

    def _keep_some(self, step: int, loss: Tensor, correct: Tensor, size: int) -> None:
        assert self._books is not None
        kept = self._judged.add(loss, correct, size, number=step - max(self._evaluated_from, 0))
        if kept is None:
            self._books.skip()
        else:
            self._books.keep(EVAL, step, *kept)

    def _finished(self, taken: Taken) -> Taken:
        assert self._layers is not None
        self._layers.take_updates(taken)
        if self._class_counts is not None:
            taken.keep_whole(CLASS_COUNTS, self._class_counts, CLASS_COUNTS)
            self._class_counts = None
        return taken

    def evaluation_ends(self, split: str, logits: Tensor, labels: Tensor) -> None:
        """Keeps what the valid pictures were taken for, and how wrong that was, with the evaluation's last step."""
        first, self._evaluated_from = self._evaluated_from, -1
        if split != "valid" or not self._steps[EVAL] or self._books is None:
            return
        self._learn(self._steps[EVAL] - max(first, 0))
        if not self._is_kept(max(first, 0), len(labels)):
            return
        from torch.nn import functional  # noqa: PLC0415

        taken = Taken()
        taken.keep_whole(LABELS, labels.int(), LABELS)
        taken.keep_whole(PREDICTIONS, logits.argmax(1).int(), PREDICTIONS)
        losses = functional.cross_entropy(logits, labels, reduction="none")
        taken.keep_whole(VALID_LOSSES, losses, VALID_LOSSES)
        self._books.add_to_last(taken)

    def _learn(self, steps: int) -> None:
        """How many steps an evaluation has, known after the first: whether those to come are to be thinned out."""
        assert self._books is not None
        if self._judged.steps != steps:
            every = math.ceil(steps * self._epochs / LOSSES_OF_A_RUN)
            self._judged = Thinned(steps, max(1, min(steps, every)))
            self._books.learn(eval_steps_per_epoch=steps)

    def _is_kept(self, first: int, pictures: int) -> bool:
        """Whether the answers of the evaluation that began with this step are."""
        every = math.ceil(self._epochs * pictures * ANSWER_BYTES / ANSWERS_OF_A_RUN_BYTES)
        if every <= 1 or self._epoch % every == 0 or self._epoch + 1 == self._epochs:
            return True
        assert self._books is not None
        self._books.remark(
            f"In so long a run the answers to the {pictures:,} validation pictures were recorded at one evaluation in "
            f"{every} and at the last; mean loss and accuracy at all of them."
        )
        interval = self._eval_interval
        return bool(interval) and (self._steps[EVAL] - 1) // interval * interval >= first

    def epoch_ends(self, epoch: int, values: Mapping[str, float]) -> str | None:  # noqa: ARG002
        """Writes the epoch, and fills the trial in memory with it."""
        self._epoch = epoch
        if self._books is not None:
            self._books.flush()
        return None

    def run_ends(self) -> None:
        """Writes what is left, and says that the run has ended."""
        if self._layers is not None:
            self._layers.ignore_activations()
        if self._books is not None:
            books, self._books = self._books, None
            books.flush()
            books.end(_WAIT_AT_END)

    def abandoned(self, reason: str) -> None:
        """Writes what there is, and that recording stopped here: the run itself has not ended."""
        if self._layers is not None:
            self._layers.ignore_activations()
        if self._books is not None:
            books, self._books = self._books, None
            books.abandon(f"recording stopped after {books.global_step} steps, and training went on: {reason}")


def _run_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What `run.json` says of the run."""
    settings = dict(facts.get("hyperparameters", {}))
    names = facts.get("valid_names", ())
    return {
        "format": 1,
        "recorder": "builtin",
        "fingerprint": facts.get("fingerprint", ""),
        "started": time.time(),
        "job": os.environ.get("TRAINING_JOB_NAME"),
        "hyperparameters": settings,
        "sizes": dict(facts.get("sizes", {})),
        "steps_per_epoch": facts.get("steps_per_epoch"),
        "batch_size": _as(int, settings.get("batch-size")),
        "epochs": _as(int, settings.get("epochs")),
        "learning_rate": _as(float, settings.get("lr")),
        "classes": list(facts.get("classes", ())),
        "class_counts": list(facts.get("class_counts", ())),
        "valid_names": list(names) if len(names) <= NAMES_IN_RUN_JSON else [],
        "inputs": facts.get("inputs"),
        "backbone": facts.get("backbone"),
        "feature_pass": facts.get("feature_pass"),
    }


def _as(kind: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else kind(value)
