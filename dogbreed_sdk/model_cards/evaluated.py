"""An evaluation as the record that a model card shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dogbreed_sdk.errors import ConfigurationError
from training_scripts.models.record import MAX_CONFUSED, EvaluationRecord, ReliabilityBin

if TYPE_CHECKING:
    from dogbreed_sdk.endpoints.evaluation import Evaluation


def evaluation_record(evaluation: Evaluation, classes: Sequence[str]) -> EvaluationRecord:
    """The results of `evaluate` by class.

    Args:
        evaluation: Of a model with these classes.
        classes: The model's class folders in index order.

    Raises:
        ConfigurationError: The evaluation names a class that the model does not have.
    """
    index = {name: number for number, name in enumerate(classes)}
    unknown = [name for name in evaluation.classes if name not in index]
    if unknown:
        raise ConfigurationError(
            f"The evaluation is of another model: it has the class {unknown[0]!r}, which this model lacks."
        )
    pictures, predicted, correct = ([0] * len(classes) for _ in range(3))
    for row, column, count in evaluation.confusion.cells():
        actual, answered = index[evaluation.classes[row]], index[evaluation.classes[column]]
        pictures[actual] += count
        predicted[answered] += count
        correct[actual] += count if actual == answered else 0
    return EvaluationRecord(
        split="evaluation",
        pictures=tuple(pictures),
        predicted=tuple(predicted),
        correct=tuple(correct),
        confused=tuple(
            (index[pair.actual], index[pair.predicted], pair.count) for pair in evaluation.most_confused(MAX_CONFUSED)
        ),
        reliability=tuple(
            ReliabilityBin(each.n, each.probability or 0.0, each.accuracy or 0.0) for each in evaluation.calibration
        ),
    )
