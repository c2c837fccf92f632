"""Reads the learning rates of a run's optimizer, one per parameter group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training_scripts.recording.recorder.step_buffer import StepBuffer
from training_scripts.recording.recorder.torch_reductions import Number, copied_number
from training_scripts.recording.trial.layout import SCALARS, learning_rate_name

if TYPE_CHECKING:
    import torch


class LearningRates:
    """Reads an optimizer's learning rates; their names are declared to a run's buffer."""

    def __init__(self, optimizer: torch.optim.Optimizer, buffer: StepBuffer) -> None:
        self._optimizer = optimizer
        self._buffer = buffer
        self._names: list[str] = []

    def now(self) -> dict[str, Number]:
        """The learning rate of each parameter group by its tensor's name."""
        groups = self._optimizer.param_groups
        while len(self._names) < len(groups):
            self._names.append(learning_rate_name(len(self._names)))
            self._buffer.declare(SCALARS, self._names[-1])
        rates = (group["lr"] for group in groups)
        return {
            name: rate if isinstance(rate, float) else copied_number(rate)
            for name, rate in zip(self._names, rates, strict=False)
        }
