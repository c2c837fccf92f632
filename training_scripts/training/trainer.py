"""Trains a head, and where asked the backbone's last blocks: epochs, best weights, checkpoints, early stopping."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from training_scripts import ScriptError
from training_scripts._util.number_text import number_text
from training_scripts.data.batches import Batch, Batches
from training_scripts.data.image_folder import SPLITS
from training_scripts.models import backbones
from training_scripts.models.network import Network
from training_scripts.recording.trial.trial import EVAL, TRAIN
from training_scripts.training.callbacks import Watchers
from training_scripts.training.checkpoints import Checkpoint
from training_scripts.training.hyperparameters import Hyperparameters
from training_scripts.training.metrics import EpochMetrics, format_epoch, format_progress
from training_scripts.training.optimizers import light
from training_scripts.training.stop_signal import StopFlag, Stopped

# A log line now and then shows that a long epoch is alive; quick epochs need none.
PROGRESS_SECONDS = 2.0


class TrainingError(ScriptError):
    """Training cannot go on with these settings; the message says which to change."""


@dataclass(frozen=True)
class Evaluation:
    """A split's mean cross-entropy, accuracy, logits [n, classes], labels [n], features [n, width] (on the CPU)."""

    loss: float
    accuracy: float
    logits: Tensor
    labels: Tensor
    features: Tensor


@dataclass
class Progress:
    """Where a run stands after an epoch; with the weights and the optimiser, all that a restart needs."""

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    ended: str = ""  # why a watcher ended the run; a restarted one trains no further


@dataclass(frozen=True)
class Outcome:
    """A finished run; the network holds the weights of its best epoch.

    Attributes:
        epoch: The epoch whose weights were kept: lowest valid loss, or the last where there is no valid split.
        history: Metrics of every epoch, first to last.
        stopped: Whether a request to stop ended it early.
        valid: The valid split as these weights see it; None without that split, or where a stopped run, begun
            from a checkpoint, has not judged them itself.
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
        report: Callable[[str], Any] = print,
        watchers: Watchers | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Moves the network to the GPU where there is one; nothing is trained yet.

        Args:
            network: Freshly initialised; `run` leaves the best weights in it.
            batches: Its inputs.
            hyperparameters: The run's settings.
            checkpoint: Where the state is kept after every epoch.
            stop: Looked at between batches.
            report: Takes one line of log at a time.
            watchers: Are told what happens. Whoever made them tells them at last that the run has ended.
            facts: What only the caller knows of what `Watcher.run_begins` is told.
        """
        backbones.exact_arithmetic()
        self.device = device()
        self.network = network.to(self.device)
        self._batches = batches
        self._settings = hyperparameters
        self._checkpoint = checkpoint
        self._stop = stop
        self._report = report
        self._watchers = watchers or Watchers()
        self._facts = dict(facts or {})
        self._optimizer = _optimizer(network, hyperparameters)
        self._precision = _precision(self.device, wanted=hyperparameters.amp and network.backbone is not None)
        self._scaler = torch.amp.GradScaler(enabled=self._precision is torch.float16)
        self._steps = math.ceil(batches.size("train") / hyperparameters.batch_size)
        self._progress = Progress()

    def run(self) -> Outcome:
        """Trains to the end, from the checkpoint where there is one.

        Raises:
            TrainingError: The loss is not a number any more, and no epoch was good; or the checkpoint has all epochs.
            CheckpointError: The checkpoint is of other data, or of another shape of model.
            Stopped: A stop was asked for before the first epoch was done.
        """
        self._resume()
        progress = self._progress
        self._watchers.run_begins(self.network, self._run_facts())
        stopped = False
        while progress.epoch < self._settings.epochs and not progress.ended and not self._out_of_patience():
            try:
                values, seconds = self._epoch(progress.epoch + 1)
            except Stopped:
                if not progress.best_weights:
                    raise
                self._report(f"asked to stop in epoch {progress.epoch + 1}: keeping epoch {progress.best_epoch}")
                stopped = True
                break
            if not math.isfinite(values["train:loss"]):
                self._watchers.epoch_ends(progress.epoch + 1, values)
                self._diverged(progress.epoch + 1, values["train:loss"])
                break
            self._account(values)
            self._report(format_epoch(EpochMetrics(progress.epoch, self._settings.epochs, values, seconds=seconds)))
            self._ask_watchers(values)
            self._save()
        self.network.restore(progress.best_weights)
        if self._best_valid is None and self.has("valid") and not stopped:
            try:
                self._best_valid = self.evaluate("valid")
            except Stopped:  # the model is finished; only its calibration is lost
                self._report("asked to stop: the valid split was not judged again")
                stopped = True
        return Outcome(progress.best_epoch, progress.history, stopped, self._best_valid)

    def has(self, split: str) -> bool:
        """Whether there is such a split to judge."""
        return self._batches.size(split) > 0

    def evaluate(self, split: str) -> Evaluation:
        """Judges the network's present weights on a split, each picture in its plain view.

        Raises:
            Stopped: A stop was asked for meanwhile.
        """
        return self._evaluate(split, Watchers())

    def _evaluate(self, split: str, watchers: Watchers) -> Evaluation:
        self.network.eval()
        logits, labels, features = [], [], []
        with torch.inference_mode():
            for inputs, truth in self._fetched(EVAL, self._batches.plain(split, self._settings.batch_size), watchers):
                # In full precision, as the endpoint will compute them.
                scored = self.network(inputs).float()
                watchers.forward_done(EVAL, scored)
                if watchers:
                    right = (scored.argmax(1) == truth).sum()
                    watchers.step_ends(EVAL, functional.cross_entropy(scored, truth), right, len(truth))
                logits.append(scored.cpu())
                labels.append(truth.cpu())
                features.append(self.network.features.cpu())
        scores, truths = torch.cat(logits), torch.cat(labels)
        watchers.evaluation_ends(split, scores, truths)
        accuracy = float((scores.argmax(1) == truths).double().mean())
        loss = float(functional.cross_entropy(scores, truths))
        # Stored features come as one batch: they are not copied.
        seen = features[0] if len(features) == 1 else torch.cat(features)
        return Evaluation(loss, accuracy, scores, truths, seen)

    def _epoch(self, epoch: int) -> tuple[dict[str, float], float]:
        begin = time.monotonic()
        # Every epoch draws from the seed and its own number: a restarted run draws what an unbroken one does.
        torch.manual_seed(self._settings.seed * 1_000_003 + epoch)
        loss, accuracy = self._train_epoch(epoch)
        values = {"train:loss": loss, "train:accuracy": accuracy}
        if self.has("valid") and math.isfinite(loss):
            self._latest_valid = valid = self._evaluate("valid", self._watchers)
            values |= {"valid:loss": valid.loss, "valid:accuracy": valid.accuracy}
        return values, time.monotonic() - begin

    def _train_epoch(self, epoch: int) -> tuple[float, float]:
        """One pass over the train split; its mean cross-entropy and accuracy while the weights moved."""
        self.network.train()
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        seen, spoken = 0, time.monotonic()
        batches = self._batches.train(self._settings.batch_size, torch.default_generator)
        for step, (inputs, labels) in enumerate(self._fetched(TRAIN, batches, self._watchers)):
            self._set_rate(((epoch - 1) * self._steps + step) / (self._settings.epochs * self._steps))
            totals += self._step(inputs, labels)
            seen += len(labels)
            if time.monotonic() - spoken >= PROGRESS_SECONDS:
                spoken = time.monotonic()
                total = self._batches.size("train")
                running = float(totals[0]) / seen
                self._report(format_progress(epoch, self._settings.epochs, seen, total, running))
        loss, correct = totals.tolist()
        return loss / seen, correct / seen

    def _step(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """One optimiser step; sums of cross-entropy and of correct answers, [2], left on the device."""
        watchers = self._watchers
        with self._autocast():
            logits = self.network(inputs)
        logits = logits.float()
        watchers.forward_done(TRAIN, logits)
        plain = functional.cross_entropy(logits, labels)
        smoothing = self._settings.label_smoothing
        objective = functional.cross_entropy(logits, labels, label_smoothing=smoothing) if smoothing else plain
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(objective).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimizer)
        watchers.backward_done(TRAIN)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        correct = (logits.detach().argmax(1) == labels).sum()
        watchers.step_ends(TRAIN, plain.detach(), correct, len(labels))
        return torch.stack([plain.detach().double() * len(labels), correct.double()])

    def _fetched(self, mode: str, batches: Iterator[Batch], watchers: Watchers) -> Iterator[Batch]:
        """Batches on the device, with a look at the stop flag before each."""
        with contextlib.closing(batches):  # type: ignore[type-var]
            watchers.step_begins(mode)
            for fetched, truth in batches:
                self._stop.check()
                inputs = fetched.to(self.device, non_blocking=True)
                labels = truth.to(self.device, non_blocking=True)
                watchers.batch_ready(mode, inputs, labels)
                yield inputs, labels
                watchers.step_begins(mode)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, dtype=self._precision or torch.bfloat16, enabled=self._precision is not None
        )

    def _set_rate(self, done: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate(self._settings.scheduler, done)

    def _account(self, values: dict[str, float]) -> None:
        """Books an epoch, and keeps its weights if they are the best."""
        progress = self._progress
        progress.epoch += 1
        progress.history.append(values)
        loss = values.get("valid:loss")
        if loss is None or loss < progress.best_loss or not progress.best_weights:
            progress.best_epoch, progress.best_weights = progress.epoch, self.network.learned()
            self._best_valid = self._latest_valid
            progress.best_loss = math.inf if loss is None or math.isnan(loss) else loss

    def _ask_watchers(self, values: Mapping[str, float]) -> None:
        """Tells the watchers of an epoch; one of them may end the run."""
        progress = self._progress
        progress.ended = self._watchers.epoch_ends(progress.epoch, values) or ""
        if progress.ended:
            self._report(f"stopping after epoch {progress.epoch}: {progress.ended}")

    def _save(self) -> None:
        self._checkpoint.save(
            {
                **vars(self._progress),
                "weights": self.network.learned(),
                "optimizer": self._optimizer.state_dict(),
                "scaler": self._scaler.state_dict(),
            }
        )

    def _resume(self) -> None:
        saved = self._checkpoint.load()
        if saved is None:
            return
        state, comparison = saved.state, saved.comparison
        self.network.restore(state.pop("weights"))
        fresh = [dict(group) for group in self._optimizer.param_groups]
        self._optimizer.load_state_dict(state.pop("optimizer"))
        for group, settings in zip(self._optimizer.param_groups, fresh, strict=True):
            # The state is the checkpoint's, what was asked for is this run's.
            group.update({name: value for name, value in settings.items() if name != "params"})
        scaler = state.pop("scaler")
        if scaler and self._scaler.is_enabled():
            self._scaler.load_state_dict(scaler)
        self._progress = Progress(**state)
        epoch, epochs = self._progress.epoch, self._settings.epochs
        if epoch > epochs or (epoch == epochs and comparison.changes):
            raise TrainingError(
                f"the checkpoint {self._checkpoint.path} has {epoch} epochs already, and --epochs is {epochs}: "
                "there is nothing left to train; give more epochs"
            )
        said = f"continuing after epoch {epoch} from {self._checkpoint.path}"
        if comparison.changes:
            self._progress.ended = ""  # what ended it may not end it so again
            said += f", with {comparison}; {self._restated(epoch)}"
        self._report(said)

    def _restated(self, done: int) -> str:
        """How the learning rate continues when settings have changed."""
        settings = self._settings
        now = settings.lr * rate(settings.scheduler, done / settings.epochs)
        if settings.scheduler == "none":
            return f"the learning rate is {number_text(now, 3)}"
        return (
            f"the {settings.scheduler} schedule now spans {settings.epochs} epochs, and the learning rate continues at "
            f"{number_text(now, 3)}"
        )

    def _run_facts(self) -> dict[str, Any]:
        return {
            "hyperparameters": self._settings.to_dict(),
            "sizes": {split: self._batches.size(split) for split in SPLITS if self.has(split)},
            "steps_per_epoch": self._steps,
            "epoch": self._progress.epoch,
            "fingerprint": self._checkpoint.run.fingerprint,
            **self._facts,
        }

    def _out_of_patience(self) -> bool:
        progress, patience = self._progress, self._settings.patience
        if not patience or progress.epoch - progress.best_epoch < patience:
            return False
        self._report(f"no better valid loss for {patience} epochs: stopping after epoch {progress.epoch}")
        return True

    def _diverged(self, epoch: int, loss: float) -> None:
        remedy = f"lower --lr (now {number_text(self._settings.lr)})"
        if not self._progress.best_weights:
            raise TrainingError(f"training diverged: the loss of epoch {epoch} is {loss}; {remedy}")
        self._report(
            f"warning: training diverged: the loss of epoch {epoch} is {loss}; "
            f"keeping epoch {self._progress.best_epoch}; {remedy}"
        )


def rate(scheduler: str, done: float) -> float:
    """What the learning rate is multiplied by.

    Args:
        scheduler: cosine (from 1 to 0 over the run), step (a tenth after each third), none.
        done: Share of the run's steps that are done, from 0 to below 1.
    """
    if scheduler == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return 0.1 ** int(done * 3) if scheduler == "step" else 1.0


def device() -> torch.device:
    """The GPU where there is one, set to repeat itself exactly; else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what torch asks for to be deterministic
    torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device("cuda")


def _precision(where: torch.device, *, wanted: bool) -> torch.dtype | None:
    """The half precision of a GPU: bfloat16 from Ampere on, float16 (with a loss scaler) before."""
    if not wanted or where.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.get_device_capability()[0] >= 8 else torch.float16


def _optimizer(network: Network, settings: Hyperparameters) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": list(network.head.parameters()), "lr": settings.lr, "initial_lr": settings.lr}
    ]
    if network.tuned:
        groups.append({"params": network.tuned, "lr": settings.backbone_lr, "initial_lr": settings.backbone_lr})
    if settings.optimizer == "sgd":
        return light(torch.optim.SGD)(groups, momentum=settings.momentum, weight_decay=settings.weight_decay)
    kind: type[torch.optim.Adam] = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return light(kind)(groups, weight_decay=settings.weight_decay)
