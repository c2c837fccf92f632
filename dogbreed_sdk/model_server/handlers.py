"""Loads and calls the functions of an inference.py as AWS's toolkit does, with its defaults for those not defined.

    model_fn(model_dir)                                 loads the model
    input_fn(body, content_type) -> data                text/csv and application/json arrive as str, others as bytes
    predict_fn(data, model) -> prediction
    output_fn(prediction, accept)                       returns the body, or the body and its content type
    transform_fn(model, body, content_type, accept)     replaces the last three
    pre_model_fn(model_dir), model_warmup_fn(model_dir, model)      called before and after model_fn

Each may take the context (see `context`) as one more argument.

Two more functions, which AWS's toolkit ignores, let a model process several requests in one call:

    predict_batch_fn([data, ...], model)        returns a prediction or an exception for each, in order
    prepare_fn(data, model) -> data             prepares what input_fn returned for predict_batch_fn; optional

With predict_batch_fn, several threads call input_fn, prepare_fn and output_fn at the same time, and one thread calls
predict_batch_fn. Without it, one thread calls AWS's functions, for one request after the other.
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
from dogbreed_sdk.model_server import stand_in
from dogbreed_sdk.model_server.context import RequestContext
from dogbreed_sdk.model_server.default_functions import (
    ENCODED_TYPES,
    TEXT_TYPES,
    RequestError,
    default_input,
    default_model,
    default_output,
    default_predict,
)
from training_scripts.data.accept import preferred
from training_scripts.data.formats import JSON, OCTET_STREAM

DEFAULT_PROGRAM = "inference.py"
# Serves any bundle of this SDK without running code from the bundle.
SDK_MODULE = "training_scripts.inference"

Body = str | bytes
InputFunction = Callable[[Body, str, RequestContext], object]
DataFunction = Callable[[object, object, RequestContext], object]
OutputFunction = Callable[[object, str, RequestContext], object]
TransformFunction = Callable[[object, Body, str, str, RequestContext], object]
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
        status: The HTTP status.
    """

    body: bytes
    content_type: str
    headers: dict[str, str]
    status: int = 200


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
        transform_fn: (model, body, content type, accept, context) -> body, or (body, content type); None if input_fn,
            predict_fn and output_fn are called.
    """

    model: object
    input_fn: InputFunction
    prepare_fn: DataFunction
    predict_fn: DataFunction
    output_fn: OutputFunction
    predict_batch_fn: BatchFunction | None
    transform_fn: TransformFunction | None = None

    @classmethod
    def load(cls, model_dir: Path, code: Path | None, program: str = DEFAULT_PROGRAM) -> ModelHandlers:
        """Imports the model's code and loads the model.

        Args:
            model_dir: The unpacked model.tar.gz.
            code: The folder with the model's code; None for this SDK's own code, which serves bundles of this SDK.
            program: The file in `code` that defines the functions.

        Raises:
            ConfigurationError: The file does not exist, its functions contradict each other, or there is no model_fn
                and no TorchScript model. Exceptions of its code pass through.
        """
        module = importlib.import_module(SDK_MODULE) if code is None else _module(code, program)
        transform_fn = getattr(module, "transform_fn", None)
        if transform_fn and any(hasattr(module, name) for name in ("input_fn", "predict_fn", "output_fn")):
            raise ConfigurationError(
                f"{program} defines transform_fn together with input_fn, predict_fn or output_fn, which it replaces; "
                "remove one or the other."
            )
        model = _load_model(module, model_dir)
        return cls(
            model=model,
            # After the model is loaded, since what its code has imported decides about the default.
            input_fn=_with_context(getattr(module, "input_fn", None) or default_input(), 2),
            prepare_fn=_with_context(getattr(module, "prepare_fn", _unchanged), 2),
            predict_fn=_with_context(getattr(module, "predict_fn", default_predict), 2),
            output_fn=_with_context(getattr(module, "output_fn", default_output), 2),
            predict_batch_fn=None if transform_fn else getattr(module, "predict_batch_fn", None),
            transform_fn=_with_context(transform_fn, 4) if transform_fn else None,
        )

    def read(self, request: ModelRequest) -> object:
        """The request's data, prepared for predict_batch_fn."""
        data = self.input_fn(_text_or_bytes(request), request.content_type, request.context)
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
        return _response(self.output_fn(prediction, request.accept, request.context), request)

    def invoke(self, request: ModelRequest) -> ModelResponse:
        """Processes one request from beginning to end, with the functions that AWS's toolkit calls."""
        body, context = _text_or_bytes(request), request.context
        if self.transform_fn is not None:
            output = self.transform_fn(self.model, body, request.content_type, request.accept, context)
            return _response(output, request)
        data = self.input_fn(body, request.content_type, context)
        return self.write(self.predict_fn(data, self.model, context), request)


def _text_or_bytes(request: ModelRequest) -> Body:
    """The body as the toolkit passes it to functions: JSON and CSV as text."""
    if request.content_type not in TEXT_TYPES:
        return request.body
    try:
        return request.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"The body is not valid {request.content_type}: {error}", 400) from error


def _response(output: object, request: ModelRequest) -> ModelResponse:
    """A response from what output_fn or transform_fn returned: a body, or a body and its content type."""
    body, content_type = output if isinstance(output, tuple) and len(output) == 2 else (output, None)
    content_type = content_type or request.context.get_response_content_type(0)
    if not isinstance(body, (str, bytes, bytearray, memoryview)):
        wanted = content_type or request.accept
        body, encoded_as = default_output(body, wanted if preferred(wanted, ENCODED_TYPES) else JSON)
        content_type = content_type or encoded_as
    encoded = body.encode("utf-8") if isinstance(body, str) else bytes(body)
    headers = {name: value for name, value in request.context.response_headers.items() if name != "content-type"}
    status, _ = request.context.get_response_status(0)
    return ModelResponse(encoded, content_type or _first(request.accept), headers, status)


def _first(accept: str) -> str:
    """The content type of a body whose function does not name one: the first that the client accepts."""
    kind = accept.partition(",")[0].partition(";")[0].strip()
    return OCTET_STREAM if "*" in kind else kind


def _unchanged(data: object, _model: object) -> object:
    return data


def _load_model(module: ModuleType | None, model_dir: Path) -> object:
    """Calls pre_model_fn, model_fn and model_warmup_fn; the outer two are optional."""
    context = RequestContext(model_dir)
    before, after = getattr(module, "pre_model_fn", None), getattr(module, "model_warmup_fn", None)
    if before:
        _with_context(before, 1)(str(model_dir), context)
    model: object = _with_context(getattr(module, "model_fn", default_model), 1)(str(model_dir), context)
    if after:
        _with_context(after, 2)(str(model_dir), model, context)
    return model


def _module(code: Path, program: str) -> ModuleType | None:
    """The module with the model's code; None if the model comes without code.

    Raises:
        ConfigurationError: There is other code, or the variable SAGEMAKER_PROGRAM names a file that does not exist.
    """
    path = code / (program if program.endswith(".py") else f"{program}.py")
    if path.is_file():
        return _import(code, path)
    if program == DEFAULT_PROGRAM and not any(code.glob("*.py")) and not (code.parent / program).is_file():
        return None
    raise ConfigurationError(
        f"The model has no {code.name}/{path.name}: pack it into model.tar.gz, or set SAGEMAKER_PROGRAM."
    )


def _import(code: Path, path: Path) -> ModuleType:
    sys.path.insert(0, str(code))
    sys.path.append(str(stand_in.FOLDER))
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
