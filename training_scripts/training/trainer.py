"""The training loop: trains a head, and the backbone's last blocks if `unfreeze` is set; keeps the best epoch.

Start reading at `Trainer.run`; `early_stopping.py` decides when to stop early.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from training_scripts import ScriptError
from training_scripts._util.number_text import number_text
from training_scripts.data.batches import Batch, Batches, FeatureBatches, trained_rows
from training_scripts.data.image_folder import SPLITS
from training_scripts.models import backbones
from training_scripts.models.calibration import Passes
from training_scripts.models.network import Network
from training_scripts.recording.trial.trial import EVAL, TRAIN
from training_scripts.training import early_stopping, learning_rate
from training_scripts.training.answers import Answers, AnswersSoFar, Evaluation, in_small_blocks
from training_scripts.training.callbacks import Callbacks
from training_scripts.training.checkpoints import Checkpoint
from training_scripts.training.hyperparameters import Hyperparameters
from training_scripts.training.metrics import EpochMetrics, format_epoch, format_within_epoch
from training_scripts.training.optimizers import is_fused, light
from training_scripts.training.processes import Processes
from training_scripts.training.stop_signal import StopFlag, Stopped

# Occasional log lines show that a long epoch makes progress; quick epochs need none.
PROGRESS_SECONDS = 2.0


class TrainingError(ScriptError):
    """Training cannot continue with these settings; the message says which ones to change."""


@dataclass
class RunState:
    """The state of a run after an epoch: everything that a restart needs besides the weights and the optimizer."""

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    ended: str = ""  # why a callback ended the run; a restarted run then does not train further


@dataclass(frozen=True)
class Outcome:
    """A finished run; the network holds the weights of its best epoch.

    Attributes:
        epoch: The epoch whose weights were kept: the one with the lowest valid loss, or the last without a valid split.
        history: Metrics of every epoch, first to last.
        stopped: Whether a request to stop ended it early.
        valid: The evaluation of these weights on the valid split; None without that split, or if a run that resumed
            from a checkpoint was stopped before it evaluated them.
    """

    epoch: int
    history: list[dict[str, float]]
    stopped: bool
    valid: Evaluation | None

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the epoch whose weights were kept."""
        return self.history[self.epoch - 1]


class Trainer:
    """One training run."""

    _latest_valid: Evaluation | None = None
    _best_valid: Evaluation | None = None

    def __init__(
        self,
        network: Network,
        batches: Batches,
        hyperparameters: Hyperparameters,
        *,
        checkpoint: Checkpoint,
        stop: StopFlag,
        report: Callable[[str], object] = print,
        callbacks: Callbacks | None = None,
        facts: Mapping[str, object] | None = None,
        processes: Processes | None = None,
    ) -> None:
        """Moves the network to the GPU if there is one; trains nothing yet.

        Args:
            network: A newly initialized network; `run` leaves the best weights in it.
            batches: Its inputs.
            hyperparameters: The run's settings.
            checkpoint: Stores the state after every epoch.
            stop: Checked between batches.
            report: Takes one line of log at a time.
            callbacks: Called as the run proceeds, except for `run_ends`, which the caller must call.
            facts: The facts for `Callback.run_begins` that only the caller knows.
            processes: The processes that train together; each has a trainer with the same arguments, except that only
                the first one has a report, and that each has its own callbacks. Default: a single one.
        """
        backbones.exact_arithmetic()
        self.device = device()
        self.network = network.to(self.device)
        self._batches = batches
        self._settings = hyperparameters
        self._checkpoint = checkpoint
        self._stop = stop
        self._report = report
        self._callbacks = callbacks or Callbacks()
        self._facts = dict(facts or {})
        self._processes = processes or Processes()
        self._model = self._processes.parallel(network)
        self._optimizer = _optimizer(network, hyperparameters)
        self._precision = _precision(self.device, wanted=hyperparameters.amp and network.backbone is not None)
        self._scaler = torch.amp.GradScaler(enabled=self._precision is torch.float16)
        self._rows = trained_rows(
            batches.size("train"), hyperparameters.batch_size, drop_last=hyperparameters.drop_last
        )
        self._steps = math.ceil(self._rows / hyperparameters.batch_size)
        self._state = RunState()

    def run(self) -> Outcome:
        """Trains to the end, starting from the checkpoint if there is one.

        Raises:
            TrainingError: The loss is not finite and no epoch was good, or the checkpoint already has all epochs.
            CheckpointError: The checkpoint belongs to other data or to another model architecture.
            Stopped: A stop was requested before the first epoch was done.
        """
        self._resume()
        state = self._state
        self._callbacks.run_begins(self.network, self._run_facts())
        stopped = False
        while state.epoch < self._settings.epochs and not state.ended and not self._stops_early():
            try:
                values, seconds = self._epoch(state.epoch + 1)
            except Stopped:
                if not state.best_weights:
                    raise
                self._report(f"asked to stop in epoch {state.epoch + 1}: keeping epoch {state.best_epoch}")
                stopped = True
                break
            if not math.isfinite(values["train:loss"]):
                self._callbacks.epoch_ends(state.epoch + 1, values)
                self._diverged(state.epoch + 1, values["train:loss"])
                break
            self._record_epoch(values)
            self._report(format_epoch(EpochMetrics(state.epoch, self._settings.epochs, values, seconds=seconds)))
            self._call_callbacks(values)
            self._save()
        self.network.restore(state.best_weights)
        self._release()
        if self._best_valid is None and self.has("valid") and not stopped:
            try:
                self._best_valid = self.evaluate("valid")
            except Stopped:  # the model is finished; only its calibration is lost
                self._report("asked to stop: the valid split was not evaluated again")
                stopped = True
        return Outcome(state.best_epoch, state.history, stopped, self._best_valid)

    def _release(self) -> None:
        """Frees what training alone needs: of many classes, it is three times the weights."""
        self._optimizer.zero_grad(set_to_none=True)
        self._optimizer.state.clear()
        self._state.best_weights.clear()

    @property
    def is_first(self) -> bool:
        """Whether this is the process that reports and writes the model."""
        return self._processes.place.is_first

    def has(self, split: str) -> bool:
        """Whether the run has pictures of a split."""
        return self._batches.size(split) > 0

    def evaluate(self, split: str) -> Evaluation:
        """Evaluates the network's current weights on a split, each picture in its plain view.

        Raises:
            Stopped: A stop was requested during the evaluation.
        """
        return self._evaluate(split, Callbacks())

    def features(self, split: str) -> Iterator[Batch]:
        """The stored features of a split [b, width] and their targets [b], without a pass through the network.

        Raises:
            Stopped: A stop was requested.
        """
        for features, targets in self._stored(split):
            self._stop.check()
            yield features, targets

    def _stored(self, split: str) -> Iterator[Batch]:
        """All stored features of a split, in each process."""
        assert isinstance(self._batches, FeatureBatches)
        return self._batches.whole(split, self._settings.batch_size)

    def _evaluate(self, split: str, callbacks: Callbacks) -> Evaluation:
        self.network.eval()
        answers, features = AnswersSoFar(self._batches.size(split)), []
        with torch.inference_mode():
            batches = self._small(self._batches.plain(split, self._settings.batch_size))
            for inputs, truth, size in self._fetched(EVAL, batches, callbacks):
                # In full precision, as on the endpoint.
                scored = _of_targets(self.network(inputs), truth).float()
                callbacks.forward_done(EVAL, scored)
                if callbacks or self._processes.place.count > 1:
                    loss = functional.cross_entropy(scored, truth, reduction="sum").double()
                    sums = self._sums(EVAL, loss, scored, truth, callbacks)
                    callbacks.step_ends(EVAL, sums[0] / size, sums[1], size)
                answers.add(scored, truth)
                if self.network.backbone is not None:
                    features.append(_of_targets(self.network.features, truth).cpu())
        all_answers, passes = self._gathered(split, answers.answers(), features)
        callbacks.evaluation_ends(split, all_answers)
        return Evaluation(all_answers, passes, self._logits, classes=self.network.classes)

    def _gathered(self, split: str, answers: Answers, features: Sequence[Tensor]) -> tuple[Answers, Passes]:
        """The answers of all processes, and passes over the features: those in the store, or those just computed."""
        everything = Answers.joined(self._processes.gather(answers))
        if self.network.backbone is None:
            return everything, lambda: self._stored(split)
        all_features = torch.cat(self._processes.gather(torch.cat(list(features))))
        return everything, lambda: [(all_features, everything.targets)]

    def _logits(self, features: Tensor) -> Tensor:
        """The logits of features, on the CPU."""
        self.network.eval()
        with torch.inference_mode():
            logits: Tensor = self.network.head(features.to(self.device)).float().cpu()
        return logits

    def _small(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Batches of few enough pictures for the logits of all classes."""
        with contextlib.closing(batches):  # type: ignore[type-var]
            # Several processes must take the same number of steps; they share the pictures of a batch anyway.
            yield from batches if self._processes.place.count > 1 else in_small_blocks(batches, self.network.classes)

    def _epoch(self, epoch: int) -> tuple[dict[str, float], float]:
        begin = time.monotonic()
        # The random state of each epoch depends on the seed and the epoch's number, so that a restarted run gets the
        # same random numbers as an uninterrupted one.
        seed = self._settings.seed * 1_000_003 + epoch
        torch.manual_seed(seed)
        loss, accuracy = self._train_epoch(epoch, seed)
        values = {"train:loss": loss, "train:accuracy": accuracy}
        if self.has("valid") and math.isfinite(loss):
            self._latest_valid = valid = self._evaluate("valid", self._callbacks)
            values |= {"valid:loss": valid.loss, "valid:accuracy": valid.accuracy}
        return values, time.monotonic() - begin

    def _train_epoch(self, epoch: int, seed: int) -> tuple[float, float]:
        """Makes one pass over the train split; returns its mean cross-entropy and accuracy while the weights change."""
        self.network.train()
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        seen, reported = 0, time.monotonic()
        settings = self._settings
        batches = self._batches.train(settings.batch_size, torch.default_generator, drop_last=settings.drop_last)
        self._processes.seed(seed)
        for step, (inputs, targets, size) in enumerate(self._fetched(TRAIN, batches, self._callbacks)):
            self._set_rate(((epoch - 1) * self._steps + step) / (settings.epochs * self._steps))
            with self._processes.exchanging():
                totals += self._step(inputs, targets, size)
            seen += size
            if time.monotonic() - reported >= PROGRESS_SECONDS:
                reported = time.monotonic()
                running = float(totals[0]) / seen
                self._report(format_within_epoch(epoch, settings.epochs, seen, self._rows, running))
        loss, correct = totals.tolist()
        return loss / seen, correct / seen

    def _step(self, inputs: Tensor, targets: Tensor, size: int) -> Tensor:
        """Takes one optimizer step.

        Args:
            inputs: This process's part of the batch.
            targets: Likewise.
            size: The size of the batch, over all processes.

        Returns:
            The batch's sums of cross-entropy and correct predictions, [2], on the device.
        """
        callbacks = self._callbacks
        with self._autocast():
            logits = self._model(inputs)
        logits = _of_targets(logits, targets).float()
        callbacks.forward_done(TRAIN, logits)
        reduction = "mean" if len(targets) else "sum"  # there is no mean of nothing
        plain = functional.cross_entropy(logits, targets, reduction=reduction)
        if smoothing := self._settings.label_smoothing:
            objective = functional.cross_entropy(logits, targets, reduction=reduction, label_smoothing=smoothing)
        else:
            objective = plain
        self._optimizer.zero_grad(set_to_none=True)
        # The gradients are averaged over the processes, whose parts may differ in size: this makes them the gradients
        # of the whole batch's mean.
        if len(targets) * self._processes.place.count != size:
            objective = objective * (len(targets) * self._processes.place.count / size)
        self._scaler.scale(objective).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimizer)
        callbacks.backward_done(TRAIN)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        sums = self._sums(TRAIN, plain.detach().double() * len(targets), logits.detach(), targets, callbacks)
        if callbacks:
            callbacks.step_ends(TRAIN, sums[0] / size, sums[1], size)
        return sums

    def _sums(self, mode: str, loss: Tensor, logits: Tensor, targets: Tensor, callbacks: Callbacks) -> Tensor:
        """Sums of cross-entropy and correct predictions over all processes, [2]; loss is this process's sum."""
        correct = (logits.argmax(1) == targets).sum()
        if self._processes.place.count > 1:
            callbacks.part_done(mode, loss / max(1, len(targets)), correct, len(targets))
        return self._processes.sum(torch.stack([loss, correct.double()]))

    def _fetched(
        self, mode: str, batches: Iterator[Batch], callbacks: Callbacks
    ) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Moves batches to the device, each with its size over all processes; checks the stop flag before each."""
        with contextlib.closing(batches):  # type: ignore[type-var]
            callbacks.step_begins(mode)
            for fetched_inputs, fetched_targets in batches:
                size = self._processes.size(len(fetched_targets), self._stop)
                if not size:
                    continue  # none of its pictures could be read
                inputs = fetched_inputs.to(self.device, non_blocking=True)
                targets = fetched_targets.to(self.device, non_blocking=True)
                callbacks.batch_ready(mode, inputs, targets)
                yield inputs, targets, size
                callbacks.step_begins(mode)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, dtype=self._precision or torch.bfloat16, enabled=self._precision is not None
        )

    def _set_rate(self, done: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * learning_rate.factor(self._settings.scheduler, done)

    def _record_epoch(self, values: dict[str, float]) -> None:
        """Adds an epoch to the history, and keeps its weights if they are the best."""
        state = self._state
        state.epoch += 1
        state.history.append(values)
        loss = values.get("valid:loss")
        if loss is None or loss < state.best_loss or not state.best_weights:
            state.best_epoch, state.best_weights = state.epoch, self.network.learned()
            self._best_valid = self._latest_valid
            state.best_loss = math.inf if loss is None or math.isnan(loss) else loss

    def _call_callbacks(self, values: Mapping[str, float]) -> None:
        """Reports an epoch to the callbacks; any of the first process's may end the run."""
        state = self._state
        state.ended = self._processes.from_first(lambda: self._callbacks.epoch_ends(state.epoch, values) or "")
        if not self._processes.place.is_first:
            self._callbacks.epoch_ends(state.epoch, values)
        if state.ended:
            self._report(f"stopping after epoch {state.epoch}: {state.ended}")

    def _save(self) -> None:
        if not self._processes.place.is_first:
            return
        state = self._state
        self._checkpoint.save(
            {
                **vars(state),
                # The same tensors are written once.
                "weights": state.best_weights if state.best_epoch == state.epoch else self.network.learned(),
                "optimizer": self._optimizer.state_dict(),
                "scaler": self._scaler.state_dict(),
            }
        )

    def _resume(self) -> None:
        # Other instances may have an older checkpoint, or none.
        saved = self._processes.from_first(self._checkpoint.load)
        if saved is None:
            return
        state, comparison = saved.state, saved.comparison
        self.network.restore(state.pop("weights"))
        fresh = [dict(group) for group in self._optimizer.param_groups]
        self._optimizer.load_state_dict(state.pop("optimizer"))
        for group, settings in zip(self._optimizer.param_groups, fresh, strict=True):
            # The state comes from the checkpoint, the settings from this run.
            group.update({name: value for name, value in settings.items() if name != "params"})
        scaler = state.pop("scaler")
        if scaler and self._scaler.is_enabled():
            self._scaler.load_state_dict(scaler)
        self._state = RunState(**state)
        epoch, epochs = self._state.epoch, self._settings.epochs
        if epoch > epochs or (epoch == epochs and comparison.changes):
            raise TrainingError(
                f"the checkpoint {self._checkpoint.path} has {epoch} epochs already, and --epochs is {epochs}: "
                "there is nothing left to train; give more epochs"
            )
        message = f"continuing after epoch {epoch} from {self._checkpoint.path}"
        if comparison.changes:
            self._state.ended = ""  # with other settings, the reason that ended the run may not apply
            message += f", with {comparison}; {self._restated(epoch)}"
        self._report(message)

    def _restated(self, done: int) -> str:
        """How the learning rate continues after settings changed."""
        settings = self._settings
        now = settings.lr * learning_rate.factor(settings.scheduler, done / settings.epochs)
        if settings.scheduler == "none":
            return f"the learning rate is {number_text(now, 3)}"
        return (
            f"the {settings.scheduler} schedule now spans {settings.epochs} epochs, and the learning rate continues at "
            f"{number_text(now, 3)}"
        )

    def _run_facts(self) -> dict[str, object]:
        return {
            "hyperparameters": self._settings.to_dict(),
            "sizes": {split: self._batches.size(split) for split in SPLITS if self.has(split)},
            "steps_per_epoch": self._steps,
            "worker": self._processes.place.rank,
            "workers": self._processes.place.count,
            "epoch": self._state.epoch,
            "fingerprint": self._checkpoint.run.fingerprint,
            "optimizer": self._optimizer,
            **self._facts,
        }

    def _stops_early(self) -> bool:
        state = self._state
        reason = early_stopping.reason(state.epoch, state.best_epoch, patience=self._settings.patience)
        if reason:
            self._report(f"{reason}: stopping after epoch {state.epoch}")
        return bool(reason)

    def _diverged(self, epoch: int, loss: float) -> None:
        remedy = f"lower --lr (now {number_text(self._settings.lr)})"
        if not self._state.best_weights:
            raise TrainingError(f"training diverged: the loss of epoch {epoch} is {loss}; {remedy}")
        self._report(
            f"warning: training diverged: the loss of epoch {epoch} is {loss}; "
            f"keeping epoch {self._state.best_epoch}; {remedy}"
        )


def device() -> torch.device:
    """The GPU if there is one, set up for deterministic results; else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch requires this for deterministic results
    torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device("cuda")


def _of_targets(rows: Tensor, targets: Tensor) -> Tensor:
    """Without the row that stands for no picture."""
    return rows if len(targets) else rows[:0]


def _precision(where: torch.device, *, wanted: bool) -> torch.dtype | None:
    """A GPU's half-precision type: bfloat16 from Ampere on, float16 (with a loss scaler) on older GPUs."""
    if not wanted or where.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.get_device_capability()[0] >= 8 else torch.float16


def _optimizer(network: Network, settings: Hyperparameters) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": list(network.head.parameters()), "lr": settings.lr, "initial_lr": settings.lr}
    ]
    if network.tuned:
        groups.append({"params": network.tuned, "lr": settings.backbone_lr, "initial_lr": settings.backbone_lr})
    fused = is_fused(parameter for group in groups for parameter in group["params"])
    if settings.optimizer == "sgd":
        return light(torch.optim.SGD)(
            groups, momentum=settings.momentum, weight_decay=settings.weight_decay, fused=fused
        )
    kind: type[torch.optim.Adam] = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return light(kind)(groups, weight_decay=settings.weight_decay, fused=fused)
