"""Loads and calls the functions of an inference.py: model_fn, input_fn, predict_fn, output_fn, with AWS's defaults.

Two more functions, which AWS's toolkit ignores, let a model process several requests in one call:

    predict_batch_fn([data, ...], model)        returns a prediction or an exception for each, in order
    prepare_fn(data, model) -> data             prepares what input_fn returned for predict_batch_fn; optional

With predict_batch_fn, several threads call input_fn, prepare_fn and output_fn at the same time, and one thread calls
predict_batch_fn. Without it, one thread calls AWS's four functions, for one request after the other.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.model_server.context import RequestContext
from dogbreed_sdk.model_server.default_functions import default_input, default_output, default_predict

DEFAULT_PROGRAM = "inference.py"
# Serves any bundle of this SDK without running code from the bundle.
SDK_MODULE = "training_scripts.inference"

Body = str | bytes
InputFunction = Callable[[bytes, str, RequestContext], object]
DataFunction = Callable[[object, object, RequestContext], object]
OutputFunction = Callable[[object, str, RequestContext], "Body | tuple[Body, str]"]
BatchFunction = Callable[[list[object], object], Iterable[object]]
Result = TypeVar("Result")


@dataclass(frozen=True)
class ModelRequest:
    """One invocation.

    Attributes:
        body: The request's body.
        content_type: The content type that the client declared.
        accept: The content type that the client wants.
        context: The context for functions that take one.
    """

    body: bytes
    content_type: str
    accept: str
    context: RequestContext


@dataclass(frozen=True)
class ModelResponse:
    """The response to an invocation.

    Attributes:
        body: The response's body.
        content_type: Content type of the body.
        headers: Headers that the model's code set.
    """

    body: bytes
    content_type: str
    headers: dict[str, str]


@dataclass(frozen=True)
class ModelHandlers:
    """A loaded model with the functions that serve it.

    Attributes:
        model: The result of model_fn.
        input_fn: (body, content type, context) -> data.
        prepare_fn: (data, model, context) -> data.
        predict_fn: (data, model, context) -> prediction.
        output_fn: (prediction, accept, context) -> body, or (body, content type).
        predict_batch_fn: (list of data, model) -> list of predictions; None if the model takes one request at a time.
    """

    model: object
    input_fn: InputFunction
    prepare_fn: DataFunction
    predict_fn: DataFunction
    output_fn: OutputFunction
    predict_batch_fn: BatchFunction | None

    @classmethod
    def load(cls, model_dir: Path, code: Path | None, program: str = DEFAULT_PROGRAM) -> ModelHandlers:
        """Imports the model's code and loads the model.

        Args:
            model_dir: The unpacked model.tar.gz.
            code: The folder with the model's code; None for this SDK's own code, which serves bundles of this SDK.
            program: The file in `code` that defines the functions.

        Raises:
            ConfigurationError: The file does not exist, or does not define model_fn. Exceptions of its code pass
                through.
        """
        module = importlib.import_module(SDK_MODULE) if code is None else _import(code, program)
        if hasattr(module, "transform_fn"):
            raise ConfigurationError(
                f"{program} defines transform_fn, which this model server does not call; "
                "define input_fn, predict_fn and output_fn instead."
            )
        if not hasattr(module, "model_fn"):
            raise ConfigurationError(f"{program} does not define model_fn(model_dir), which loads the model.")
        context = RequestContext(model_dir)
        return cls(
            model=_with_context(module.model_fn, 1)(str(model_dir), context),
            input_fn=_with_context(getattr(module, "input_fn", default_input), 2),
            prepare_fn=_with_context(getattr(module, "prepare_fn", _unchanged), 2),
            predict_fn=_with_context(getattr(module, "predict_fn", default_predict), 2),
            output_fn=_with_context(getattr(module, "output_fn", default_output), 2),
            predict_batch_fn=getattr(module, "predict_batch_fn", None),
        )

    def read(self, request: ModelRequest) -> object:
        """The request's data, prepared for predict_batch_fn."""
        data = self.input_fn(request.body, request.content_type, request.context)
        return self.prepare_fn(data, self.model, request.context)

    def predict_all(self, batch: Sequence[object]) -> list[object]:
        """A prediction or an exception for each item that `read` returned.

        If the whole batch fails, each item is predicted alone, so that only the bad ones fail.
        """
        assert self.predict_batch_fn is not None
        try:
            predictions = list(self.predict_batch_fn(list(batch), self.model))
            if len(predictions) != len(batch):
                raise RuntimeError(
                    f"predict_batch_fn returned {len(predictions)} predictions for {len(batch)} requests"
                )
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an exception of the model's code fails its request
            return [error] if len(batch) == 1 else [self.predict_all([data])[0] for data in batch]
        return predictions

    def write(self, prediction: object, request: ModelRequest) -> ModelResponse:
        """The response to a request."""
        output = self.output_fn(prediction, request.accept, request.context)
        body, content_type = output if isinstance(output, tuple) else (output, request.accept)
        encoded = body.encode("utf-8") if isinstance(body, str) else bytes(body)
        return ModelResponse(encoded, content_type, request.context.response_headers)

    def invoke(self, request: ModelRequest) -> ModelResponse:
        """Processes one request from beginning to end, with the functions that AWS's toolkit calls."""
        data = self.input_fn(request.body, request.content_type, request.context)
        return self.write(self.predict_fn(data, self.model, request.context), request)


def _unchanged(data: object, _model: object) -> object:
    return data


def _import(code: Path, program: str) -> ModuleType:
    path = code / (program if program.endswith(".py") else f"{program}.py")
    if not path.is_file():
        raise ConfigurationError(
            f"The model has no {code.name}/{path.name}: pack it into model.tar.gz, or set SAGEMAKER_PROGRAM."
        )
    sys.path.insert(0, str(code))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None  # it ends with .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _with_context(function: Callable[..., Result], arguments: int) -> Callable[..., Result]:
    """A function that takes a context and passes it on only if the given function takes one, as AWS's toolkit does."""
    parameters = inspect.signature(function).parameters.values()
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if len(positional) == arguments + 1:
        return function
    return lambda *given: function(*given[:arguments])
