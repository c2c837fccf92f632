"""Opens an exported network in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from training_scripts.models.engines import exporting
from training_scripts.models.engines.engine import EngineError

if TYPE_CHECKING:
    import numpy as np


def opened(exported: bytes, *, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Opens an exported network in ONNX Runtime.

    Args:
        exported: From `exporting.export`.
        threads: Number of threads.

    Returns:
        A function that runs it: float32 [n, 3, side, side] -> float32 [n, width]; it may be called from several
        threads, and raises EngineError if ONNX Runtime cannot compute the result.

    Raises:
        EngineError: ONNX Runtime is missing, or refuses the network.
    """
    session = _session(exported, threads)

    def run(pixels: np.ndarray) -> np.ndarray:
        try:
            features: np.ndarray = session.run([exporting.OUTPUT], {exporting.INPUT: pixels})[0]
        except Exception as error:  # its exceptions have no common class
            raise EngineError(f"ONNX Runtime cannot run this network ({_reason(error)})") from error
        return features

    return run


def _session(exported: bytes, threads: int) -> Any:
    try:
        import onnxruntime  # noqa: PLC0415 - optional
    except ImportError as error:
        raise EngineError(
            f"the package onnxruntime cannot be imported ({error}): pip install 'dogbreed-sdk[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while waiting take CPU time from decoding and from other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise EngineError(f"ONNX Runtime refuses this network ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
