"""What outputs and labels show: the task, right predictions, and the loss of each sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from training_scripts.recording.trial.run_facts import CLASSIFICATION, REGRESSION

if TYPE_CHECKING:
    from torch import Tensor

    from dogbreed_sdk.recording.batches import Batch

# The loss of each sample is recorded only if its mean is the loss that the loop reports, within this share.
_SAME, _SAME_IN_HALF_PRECISION = 1e-3, 0.02

# A loss is told to be one of two values if it is this many times closer to it.
_TOLD_APART = 10
_MOST_PAIRS = 1 << 24

# Probabilities below this are taken for it, so that their logarithms are finite.
_LEAST = 1e-12

PerSample: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"
"""The loss of each sample, [n], from outputs and labels."""


@dataclass(frozen=True)
class Answers:
    """The outputs of a batch with class labels.

    Attributes:
        labels: Integers, [n] or, where each sample has many (tokens, pixels), [n, ...]; there, negative ones
            are ignored.
        predictions: Likewise.
    """

    labels: Tensor
    predictions: Tensor

    @property
    def one_per_sample(self) -> bool:
        """Whether each sample has one label."""
        return self.labels.dim() == 1

    def correct(self, size: int) -> Tensor:
        """Number of right predictions among `size` samples, a tensor of one element; no GPU is waited for."""
        right = self.predictions == self.labels
        if self.one_per_sample:
            return right.sum()
        counted = self.labels >= 0
        return (right & counted).sum() / counted.sum().clamp(min=1) * size


class Task:
    """The task of a run, from its first batch with outputs and labels.

    Attributes:
        name: classification, regression, or None if unknown.
        classes: Number of classes; 0 if there are none, or it is unknown.
        is_known: Whether a batch with outputs and labels was looked at.
    """

    def __init__(self, name: str | None = None) -> None:
        """Takes the task's name if the caller knows it."""
        self.name = name
        self.classes = 0
        self.is_known = False
        self._threshold: float | None = None

    @property
    def is_of_scores(self) -> bool:
        """Whether there are classes, and the highest of their scores is the prediction."""
        return self.name == CLASSIFICATION and self.is_known and self._threshold is None

    def look(self, outputs: Tensor, labels: Tensor, loss: float) -> None:
        """Learns from the first batch; waits for a GPU once per run."""
        self.is_known = True
        if self.name == REGRESSION:
            return
        found = class_answers(outputs, labels)
        if found is not None:
            self.name = CLASSIFICATION
            self.classes = _classes(outputs, labels)
        elif labels.is_floating_point() or _is_pair(outputs, labels):
            self._look_at_numbers(outputs, labels, loss)

    def answers(self, outputs: Tensor, labels: Tensor) -> Answers | None:
        """Labels and predictions of a batch; None where there are no classes."""
        if self.name != CLASSIFICATION:
            return None
        if self._threshold is None:
            return class_answers(outputs, labels)
        if outputs.numel() != labels.numel():
            return None
        predictions = (outputs.detach().reshape(-1) > self._threshold).int()
        return Answers(labels.reshape(-1).int(), predictions)

    def count_right(self, batch: Batch) -> float | None:
        """Number of right predictions in a batch; None where there are no classes. Waits for a GPU."""
        if batch.outputs is None or batch.labels is None:
            return None
        if not self.is_known:
            self.look(batch.outputs, batch.labels, float(batch.loss))
        answers = self.answers(batch.outputs, batch.labels)
        return None if answers is None else float(answers.correct(batch.size or 0))

    def _look_at_numbers(self, outputs: Tensor, labels: Tensor, loss: float) -> None:
        """Tells regression from classes given as numbers: one unit that says yes or no, or a distribution."""
        values = labels.detach().double()
        if bool(((values == 0) | (values == 1)).all()):
            if _is_pair(outputs, labels):
                self._threshold = _threshold(outputs, labels, loss)
                self.name, self.classes = (CLASSIFICATION, 2) if self._threshold is not None else (self.name, 0)
        elif labels.shape == outputs.shape and labels.dim() == 2 and bool((values >= 0).all()):
            self.name = None if _sums_to_one(values) else REGRESSION
        elif labels.is_floating_point():
            self.name = REGRESSION


def class_answers(outputs: Tensor, labels: Tensor) -> Answers | None:
    """Labels and predictions of scores with a dimension of classes, which is the second or the last one."""
    if labels.is_floating_point() or labels.is_complex() or not outputs.is_floating_point() or outputs.dim() < 2:
        return None
    if labels.shape == (len(outputs), 1) and outputs.dim() == 2 and outputs.shape[1] > 1:
        labels = labels[:, 0]
    if str(labels.dtype) == "torch.bool":
        return None
    for place in (1, outputs.dim() - 1):
        without = outputs.shape[:place] + outputs.shape[place + 1 :]
        if labels.shape == without and outputs.shape[place] > 1:
            return Answers(labels.detach(), outputs.detach().argmax(place))
    return None


def per_sample_losses(outputs: Tensor, labels: Tensor, loss: float) -> PerSample | None:
    """The loss function whose mean over a batch is the given loss; None if none of the usual ones is.

    Waits for a GPU.
    """
    if not math.isfinite(loss):
        return None
    half = outputs.is_floating_point() and outputs.element_size() < 4
    tolerance = max(abs(loss) * (_SAME_IN_HALF_PRECISION if half else _SAME), 1e-7)
    for function in _candidates(outputs, labels):
        if abs(float(function(outputs, labels).double().mean()) - loss) <= tolerance:
            return function
    return None


def _candidates(outputs: Tensor, labels: Tensor) -> Sequence[PerSample]:
    if len(outputs) != len(labels):
        return ()
    if outputs.dim() == 2 and labels.dim() == 1 and not labels.is_floating_point():
        inside = int(labels.min()) >= 0 and int(labels.max()) < outputs.shape[1]
        return (cross_entropy, _of_probabilities) if inside else ()
    if _is_pair(outputs, labels) or outputs.shape == labels.shape:
        return _mse, _l1, _smooth_l1, _binary_of_logits, _binary_of_probabilities
    return ()


def compares_every_pair(outputs: Tensor, labels: Tensor, loss: float) -> bool | None:
    """Whether a loss of numbers was computed of every output with every target, as shapes [n, 1] and [n] broadcast.

    Waits for a GPU.

    Returns:
        False if the loss is that of each output with its own target; None if it is neither's, or cannot be told.
    """
    import torch  # noqa: PLC0415 - torch is the caller's

    if outputs.numel() * labels.numel() > _MOST_PAIRS or not math.isfinite(loss):
        return None
    every, targets = torch.broadcast_tensors(outputs.detach(), labels.detach())  # type: ignore[no-untyped-call]
    half = outputs.element_size() < 4
    tolerance = max(abs(loss) * (_SAME_IN_HALF_PRECISION if half else _SAME), 1e-7)
    for function in (_mse, _l1, _smooth_l1):
        broadcast = abs(float(function(every, targets).double().mean()) - loss)
        paired = abs(float(function(outputs, labels).double().mean()) - loss)
        if min(broadcast, paired) <= tolerance and max(broadcast, paired) > _TOLD_APART * min(broadcast, paired):
            return broadcast < paired
    return None


def may_broadcast(outputs: Tensor, labels: Tensor) -> bool:
    """Whether outputs and numbers of the same count have shapes that an elementwise loss broadcasts to a larger one."""
    if outputs.shape == labels.shape or outputs.numel() != labels.numel():
        return False
    if not (outputs.is_floating_point() and labels.is_floating_point()):
        return False
    pairs = [*zip(reversed(outputs.shape), reversed(labels.shape), strict=False)]
    return any(one != other for one, other in pairs) and all(one == other or 1 in (one, other) for one, other in pairs)


def cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of each sample, from logits or log-probabilities [n, classes] and labels [n]."""
    from torch.nn import functional  # noqa: PLC0415 - torch is the caller's

    return functional.cross_entropy(outputs.detach().float(), labels.long(), reduction="none")


def _of_probabilities(outputs: Tensor, labels: Tensor) -> Tensor:
    right = outputs.detach().float().gather(1, labels.long().clamp(0, outputs.shape[1] - 1)[:, None])[:, 0]
    return -right.clamp_min(_LEAST).log()


def _mse(outputs: Tensor, labels: Tensor) -> Tensor:
    return _each(outputs, (outputs.detach().float() - _as(outputs, labels)).square())


def _l1(outputs: Tensor, labels: Tensor) -> Tensor:
    return _each(outputs, (outputs.detach().float() - _as(outputs, labels)).abs())


def _smooth_l1(outputs: Tensor, labels: Tensor) -> Tensor:
    away = (outputs.detach().float() - _as(outputs, labels)).abs()
    return _each(outputs, away.clamp_max(1).square() / 2 + (away - 1).clamp_min(0))


def _binary_of_logits(outputs: Tensor, labels: Tensor) -> Tensor:
    from torch.nn import functional  # noqa: PLC0415 - torch is the caller's

    truth = _as(outputs, labels)
    losses = functional.binary_cross_entropy_with_logits(outputs.detach().float(), truth, reduction="none")
    return _each(outputs, losses)


def _binary_of_probabilities(outputs: Tensor, labels: Tensor) -> Tensor:
    shares, truth = outputs.detach().float(), _as(outputs, labels)
    right, wrong = shares.clamp_min(_LEAST).log(), (1 - shares).clamp_min(_LEAST).log()
    return _each(outputs, -(truth * right + (1 - truth) * wrong))


def _as(outputs: Tensor, labels: Tensor) -> Tensor:
    return labels.detach().float().reshape(outputs.shape)


def _each(outputs: Tensor, values: Tensor) -> Tensor:
    return values.reshape(len(outputs), -1).mean(1)


def _threshold(outputs: Tensor, labels: Tensor, loss: float) -> float | None:
    """The output above which one unit says yes: 0 for logits, 0.5 for probabilities; None if the loss is neither's."""
    function = per_sample_losses(outputs, labels, loss)
    return 0.0 if function is _binary_of_logits else 0.5 if function is _binary_of_probabilities else None


def _is_pair(outputs: Tensor, labels: Tensor) -> bool:
    """Whether there is one output and one label per sample, [n] or [n, 1] each."""
    return outputs.numel() == labels.numel() == len(outputs) == len(labels)


def _sums_to_one(values: Tensor) -> bool:
    return values.shape[1] > 1 and bool((values.sum(1) - 1).abs().max() < 1e-3)


def _classes(outputs: Tensor, labels: Tensor) -> int:
    return int(outputs.shape[1] if outputs.dim() == labels.dim() + 1 and labels.dim() == 1 else 0)
