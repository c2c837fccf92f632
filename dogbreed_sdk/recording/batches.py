"""What a loop gives the recorder for one batch, as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from training_scripts.recording.recorder.torch_reductions import Number

_NONE: Mapping[str, Number] = {}


class Batch(NamedTuple):
    """One batch.

    Attributes:
        loss: Its mean loss, without a graph.
        each: The loss of each sample if the loop has it, [n].
        outputs: The model's outputs, [n, ...].
        labels: The true values, on the device of the outputs.
        losses: Losses by name that the total is made of.
        size: Number of samples; None if unknown.
    """

    loss: Number
    each: Tensor | None
    outputs: Tensor | None
    labels: Tensor | None
    losses: Mapping[str, Number]
    size: int | None

    def multiplied(self, factor: int) -> Batch:
        """The batch with all of its losses multiplied."""
        each = None if self.each is None else self.each * factor
        losses = {name: loss * factor for name, loss in self.losses.items()}
        return self._replace(loss=self.loss * factor, each=each, losses=losses)


def batch_of(loss: Any, outputs: Any, labels: Any, losses: Mapping[str, Any], size: int | None) -> Batch:
    """Takes what a loop has; outputs and labels of an unknown kind are left out."""
    mean, each = _mean(loss)
    shown = _tensor(getattr(outputs, "logits", outputs))
    truth = _tensor(labels)
    if truth is not None and shown is not None and truth.device != shown.device:
        truth = truth.to(shown.device, non_blocking=True)
    if size is None:
        size = next((known.shape[0] for known in (truth, shown, each) if known is not None), None)
    parts = {name: _mean(value)[0] for name, value in losses.items()} if losses else _NONE
    return Batch(mean, each, shown, truth, parts, size)


def _mean(loss: Any) -> tuple[Number, Tensor | None]:
    if not hasattr(loss, "detach"):
        return float(loss), None
    plain: Tensor = loss.detach()
    if plain.numel() == 1:
        return plain.item() if plain.is_cpu else plain.reshape(()), None
    return plain.float().mean(), plain if plain.dim() == 1 else None


def _tensor(value: Any) -> Tensor | None:
    """A tensor with at least one dimension; None for anything that is neither one nor an array of numbers."""
    import torch  # noqa: PLC0415 - torch is the caller's

    if isinstance(value, torch.Tensor):
        tensor = value.detach()
    elif hasattr(value, "__array__"):
        tensor = torch.as_tensor(value)
    else:
        return None
    return tensor if tensor.dim() and tensor.shape[0] else None
