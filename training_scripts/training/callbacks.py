"""Callbacks of a training run, such as the recorder and the profiler; one that fails never fails the run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from training_scripts.training.answers import Answers


class Callback:
    """Hooks that a run calls; each does nothing until it is overridden.

    Modes are TRAIN and EVAL. In both, a step is: `step_begins`, the batch is fetched, `batch_ready`, the forward
    pass, `forward_done`; in TRAIN then the backward pass, `backward_done`, the optimizer; and `step_ends`. A feature
    pass, if there is one, comes before the run and has separate hooks.

    Attributes:
        needs_torch: Whether a feature pass must run in torch, because the callback watches torch.
    """

    needs_torch: bool = False

    def run_begins(self, network: nn.Module, facts: Mapping[str, Any]) -> None:
        """Training is about to begin, or to resume from a checkpoint.

        Args:
            network: The network that is trained.
            facts: hyperparameters, sizes (pictures of each split), steps_per_epoch, classes, class_counts (of the
                train split), epoch (epochs already done), fingerprint (of the run), valid_names (pictures of the valid
                split), inputs (features or pictures), backbone, optimizer, worker and workers (the number of this
                process among those that train together, and how many there are); of loops other than ours also
                train_steps and eval_steps (done so far).
        """

    def pass_begins(self, batches: int, facts: Mapping[str, object]) -> None:
        """A feature pass is about to begin.

        Args:
            batches: Number of batches.
            facts: device, batch_size, workers, backbone, views.
        """

    def pass_batch_begins(self) -> None:
        """The feature pass is about to wait for a batch of decoded pictures."""

    def pass_batch_ends(self, began: float, ready: float, ended: float) -> None:
        """A batch is done.

        Args:
            began: When the wait for its pictures began, in `time.perf_counter`'s seconds.
            ready: When its pictures were decoded.
            ended: When its features were computed.
        """

    def pass_ends(self) -> Mapping[str, object] | None:
        """The feature pass is done. Returns facts to store with the features, or None."""

    def step_begins(self, mode: str) -> None:
        """The next batch is about to be fetched; also called once at the end of a pass, when no batch is left."""

    def batch_ready(self, mode: str, inputs: Tensor, targets: Tensor) -> None:
        """The batch is on the device."""

    def forward_done(self, mode: str, logits: Tensor) -> None:
        """The forward pass is done."""

    def backward_done(self, mode: str) -> None:
        """The gradients are computed; the weights have not changed yet."""

    def part_done(self, mode: str, loss: Tensor, correct: Tensor, size: int) -> None:
        """If several processes train together: this one's part of the batch is done; `step_ends` follows for all.

        Args:
            mode: TRAIN or EVAL.
            loss: The mean cross-entropy of the part; 0 of an empty one.
            correct: Its number of correct predictions.
            size: Its number of pictures.
        """

    def step_ends(self, mode: str, loss: Tensor, correct: Tensor, size: int) -> None:
        """The step is done; loss is the batch's mean cross-entropy, correct its number of correct predictions."""

    def evaluation_ends(self, split: str, answers: Answers) -> None:
        """A whole split was evaluated: the answers to all of its pictures."""

    def epoch_ends(self, epoch: int, values: Mapping[str, float]) -> str | None:
        """An epoch is done; `values` are its metrics. Returns the reason to end the run now, or None to continue."""

    def run_ends(self) -> None:
        """The run is over; called however it ends."""

    def abandoned(self, reason: str) -> None:  # noqa: ARG002
        """This callback raised an exception, so the run continues without it: release the network.

        Args:
            reason: The exception's message.
        """
        self.run_ends()


class Callbacks(Callback):
    """Several callbacks as one. A callback that raises is dropped with a warning; the run continues without it."""

    def __init__(self, callbacks: Iterable[Callback] = (), *, report: Callable[[str], object] = print) -> None:
        """Combines callbacks.

        Args:
            callbacks: The callbacks, called in this order.
            report: Takes one line of log at a time.
        """
        self._report = report
        self._settle(tuple(callbacks))

    def __bool__(self) -> bool:
        """Whether any callback is left."""
        return bool(self._callbacks)

    def run_begins(self, network: nn.Module, facts: Mapping[str, Any]) -> None:
        """Calls all of them."""
        self._call("run_begins", network, facts)

    def pass_begins(self, batches: int, facts: Mapping[str, object]) -> None:
        """Calls all of them."""
        self._call("pass_begins", batches, facts)

    def pass_batch_begins(self) -> None:
        """Calls all of them."""
        self._call("pass_batch_begins")

    def pass_batch_ends(self, began: float, ready: float, ended: float) -> None:
        """Calls all of them."""
        self._call("pass_batch_ends", began, ready, ended)

    def pass_ends(self) -> Mapping[str, object]:
        """Calls all of them; returns the facts of all."""
        return {key: value for answer in self._call("pass_ends") if answer for key, value in answer.items()}

    def step_begins(self, mode: str) -> None:
        """Calls all of them."""
        self._call("step_begins", mode)

    def batch_ready(self, mode: str, inputs: Tensor, targets: Tensor) -> None:
        """Calls all of them."""
        self._call("batch_ready", mode, inputs, targets)

    def forward_done(self, mode: str, logits: Tensor) -> None:
        """Calls all of them."""
        self._call("forward_done", mode, logits)

    def backward_done(self, mode: str) -> None:
        """Calls all of them."""
        self._call("backward_done", mode)

    def part_done(self, mode: str, loss: Tensor, correct: Tensor, size: int) -> None:
        """Calls all of them."""
        self._call("part_done", mode, loss, correct, size)

    def step_ends(self, mode: str, loss: Tensor, correct: Tensor, size: int) -> None:
        """Calls all of them."""
        self._call("step_ends", mode, loss, correct, size)

    def evaluation_ends(self, split: str, answers: Answers) -> None:
        """Calls all of them."""
        self._call("evaluation_ends", split, answers)

    def epoch_ends(self, epoch: int, values: Mapping[str, float]) -> str | None:
        """Calls all of them; returns the first reason to end the run, if any."""
        reasons = self._call("epoch_ends", epoch, values)
        return next((reason for reason in reasons if reason), None)

    def run_ends(self) -> None:
        """Calls all of them."""
        self._call("run_ends")

    def _settle(self, callbacks: tuple[Callback, ...]) -> None:
        self._callbacks = callbacks
        self.needs_torch = any(callback.needs_torch for callback in callbacks)
        # A training step takes a millisecond: only hooks that a callback overrides are called.
        self._hooks = {
            hook: [
                (callback, getattr(callback, hook))
                for callback in callbacks
                if getattr(type(callback), hook) is not getattr(Callback, hook)
            ]
            for hook in _HOOKS
        }

    def _call(self, hook: str, *arguments: object) -> list[Any]:
        answers = []
        for callback, function in self._hooks[hook]:
            try:
                answers.append(function(*arguments))
            except Exception as error:  # noqa: BLE001 - training continues whatever a callback raises
                self._drop(callback, error)
        return answers

    def _drop(self, callback: Callback, error: Exception) -> None:
        self._settle(tuple(other for other in self._callbacks if other is not callback))
        reason = first_line(error)
        with contextlib.suppress(Exception):  # lets the callback end its threads and close its files
            callback.abandoned(reason)
        name = type(callback).__name__
        self._report(f"warning: {name} failed and was dropped; training continues without it: {reason}")


def first_line(error: Exception) -> str:
    """The first line of an error's message, for one line of log."""
    return (str(error) or type(error).__name__).splitlines()[0][:300]


_HOOKS = tuple(name for name, value in vars(Callback).items() if callable(value) and not name.startswith("_"))
