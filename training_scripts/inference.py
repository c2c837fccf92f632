"""Serves a bundle: model_fn, input_fn, predict_fn, output_fn, as SageMaker's PyTorch containers call them.

    image/jpeg, ..., application/x-image (see data/formats)  a picture, whose format is detected from its bytes
    application/octet-stream (boto3's default), or none      a picture or JSON, detected from the bytes
    application/json                                         {"url": "https://..."}, or a preprocessed tensor
                                                             [3, h, w] or [n, 3, h, w] as nested lists
    application/x-npy (the v2 SDK's PyTorchPredictor)        the same tensor in NumPy's format, or a picture's pixels
                                                             [h, w, 3] as uint8

    Accept application/json (default)            [[logit per class]], one row per picture
    Accept application/x-npy, text/csv           the same rows in NumPy's format, or as lines of numbers
    Accept application/vnd.dogbreed+json         model_id, and every class with its label, logit and probability
    Accept application/vnd.dogbreed.scores+json  model_id, and the probabilities in class order: a short response for
                                                 clients that know the classes of that model_id
    Accept application/vnd.dogbreed.explanation+json  as vnd.dogbreed+json, and where in the picture the evidence for
                                                 its most probable class is; ";class=INDEX" chooses another class

If the bundle has a rejection rule, the last two also report whether the picture looks like none of the classes.
Servers that support prepare_fn and predict_batch_fn, such as this SDK's, answer several requests with one model call.
An invalid request raises a `RequestError` with the HTTP status for the response.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from training_scripts._util.class_names import display_name
from training_scripts._util.number_text import number_text
from training_scripts.data import arrays, decoding, formats, limits, preprocessing, safe_fetch
from training_scripts.data.accept import preferred
from training_scripts.models import backbones, explanation, test_time
from training_scripts.models.engines import warming_model
from training_scripts.models.engines.backends import chosen_backend
from training_scripts.models.engines.onnx_model import OnnxModel
from training_scripts.models.engines.warming_model import WarmingModel
from training_scripts.models.model import Model, load

JSON = formats.JSON
RANKED_JSON = "application/vnd.dogbreed+json"
SCORES_JSON = "application/vnd.dogbreed.scores+json"
EXPLANATION_JSON = "application/vnd.dogbreed.explanation+json"
RESPONSE_TYPES = (JSON, RANKED_JSON, SCORES_JSON, arrays.NPY, arrays.CSV, EXPLANATION_JSON)
# Views per model call: the activations of 16 take about half a gigabyte, and larger calls are not faster.
MAX_AT_ONCE = 16
# Bicubic resizing overshoots by a few percent; pixels that were not normalized are far outside.
RANGE_SLACK = 0.5
# Error messages repeat this many characters of a refused header.
MAX_REPEATED = 100

# AWS's toolkit uses an exception's status only if the exception is a subclass of the toolkit's class. If that toolkit
# is the server, it is already loaded; otherwise it is not needed.
_toolkit = sys.modules.get("sagemaker_inference.errors")
_Base: type[Exception] = _toolkit.BaseInferenceToolkitError if _toolkit else Exception


class RequestError(_Base):  # type: ignore[misc, valid-type]
    """The client sent a request that cannot be answered.

    Attributes:
        status_code: The HTTP status to answer with: 400, 406 or 415.
        message: What was wrong and what to send instead.
    """

    def __init__(self, message: str, status_code: int = 400) -> None:
        super().__init__(*((status_code, message, message) if _toolkit else (message,)))
        self.status_code = status_code
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Prediction:
    """A model's output for one request's pictures.

    Attributes:
        logits: [n, classes], float32 on the CPU.
        model: The model that computed them.
        rejection_scores: [n], how unlike the classes each picture is; None if the model has no rejection rule.
        pixels: [n, 3, h, w], the model's input, for an explanation.
    """

    logits: Tensor
    model: Model
    rejection_scores: Tensor | None = None
    pixels: Tensor | None = None


def model_fn(model_dir: str, context: object = None) -> Model:  # noqa: ARG001 - the toolkit passes it
    """Loads the bundle's model: on the GPU if there is one, else in ONNX Runtime where it is installed; runs it once.

    DOGBREED_BACKEND selects torch or onnx instead.

    Raises:
        BundleError: The folder is not a bundle, or it is damaged.
        EngineError: ONNX Runtime is selected but not installed.
    """
    model = load_model(Path(model_dir), chosen_backend())
    # The first call sets up memory and kernels, which takes several times as long as later calls.
    side = model.preprocessing.crop
    _predictions(torch.zeros(1, 3, side, side), [1], model)
    return model


def load_model(folder: Path, backend: str) -> Model:
    """Loads a bundle's model for a backend of `engines.backends`.

    Raises:
        BundleError: The folder is not a bundle, or it is damaged.
        EngineError: ONNX Runtime is selected but not installed.
    """
    backbones.exact_arithmetic()
    return _in_backend(load(folder), backend)


def _in_backend(loaded: Model, backend: str) -> Model:
    if backend == "onnx":
        return OnnxModel(loaded)
    if torch.cuda.is_available():
        return loaded.to("cuda")
    return WarmingModel(loaded) if backend == "auto" and warming_model.is_installed() else loaded


def input_fn(body: bytes | str, content_type: str | None) -> Image.Image | Tensor:
    """Decodes the picture of a request, or reads its tensor [n, 3, h, w].

    Raises:
        RequestError: 415 for a content type that is not served, 400 for content that cannot be read.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    content = body.encode("latin-1", "replace") if isinstance(body, str) else bytes(body)
    # No picture begins with the characters with which JSON's lists and objects begin.
    if kind == JSON or (kind in formats.UNNAMED_CONTENT_TYPES and content.lstrip()[:1] in (b"[", b"{")):
        return _from_json(body)
    if kind == arrays.NPY or (kind in formats.UNNAMED_CONTENT_TYPES and content.startswith(arrays.NPY_SIGNATURE)):
        return _from_npy(content)
    if kind in formats.PICTURE_CONTENT_TYPES | formats.UNNAMED_CONTENT_TYPES:
        return _picture(content)
    served = ", ".join([*sorted(formats.PICTURE_CONTENT_TYPES), JSON, arrays.NPY])
    refused = (content_type or "")[:MAX_REPEATED]
    raise RequestError(f"content type {refused!r} is not served; send one of {served}", 415)


def prepare_fn(data: Image.Image | Tensor, model: Model) -> Tensor:
    """Applies the model's preprocessing to the result of `input_fn`: [n, 3, h, w].

    Raises:
        RequestError: The picture cannot be preprocessed, or the model does not accept the tensor's size or values.
    """
    if isinstance(data, Tensor):
        _check_range(data, model)
        return data
    try:
        return preprocessing.to_tensor(data, model.preprocessing)[None]
    except decoding.PictureError as error:
        raise RequestError(str(error)) from error


def predict_fn(data: Image.Image | Tensor, model: Model) -> Prediction:
    """Applies the model's preprocessing to a picture, and the model to the result.

    Raises:
        RequestError: The picture cannot be preprocessed.
    """
    pixels = prepare_fn(data, model)
    return _predictions(pixels, [len(pixels)], model)[0]


def predict_batch_fn(batch: Sequence[Image.Image | Tensor], model: Model) -> list[Prediction | Exception]:
    """Predicts several requests with as few model calls as possible.

    A request that is alone in its call gets exactly the result of `predict_fn`; in a batch, the results agree to about
    1e-6.

    Args:
        batch: The result of `input_fn` or `prepare_fn` for each request.
        model: From `model_fn`.

    Returns:
        A prediction or an exception for each request.
    """
    answers: dict[int, Prediction | Exception] = {}
    by_size: dict[torch.Size, list[tuple[int, Tensor]]] = {}
    for position, data in enumerate(batch):
        try:
            pixels = prepare_fn(data, model)
        except RequestError as error:
            answers[position] = error
        else:
            by_size.setdefault(pixels.shape[2:], []).append((position, pixels))
    for group in by_size.values():
        predictions = _predictions(torch.cat([pixels for _, pixels in group]), [len(each) for _, each in group], model)
        for (position, _), prediction in zip(group, predictions, strict=True):
            answers[position] = prediction
    return [answers[position] for position in range(len(batch))]


def _predictions(pixels: Tensor, sizes: Sequence[int], model: Model) -> list[Prediction]:
    """Predictions for several requests; `sizes` are the numbers of their pictures."""
    parameter = next(model.parameters(), None)
    device = "cpu" if parameter is None else parameter.device
    with torch.inference_mode():
        at_once = MAX_AT_ONCE // len(test_time.views(model.description.tta))
        parts = [model.forward_with_features(part.to(device)) for part in torch.split(pixels, at_once)]
        logits = torch.cat([part.float().cpu() for part, _ in parts])
        features = torch.cat([part.float().cpu() for _, part in parts])
        scores = model.rejection.scores(logits, features) if model.rejection else None
    of_requests = torch.split(scores, list(sizes)) if scores is not None else [None] * len(sizes)
    of_each = zip(torch.split(logits, list(sizes)), of_requests, torch.split(pixels, list(sizes)), strict=True)
    return [Prediction(rows, model, score, inputs) for rows, score, inputs in of_each]


def output_fn(prediction: Prediction, accept: str | None) -> tuple[str | bytes, str]:
    """The response's body and its content type.

    Raises:
        RequestError: 406 if the client accepts none of the formats.
    """
    form = preferred(accept, RESPONSE_TYPES)
    if form is None:
        unmet = (accept or "")[:MAX_REPEATED]
        raise RequestError(
            f"Accept {unmet!r} is not supported; this model returns one of {', '.join(RESPONSE_TYPES)}", 406
        )
    if form == JSON:
        return json.dumps(prediction.logits.tolist()), JSON
    if form == arrays.NPY:
        return arrays.write_npy(prediction.logits.numpy()), form
    if form == arrays.CSV:
        return arrays.write_csv(prediction.logits.tolist()), form
    if form == EXPLANATION_JSON:
        return json.dumps(_explained(prediction, _wanted_class(accept or "", prediction))), form
    return json.dumps(_ranked(prediction) if form == RANKED_JSON else _scores(prediction)), form


def _picture(content: bytes) -> Image.Image:
    try:
        return decoding.decode(content)
    except decoding.PictureError as error:
        raise RequestError(f"the picture cannot be used: {error}") from error


def _from_json(body: bytes | str) -> Image.Image | Tensor:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    if isinstance(content, dict) and isinstance(content.get("url"), str):
        try:
            return _picture(safe_fetch.fetch(content["url"], safe_fetch.FetchPolicy.from_environment()))
        except safe_fetch.FetchError as error:
            raise RequestError(str(error)) from error
    if isinstance(content, list):
        return _tensor(content)
    raise RequestError('send {"url": "https://..."} or a preprocessed tensor [3, h, w] or [n, 3, h, w]')


def _from_npy(content: bytes) -> Image.Image | Tensor:
    try:
        array = arrays.read_npy(content)
    except arrays.ArrayError as error:
        raise RequestError(f"the body cannot be used: {error}") from error
    if array.dtype == "uint8" and array.ndim == 3 and array.shape[2] == 3 and array.size:
        try:
            return decoding.from_pixels(array)
        except decoding.PictureError as error:
            raise RequestError(f"the picture cannot be used: {error}") from error
    if array.dtype.kind not in "iuf":
        raise RequestError(f"the array must hold numbers, not {array.dtype}")
    try:
        # torch converts numbers beyond float32 to infinity without a warning, unlike NumPy.
        return _checked(torch.from_numpy(array).to(torch.float32))
    except TypeError as error:  # for instance longdouble
        raise RequestError(f"the array must be float32, not {array.dtype}") from error


def _tensor(values: Sequence[object]) -> Tensor:
    try:
        return _checked(torch.tensor(values, dtype=torch.float32))
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise RequestError(f"the tensor must be nested lists of numbers, of equal lengths: {error}") from error


def _checked(tensor: Tensor) -> Tensor:
    """A tensor as [n, 3, h, w], if its shape and values are accepted."""
    if tensor.ndim == 3:
        tensor = tensor[None]
    if tensor.ndim != 4 or tensor.shape[1] != 3 or not len(tensor):
        raise RequestError(f"the tensor must be [3, h, w] or [n, 3, h, w], not {list(tensor.shape)}")
    least, most = limits.MIN_TENSOR_SIDE, limits.MAX_TENSOR_SIDE
    if not all(least <= side <= most for side in tensor.shape[2:]):
        raise RequestError(f"height and width must be {least} to {most}, not {list(tensor.shape[2:])}")
    if not bool(tensor.isfinite().all()):
        raise RequestError("the tensor contains numbers that are not finite")
    return tensor


def _check_range(tensor: Tensor, model: Model) -> None:
    """Refuses a tensor that cannot have come from the model's own preprocessing, such as pixels from 0 to 255."""
    wanted = model.preprocessing
    low = min((0 - mean) / std for mean, std in zip(wanted.mean, wanted.std, strict=True))
    high = max((1 - mean) / std for mean, std in zip(wanted.mean, wanted.std, strict=True))
    slack = RANGE_SLACK * (high - low)
    least, most = (float(bound) for bound in tensor.aminmax())
    if least < low - slack or most > high + slack:
        raise RequestError(
            f"the tensor's values range from {number_text(least, 4)} to {number_text(most, 4)}, but those of a "
            "preprocessed picture range from "
            f"{number_text(low, 3)} to {number_text(high, 3)}: send (pixel / 255 - mean) / std with mean "
            f"{_listed(wanted.mean)} and std "
            f"{_listed(wanted.std)}, or the picture itself as image/jpeg"
        )


def _listed(values: Sequence[float]) -> str:
    return f"[{', '.join(number_text(value, 4) for value in values)}]"


def _ranked(prediction: Prediction) -> dict[str, object]:
    model = prediction.model
    rows = []
    for logits, row in zip(prediction.logits.tolist(), _probabilities(prediction), strict=True):
        best_first = sorted(range(len(row)), key=lambda index: (-row[index], index))
        rows.append({"scores": [_score(index, model.classes[index], logits, row) for index in best_first]})
    return _with_rejection({"model_id": model.model_id, "classes": len(model.classes), "predictions": rows}, prediction)


def _explained(prediction: Prediction, index: int) -> dict[str, object]:
    model, pixels = prediction.model, prediction.pixels
    if pixels is None or len(pixels) != 1:
        raise RequestError("only a single picture can be explained, not a tensor of several")
    try:
        found = explanation.contributions(model, pixels, index)
    except explanation.ExplanationError as error:
        raise RequestError(f"this model cannot be explained: {error}", 406) from error
    return {
        **_ranked(prediction),
        "explanation": {"index": index, "contributions": found.tolist()},
        "preprocessing": {
            "resize": model.preprocessing.resize,
            "crop": model.preprocessing.crop,
            "resize_mode": model.preprocessing.resize_mode,
        },
    }


def _wanted_class(accept: str, prediction: Prediction) -> int:
    """The class to explain: that of the Accept header's parameter, else the most probable one."""
    found = re.search(rf"{re.escape(EXPLANATION_JSON)}\s*;\s*class=(\d{{1,6}})", accept, re.IGNORECASE)
    if found is None:
        return int(prediction.logits[0].argmax())
    index, classes = int(found[1]), len(prediction.model.classes)
    if index >= classes:
        raise RequestError(f"class {index} cannot be explained: the model has the classes 0 to {classes - 1}")
    return index


def _scores(prediction: Prediction) -> dict[str, Any]:
    rows = [{"probabilities": row} for row in _probabilities(prediction)]
    return _with_rejection({"model_id": prediction.model.model_id, "predictions": rows}, prediction)


def _probabilities(prediction: Prediction) -> list[list[float]]:
    rows: list[list[float]] = (prediction.logits.double() / prediction.model.temperature).softmax(1).tolist()
    return rows


def _with_rejection(answer: dict[str, Any], prediction: Prediction) -> dict[str, Any]:
    """Adds the rejection rule's result for each picture, if the model has a rule."""
    rule = prediction.model.rejection
    if rule is None or prediction.rejection_scores is None:
        return answer
    for row, score in zip(answer["predictions"], prediction.rejection_scores.tolist(), strict=True):
        row |= {"rejected": score > rule.threshold, "rejection_score": score}
    return answer | {"rejection": {"method": rule.method, "threshold": rule.threshold}}


def _score(index: int, class_folder: str, logits: list[float], row: list[float]) -> dict[str, object]:
    return {
        "index": index,
        "class_folder": class_folder,
        "label": display_name(class_folder),
        "logit": logits[index],
        "probability": row[index],
    }
