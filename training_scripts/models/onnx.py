"""Runs a bundle's model in ONNX Runtime: on CPUs, the same results in half of torch's time for a single picture.

The model is exported when it is loaded (0.3 s for efficientnet_lite0). So only the bundle has to be stored, and its
digest covers every trusted file. Requires the packages `onnx` and `onnxruntime`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import warnings
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from training_scripts import ScriptError
from training_scripts.models.model import Model

BACKEND_VARIABLE = "DOGBREED_BACKEND"
BACKENDS = ("torch", "onnx")
_INPUT = "pixels"
_OUTPUTS = ("logits", "features")
# The first opset with all operators of torchvision's transformers; supported since ONNX Runtime 1.12.
_OPSET = 17
# Raised by torch's exporter for networks that it does not support.
_REFUSALS = (RuntimeError, ValueError, TypeError, ImportError)


class OnnxError(ScriptError):
    """ONNX Runtime is missing, or cannot run this model; the message says what to do."""


def chosen_backend() -> str:
    """The backend that DOGBREED_BACKEND selects; torch if it is not set.

    Raises:
        OnnxError: Its value is not a known backend.
    """
    backend = os.environ.get(BACKEND_VARIABLE) or BACKENDS[0]
    if backend not in BACKENDS:
        raise OnnxError(f"{BACKEND_VARIABLE} must be one of {', '.join(BACKENDS)}, not {backend!r}")
    return backend


class OnnxModel(Model):
    """A model that runs in ONNX Runtime; its outputs agree with those of the original model to about 1e-6.

    Args:
        model: From `training_scripts.models.model.load`, on the CPU; not needed afterwards.
        threads: Number of threads; default: torch's.

    Attributes:
        side: Height and width of its inputs, in pixels.

    Raises:
        OnnxError: A package is missing, or the model cannot be exported.
    """

    def __init__(self, model: Model, *, threads: int | None = None) -> None:
        super().__init__(nn.Identity(), nn.Identity(), model.description)
        onnxruntime = _required("onnx", "onnxruntime")
        self.side = model.preprocessing.crop
        self._session = _session(onnxruntime, export(model), threads or torch.get_num_threads())

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits [n, classes]."""
        return self.forward_with_features(pictures)[0]

    def forward_with_features(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [n, classes], and the features [n, width] from which they were computed."""
        logits, features = self._session.run(list(_OUTPUTS), {_INPUT: pictures.contiguous().numpy()})
        return torch.from_numpy(logits), torch.from_numpy(features)


class _Both(nn.Module):
    """Wraps a model so that `forward_with_features` is exported."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features."""
        return self.model.forward_with_features(pixels)


def export(model: Model) -> bytes:
    """Exports a model to ONNX: input pixels [n, 3, crop, crop] for any n, outputs logits and features.

    The size of the pictures is fixed, because transformers and some other networks allow no other export.

    Raises:
        OnnxError: Torch cannot export this network.
    """
    side = model.preprocessing.crop
    buffer = io.BytesIO()
    try:
        with _export_mode():
            torch.onnx.export(
                _Both(model).eval(),
                (torch.zeros(2, 3, side, side),),
                cast("str", buffer),  # the stubs omit file objects, which the documentation allows
                dynamo=False,
                opset_version=_OPSET,
                input_names=[_INPUT],
                output_names=list(_OUTPUTS),
                dynamic_axes={name: {0: "n"} for name in (_INPUT, *_OUTPUTS)},
            )
    except _REFUSALS as error:
        reason = " ".join(str(error).split())[:300]
        raise OnnxError(f"this network cannot be exported to ONNX ({reason}); use {BACKEND_VARIABLE}=torch") from error
    return buffer.getvalue()


@contextlib.contextmanager
def _export_mode() -> Iterator[None]:
    """Silences the deprecation of torch's older exporter; the newer one takes twenty times as long."""
    fast_attention = torch.backends.mha.get_fastpath_enabled()
    # The fused attention that torch uses for inference has no counterpart in ONNX.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_attention)


def _required(*packages: str) -> Any:
    """Imports these packages and returns the last of them.

    Raises:
        OnnxError: One is missing; the message says how to install it.
    """
    module = None
    for package in packages:
        try:
            module = importlib.import_module(package)
        except ImportError as error:
            raise OnnxError(
                f"{BACKEND_VARIABLE}=onnx needs the package {package}, which cannot be imported ({error}): "
                f"pip install 'dogbreed-sdk[onnx]', or use {BACKEND_VARIABLE}=torch"
            ) from error
    return module


def _session(onnxruntime: Any, content: bytes, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while waiting take CPU time from decoding and from other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
