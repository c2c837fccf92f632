"""Runs a network in torch, on the GPU if there is one: the reference for all other engines."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

from training_scripts.models import backbones
from training_scripts.models.engines.engine import EngineChoice, Precision

if TYPE_CHECKING:
    from torch import Tensor, nn


class TorchEngine:
    """A network in torch, in channels-last memory order.

    Args:
        network: From `folding.for_inference`; it is moved to the device.
        precision: "bf16" lets convolutions and matrix products round to bfloat16 (torch's autocast).

    Attributes:
        choice: The library, and the precision.
        device: cuda if there is a GPU, else cpu.
    """

    def __init__(self, network: nn.Module, precision: Precision = "fp32") -> None:
        self.choice = EngineChoice("torch", precision)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        backbones.exact_arithmetic()
        self._network = network.to(self.device)

    def run(self, batch: Tensor) -> Tensor:
        """The network's output for a batch: float32 [n, width] on the CPU."""
        rounding = (
            torch.autocast(self.device, torch.bfloat16) if self.choice.precision == "bf16" else contextlib.nullcontext()
        )
        with torch.inference_mode(), rounding:
            pixels = batch.to(self.device, memory_format=torch.channels_last, non_blocking=True)
            output: Tensor = self._network(pixels)
            return output.float().cpu()
