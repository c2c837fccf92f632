"""AWS's defaults for functions that an inference.py does not define: input_fn, predict_fn, output_fn.

Source: sagemaker-pytorch-inference-toolkit, default_pytorch_inference_handler.py, and sagemaker-inference,
transformer.py.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from typing import Protocol

from training_scripts.data.formats import JSON, UNNAMED_CONTENT_TYPES

_CSV = "text/csv"
_NUMPY = "application/x-npy"
_NUMPY_START = b"\x93NUMPY"
# The last three: deeply nested JSON, an array that declares more than fits into memory, an endless field in CSV.
_UNREADABLE = (ValueError, RecursionError, MemoryError, csv.Error)


class RequestError(ValueError):
    """The default functions cannot read a request, or cannot respond in the format that it accepts.

    Attributes:
        status_code: The HTTP status of the response.
    """

    def __init__(self, message: str, status_code: int) -> None:
        super().__init__(message)
        self.status_code = status_code


def default_input(body: bytes, content_type: str) -> object:
    """Decodes a body: JSON to its values, CSV to rows of numbers, NumPy's format to an array.

    For application/octet-stream, which is boto3's default, the first bytes decide between JSON and NumPy's format.

    Raises:
        RequestError: The content type is not supported, or the body does not have it.
    """
    readers: dict[str, Callable[[bytes], object]] = {JSON: json.loads, _CSV: _read_csv, _NUMPY: _read_numpy}
    kind = content_type.partition(";")[0].strip().lower()
    reader = readers.get(_kind_of(body) if kind in UNNAMED_CONTENT_TYPES else kind)
    if reader is None:
        raise RequestError(
            f"Content type {content_type!r} is not supported: the model's code has no input_fn, and the default one "
            f"reads {', '.join(readers)}.",
            415,
        )
    try:
        return reader(body)
    except _UNREADABLE as error:
        raise RequestError(f"The body is not valid {content_type}: {error}", 400) from error


def _kind_of(body: bytes) -> str:
    if body.startswith(_NUMPY_START):
        return _NUMPY
    return JSON if body.lstrip()[:1] in (b"[", b"{") else ""


def _read_csv(body: bytes) -> list[list[float]]:
    return [[float(value) for value in row] for row in csv.reader(io.StringIO(body.decode("utf-8"))) if row]


def _read_numpy(body: bytes) -> object:
    import numpy as np  # noqa: PLC0415

    return np.lib.format.read_array(io.BytesIO(body), allow_pickle=False)


def default_predict(data: object, model: Callable[[object], object]) -> object:
    """Calls the model; a torch module gets a tensor and computes no gradients."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        return model(data)
    with torch.inference_mode():
        return model(torch.as_tensor(data, dtype=torch.float32))


class _Array(Protocol):
    def tolist(self) -> object: ...


def default_output(prediction: object, accept: str) -> tuple[str, str]:
    """Encodes a prediction as JSON; tensors and arrays become nested lists.

    Raises:
        RequestError: The client does not accept JSON.
    """
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if not kinds & {JSON, "application/*", "*/*", ""}:
        raise RequestError(
            f"Accept {accept!r} is not supported: the model's code has no output_fn, "
            f"and the default one writes {JSON}.",
            406,
        )
    return json.dumps(prediction, default=_to_list), JSON


def _to_list(value: _Array) -> object:
    return value.tolist()
