"""Runs a network in ONNX Runtime on the CPU: the same results in two thirds of torch's time."""

from __future__ import annotations

import torch
from torch import Tensor

from training_scripts.models.engines import session
from training_scripts.models.engines.engine import EngineChoice
from training_scripts.models.engines.splitting import PieceRunner


class OnnxRuntimeEngine:
    """A network in ONNX Runtime.

    Args:
        exported: From `exporting.export`.
        threads: Number of threads; default: torch's.

    Attributes:
        choice: The library, and the precision.
        device: cpu.

    Raises:
        EngineError: ONNX Runtime is missing, or cannot run this network.
    """

    choice = EngineChoice("onnxruntime", "fp32")
    device = "cpu"

    def __init__(self, exported: bytes, *, threads: int | None = None) -> None:
        self._run = PieceRunner(session.opened(exported, threads=1), threads or torch.get_num_threads())

    def run(self, batch: Tensor) -> Tensor:
        """The network's output for a batch: float32 [n, width]."""
        return torch.from_numpy(self._run(batch))
