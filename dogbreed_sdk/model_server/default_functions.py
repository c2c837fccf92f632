"""AWS's defaults for functions that an inference.py does not define: model_fn, input_fn, predict_fn, output_fn.

Source: sagemaker-pytorch-inference-toolkit, default_pytorch_inference_handler.py, and sagemaker-inference,
transformer.py, decoder.py and encoder.py.

AWS's PyTorch containers decode every request to a torch tensor. This server does so if the model's code uses torch.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dogbreed_sdk.errors import ConfigurationError
from training_scripts.data.accept import preferred
from training_scripts.data.arrays import (
    CSV,
    NPY,
    NPY_SIGNATURE,
    ArrayError,
    read_csv,
    read_npy,
    squeezed,
    write_csv,
    write_npy,
)
from training_scripts.data.formats import JSON, UNNAMED_CONTENT_TYPES

# The toolkit decodes the bodies of these two, so that functions get text.
TEXT_TYPES = (JSON, CSV)
ENCODED_TYPES = (JSON, CSV, NPY)
_MODEL_FILE = "model.pt"
_MODEL_SUFFIXES = (".pt", ".pth")
# The last two: deeply nested JSON, an array that does not fit into memory.
_UNREADABLE = (ValueError, RecursionError, MemoryError)


class RequestError(ValueError):
    """The default functions cannot read a request, or cannot respond in the format that it accepts.

    Attributes:
        status_code: The HTTP status of the response.
    """

    def __init__(self, message: str, status_code: int) -> None:
        super().__init__(message)
        self.status_code = status_code


def default_model(model_dir: str) -> object:
    """Loads a TorchScript model: model.pt, or the only .pt or .pth file of the folder.

    Raises:
        ConfigurationError: There is not exactly one such file, or it is not TorchScript.
    """
    folder = Path(model_dir)
    path = folder / _MODEL_FILE
    if not path.is_file():
        found = sorted(each for each in folder.iterdir() if each.suffix in _MODEL_SUFFIXES and each.is_file())
        if len(found) != 1:
            listed = ", ".join(each.name for each in found) or "none"
            raise ConfigurationError(
                "The model's code does not define model_fn(model_dir), and the default one loads a TorchScript file, "
                f"{_MODEL_FILE} or the only .pt or .pth file of the model; it found {listed}. Define model_fn in "
                "code/inference.py, or save the model with torch.jit.save."
            )
        path = found[0]
    import torch  # noqa: PLC0415

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return cast(object, torch.jit.load(str(path), map_location=device))  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise ConfigurationError(
            f"{path.name} is not a TorchScript model ({str(error).splitlines()[0]}). Save the model with "
            "torch.jit.save, or define model_fn(model_dir) in code/inference.py, which loads it."
        ) from error


def default_input() -> Callable[[bytes | str, str], object]:
    """The default input_fn for the model's code that is loaded now.

    It decodes numbers in JSON, CSV or NumPy's format to a tensor if the code has loaded torch, and else to an array if
    it has loaded NumPy; code that uses neither gets lists, except for NumPy's format. Tensors from JSON and CSV are
    float32, those from NumPy's format keep their dtype. JSON that is not a list of numbers stays as it is. For
    application/octet-stream, which is boto3's default, the first bytes decide between JSON and NumPy's format.

    It raises a RequestError if the content type is not supported, or the body does not have it.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return functools.partial(
            _decoded,
            _Decoder(
                numbers=lambda values: torch.tensor(values, dtype=torch.float32, device=device),
                array=lambda array: torch.from_numpy(array).to(device),
            ),
        )
    numbers = _to_array if "numpy" in sys.modules else lambda values: values
    return functools.partial(_decoded, _Decoder(numbers=numbers, array=lambda array: array))


@dataclass(frozen=True)
class _Decoder:
    """The form of a request's data: `numbers` makes it of nested lists, `array` of a NumPy array."""

    numbers: Callable[[Any], object]
    array: Callable[[Any], object]

    def json(self, content: bytes) -> object:
        values = json.loads(content)
        if not isinstance(values, list):
            return values
        try:
            return self.numbers(values)
        except (TypeError, ValueError, RuntimeError, OverflowError):  # not numbers, or lists of different lengths
            return values

    def csv(self, content: bytes) -> object:
        return self.numbers(squeezed(read_csv(content)))

    def npy(self, content: bytes) -> object:
        array = read_npy(content)
        try:
            return self.array(array)
        except TypeError as error:
            raise ArrayError(f"there are no tensors of dtype {array.dtype}") from error


def _to_array(values: object) -> object:
    import numpy as np  # noqa: PLC0415

    array = np.array(values)
    if array.dtype.kind not in "biuf":
        raise TypeError("not numbers")
    return array


def _decoded(decoder: _Decoder, body: bytes | str, content_type: str) -> object:
    content = body.encode("utf-8") if isinstance(body, str) else body
    readers: dict[str, Callable[[bytes], object]] = {JSON: decoder.json, CSV: decoder.csv, NPY: decoder.npy}
    kind = content_type.partition(";")[0].strip().lower()
    reader = readers.get(_kind_of(content) if kind in UNNAMED_CONTENT_TYPES else kind)
    if reader is None:
        raise RequestError(
            f"Content type {content_type!r} is not supported: the model's code has no input_fn, and the default one "
            f"reads {', '.join(readers)}.",
            415,
        )
    try:
        return reader(content)
    except _UNREADABLE as error:
        raise RequestError(f"The body is not valid {content_type}: {error}", 400) from error


def _kind_of(body: bytes) -> str:
    if body.startswith(NPY_SIGNATURE):
        return NPY
    return JSON if body.lstrip()[:1] in (b"[", b"{") else ""


def default_predict(data: object, model: Any) -> object:
    """Calls the model; a torch module is called in evaluation mode, on the GPU if there is one, without gradients."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        return cast(object, model(data))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.no_grad():
        model = model.to(device)
        model.eval()
        return cast(object, model(data.to(device) if isinstance(data, torch.Tensor) else data))


def default_output(prediction: object, accept: str) -> tuple[bytes | str, str]:
    """Encodes a prediction as JSON, CSV or NumPy's format, whichever the client prefers.

    Raises:
        RequestError: The client accepts none of them, or the prediction does not fit into the format.
    """
    kind = preferred(accept, ENCODED_TYPES)
    if kind is None:
        raise RequestError(
            f"Accept {accept!r} is not supported: the model's code has no output_fn, "
            f"and the default one writes {', '.join(ENCODED_TYPES)}.",
            406,
        )
    if kind == JSON:
        return json.dumps(prediction, default=_listed), JSON
    try:
        return (write_csv(_plain(prediction)) if kind == CSV else write_npy(_array_like(prediction))), kind
    except ArrayError as error:
        raise RequestError(f"The prediction cannot be sent as {kind}: {error}. Accept {JSON} instead.", 406) from error


def _array_like(prediction: object) -> Any:
    """An array, which keeps its dtype, or lists."""
    return prediction if hasattr(prediction, "__array_interface__") else _plain(prediction)


def _plain(value: object) -> object:
    """Tensors and arrays, or lists of them, as nested lists; anything else unchanged."""
    if isinstance(value, (list, tuple)):
        return [_plain(each) if hasattr(each, "tolist") else each for each in value]
    return _listed(value) if hasattr(value, "tolist") else value


def _listed(value: Any) -> object:
    try:
        return value.tolist()
    except AttributeError:
        raise TypeError(f"a prediction of type {type(value).__name__} has no form in JSON; define output_fn") from None
