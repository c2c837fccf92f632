"""What endpoints answer -> Prediction: our own two forms of JSON, and the plain list of scores of older endpoints.

ranked   every class with its label and probability, best first: what is asked for until the labels are known
scores   probabilities in index order and the model's id: small, for a client that knows that model's labels
plain    [[score per class]]: logits or probabilities, of endpoints that know neither form
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from dogbreed_sdk.client.label_cache import KnownLabels
from dogbreed_sdk.errors import LabelError, ModelError
from dogbreed_sdk.labels import LabelMap
from dogbreed_sdk.predictions import BreedScore, Prediction, Rejection

CONTENT_TYPE = "application/vnd.dogbreed+json"
SCORES_CONTENT_TYPE = "application/vnd.dogbreed.scores+json"
PLAIN_CONTENT_TYPE = "application/json"
# No weights: AWS's serving toolkit splits at commas and takes "application/json;q=0.9" for a type it lacks.
ACCEPT = f"{CONTENT_TYPE}, {PLAIN_CONTENT_TYPE}"
ACCEPT_SCORES = f"{SCORES_CONTENT_TYPE}, {ACCEPT}"

# How far the sum of float32 probabilities may be from one, and still be told from logits.
_SUM_TOLERANCE = 1e-3
_LONGEST_SHOWN = 200


class UnknownModelError(Exception):
    """A model answered whose labels are not known: the picture must be asked about again, in the ranked form."""


def parse(
    body: bytes,
    *,
    labels: LabelMap | None,
    top_k: int | None,
    latency_ms: float,
    request_id: str | None,
    known: KnownLabels | None = None,
) -> Prediction:
    """The prediction in an endpoint's answer.

    Args:
        body: The answer's body.
        labels: Names of the classes; needed for a plain list, and checked against an answer that has its own.
        top_k: How many classes to keep; None keeps all.
        latency_ms: Duration of the call.
        request_id: AWS's id of the call.
        known: Labels of models that answered before; those of an answer in ranked form are added.

    Raises:
        ModelError: The answer has none of the known forms.
        LabelError: Labels are missing, or are not as many as the scores.
        UnknownModelError: The answer has no labels, and its model is not among the known ones.
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
                scores = _from_scores(prediction["probabilities"], model_id, labels, known, top_k)
            else:
                scores = _from_ranked(prediction["scores"], model_id, labels, known, top_k)
        else:
            scores = _from_plain(answer, labels, top_k, request_id)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError(
            f"The endpoint's answer is neither {CONTENT_TYPE} nor a list of one list of scores: "
            f"{body[:_LONGEST_SHOWN]!r}",
            request_id=request_id,
        ) from error
    if known is not None and model_id is not None and known.model_id != model_id:
        known.model_id = model_id
    return Prediction.from_scores(
        scores, model_id=model_id, latency_ms=latency_ms, request_id=request_id, rejection=rejection
    )


def probabilities(scores: Sequence[float]) -> list[float]:
    """Scores as probabilities: as they are where they already are some, through softmax where they are logits.

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


def no_labels(answered: str) -> LabelError:
    """The error for an answer without names where none were given."""
    return LabelError(
        f"The endpoint answered with {answered} and no names. Give BreedClassifier(labels=…), for example "
        "LabelMap.from_folder on the training data, or LabelMap.from_model on its bundle."
    )


def _model_id(answer: Mapping[str, Any]) -> str | None:
    model_id = answer.get("model_id")
    return None if model_id is None else _text(model_id)


def _text(value: Any) -> str:
    """Text that can be printed and written; JSON can hold halves of characters, which cannot."""
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"{value!r} is no name")
    value.encode()
    return value


def _rejection(prediction: Mapping[str, Any], answer: Mapping[str, Any]) -> Rejection | None:
    if prediction.get("rejected") is None:
        return None
    rejected = prediction["rejected"]
    if not isinstance(rejected, bool):
        raise TypeError("rejected is no truth value")
    rejection = Rejection(rejected, float(prediction["rejection_score"]), float(answer["rejection"]["threshold"]))
    if not (math.isfinite(rejection.score) and math.isfinite(rejection.threshold)):
        raise ValueError("a rejection score that is not finite")
    return rejection


def _from_scores(
    values: Sequence[float],
    model_id: str | None,
    labels: LabelMap | None,
    known: KnownLabels | None,
    top_k: int | None,
) -> tuple[BreedScore, ...]:
    _check_probabilities(values)
    if labels is None:
        labels = known.get(model_id) if known is not None else None
        if labels is None:
            raise UnknownModelError
    return labels.rank(values, top_k=top_k)


def _from_ranked(
    entries: Sequence[Mapping[str, Any]],
    model_id: str | None,
    labels: LabelMap | None,
    known: KnownLabels | None,
    top_k: int | None,
) -> tuple[BreedScore, ...]:
    values = [entry["probability"] for entry in entries]
    _check_probabilities(values, complete=False)
    indices = _indices(entries)
    if labels is not None:
        if len(labels) != len(entries):
            raise LabelError(
                f"{len(labels)} labels were given, but the model has {len(entries)} classes. Leave labels out: this "
                "endpoint brings its own."
            )
        by_index = dict(zip(indices, values, strict=True))
        return labels.rank([by_index[index] for index in range(len(labels))], top_k=top_k)
    if known is not None and model_id is not None and known.get(model_id) is None:
        _learn(known, model_id, dict(zip(indices, entries, strict=True)))
    order = sorted(range(len(values)), key=values.__getitem__, reverse=True)
    return tuple(_score(entries[position]) for position in order[:top_k])


def _indices(entries: Sequence[Mapping[str, Any]]) -> list[int]:
    """The classes' indices; an answer of some classes only may leave others out."""
    indices = [entry["index"] for entry in entries]
    if not all(type(index) is int and index >= 0 for index in indices) or len(set(indices)) < len(indices):
        raise ValueError("the indices are no different numbers from 0")
    return indices


def _learn(known: KnownLabels, model_id: str, by_index: Mapping[int, Mapping[str, Any]]) -> None:
    """Notes the classes of an answer, if it names all of them."""
    if max(by_index) == len(by_index) - 1:
        known.learn(model_id, [_text(by_index[index]["class_folder"]) for index in range(len(by_index))])


def _score(entry: Mapping[str, Any]) -> BreedScore:
    return BreedScore(
        label=_text(entry["label"]),
        class_folder=_text(entry["class_folder"]),
        index=entry["index"],
        probability=float(entry["probability"]),
    )


def _check_probabilities(values: Sequence[float], *, complete: bool = True) -> None:
    """Raises TypeError or ValueError where values are no probabilities; cheap, since every answer passes here."""
    if not isinstance(values, list) or not values:
        raise TypeError("no list of probabilities")
    total = sum(values)
    if not (min(values) >= 0.0 and total <= 1.0 + _SUM_TOLERANCE and (total >= 1.0 - _SUM_TOLERANCE or not complete)):
        raise ValueError("these are no probabilities of all classes")


def _from_plain(
    answer: object, labels: LabelMap | None, top_k: int | None, request_id: str | None
) -> tuple[BreedScore, ...]:
    row = answer[0] if isinstance(answer, list) and len(answer) == 1 else None
    if not isinstance(row, list) or not row or not all(isinstance(value, (int, float)) for value in row):
        raise TypeError("no list of one list of numbers")
    if not all(map(math.isfinite, row)):
        raise ModelError("The model answered with NaN or infinite scores.", request_id=request_id)
    if labels is None:
        raise no_labels(f"{len(row)} plain scores")
    return labels.rank(probabilities(row), top_k=top_k)
