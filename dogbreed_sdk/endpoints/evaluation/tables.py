"""Tables of an evaluation: the confusion matrix, the result of each class, and pictures by how wrong they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from dogbreed_sdk.endpoints.evaluation.content import ClassResult
from dogbreed_sdk.endpoints.evaluation.matrix import ConfusionMatrix
from training_scripts._util.class_names import display_name

Value = TypeVar("Value")


def confusion_matrix(pairs: Mapping[tuple[str, str], int], classes: Sequence[str]) -> ConfusionMatrix:
    """Counts of (true class, predicted class) as rows and columns in the order of the classes."""
    index = {name: position for position, name in enumerate(classes)}
    cells = {(index[actual], index[predicted]): number for (actual, predicted), number in pairs.items()}
    return ConfusionMatrix(cells, size=len(classes))


def class_results(confusion: ConfusionMatrix, classes: Sequence[str], known: int) -> tuple[ClassResult, ...]:
    """The results of the first `known` classes of a confusion matrix."""
    return tuple(_class_result(index, classes, confusion.row(index)) for index in range(known))


def worst_first(judged: Iterable[tuple[float, Value]]) -> tuple[Value, ...]:
    """Pictures by how wrong their answers are, which each comes with; equal ones in their order."""
    return tuple(value for _, value in sorted(judged, key=lambda each: -each[0]))


def _class_result(index: int, classes: Sequence[str], row: Mapping[int, int]) -> ClassResult:
    total, correct = sum(row.values()), row.get(index, 0)
    others = [(count, -position) for position, count in row.items() if position != index]
    count, position = max(others, default=(0, 0))
    return ClassResult(
        class_folder=classes[index],
        label=display_name(classes[index]),
        n=total,
        correct=correct,
        accuracy=correct / total if total else None,
        confused_with=classes[-position] if others else None,
        confused=count,
    )
