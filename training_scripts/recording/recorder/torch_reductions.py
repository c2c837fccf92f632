"""The reductions of `reductions.py` for torch tensors: cheap on a CPU, without waiting on a GPU."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from training_scripts.recording.trial.records import Array
from training_scripts.recording.trial.reductions import REDUCTIONS, reduce

if TYPE_CHECKING:
    from torch import Tensor

Number: TypeAlias = "float | Tensor"
"""A number, or a tensor of one element that holds it; a GPU may still be computing it."""

# Between these bounds, sums of float32 squares are exact to five digits; outside them, they under- or overflow.
_TINY, _HUGE = 1e-25, 1e30
# NumPy reduces this few elements several times as fast as torch does. Of more, its dot product uses threads of its own.
_FEW = 8192
_PART = 1 << 22
EPSILON = 1e-9  # keeps the update ratio of a tensor of zeros finite, as AWS's WeightUpdateRatio does


def number_if_ready(value: Number) -> Number:
    """The number in a CPU tensor; returns a GPU tensor as it is, because reading it would wait for the GPU.

    Keeping a small tensor fragments the heap: it occupies part of a large freed block, which cannot be reused whole.
    """
    return value if isinstance(value, (int, float)) or not value.is_cpu else value.item()


def copied_number(value: Number) -> Number:
    """Like `number_if_ready`; copies a GPU tensor, such as a learning rate, that its owner changes in place."""
    return value if isinstance(value, (int, float)) else number_if_ready(value.detach().clone())


def few(tensor: Tensor) -> Array | None:
    """The memory of a small tensor on a CPU as an array, for NumPy's functions; None for any other tensor."""
    import torch  # noqa: PLC0415 - this module is imported where there is no torch

    if not tensor.is_cpu or type(tensor) is not torch.Tensor or tensor.numel() > _FEW:
        return None
    if tensor.layout is not torch.strided or tensor.dtype in (torch.bfloat16, torch.float16):
        return None
    return tensor.numpy()


def mean_and_std(values: Tensor) -> tuple[Number, Number]:
    """Mean and standard deviation, from sums on a CPU: a hundred times as fast as torch.std_mean there.

    Five digits are enough, and a mean that is far larger than the spread is itself the sign.

    Args:
        values: float32 or float64 without a graph, at least one element.
    """
    if not values.is_cpu:
        import torch  # noqa: PLC0415 - as above

        on_device = torch.std_mean(values, correction=0)
        return on_device[1], on_device[0]
    size, flat = values.numel(), values.reshape(-1)
    average, squares = float(flat.sum()) / size, float(flat.dot(flat))
    variance = squares / size - average * average
    spread = 0.0 if variance < 0 else math.sqrt(variance)
    with np.errstate(over="ignore"):
        return float(np.float32(average)), float(np.float32(spread))  # as they are written to disk


def reduce_all(tensor: Tensor) -> list[float] | Tensor:
    """Computes all of `REDUCTIONS`, in their order: numbers on the CPU; on a GPU a tensor, without waiting for it.

    Args:
        tensor: Any shape and dtype, at least one element.
    """
    flat = tensor.detach().reshape(-1)
    if flat.is_cuda:
        return _on_device(flat)
    if not flat.is_floating_point() or flat.element_size() < 4:
        flat = flat.float()
    array = few(flat)
    low, high = (float(bound) for bound in (flat.aminmax() if array is None else (array.min(), array.max())))
    if not (math.isfinite(low) and math.isfinite(high)):
        array = flat.double().numpy()
        return [reduce(kind, array) for kind in REDUCTIONS]
    size = flat.numel()
    if array is None:
        total, squares, absolute = float(flat.sum()), float(flat.dot(flat)), _sum_of_absolutes(flat) / size
    else:
        with np.errstate(over="ignore"):
            total, squares, absolute = float(array.sum()), float(array.dot(array)), float(np.abs(array).sum()) / size
    mean = total / size
    if not _TINY < squares < _HUGE or mean * mean * size > 0.9 * squares:
        exact = flat.double()
        mean, squares = float(exact.mean()), float(exact.dot(exact))
        deviation = float((exact - mean).square().mean().sqrt())
    else:
        deviation = math.sqrt(max(0.0, squares / size - mean * mean))
    zeros = (size - int(np.count_nonzero(flat.numpy()))) / size
    return [low, high, mean, deviation, math.sqrt(squares), absolute, zeros, 0.0]


def _sum_of_absolutes(flat: Tensor) -> float:
    # In parts, because the weights of many classes are a good share of the memory.
    return math.fsum(float(flat[start : start + _PART].abs().sum()) for start in range(0, flat.numel(), _PART))


def _on_device(flat: Tensor) -> Tensor:
    import torch  # noqa: PLC0415 - this module is imported where there is no torch

    exact = flat.double()
    low, high = exact.aminmax()
    parts = (
        low,
        high,
        exact.mean(),
        exact.std(correction=0),
        torch.linalg.vector_norm(exact),
        exact.abs().mean(),
        (exact == 0).double().mean(),
        1 - exact.isfinite().double().mean(),
    )
    return torch.stack(parts)


def update_ratio(after: Tensor, before: Tensor) -> Tensor:
    """The relative size of a step's update: ||after - before|| / (||before|| + 1e-9), as a tensor of one element.

    Args:
        after: The tensor now.
        before: A copy from before the step; overwritten.
    """
    length = _length(before)
    return _length(before.sub_(after.detach())) / (length + EPSILON)


def _length(tensor: Tensor) -> Tensor:
    flat = tensor.reshape(-1)
    if flat.is_cuda or not flat.is_floating_point() or flat.element_size() < 4:
        flat = flat.double()
    return flat.dot(flat).sqrt()  # several times as fast as a norm


def inactive_fraction(outputs: Tensor, threshold_inactivity: float = 1.0) -> Tensor:
    """`reductions.inactive_fraction`, as a tensor of one element."""
    return (_percent(~(outputs.detach() <= 0)) < threshold_inactivity).double().mean()


def saturated_fraction(inputs: Tensor, low: float, high: float, threshold_inactivity: float = 1.0) -> Tensor:
    """`reductions.saturated_fraction`, as a tensor of one element."""
    values = inputs.detach()
    return (_percent((values <= low) | (values >= high)) > threshold_inactivity).double().mean()


def _percent(happened: Tensor) -> Tensor:
    """The percentage of passes in which a condition held, per unit."""
    passes = (0, 2, 3) if happened.dim() == 4 else (0,)
    return 100 * happened.float().mean(passes)
