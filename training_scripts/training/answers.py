"""A network's answers to the pictures of a split: four numbers per picture, and the logits block by block.

The logits of 20,000 pictures and as many classes take 1.6 GB, so they are never kept as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from training_scripts.models.calibration import Passes

# The logits that are computed at a time (32 MB); with up to 2,048 classes, those of a batch of 4,096 pictures.
_BLOCK = 1 << 23


@dataclass(frozen=True)
class Answers:
    """The answers to n pictures, on the CPU, in the order of their split.

    Attributes:
        targets: True classes, int64 [n].
        predictions: The most probable classes, int64 [n].
        losses: Cross-entropies, float32 [n].
        probabilities: Probabilities of the predicted classes without a temperature, float32 [n].
    """

    targets: Tensor
    predictions: Tensor
    losses: Tensor
    probabilities: Tensor

    @classmethod
    def of_logits(cls, logits: Tensor, targets: Tensor) -> Answers:
        """The answers that logits [n, classes] give; targets [n]."""
        found = AnswersSoFar(len(targets))
        found.add(logits, targets)
        return found.answers()

    @classmethod
    def joined(cls, parts: Sequence[Answers]) -> Answers:
        """The answers to the pictures of several parts, in their order."""
        import torch  # noqa: PLC0415 - as above

        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*(torch.cat(column) for column in columns))

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.targets)

    @property
    def loss(self) -> float:
        """The mean cross-entropy."""
        return float(self.losses.double().mean())

    @property
    def accuracy(self) -> float:
        """The share of right predictions."""
        return float((self.predictions == self.targets).double().mean())


class AnswersSoFar:
    """Collects the answers of batches in memory that is taken at once.

    Small tensors that stay between the large ones of each batch would leave holes that the next batch does not fit
    into: the evaluation of 20,000 classes would take a hundred megabytes for each batch.
    """

    def __init__(self, most: int) -> None:
        """Takes the memory for at most this many pictures."""
        import torch  # noqa: PLC0415 - torch loads

        self._size = 0
        self._classes = torch.empty(2, most, dtype=torch.int64)
        self._numbers = torch.empty(2, most)

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Adds the pictures of a batch: logits [b, classes] and targets [b]."""
        from torch.nn import functional  # noqa: PLC0415 - as above

        part = slice(self._size, self._size + len(targets))
        self._size = part.stop
        self._classes[0, part] = targets
        self._classes[1, part] = logits.argmax(1)
        self._numbers[0, part] = functional.cross_entropy(logits, targets, reduction="none")
        self._numbers[1, part] = logits.softmax(1).amax(1)

    def answers(self) -> Answers:
        """The answers so far."""
        return Answers(*self._classes[:, : self._size], *self._numbers[:, : self._size])


class Evaluation:
    """The evaluation of a network on a split. Its logits are those of the network's weights when they are asked for.

    Attributes:
        answers: The answers to all pictures.
        features: Begins a pass over the head's inputs [rows, width] and the targets [rows].
    """

    def __init__(self, answers: Answers, features: Passes, head: Callable[[Tensor], Tensor], *, classes: int) -> None:
        """Keeps these.

        Args:
            answers: The answers to all pictures.
            features: Begins a pass over the head's inputs, on the CPU.
            head: Features [rows, width] -> logits [rows, classes], on the CPU.
            classes: The number of classes.
        """
        self.answers = answers
        self.features = features
        self._head = head
        self._classes = classes

    @property
    def loss(self) -> float:
        """The mean cross-entropy."""
        return self.answers.loss

    @property
    def accuracy(self) -> float:
        """The share of right predictions."""
        return self.answers.accuracy

    def logits(self, *, kept_bytes: int = 0) -> Passes:
        """Passes over the logits [rows, classes] and the targets [rows]. Each pass computes the logits again.

        Args:
            kept_bytes: The memory for logits that are kept until the passes are no longer used: the first ones.
        """
        kept: list[Tensor] = []

        def begin() -> Iterator[tuple[Tensor, Tensor]]:
            for number, (features, targets) in enumerate(in_small_blocks(self.features(), self._classes)):
                logits = kept[number] if number < len(kept) else self._head(features)
                if number == len(kept) and sum(each.nbytes for each in kept) + logits.nbytes <= kept_bytes:
                    kept.append(logits)
                yield logits, targets

        return begin


def joined(passes: Passes) -> tuple[Tensor, Tensor]:
    """All features or logits of a split, and its targets, for splits that fit into memory."""
    import torch  # noqa: PLC0415 - torch loads

    blocks = list(passes())
    return torch.cat([rows for rows, _ in blocks]), torch.cat([targets for _, targets in blocks])


def in_small_blocks(batches: Iterable[tuple[Tensor, Tensor]], classes: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The same rows in blocks of few enough pictures for the logits of all classes."""
    most = max(1, _BLOCK // classes)
    for inputs, targets in batches:
        for start in range(0, len(targets), most):
            yield inputs[start : start + most], targets[start : start + most]
