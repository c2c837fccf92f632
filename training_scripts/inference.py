"""Serves a bundle: model_fn, input_fn, predict_fn, output_fn, as SageMaker's PyTorch containers call them.

    image/jpeg, image/png, image/webp, application/x-image   the picture's bytes (the bytes decide, not the label)
    application/json                                         {"url": "https://..."}, or a preprocessed tensor
                                                             [3, h, w] or [n, 3, h, w] as nested lists

    Accept application/json (default)            [[logit per class]], one row a picture
    Accept application/vnd.dogbreed+json         model_id, and every class with its label, logit and probability

A fault of the client is a `RequestError` with the HTTP status it deserves.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from training_scripts import backbones, fetching, pictures
from training_scripts.bundle import display_name
from training_scripts.model import Model, load

JSON = "application/json"
RANKED_JSON = "application/vnd.dogbreed+json"
PICTURES = frozenset({"image/jpeg", "image/jpg", "image/png", "image/webp", "application/x-image"})
MIN_SIDE, MAX_SIDE = 32, 2048

# AWS's toolkit answers with an exception's own status only if it is a child of the toolkit's class; where that
# toolkit serves it is loaded already, and elsewhere it is not needed.
_toolkit = sys.modules.get("sagemaker_inference.errors")
_Base: type[Exception] = _toolkit.BaseInferenceToolkitError if _toolkit else Exception


class RequestError(_Base):  # type: ignore[misc, valid-type]
    """What the client sent cannot be answered.

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
    """Logits [n, classes] on the CPU, and the model they are from."""

    logits: Tensor
    model: Model


def model_fn(model_dir: str, context: object = None) -> Model:  # noqa: ARG001 - the toolkit passes it
    """The bundle's model, on the GPU where there is one."""
    backbones.exact_arithmetic()
    return load(Path(model_dir)).to("cuda" if torch.cuda.is_available() else "cpu")


def input_fn(body: bytes | str, content_type: str | None) -> Image.Image | Tensor:
    """The picture of a request, decoded, or its tensor [n, 3, h, w].

    Raises:
        RequestError: 415 for a content type that is not served, 400 for content that cannot be read.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind in PICTURES:
        return _picture(body.encode("latin-1", "replace") if isinstance(body, str) else bytes(body))
    if kind == JSON:
        return _from_json(body)
    served = ", ".join([*sorted(PICTURES), JSON])
    raise RequestError(f"content type {content_type!r} is not served; send one of {served}", 415)


def predict_fn(data: Image.Image | Tensor, model: Model) -> Prediction:
    """Applies the model's own preprocessing to a picture, and the model to the result.

    Raises:
        RequestError: The picture cannot be preprocessed.
    """
    if isinstance(data, Image.Image):
        try:
            data = pictures.to_tensor(data, model.preprocessing)[None]
        except pictures.PictureError as error:
            raise RequestError(str(error)) from error
    with torch.inference_mode():
        device = next(model.parameters()).device
        return Prediction(model(data.to(device)).float().cpu(), model)


def output_fn(prediction: Prediction, accept: str | None) -> tuple[str, str]:
    """The answer's body and its content type.

    Raises:
        RequestError: 406 where the client accepts neither form.
    """
    form = _form(accept)
    if form == JSON:
        return json.dumps(prediction.logits.tolist()), JSON
    return json.dumps(_ranked(prediction)), RANKED_JSON


def _picture(content: bytes) -> Image.Image:
    try:
        return pictures.decode(content)
    except pictures.PictureError as error:
        raise RequestError(f"the picture cannot be used: {error}") from error


def _from_json(body: bytes | str) -> Image.Image | Tensor:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is no JSON: {error}") from error
    if isinstance(content, dict) and isinstance(content.get("url"), str):
        try:
            return _picture(fetching.fetch(content["url"], fetching.FetchPolicy.from_environment()))
        except fetching.FetchError as error:
            raise RequestError(str(error)) from error
    if isinstance(content, list):
        return _tensor(content)
    raise RequestError('send {"url": "https://..."} or a preprocessed tensor [3, h, w] or [n, 3, h, w]')


def _tensor(values: Sequence[Any]) -> Tensor:
    try:
        tensor = torch.tensor(values, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise RequestError(f"the tensor must be nested lists of numbers, of equal lengths: {error}") from error
    if tensor.ndim == 3:
        tensor = tensor[None]
    if tensor.ndim != 4 or tensor.shape[1] != 3 or not len(tensor):
        raise RequestError(f"the tensor must be [3, h, w] or [n, 3, h, w], not {list(tensor.shape)}")
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in tensor.shape[2:]):
        raise RequestError(f"height and width must be {MIN_SIDE} to {MAX_SIDE}, not {list(tensor.shape[2:])}")
    if not bool(tensor.isfinite().all()):
        raise RequestError("the tensor holds numbers that are not finite")
    return tensor


def _form(accept: str | None) -> str:
    """The form that an Accept header prefers; application/json where it leaves the choice."""
    wishes: list[tuple[float, str]] = []
    for part in (accept or "*/*").split(","):
        kind, _, parameters = part.partition(";")
        wishes.append((_quality(parameters), kind.strip().lower()))
    for quality, kind in sorted(wishes, key=lambda wish: -wish[0]):
        if quality > 0 and kind in {JSON, RANKED_JSON}:
            return kind
        if quality > 0 and kind in {"*/*", "application/*", ""}:
            return JSON
    raise RequestError(f"Accept {accept!r} cannot be met; this model answers {JSON} or {RANKED_JSON}", 406)


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _ranked(prediction: Prediction) -> dict[str, Any]:
    model = prediction.model
    probabilities = (prediction.logits.double() / model.temperature).softmax(1).tolist()
    rows = []
    for logits, row in zip(prediction.logits.tolist(), probabilities, strict=True):
        best_first = sorted(range(len(row)), key=lambda index: (-row[index], index))
        rows.append({"scores": [_score(index, model.classes[index], logits, row) for index in best_first]})
    return {"model_id": model.model_id, "classes": len(model.classes), "predictions": rows}


def _score(index: int, class_folder: str, logits: list[float], row: list[float]) -> dict[str, Any]:
    return {
        "index": index,
        "class_folder": class_folder,
        "label": display_name(class_folder),
        "logit": logits[index],
        "probability": row[index],
    }
