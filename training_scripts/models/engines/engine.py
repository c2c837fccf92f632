"""What an engine is: the library that runs a network, and the precision in which it computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from training_scripts import ScriptError

if TYPE_CHECKING:
    from torch import Tensor

EngineName = Literal["torch", "onnxruntime", "openvino"]
Precision = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")

# The largest deviation of an exact engine, as a share of the largest value: rounding in another order gives 1e-6.
TOLERANCE = 1e-5


class EngineError(ScriptError):
    """An engine's package is missing, or it cannot run this network; the message says what to do."""


@dataclass(frozen=True)
class EngineChoice:
    """Which engine computes, and how.

    Attributes:
        name: The library.
        precision: "fp32" for the exact results, "bf16" for intermediate results with eight significant bits.
    """

    name: EngineName
    precision: Precision

    def __str__(self) -> str:
        return f"{TITLES[self.name]}, {self.precision}"

    def to_dict(self) -> dict[str, str]:
        """The values as JSON types."""
        return {"engine": self.name, "precision": self.precision}

    @classmethod
    def from_dict(cls, values: Any) -> EngineChoice | None:
        """Reads what `to_dict` returned; None if it is something else, or an engine that this code does not know."""
        if not isinstance(values, dict):
            return None
        name = next((each for each in TITLES if each == values.get("engine")), None)
        precision = next((each for each in PRECISIONS if each == values.get("precision")), None)
        return cls(name, precision) if name and precision else None


TITLES: dict[EngineName, str] = {"torch": "torch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


class Engine(Protocol):
    """Runs a network on batches of pictures.

    Attributes:
        choice: The library, and the precision.
        device: Where it computes: cpu or cuda.
    """

    choice: EngineChoice
    device: str

    def run(self, batch: Tensor) -> Tensor:
        """The network's output for a batch.

        Args:
            batch: float32 [n, 3, h, w] on the CPU or on `device`, in any memory order.

        Returns:
            float32 [n, width] on the CPU.
        """
        ...


def deviation(values: Tensor, reference: Tensor) -> float:
    """The largest difference, as a share of the reference's largest value; infinite if a value is not finite."""
    import torch  # noqa: PLC0415 - hyperparameters name precisions without torch

    if not bool(torch.isfinite(values).all()):
        return float("inf")
    scale = float(reference.abs().max())
    difference = float((values - reference).abs().max())
    return difference / scale if scale else difference
