"""Recorder: records any PyTorch training loop, for `DebugReport` and `dogbreed report`."""

from __future__ import annotations

import atexit
import logging
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dogbreed_sdk._util.optional import needed
from dogbreed_sdk.recording import folder as folders
from dogbreed_sdk.recording.batches import batch_of
from dogbreed_sdk.recording.options import Options, check_numbers, plain_parameters
from dogbreed_sdk.recording.predictions import Task
from training_scripts.recording.recorder.worker import current

if TYPE_CHECKING:
    from argparse import Namespace
    from types import TracebackType

    from torch import Tensor, nn

    from dogbreed_sdk.debugging.report import DebugReport
    from dogbreed_sdk.recording.recording import Recording

_log = logging.getLogger(__name__)
_NO_LOSSES: Mapping[str, Any] = {}


class Validation(NamedTuple):
    """The result of `Recorder.validate`: the mean loss, and the share of right predictions; None without classes."""

    loss: float
    accuracy: float | None


class Recorder:
    """Records a training loop: its losses, gradients, weights, learning rates, evaluations, and where its time goes.

    A step is one call of `step`: with gradient accumulation, one per micro-batch. Gradients are those with which the
    optimizer steps: accumulated, unscaled by a GradScaler, and clipped. A step that a GradScaler skips has none.
    Evaluations need not be marked: the batches given to `evaluate` between two training steps form one.

    Where torch.distributed is initialized, or torchrun started the processes, each of them makes a recorder of the same
    folder, and records its own part of each step; the report shows all of them together.

    Recording never changes the training, and never waits for a GPU in a step. Wrong arguments of the constructor
    raise; afterward, a failure to record is logged as one warning, and the loop continues.

    Attributes:
        folder: The recording's folder, for `DebugReport.load` and `dogbreed report`.

    Examples:
        >>> import tempfile, torch
        >>> model = torch.nn.Linear(4, 3)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> inputs, labels = torch.randn(8, 4), torch.arange(8) % 3
        >>> folder = tempfile.mkdtemp()
        >>> with Recorder(folder, model=model, optimizer=optimizer, rules=False) as run:
        ...     for _ in range(3):
        ...         outputs = model(inputs)
        ...         loss = torch.nn.functional.cross_entropy(outputs, labels)
        ...         optimizer.zero_grad()
        ...         loss.backward()
        ...         optimizer.step()
        ...         run.step(loss, outputs=outputs, labels=labels)
        >>> len(run.report().trial.tensor("accuracy").series())
        3
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        model: nn.Module | None = None,
        optimizer: Any = None,
        hyperparameters: Mapping[str, object] | Namespace | Any = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        classes: Sequence[str] | None = None,
        task: str | None = None,
        save_interval: int = 0,
        profile: bool = True,
        rules: bool = True,
        resume: bool | int = False,
        overwrite: bool = False,
        framework: str = "torch",
    ) -> None:
        """Checks the arguments; writes nothing before the first step, or before the ``with`` block begins.

        Args:
            folder: Where to record to; created if missing.
            model: The module that is trained. Without it, no gradients, weights and activations are recorded.
            optimizer: Its `torch.optim.Optimizer`. Without it, no gradients, updates and learning rates are recorded.
            hyperparameters: Those of the run by name, for the report: a mapping, an `argparse.Namespace` or a
                dataclass. Values whose names sound like secrets are left out.
            epochs: Planned epochs, if known.
            steps_per_epoch: Calls of `step` per epoch, if known: usually ``len(loader)``. `epoch` finds out, too.
            classes: Names of the classes in index order.
            task: classification or regression; None infers it from the first outputs and labels.
            save_interval: Save gradients, weights and activations every N steps; 0: every 100, and more often in short
                runs and in the first steps of runs of unknown length.
            profile: Measure steps and waits for data, and sample the machine twice a second.
            rules: Evaluate the rules when the recording ends, and print the verdict.
            resume: Continue the recording in the folder if there is one. True continues after its last step; a number
                keeps that many training steps, and the resumed training repeats the later ones: store `steps_done`
                in your checkpoints.
            overwrite: Replace the recording in the folder if there is one.
            framework: What drives the loop, for the report.

        Raises:
            ConfigurationError: An argument is invalid; the folder contains a recording, and neither `resume` nor
                `overwrite` is set; or NumPy is not installed.
        """
        with needed(extra="local", purpose="record a training loop"):
            import numpy  # noqa: F401, PLC0415
        self.folder = Path(folder).expanduser()
        check_numbers(epochs=epochs, steps_per_epoch=steps_per_epoch, save_interval=save_interval, task=task)
        folders.check(self.folder, resume=resume is not False, overwrite=overwrite, worker=current())
        self._options = Options(
            folder=self.folder,
            model=model,
            optimizer=optimizer,
            parameters=plain_parameters(hyperparameters),
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            classes=classes,
            task=task,
            save_interval=save_interval,
            profile=profile,
            resume=None if resume is False else resume,
            framework=framework,
        )
        self._task = Task(task)
        self._rules = rules
        self._recording: Recording | None = None
        self._is_over = False
        self._steps_done = 0
        self._process = os.getpid()

    def __repr__(self) -> str:
        return f"Recorder({str(self.folder)!r}, steps_done={self.steps_done})"

    def __enter__(self) -> Recorder:
        """Opens the recording."""
        self._opened()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Ends the recording; an exception that ends the block is noted in it, and continues."""
        self._end(error)

    @property
    def steps_done(self) -> int:
        """Number of training steps so far, those of a resumed recording included: the value for `resume`."""
        if self._recording is not None:
            self._steps_done = self._recording.steps["TRAIN"]
        return self._steps_done

    def step(
        self,
        loss: Tensor | float,
        *,
        outputs: Any = None,
        labels: Any = None,
        losses: Mapping[str, Tensor | float] = _NO_LOSSES,
        size: int | None = None,
    ) -> None:
        """Records a training step. Call it after ``loss.backward()``, before or after ``optimizer.step()``.

        Args:
            loss: The mean loss of the batch: neither scaled by a GradScaler, nor divided for gradient accumulation.
                The losses of single samples, [n], are accepted, too.
            outputs: The model's outputs, with which accuracy is computed: [n, classes, ...], or anything with `logits`.
            labels: The true values: class indices [n, ...], or numbers for a regression.
            losses: Losses by name that the total is made of, each as `loss`; each gets a curve.
            size: Number of samples. Default: that of the labels or outputs.
        """
        recording = self._opened()
        if recording is not None:
            try:
                recording.train_step(loss, outputs, labels, losses, size)
            except Exception as error:  # noqa: BLE001 - the loop continues, whatever fails here
                self._fail(error)

    def evaluate(
        self,
        loss: Tensor | float,
        *,
        outputs: Any = None,
        labels: Any = None,
        losses: Mapping[str, Tensor | float] = _NO_LOSSES,
        size: int | None = None,
    ) -> None:
        """Records a validation batch; takes the arguments of `step`.

        Batches of one split only: those of a test split that is evaluated as well would count as validation samples.
        With outputs and labels, the loss and the prediction of each sample are recorded as well.

        Args:
            loss: The mean loss of the batch, or the losses of single samples, [n].
            outputs: The model's outputs, as for `step`.
            labels: The true values, as for `step`.
            losses: Losses by name that the total is made of, each as `loss`.
            size: Number of samples. Default: that of the labels or outputs.
        """
        recording = self._opened()
        if recording is not None:
            try:
                recording.eval_step(loss, outputs, labels, losses, size)
            except Exception as error:  # noqa: BLE001 - as above
                self._fail(error)

    def validate(self, loader: Iterable[Any], criterion: Any, *, model: nn.Module | None = None) -> Validation:
        """Evaluates the model on a loader, and records it: for loops that do not evaluate themselves.

        Args:
            loader: The validation split; yields batches (inputs, labels); they are moved to the model's device.
            criterion: Computes the mean loss of outputs and labels.
            model: Default: the recorder's.

        Raises:
            ValueError: There is no model, or the loader yields nothing.
        """
        import torch  # noqa: PLC0415 - torch is the caller's

        model = self._options.model if model is None else model
        if model is None:
            raise ValueError("validate() needs a model: pass it here, or to Recorder(model=...).")
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        trained = [module for module in model.modules() if module.training]
        total = correct = 0.0
        samples = 0
        has_classes = True
        model.eval()
        try:
            with torch.no_grad():
                for inputs, labels in loader:
                    there = labels.to(device, non_blocking=True)
                    outputs = model(inputs.to(device, non_blocking=True))
                    loss = criterion(outputs, there)
                    self.evaluate(loss, outputs=outputs, labels=there)
                    batch = batch_of(loss, outputs, there, _NO_LOSSES, len(labels))
                    right = self._task.count_right(batch)
                    total += float(batch.loss) * len(labels)
                    has_classes = has_classes and right is not None
                    correct += right or 0.0
                    samples += len(labels)
        finally:
            for module in trained:
                module.training = True
        if not samples:
            raise ValueError("validate() got a loader without batches.")
        return Validation(total / samples, correct / samples if has_classes else None)

    def epoch(self) -> None:
        """Marks the end of an epoch. Optional: without it, evaluations divide the run into epochs."""
        recording = self._opened()
        if recording is not None:
            try:
                recording.epoch_ends()
            except Exception as error:  # noqa: BLE001 - as above
                self._fail(error)

    def close(self) -> None:
        """Ends the recording, as the end of the ``with`` block does. Later calls do nothing."""
        self._end(None)

    def report(self) -> DebugReport:
        """The report on what was recorded so far.

        Raises:
            RecordingError: Nothing was recorded.
        """
        from dogbreed_sdk.debugging.report import DebugReport  # noqa: PLC0415 - only where it is read

        return DebugReport.load(self.folder)

    def _opened(self) -> Recording | None:
        """The recording, opened on first use; None after it has ended or failed, and in forked processes."""
        if self._recording is not None or self._is_over:
            return self._recording if os.getpid() == self._process else None
        try:
            from dogbreed_sdk.recording.recording import Recording  # noqa: PLC0415 - needs NumPy

            self._recording = Recording(self._options, task=self._task, report=_log.warning, failed=self._fail)
            atexit.register(self.close)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)
        return self._recording

    def _fail(self, error: Exception) -> None:
        """Stops recording with one warning."""
        self._steps_done = self.steps_done
        recording, self._recording = self._recording, None
        if self._is_over:
            return
        self._is_over = True
        atexit.unregister(self.close)
        _log.warning("recording to %s stops, and training continues: %s: %s", self.folder, type(error).__name__, error)
        _log.debug("the failure", exc_info=error)
        if recording is not None:
            try:
                recording.abandon(f"{type(error).__name__}: {error}")
            except Exception:  # noqa: BLE001 - it has failed already
                _log.debug("the recording cannot be abandoned", exc_info=True)

    def _end(self, failure: BaseException | None) -> None:
        if os.getpid() != self._process:
            return
        recording = self._recording
        ended = False
        if recording is not None and not self._is_over:
            try:
                recording.ends(failure)
                ended = True
            except Exception as error:  # noqa: BLE001 - as above
                self._fail(error)
        self._is_over, self._steps_done, self._recording = True, self.steps_done, None
        atexit.unregister(self.close)
        if ended and self._rules and current().is_first:
            self._print_verdict()

    def _print_verdict(self) -> None:
        try:
            print(f"{self.report().headline()}\nThe whole report: dogbreed report {shlex.quote(str(self.folder))}")
        except Exception as error:  # noqa: BLE001 - as above; the recording is whole
            _log.warning("no verdict on %s: %s: %s", self.folder, type(error).__name__, error)
