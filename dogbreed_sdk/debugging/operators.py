"""The most expensive operators of a network: their shares of the time, what they are, and what to do about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training_scripts.recording.profile.profile import Operator


@dataclass(frozen=True)
class OperatorCost:
    """What an operator costs.

    Attributes:
        name: Its name in torch, such as aten::mkldnn_convolution.
        kind: What it is, in a word or two, such as convolution; empty if unknown.
        share: Its share of the time of all operators, 0 to 1: of the GPU's time if a GPU computed, else of the CPU's.
        seconds: The time itself, over all profiled steps, without the operators that it calls.
        calls: Number of calls; 0 if unknown.
        advice: What to do about it; empty if nothing is known.

    >>> print(costliest([Operator("aten::cat", 8, 0.25), Operator("aten::conv2d", 4, 0.75)], 1)[0])
    aten::conv2d (convolution): 75% of the time
    """

    name: str
    kind: str
    share: float
    seconds: float
    calls: int
    advice: str

    def __str__(self) -> str:
        kind = f" ({self.kind})" if self.kind else ""
        return f"{self.name}{kind}: {100 * self.share:.0f}% of the time"


@dataclass(frozen=True)
class _Kind:
    """A kind of operator: parts of the names by which it is recognized, and what to do about it."""

    name: str
    parts: tuple[str, ...]
    advice: str


# In this order, since names contain each other: aten::addmm, a matrix product, contains aten::add.
_KINDS = (
    _Kind(
        "convolution",
        ("conv",),
        "This is the network's actual work. Do it once (stored features), with a smaller backbone or smaller pictures, "
        "on a GPU, or on the CPU with precision='bf16' where the processor has instructions for it. ONNX Runtime needs "
        "two thirds of torch's time; a pass uses it where it is installed, unless profile-operators is on.",
    ),
    _Kind(
        "normalization",
        ("norm",),
        "It reads and writes every activation and computes little. In a frozen network it is folded into the "
        "convolution before it, where there is one; DenseNet normalizes after concatenating, where there is none, so "
        "choose a ResNet or EfficientNet if it takes a large share.",
    ),
    _Kind(
        "concatenation",
        ("aten::cat", "aten::_cat", "concat"),
        "It only copies: DenseNet's layers copy everything before them. A backbone that adds instead (ResNet, "
        "EfficientNet) needs no such copies.",
    ),
    _Kind(
        "activation",
        ("relu", "clamp", "hardtanh", "silu", "gelu", "hardswish", "sigmoid", "threshold", "swish"),
        "It reads and writes every activation and computes little. ONNX Runtime fuses it with the convolution before "
        "it.",
    ),
    _Kind(
        "matrix product",
        ("aten::mm", "addmm", "bmm", "matmul", "linear"),
        "Larger batches use processors better; a GPU computes it many times faster.",
    ),
    _Kind("pooling", ("pool", "aten::mean"), "It reads every activation once; smaller pictures shrink it."),
    _Kind("optimizer", ("optimizer", "_foreach", "_fused_adam"), "Fewer, larger batches mean fewer updates."),
    _Kind(
        "copy",
        ("copy", "aten::to", "contiguous", "clone", "memcpy"),
        "It converts or moves data instead of computing: keep tensors on one device, in one type and memory layout.",
    ),
    _Kind(
        "memory",
        ("fill_", "zero_", "aten::empty", "resize_", "memset"),
        "It sets memory to a value, such as the edges that pad pictures before a convolution; ONNX Runtime does that "
        "within the convolution.",
    ),
    _Kind(
        "addition",
        ("aten::add", "aten::sum"),
        "It reads and writes every activation and computes little; engines such as ONNX Runtime fuse it.",
    ),
)


def costliest(operators: Sequence[Operator], count: int = 3) -> list[OperatorCost]:
    """The operators that took the most time, the most expensive first.

    Args:
        operators: From a profile.
        count: How many to return at most.
    """
    on_gpu = any(operator.gpu_seconds for operator in operators)
    costs = {operator: operator.gpu_seconds if on_gpu else operator.cpu_seconds for operator in operators}
    whole = sum(costs.values()) or 1.0
    ranked = sorted(costs, key=lambda operator: -costs[operator])
    return [_cost(operator, costs[operator], whole) for operator in ranked[:count]]


def _cost(operator: Operator, seconds: float, whole: float) -> OperatorCost:
    name = operator.name.lower()
    kind = next((kind for kind in _KINDS if any(part in name for part in kind.parts)), _Kind("", (), ""))
    return OperatorCost(operator.name, kind.name, seconds / whole, seconds, operator.calls, kind.advice)
