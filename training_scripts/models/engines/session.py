"""Opens an exported network in ONNX Runtime."""

from __future__ import annotations

from typing import Any

from training_scripts.models.engines.engine import EngineError


def session(exported: bytes, *, threads: int) -> Any:
    """Opens an exported network in ONNX Runtime.

    Raises:
        EngineError: ONNX Runtime is missing, or refuses the network.
    """
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
    except Exception as error:  # its exceptions have no common class
        reason = " ".join(str(error).split())[:300]
        raise EngineError(f"ONNX Runtime refuses this network ({reason})") from error
