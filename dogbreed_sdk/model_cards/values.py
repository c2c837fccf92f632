"""A model card as JSON values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training_scripts._util.class_names import display_name
from training_scripts.models.card_content import Card, evaluated_on
from training_scripts.models.record import ModelRecord

if TYPE_CHECKING:
    from training_scripts.models.record import EvaluationRecord


def card_values(content: Card) -> dict[str, object]:
    """The values; `ModelCard.to_dict` lists the keys."""
    made, facts, record = content.description, content.facts, content.description.record or ModelRecord()
    weights = {
        "source": content.weights.source,
        "license": facts.weights_license or content.weights.license or None,
        "base_model": content.weights.base_model or None,
        "sha256": record.weights_sha256 or None,
    }
    return {
        "title": content.title,
        "summary": content.summary,
        "license": facts.license or None,
        "intended_use": facts.intended_use or None,
        "data_source": facts.data_source or None,
        "data_license": facts.data_license or None,
        "model_id": made.model_id,
        "backbone": made.backbone,
        "classes": list(made.classes),
        "fingerprint": made.fingerprint,
        "pictures": {split: list(counts) for split, counts in record.pictures.items()},
        "weights": weights,
        "versions": dict(record.versions),
        "job": dict(facts.job),
        "hyperparameters": dict(made.hyperparameters),
        "metrics": dict(made.metrics),
        "temperature": made.temperature,
        "rejection": None if made.rejection is None else made.rejection.to_dict(),
        "evaluation": None if content.evaluation is None else _evaluation(content, content.evaluation),
    }


def _evaluation(content: Card, evaluation: EvaluationRecord) -> dict[str, object]:
    names = content.description.classes
    return {
        "on": evaluated_on(evaluation, content.facts),
        "n": evaluation.n,
        "accuracy": evaluation.accuracy,
        "macro_f1": evaluation.macro_f1,
        "calibration_error": evaluation.calibration_error,
        "per_class": [
            {
                "class_folder": name,
                "label": display_name(name),
                "precision": evaluation.precision(index),
                "recall": evaluation.recall(index),
                "f1": evaluation.f1(index),
                "pictures": evaluation.pictures[index],
            }
            for index, name in enumerate(names)
        ],
        "most_confused": [
            {"actual": names[actual], "predicted": names[predicted], "pictures": count}
            for actual, predicted, count in evaluation.confused
        ],
    }
