"""Which library runs a bundle's model in serving: DOGBREED_BACKEND decides, else what is installed."""

from __future__ import annotations

import os

from training_scripts.models.engines.engine import EngineError

BACKEND_VARIABLE = "DOGBREED_BACKEND"
# auto: ONNX Runtime once its results are verified, where it is installed; on a GPU, torch.
BACKENDS = ("auto", "torch", "onnx")


def chosen_backend(default: str = "auto") -> str:
    """The backend that DOGBREED_BACKEND selects, else the default.

    Raises:
        EngineError: Its value is not a known backend.
    """
    backend = os.environ.get(BACKEND_VARIABLE) or default
    if backend not in BACKENDS:
        raise EngineError(f"{BACKEND_VARIABLE} must be one of {', '.join(BACKENDS)}, not {backend!r}")
    return backend
