"""Exports a network to ONNX in memory: what ONNX Runtime and OpenVINO run."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import torch

from training_scripts.models.engines.engine import EngineError

if TYPE_CHECKING:
    from torch import nn

INPUT, OUTPUT = "pixels", "features"
# The first opset with all operators of torchvision's transformers; supported since ONNX Runtime 1.12.
_OPSET = 17
# Raised by torch's exporter for networks that it does not support.
_REFUSALS = (RuntimeError, ValueError, TypeError, ImportError)


def export(network: nn.Module, *, side: int) -> bytes:
    """Exports a backbone for any number of pictures (0.2 s for efficientnet_lite0).

    The size of the pictures is fixed, because transformers and some other networks allow no other export.

    Args:
        network: Takes float32 [n, 3, side, side], on the CPU; switched to evaluation mode.
        side: Height and width of the pictures.

    Raises:
        EngineError: The package onnx is missing, or torch cannot export this network.
    """
    try:
        import onnx  # noqa: F401, PLC0415 - torch's exporter needs it
    except ImportError as error:
        raise EngineError(f"the package onnx cannot be imported ({error}): pip install 'dogbreed-sdk[onnx]'") from error
    buffer = io.BytesIO()
    try:
        with _export_mode():
            torch.onnx.export(
                network.eval(),
                (torch.zeros(2, 3, side, side),),
                cast("str", buffer),  # the stubs omit file objects, which the documentation allows
                dynamo=False,
                opset_version=_OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={name: {0: "n"} for name in (INPUT, OUTPUT)},
            )
    except _REFUSALS as error:
        reason = " ".join(str(error).split())[:300]
        raise EngineError(f"this network cannot be exported to ONNX ({reason})") from error
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
