"""The functions of an inference.py (model_fn, input_fn, predict_fn, output_fn), with AWS's defaults for those missing.

Source: sagemaker-pytorch-inference-toolkit, default_pytorch_inference_handler.py, and sagemaker-inference,
transformer.py.
"""

from __future__ import annotations

import csv
import importlib.util
import inspect
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dogbreed_sdk.errors import ConfigurationError

DEFAULT_PROGRAM = "inference.py"
_JSON = "application/json"
_CSV = "text/csv"
_NUMPY = "application/x-npy"


class RequestError(ValueError):
    """The default functions can't read a request, or not answer it as it asks.

    Attributes:
        status_code: The HTTP status of the answer.
    """

    def __init__(self, message: str, status_code: int) -> None:
        super().__init__(message)
        self.status_code = status_code


@dataclass(frozen=True)
class ModelHandlers:
    """A loaded model with the functions that serve it.

    Attributes:
        model: What model_fn gave.
        input_fn: (body, content type) -> data.
        predict_fn: (data, model) -> prediction.
        output_fn: (prediction, accept) -> body, or (body, content type).
    """

    model: Any
    input_fn: Callable[[bytes, str], Any]
    predict_fn: Callable[[Any, Any], Any]
    output_fn: Callable[[Any, str], Any]

    @classmethod
    def load(cls, model_dir: Path, program: str = DEFAULT_PROGRAM) -> ModelHandlers:
        """Import the model's code and load the model.

        Args:
            model_dir: The unpacked model.tar.gz, with the code in code/.
            program: The file in code/ that has the functions.

        Raises:
            ConfigurationError: There is no such file, or it lacks model_fn. What its code raises goes through.
        """
        module = _import(model_dir / "code", program)
        if hasattr(module, "transform_fn"):
            raise ConfigurationError(
                f"{program} defines transform_fn, which local endpoints do not call; "
                "define input_fn, predict_fn and output_fn instead."
            )
        if not hasattr(module, "model_fn"):
            raise ConfigurationError(f"{program} defines no model_fn(model_dir), so nothing can load the model.")
        return cls(
            model=_adapted(module.model_fn, 1)(str(model_dir)),
            input_fn=_adapted(getattr(module, "input_fn", default_input), 2),
            predict_fn=_adapted(getattr(module, "predict_fn", default_predict), 2),
            output_fn=_adapted(getattr(module, "output_fn", default_output), 2),
        )

    def invoke(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """Answer one request: the body, and its content type."""
        prediction = self.predict_fn(self.input_fn(body, content_type), self.model)
        answer = self.output_fn(prediction, accept)
        if isinstance(answer, tuple):
            answer, accept = answer
        return answer.encode("utf-8") if isinstance(answer, str) else bytes(answer), accept


def default_input(body: bytes, content_type: str) -> Any:
    """JSON as it is, CSV as rows of numbers, NumPy's format as an array.

    Raises:
        RequestError: Another content type, or a body that is not what its content type says.
    """
    readers: dict[str, Callable[[bytes], Any]] = {_JSON: json.loads, _CSV: _read_csv, _NUMPY: _read_numpy}
    reader = readers.get(content_type.partition(";")[0].strip().lower())
    if reader is None:
        raise RequestError(
            f"Content type {content_type!r} is not supported: the model's code has no input_fn, and the default one "
            f"reads {', '.join(readers)}.",
            415,
        )
    try:
        return reader(body)
    except ValueError as error:
        raise RequestError(f"The body is not valid {content_type}: {error}", 400) from error


def _read_csv(body: bytes) -> list[list[float]]:
    return [[float(value) for value in row] for row in csv.reader(io.StringIO(body.decode("utf-8"))) if row]


def _read_numpy(body: bytes) -> Any:
    import numpy as np  # noqa: PLC0415

    return np.load(io.BytesIO(body), allow_pickle=False)


def default_predict(data: Any, model: Any) -> Any:
    """Call the model; a torch module gets a tensor, without gradients."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        return model(data)
    with torch.inference_mode():
        return model(torch.as_tensor(data, dtype=torch.float32))


def default_output(prediction: Any, accept: str) -> tuple[str, str]:
    """JSON; tensors and arrays as nested lists.

    Raises:
        RequestError: The client accepts no JSON.
    """
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if not kinds & {_JSON, "application/*", "*/*", ""}:
        raise RequestError(
            f"Accept {accept!r} is not supported: the model's code has no output_fn, "
            f"and the default one writes {_JSON}.",
            406,
        )
    return json.dumps(prediction, default=lambda value: value.tolist()), _JSON


def _import(code: Path, program: str) -> ModuleType:
    path = code / program
    if not path.is_file():
        raise ConfigurationError(
            f"The model has no code/{program}: pack it into model.tar.gz, or set SAGEMAKER_PROGRAM."
        )
    sys.path.insert(0, str(code))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"code/{program} is no Python file; SAGEMAKER_PROGRAM must name one.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _adapted(function: Callable[..., Any], arguments: int) -> Callable[..., Any]:
    """AWS's toolkit hands a context to functions that want one more argument; here there is none to hand over."""
    required = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.default is parameter.empty
    ]
    if len(required) == arguments + 1:
        return lambda *given: function(*given, None)
    return function
