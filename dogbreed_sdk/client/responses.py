"""Parses responses into predictions: our two JSON formats, and the plain list of scores of other endpoints.

ranked   all classes with label and probability, most probable first: requested until the labels are cached
scores   probabilities in index order and the model's id: small, for a client that has cached that model's labels
plain    [[score per class]], logits or probabilities: the response of endpoints that support neither format
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from dogbreed_sdk.client.label_cache import LabelCache
from dogbreed_sdk.errors import LabelError, ModelError
from dogbreed_sdk.labels import LabelMap, most_probable
from dogbreed_sdk.predictions import BreedScore, Prediction, Rejection

CONTENT_TYPE = "application/vnd.dogbreed+json"
SCORES_CONTENT_TYPE = "application/vnd.dogbreed.scores+json"
PLAIN_CONTENT_TYPE = "application/json"
# No weights: AWS's serving toolkit splits at commas, and does not know the content type "application/json;q=0.9".
ACCEPT = f"{CONTENT_TYPE}, {PLAIN_CONTENT_TYPE}"
ACCEPT_SCORES = f"{SCORES_CONTENT_TYPE}, {ACCEPT}"

# An object of a response, whose values are not checked yet.
_JsonObject: TypeAlias = "Mapping[str, Any]"

# How far the sum of float32 probabilities may be from one; anything else must be logits.
_SUM_TOLERANCE = 1e-3
_LONGEST_SHOWN = 200


class UnknownModelError(Exception):
    """The labels of the model that answered are not cached: the request must be repeated in the ranked format."""


def parse(
    body: bytes,
    *,
    labels: LabelMap | None,
    top_k: int | None,
    latency_ms: float | None,
    request_id: str | None,
    variant: str | None = None,
    label_cache: LabelCache | None = None,
) -> Prediction:
    """Parses an endpoint's response.

    Args:
        body: The body of the response.
        labels: Names of the classes; required for a plain list, and checked against a response with labels.
        top_k: Number of classes to keep; None keeps all.
        latency_ms: Milliseconds that the call took, if they are known.
        request_id: AWS's id of the call.
        variant: Name of the production variant that answered.
        label_cache: Labels of models that answered before; those of a ranked response are added.

    Raises:
        ModelError: The response has none of the three formats.
        LabelError: Labels are missing, or their number differs from that of the scores.
        UnknownModelError: The response has no labels, and its model is not in the cache.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    model_id = rejection = None
    try:
        if isinstance(answer, dict):
            prediction = answer["predictions"][0]
            model_id = _model_id(answer)
            rejection = _rejection(prediction, answer)
            if "probabilities" in prediction:
                scores = _from_scores(prediction["probabilities"], model_id, labels, label_cache, top_k)
            else:
                scores = _from_ranked(prediction["scores"], model_id, labels, label_cache, top_k)
        else:
            scores = _from_plain(answer, labels, top_k, request_id)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError(
            f"The endpoint's response is neither {CONTENT_TYPE} nor a list that contains one list of scores: "
            f"{body[:_LONGEST_SHOWN]!r}",
            request_id=request_id,
        ) from error
    if label_cache is not None and model_id is not None and label_cache.model_id != model_id:
        label_cache.model_id = model_id
    return Prediction.from_scores(
        scores,
        model_id=model_id,
        latency_ms=latency_ms,
        request_id=request_id,
        variant=variant,
        rejection=rejection,
    )


def probabilities(scores: Sequence[float]) -> list[float]:
    """Scores as probabilities: unchanged if they are probabilities already, else their softmax.

    >>> probabilities([0.25, 0.75])
    [0.25, 0.75]
    >>> [round(value, 3) for value in probabilities([0.0, 2.0])]
    [0.119, 0.881]
    """
    if all(0.0 <= score <= 1.0 for score in scores) and abs(math.fsum(scores) - 1.0) < _SUM_TOLERANCE:
        return list(scores)
    highest = max(scores)
    powers = [math.exp(score - highest) for score in scores]
    total = math.fsum(powers)
    return [power / total for power in powers]


def no_labels(returned: str) -> LabelError:
    """The error for a response without labels if none were given."""
    return LabelError(
        f"The endpoint returned {returned} without labels. Pass labels=…, for example "
        "LabelMap.from_folder of the training data, or LabelMap.from_bundle of its bundle."
    )


def _model_id(answer: _JsonObject) -> str | None:
    model_id = answer.get("model_id")
    return None if model_id is None else _text(model_id)


def _text(value: object) -> str:
    """Checks for text that can be encoded; JSON can contain lone surrogates, which cannot."""
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"{value!r} is not a name")
    value.encode()
    return value


def _rejection(prediction: _JsonObject, answer: _JsonObject) -> Rejection | None:
    if prediction.get("rejected") is None:
        return None
    rejected = prediction["rejected"]
    if not isinstance(rejected, bool):
        raise TypeError("rejected is not a boolean")
    rejection = Rejection(rejected, float(prediction["rejection_score"]), float(answer["rejection"]["threshold"]))
    if not (math.isfinite(rejection.score) and math.isfinite(rejection.threshold)):
        raise ValueError("the rejection score is not finite")
    return rejection


def _from_scores(
    values: Sequence[float],
    model_id: str | None,
    labels: LabelMap | None,
    label_cache: LabelCache | None,
    top_k: int | None,
) -> tuple[BreedScore, ...]:
    _check_probabilities(values)
    if labels is None:
        labels = label_cache.get(model_id) if label_cache is not None else None
        if labels is None:
            raise UnknownModelError
    return labels.rank(values, top_k=top_k)


def _from_ranked(
    entries: Sequence[_JsonObject],
    model_id: str | None,
    labels: LabelMap | None,
    label_cache: LabelCache | None,
    top_k: int | None,
) -> tuple[BreedScore, ...]:
    values = [entry["probability"] for entry in entries]
    _check_probabilities(values, complete=False)
    indices = _indices(entries)
    if labels is not None:
        if len(labels) != len(entries):
            raise LabelError(
                f"{len(labels)} labels were given, but the model has {len(entries)} classes. Omit labels: this "
                "endpoint returns them itself."
            )
        by_index = dict(zip(indices, values, strict=True))
        return labels.rank([by_index[index] for index in range(len(labels))], top_k=top_k)
    if label_cache is not None and model_id is not None and label_cache.get(model_id) is None:
        _store_labels(label_cache, model_id, dict(zip(indices, entries, strict=True)))
    return tuple(_score(entries[position]) for position in most_probable(values, top_k))


def _indices(entries: Sequence[_JsonObject]) -> list[int]:
    """The indices of the classes; a response may contain only some of the classes."""
    indices = [entry["index"] for entry in entries]
    if not all(type(index) is int and index >= 0 for index in indices) or len(set(indices)) < len(indices):
        raise ValueError("the indices are not distinct integers of at least 0")
    return indices


def _store_labels(label_cache: LabelCache, model_id: str, by_index: Mapping[int, _JsonObject]) -> None:
    """Caches the classes of a response if it contains all of them."""
    if max(by_index) == len(by_index) - 1:
        label_cache.store(model_id, [_text(by_index[index]["class_folder"]) for index in range(len(by_index))])


def _score(entry: _JsonObject) -> BreedScore:
    return BreedScore(
        label=_text(entry["label"]),
        class_folder=_text(entry["class_folder"]),
        index=entry["index"],
        probability=float(entry["probability"]),
    )


def _check_probabilities(values: Sequence[float], *, complete: bool = True) -> None:
    """Raises TypeError or ValueError if values are not probabilities; cheap, because it runs for every response."""
    if not isinstance(values, list) or not values:
        raise TypeError("not a list of probabilities")
    total = sum(values)
    if not (min(values) >= 0.0 and total <= 1.0 + _SUM_TOLERANCE and (total >= 1.0 - _SUM_TOLERANCE or not complete)):
        raise ValueError("not the probabilities of all classes")


def _from_plain(
    answer: object, labels: LabelMap | None, top_k: int | None, request_id: str | None
) -> tuple[BreedScore, ...]:
    row = answer[0] if isinstance(answer, list) and len(answer) == 1 else None
    if not isinstance(row, list) or not row or not all(isinstance(value, (int, float)) for value in row):
        raise TypeError("not a list that contains one list of numbers")
    if not all(map(math.isfinite, row)):
        raise ModelError("The model returned NaN or infinite scores.", request_id=request_id)
    if labels is None:
        raise no_labels(f"{len(row)} plain scores")
    return labels.rank(probabilities(row), top_k=top_k)
