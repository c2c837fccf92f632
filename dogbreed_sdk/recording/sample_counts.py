"""Counts the samples of a loop's first epoch, and those of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training_scripts.recording.recorder.torch_reductions import few

if TYPE_CHECKING:
    from torch import Tensor

MOST_CLASSES = 2_000
_AT_ONCE = 128  # steps


class SampleCounts:
    """Counts until the first epoch or the first evaluation ends it; waits for no GPU before that.

    Attributes:
        is_active: Whether it counts.
        samples: The samples so far; None if the number in some step was unknown.
    """

    def __init__(self, *, is_active: bool) -> None:
        self.is_active = is_active
        self.samples: int | None = 0
        self._labels: list[Any] = []
        self._counts: Tensor | None = None

    def add(self, size: int | None) -> None:
        """Adds a step's samples."""
        if self.samples is not None:
            self.samples = None if size is None else self.samples + size

    def add_labels(self, labels: Tensor, classes: int) -> None:
        """Adds a step's class indices, of a number of classes that stays the same."""
        small = few(labels)
        self._labels.append(labels.detach() if small is None else small.copy())
        if len(self._labels) >= _AT_ONCE or small is None:
            self._count(classes)

    def end(self, classes: int) -> list[int] | None:
        """Ends the counting; returns the samples of each class, None without labels."""
        self.is_active = False
        self._count(classes)
        counts, self._counts = self._counts, None
        return None if counts is None else counts[1:-1].tolist()

    def _count(self, classes: int) -> None:
        """Counts the classes of the labels that were kept for it."""
        import torch  # noqa: PLC0415 - torch is the caller's

        kept, self._labels = self._labels, []
        if not kept:
            return
        labels = torch.cat([torch.as_tensor(part).long() for part in kept])
        if self._counts is None:
            self._counts = labels.new_zeros(classes + 2)
        # Labels outside the classes go to the ends: an index error on a GPU would end the process.
        places = labels.clamp(-1, classes) + 1
        self._counts.index_add_(0, places, labels.new_ones(len(labels)))
