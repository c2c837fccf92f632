"""Thins the losses of long runs' evaluations out: some steps are kept, each with the mean since the one before."""

from __future__ import annotations

from training_scripts.recording.recorder.torch_reductions import Number, number_if_ready


class Thinned:
    """The steps of an evaluation, of which every so many-th from the end is kept, so that the last one always is.

    Attributes:
        steps: How many an evaluation has; 0 where that is not known yet.
        is_all: Whether all are kept.
    """

    def __init__(self, steps: int = 0, every: int = 1) -> None:
        """Nothing was added yet."""
        self.steps = steps
        self.is_all = every == 1
        self._every = every
        self._loss: Number = 0.0
        self._correct: Number = 0
        self._size = 0

    def add(self, loss: Number, correct: Number, size: int, *, number: int) -> tuple[Number, Number, int] | None:
        """Adds a step.

        Args:
            loss: Mean over the batch, a tensor of one element.
            correct: Right answers, likewise.
            size: Of the batch.
            number: The step's within its evaluation, from 0.

        Returns:
            Mean loss, right answers and size of all since the step that was kept last; None for a step that is not
            kept.
        """
        self._loss = self._loss + number_if_ready(loss) * size
        self._correct = self._correct + number_if_ready(correct)
        self._size += size
        if (self.steps - 1 - number) % self._every:
            return None
        kept = self._loss / self._size, self._correct, self._size
        self._forget()
        return kept

    def _forget(self) -> None:
        self._loss, self._correct, self._size = 0.0, 0, 0
