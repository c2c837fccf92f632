"""What a training run tells those who watch it: the recorder and the profiler. None of them may end or slow it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


class Watcher:
    """Is told what happens in a run; every method does nothing until it is overridden.

    Modes are TRAIN and EVAL. In both, a step is: `step_begins`, the batch is fetched, `batch_ready`, the forward
    pass, `forward_done`; in TRAIN then the backward pass, `backward_done`, the optimiser; and `step_ends`.
    """

    def run_begins(self, network: nn.Module, facts: Mapping[str, Any]) -> None:
        """Training is about to begin or to go on.

        Args:
            network: What is trained.
            facts: hyperparameters, sizes (pictures a split), steps_per_epoch, classes, class_counts (of the train
                split), epoch (done before), fingerprint (of the run), valid_names (pictures of the valid split).
        """

    def step_begins(self, mode: str) -> None:
        """The next batch is about to be fetched."""

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


class Watchers(Watcher):
    """Several watchers as one. One that raises is left out from then on, with a warning: it may fail only itself."""

    def __init__(self, watchers: Iterable[Watcher] = (), *, report: Callable[[str], Any] = print) -> None:
        self._watchers = list(watchers)
        self._report = report
