"""Computes a bundle's model with ONNX Runtime: the same answers on CPUs, a picture by itself in half of torch's time.

It is exported when it is loaded (0.3 s for efficientnet_lite0): nothing but the bundle has to be kept, and no file
is trusted that the bundle's digest does not cover. Needs the packages `onnx` and `onnxruntime`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from training_scripts import ScriptError
from training_scripts.models.model import Model

BACKEND_VARIABLE = "DOGBREED_BACKEND"
BACKENDS = ("torch", "onnx")
_INPUT = "pixels"
_OUTPUTS = ("logits", "features")
# 17 has what torchvision's transformers need, and every ONNX Runtime since 1.12 knows it.
_OPSET = 17
# What torch's exporter raises for networks that it cannot handle.
_REFUSALS = (RuntimeError, ValueError, TypeError, ImportError)


class OnnxError(ScriptError):
    """ONNX Runtime is missing, or cannot compute this model; the message says what to do."""


def chosen_backend() -> str:
    """What DOGBREED_BACKEND asks for; torch where it is not set.

    Raises:
        OnnxError: It names neither backend.
    """
    backend = os.environ.get(BACKEND_VARIABLE) or BACKENDS[0]
    if backend not in BACKENDS:
        raise OnnxError(f"{BACKEND_VARIABLE} must be one of {', '.join(BACKENDS)}, not {backend!r}")
    return backend


class OnnxModel(Model):
    """A model that ONNX Runtime computes; it answers as the one that it was made from, to about 1e-6.

    Args:
        model: From `training_scripts.models.model.load`, on the CPU; it is not needed afterwards.
        threads: Threads to compute with; default: torch's.

    Attributes:
        side: Height and width of the pictures that it takes.

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
        """Logits [n, classes], and the features [n, width] that they were made from."""
        logits, features = self._session.run(list(_OUTPUTS), {_INPUT: pictures.contiguous().numpy()})
        return torch.from_numpy(logits), torch.from_numpy(features)


class _Both(nn.Module):
    """Exporters take what `forward` gives."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features."""
        return self.model.forward_with_features(pixels)


def export(model: Model) -> bytes:
    """A model in ONNX's format: input pixels [n, 3, crop, crop] for any n, outputs logits and features.

    Transformers and some others can be exported for pictures of one size only, so all are.

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
                buffer,
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
    """Lets torch's first exporter work, which it calls old; the newer one takes twenty times as long."""
    fast_attention = torch.backends.mha.get_fastpath_enabled()
    # The fused attention of inference has no counterpart in ONNX.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_attention)


def _required(*packages: str) -> Any:
    """The last of these packages; an error that says how to install them where one is missing."""
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
    # Threads that spin while they wait take the cores from decoding and from other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
