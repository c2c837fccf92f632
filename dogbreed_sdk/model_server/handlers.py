"""The functions of an inference.py (model_fn, input_fn, predict_fn, output_fn), with AWS's defaults for those missing.

Two more, which AWS's toolkit does not know and ignores, let a model answer several requests at once:

    predict_batch_fn([data, ...], model)        one prediction each, in order: a prediction, or an exception
    prepare_fn(data, model) -> data             what input_fn read, made ready for predict_batch_fn; optional

With predict_batch_fn, input_fn, prepare_fn and output_fn are called in several threads at once, and only
predict_batch_fn in one alone; without it, AWS's four are called in one thread, one request after the other.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.model_server.context import RequestContext
from dogbreed_sdk.model_server.default_functions import default_input, default_output, default_predict

DEFAULT_PROGRAM = "inference.py"
# What serves any bundle of this SDK without running code out of it.
SDK_MODULE = "training_scripts.inference"

_Function = Callable[..., Any]


@dataclass(frozen=True)
class ModelRequest:
    """One invocation as it arrived.

    Attributes:
        body: Its body.
        content_type: What the client says the body is.
        accept: What the client wants.
        context: For functions that ask for one.
    """

    body: bytes
    content_type: str
    accept: str
    context: RequestContext


@dataclass(frozen=True)
class ModelAnswer:
    """What is sent back.

    Attributes:
        body: The answer's body.
        content_type: What it is.
        headers: Headers that the model's code set.
    """

    body: bytes
    content_type: str
    headers: dict[str, str]


@dataclass(frozen=True)
class ModelHandlers:
    """A loaded model with the functions that serve it; each takes a context as its last argument.

    Attributes:
        model: What model_fn gave.
        input_fn: (body, content type, context) -> data.
        prepare_fn: (data, model, context) -> data.
        predict_fn: (data, model, context) -> prediction.
        output_fn: (prediction, accept, context) -> body, or (body, content type).
        predict_batch_fn: (list of data, model) -> list of predictions; None where requests are answered one by one.
    """

    model: Any
    input_fn: _Function
    prepare_fn: _Function
    predict_fn: _Function
    output_fn: _Function
    predict_batch_fn: _Function | None

    @classmethod
    def load(cls, model_dir: Path, code: Path | None, program: str = DEFAULT_PROGRAM) -> ModelHandlers:
        """Import the model's code and load the model.

        Args:
            model_dir: The unpacked model.tar.gz.
            code: The folder with the model's code; None for this SDK's own, which serves bundles of this SDK.
            program: The file in `code` that has the functions.

        Raises:
            ConfigurationError: There is no such file, or it lacks model_fn. What its code raises goes through.
        """
        module = importlib.import_module(SDK_MODULE) if code is None else _import(code, program)
        if hasattr(module, "transform_fn"):
            raise ConfigurationError(
                f"{program} defines transform_fn, which this model server does not call; "
                "define input_fn, predict_fn and output_fn instead."
            )
        if not hasattr(module, "model_fn"):
            raise ConfigurationError(f"{program} defines no model_fn(model_dir), so nothing can load the model.")
        context = RequestContext(model_dir)
        return cls(
            model=_with_context(module.model_fn, 1)(str(model_dir), context),
            input_fn=_with_context(getattr(module, "input_fn", default_input), 2),
            prepare_fn=_with_context(getattr(module, "prepare_fn", _as_it_is), 2),
            predict_fn=_with_context(getattr(module, "predict_fn", default_predict), 2),
            output_fn=_with_context(getattr(module, "output_fn", default_output), 2),
            predict_batch_fn=getattr(module, "predict_batch_fn", None),
        )

    def read(self, request: ModelRequest) -> Any:
        """What predict_batch_fn is to answer: the request read and made ready."""
        data = self.input_fn(request.body, request.content_type, request.context)
        return self.prepare_fn(data, self.model, request.context)

    def predict_all(self, batch: Sequence[Any]) -> list[Any]:
        """One prediction, or the exception that answering it raised, for each item of what `read` gave.

        One that makes the whole batch fail does not take the others down: each is then asked by itself.
        """
        assert self.predict_batch_fn is not None
        try:
            predictions = list(self.predict_batch_fn(list(batch), self.model))
            if len(predictions) != len(batch):
                raise RuntimeError(f"predict_batch_fn gave {len(predictions)} predictions for {len(batch)} requests")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the model's code raises is its request's
            return [error] if len(batch) == 1 else [self.predict_all([data])[0] for data in batch]
        return predictions

    def write(self, prediction: Any, request: ModelRequest) -> ModelAnswer:
        """The answer to a request."""
        answer, content_type = self.output_fn(prediction, request.accept, request.context), request.accept
        if isinstance(answer, tuple):
            answer, content_type = answer
        body = answer.encode("utf-8") if isinstance(answer, str) else bytes(answer)
        return ModelAnswer(body, content_type, request.context.response_headers)

    def invoke(self, request: ModelRequest) -> ModelAnswer:
        """Answer one request from beginning to end, with the functions that AWS's toolkit calls."""
        data = self.input_fn(request.body, request.content_type, request.context)
        return self.write(self.predict_fn(data, self.model, request.context), request)


def _as_it_is(data: Any, _model: Any) -> Any:
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


def _with_context(function: _Function, arguments: int) -> _Function:
    """A function that takes a context and hands it on if the model's function wants one, as AWS's toolkit does."""
    parameters = inspect.signature(function).parameters.values()
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if len(positional) == arguments + 1:
        return function
    return lambda *given: function(*given[:arguments])
