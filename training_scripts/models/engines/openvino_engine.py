"""Runs a network in OpenVINO on the CPU: the fastest with bfloat16, and as exact as ONNX Runtime without."""

from __future__ import annotations

import queue
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training_scripts.models.engines.engine import EngineChoice, EngineError, Precision
from training_scripts.models.engines.splitting import PieceRunner

_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine:
    """A network in OpenVINO.

    Args:
        exported: From `exporting.export`.
        precision: "bf16" needs a CPU with instructions for bfloat16.
        threads: Number of threads; default: torch's.

    Attributes:
        choice: The library, and the precision.
        device: cpu.

    Raises:
        EngineError: OpenVINO is missing, or cannot run this network.
    """

    device = "cpu"

    def __init__(self, exported: bytes, precision: Precision = "fp32", *, threads: int | None = None) -> None:
        self.choice = EngineChoice("openvino", precision)
        streams = threads or torch.get_num_threads()
        compiled = _compiled(exported, _HINTS[precision], streams)
        # A request computes in one of the streams; each piece of a batch takes a free one.
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(streams):
            requests.put(compiled.create_infer_request())

        def compute(pixels: np.ndarray) -> np.ndarray:
            request = requests.get()
            try:
                return np.array(request.infer({0: pixels}, share_inputs=True)[0], np.float32)
            except RuntimeError as error:
                raise EngineError(f"OpenVINO cannot run this network ({_reason(error)})") from error
            finally:
                requests.put(request)

        # OpenVINO's binding initializes itself at the first request, and deadlocks if two threads do that at once.
        compute(np.zeros(_input_shape(compiled), np.float32))
        self._run = PieceRunner(compute, streams)

    def run(self, batch: Tensor) -> Tensor:
        """The network's output for a batch: float32 [n, width]."""
        return torch.from_numpy(self._run(batch))


def _input_shape(compiled: Any) -> list[int]:
    """The shape of the network's input with one picture."""
    return [1 if side.is_dynamic else side.get_length() for side in compiled.input(0).partial_shape]


def _compiled(exported: bytes, hint: str, streams: int) -> Any:
    try:
        import openvino  # noqa: PLC0415 - optional
    except ImportError as error:
        raise EngineError(
            f"the package openvino cannot be imported ({error}): pip install 'dogbreed-sdk[openvino]'"
        ) from error
    options = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams}
    try:
        core = openvino.Core()
        return core.compile_model(core.read_model(exported), "CPU", options)
    except RuntimeError as error:
        raise EngineError(f"OpenVINO refuses this network ({_reason(error)})") from error


def _reason(error: RuntimeError) -> str:
    return " ".join(str(error).split())[:300]
