"""What a training run tells those who watch it: the recorder and the profiler. None of them may end or slow it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


class Watcher:
    """Is told what happens in a run; every method does nothing until it is overridden.

    Modes are TRAIN and EVAL. In both, a step is: `step_begins`, the batch is fetched, `batch_ready`, the forward
    pass, `forward_done`; in TRAIN then the backward pass, `backward_done`, the optimiser; and `step_ends`. A feature
    pass, where there is one, comes before the run, with hooks of its own.
    """

    def run_begins(self, network: nn.Module, facts: Mapping[str, Any]) -> None:
        """Training is about to begin or to go on.

        Args:
            network: What is trained.
            facts: hyperparameters, sizes (pictures a split), steps_per_epoch, classes, class_counts (of the train
                split), epoch (done before), fingerprint (of the run), valid_names (pictures of the valid split),
                inputs (features or pictures), backbone.
        """

    def pass_begins(self, batches: int, facts: Mapping[str, Any]) -> None:
        """A feature pass is about to begin.

        Args:
            batches: How many batches it has.
            facts: device, batch_size, workers, backbone, views.
        """

    def pass_batch_begins(self) -> None:
        """The feature pass is about to wait for a batch of decoded pictures."""

    def pass_batch_ends(self, began: float, ready: float, ended: float) -> None:
        """A batch is done: when its wait began, its pictures were there, its features were; `time.perf_counter`'s."""

    def pass_ends(self) -> Mapping[str, Any] | None:
        """The feature pass is done. Returns what is to be kept with the features about it, or None."""

    def step_begins(self, mode: str) -> None:
        """The next batch is about to be fetched; after the last one of a pass there turns out to be none."""

    def batch_ready(self, mode: str, inputs: Tensor, labels: Tensor) -> None:
        """The batch is on the device."""

    def forward_done(self, mode: str, logits: Tensor) -> None:
        """The forward pass is done."""

    def backward_done(self, mode: str) -> None:
        """The gradients are there, the weights not yet changed."""

    def step_ends(self, mode: str, loss: Tensor, correct: Tensor, size: int) -> None:
        """The step is done; loss is the batch's mean cross-entropy, correct its number of right answers."""

    def evaluation_ends(self, split: str, logits: Tensor, labels: Tensor) -> None:
        """A whole split was judged: logits [n, classes], labels [n], on the CPU, in the split's order."""

    def epoch_ends(self, epoch: int, values: Mapping[str, float]) -> str | None:
        """An epoch is done, with its metrics. Returns why the run should end here, or None to go on."""

    def run_ends(self) -> None:
        """Nothing more will come; called however the run ends."""

    def abandoned(self, reason: str) -> None:  # noqa: ARG002
        """It has failed and is told nothing more, though the run goes on: it should let go of the network.

        Args:
            reason: What went wrong.
        """
        self.run_ends()


class Watchers(Watcher):
    """Several watchers as one. One that raises is left out from then on, with a warning: it may fail only itself."""

    def __init__(self, watchers: Iterable[Watcher] = (), *, report: Callable[[str], Any] = print) -> None:
        """Takes the watchers, who are called in this order.

        Args:
            watchers: Those who are to be told.
            report: Takes one line of log at a time.
        """
        self._report = report
        self._settle(tuple(watchers))

    def __bool__(self) -> bool:
        """Whether anyone is left who watches."""
        return bool(self._watchers)

    def run_begins(self, network: nn.Module, facts: Mapping[str, Any]) -> None:
        """Tells them."""
        self._tell("run_begins", network, facts)

    def pass_begins(self, batches: int, facts: Mapping[str, Any]) -> None:
        """Tells them."""
        self._tell("pass_begins", batches, facts)

    def pass_batch_begins(self) -> None:
        """Tells them."""
        self._tell("pass_batch_begins")

    def pass_batch_ends(self, began: float, ready: float, ended: float) -> None:
        """Tells them."""
        self._tell("pass_batch_ends", began, ready, ended)

    def pass_ends(self) -> Mapping[str, Any]:
        """Tells them; all that they want to be kept."""
        return {key: value for answer in self._tell("pass_ends") if answer for key, value in answer.items()}

    def step_begins(self, mode: str) -> None:
        """Tells them."""
        self._tell("step_begins", mode)

    def batch_ready(self, mode: str, inputs: Tensor, labels: Tensor) -> None:
        """Tells them."""
        self._tell("batch_ready", mode, inputs, labels)

    def forward_done(self, mode: str, logits: Tensor) -> None:
        """Tells them."""
        self._tell("forward_done", mode, logits)

    def backward_done(self, mode: str) -> None:
        """Tells them."""
        self._tell("backward_done", mode)

    def step_ends(self, mode: str, loss: Tensor, correct: Tensor, size: int) -> None:
        """Tells them."""
        self._tell("step_ends", mode, loss, correct, size)

    def evaluation_ends(self, split: str, logits: Tensor, labels: Tensor) -> None:
        """Tells them."""
        self._tell("evaluation_ends", split, logits, labels)

    def epoch_ends(self, epoch: int, values: Mapping[str, float]) -> str | None:
        """Tells all of them; the first reason to end the run, if one has any."""
        reasons = self._tell("epoch_ends", epoch, values)
        return next((reason for reason in reasons if reason), None)

    def run_ends(self) -> None:
        """Tells them."""
        self._tell("run_ends")

    def _settle(self, watchers: tuple[Watcher, ...]) -> None:
        self._watchers = watchers
        # A training step takes a millisecond: only those are called that have something to do.
        self._told = {
            hook: [
                (watcher, getattr(watcher, hook))
                for watcher in watchers
                if getattr(type(watcher), hook) is not getattr(Watcher, hook)
            ]
            for hook in _HOOKS
        }

    def _tell(self, hook: str, *what: Any) -> list[Any]:
        answers = []
        for watcher, tell in self._told[hook]:
            try:
                answers.append(tell(*what))
            except Exception as error:  # noqa: BLE001 - whatever goes wrong with watching, training goes on
                self._leave_out(watcher, error)
        return answers

    def _leave_out(self, watcher: Watcher, error: Exception) -> None:
        self._settle(tuple(other for other in self._watchers if other is not watcher))
        reason = first_line(error)
        with contextlib.suppress(Exception):  # its threads and files should end with it
            watcher.abandoned(reason)
        self._report(f"warning: {type(watcher).__name__} failed and is left out; training goes on: {reason}")


def first_line(error: Exception) -> str:
    """What an error says, in the one line that a log has for it."""
    return (str(error) or type(error).__name__).splitlines()[0][:300]


_HOOKS = tuple(name for name, value in vars(Watcher).items() if callable(value) and not name.startswith("_"))
