"""One evaluation of a loop: what its batches show of each sample, once it has ended."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dogbreed_sdk.recording.predictions import Answers, cross_entropy, per_sample_losses
from training_scripts.recording.recorder.snapshots import Snapshot
from training_scripts.recording.trial.layout import (
    LABELS,
    OUTPUTS,
    PREDICTIONS,
    TARGETS,
    VALID_LOSSES,
    VALID_PROBABILITIES,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from training_scripts.recording.recorder.torch_reductions import Number

# As the recorder of train_model: about twelve bytes per sample, up to 64 MB per run.
SAMPLE_BYTES, RUN_BYTES = 12, 64 << 20
_MOST_OUTPUTS = 16  # numbers per sample of a regression
# The mean loss of single samples may differ this much from the loss that was reported: it is then another loss.
_AS_REPORTED = 0.02


class Evaluation:
    """Collects the batches of one evaluation.

    Attributes:
        first: Its first EVAL step.
        steps: Its number of batches.
        samples: Its number of samples; 0 if unknown.
    """

    def __init__(self, first: int, *, keeps_samples: bool) -> None:
        """Collects nothing yet.

        Args:
            first: Its first EVAL step.
            keeps_samples: Whether to keep labels, predictions and losses of its samples.
        """
        self.first = first
        self.steps = self.samples = 0
        self._keeps = keeps_samples
        self._sized = True
        self._labels: list[Tensor] = []
        self._predictions: list[Tensor] = []
        self._losses: list[Tensor] = []
        self._probabilities: list[Tensor] = []
        self._function: Callable[..., Tensor] | None = None
        self._reported: list[tuple[Number, int]] = []

    def add(self, loss: Number, size: int | None) -> None:
        """Counts a batch."""
        self.steps += 1
        self._sized = self._sized and size is not None
        self.samples = self.samples + (size or 0) if self._sized else 0
        self._reported.append((loss, size or 1))

    def add_samples(self, outputs: Tensor, labels: Tensor, answers: Answers | None, losses: Tensor | None) -> None:
        """Keeps a batch's labels, predictions and losses, after `add`.

        Args:
            outputs: The model's outputs.
            labels: The true values.
            answers: Classes of both; None for numbers.
            losses: The loss of each sample, if the caller knows it, [n].
        """
        if not self._keeps:
            return
        if answers is not None and answers.one_per_sample:
            self._labels.append(answers.labels.int())
            self._predictions.append(answers.predictions.int())
        elif answers is None and outputs.shape == labels.shape and outputs[0].numel() <= _MOST_OUTPUTS:
            self._labels.append(labels.detach().float())
            self._predictions.append(outputs.detach().float())
        if losses is None:
            if self.steps == 1:
                self._function = per_sample_losses(outputs, labels, float(self._reported[-1][0]))
            if self._function is None:
                return
            losses = self._function(outputs, labels)
        if self._function is cross_entropy:
            self._probabilities.append(outputs.detach().float().softmax(1).amax(1))
        self._losses.append(losses.detach().float())

    def ends(self, *, classes: bool) -> Snapshot | None:
        """What was kept of its samples; None if nothing was, or not of all."""
        import torch  # noqa: PLC0415 - torch is the caller's

        snapshot = Snapshot()
        if self._is_whole(self._labels):
            names = (LABELS, PREDICTIONS) if classes else (TARGETS, OUTPUTS)
            for name, tensors in zip(names, (self._labels, self._predictions), strict=True):
                snapshot.keep_full(name, torch.cat(tensors), name)
        if self._is_whole(self._losses):
            losses = torch.cat(self._losses)
            if self._is_as_reported(float(losses.double().mean())):
                snapshot.keep_full(VALID_LOSSES, losses, VALID_LOSSES)
                if self._is_whole(self._probabilities):
                    snapshot.keep_full(VALID_PROBABILITIES, torch.cat(self._probabilities), VALID_PROBABILITIES)
        return snapshot if snapshot.full else None

    def _is_whole(self, tensors: list[Tensor]) -> bool:
        return bool(tensors) and len(tensors) == self.steps and sum(map(len, tensors)) == self.samples

    def _is_as_reported(self, mean: float) -> bool:
        total = sum(float(loss) * size for loss, size in self._reported)
        reported = total / sum(size for _, size in self._reported)
        both_fine = math.isfinite(mean) and math.isfinite(reported)
        return not both_fine or abs(mean - reported) <= _AS_REPORTED * max(abs(reported), 1e-6)
