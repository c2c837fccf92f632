"""What endpoints answer -> Prediction: our own ranked JSON, and the plain list of scores of older ones."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from dogbreed_sdk.errors import LabelError, ModelError
from dogbreed_sdk.labels import LabelMap
from dogbreed_sdk.predictions import BreedScore, Prediction

CONTENT_TYPE = "application/vnd.dogbreed+json"
PLAIN_CONTENT_TYPE = "application/json"
# No weights: AWS's serving toolkit splits at commas and takes "application/json;q=0.9" for a type it lacks.
ACCEPT = f"{CONTENT_TYPE}, {PLAIN_CONTENT_TYPE}"

# How far the sum of float32 probabilities may be from one, and still be told from logits.
_SUM_TOLERANCE = 1e-3


def parse(
    body: bytes,
    *,
    labels: LabelMap | None,
    top_k: int | None,
    latency_ms: float,
    request_id: str | None,
) -> Prediction:
    """The prediction in an endpoint's answer.

    Args:
        body: The answer's body.
        labels: Names of the classes; needed for a plain list, and checked against an answer that has its own.
        top_k: How many classes to keep; None keeps all.
        latency_ms: Duration of the call.
        request_id: AWS's id of the call.

    Raises:
        ModelError: The answer has none of the known forms.
        LabelError: Labels are missing, or are not as many as the scores.
    """
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and answer.get("predictions"):
        scores = _ranked(answer, labels, request_id)
        model_id = answer.get("model_id")
    else:
        scores = _plain(answer, body, labels, request_id)
        model_id = None
    return Prediction.from_scores(scores[:top_k], model_id=model_id, latency_ms=latency_ms, request_id=request_id)


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


def _ranked(answer: dict[str, Any], labels: LabelMap | None, request_id: str | None) -> tuple[BreedScore, ...]:
    try:
        entries = answer["predictions"][0]["scores"]
        scores = tuple(
            BreedScore(
                label=str(entry["label"]),
                class_folder=str(entry["class_folder"]),
                index=int(entry["index"]),
                probability=float(entry["probability"]),
            )
            for entry in entries
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _unknown_form(json.dumps(answer)[:200], request_id) from error
    if not scores or not all(math.isfinite(score.probability) for score in scores):
        raise _unknown_form(json.dumps(answer)[:200], request_id)
    if labels is None:
        return tuple(sorted(scores, key=lambda score: -score.probability))
    if len(labels) != len(scores):
        raise LabelError(
            f"{len(labels)} labels were given, but the model has {len(scores)} classes. Leave labels out: this "
            "endpoint brings its own."
        )
    by_index = sorted(scores, key=lambda score: score.index)
    return labels.rank([score.probability for score in by_index])


def _plain(answer: object, body: bytes, labels: LabelMap | None, request_id: str | None) -> tuple[BreedScore, ...]:
    row = answer[0] if isinstance(answer, list) and len(answer) == 1 else None
    if not isinstance(row, list) or not row or not all(isinstance(value, (int, float)) for value in row):
        raise _unknown_form(repr(body[:200]), request_id)
    if not all(math.isfinite(value) for value in row):
        raise ModelError("The model answered with NaN or infinite scores.", request_id=request_id)
    if labels is None:
        raise LabelError(
            f"The endpoint answered with {len(row)} plain scores and no names. Give BreedClassifier(labels=…), for "
            "example LabelMap.from_folder on the training data."
        )
    return labels.rank(probabilities(row))


def _unknown_form(shown: str, request_id: str | None) -> ModelError:
    return ModelError(
        f"The endpoint's answer is neither {CONTENT_TYPE} nor a list of one list of scores: {shown}",
        request_id=request_id,
    )
