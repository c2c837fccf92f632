"""Thins out the evaluation losses of long runs: keeps some steps, each with the mean since the previously kept one."""

from __future__ import annotations

from training_scripts.recording.recorder.torch_reductions import Number, number_if_ready


class ThinnedLosses:
    """Keeps every n-th step of an evaluation, counted from its end, so that the last one is always kept.

    Attributes:
        steps: Steps of one evaluation; 0 until known.
        is_all: Whether all steps are kept.
    """

    def __init__(self, steps: int = 0, every: int = 1) -> None:
        """Starts without steps.

        Args:
            steps: Steps of one evaluation; 0 until known.
            every: Keep one in this many steps.
        """
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
            correct: Number of correct predictions, likewise.
            size: Pictures in the batch.
            number: Step within its evaluation, from 0.

        Returns:
            Mean loss, correct predictions and size of all steps since the last kept one; None if this step is not
            kept.
        """
        self._loss = self._loss + number_if_ready(loss) * size
        self._correct = self._correct + number_if_ready(correct)
        self._size += size
        if (self.steps - 1 - number) % self._every:
            return None
        kept = self._loss / max(1, self._size), self._correct, self._size
        self._forget()
        return kept

    def _forget(self) -> None:
        self._loss, self._correct, self._size = 0.0, 0, 0
