"""The confusion matrix reads like a tuple of rows, and keeps only the cells with pictures."""

from __future__ import annotations

from dogbreed_sdk.endpoints.evaluation import summarize
from dogbreed_sdk.endpoints.evaluation.matrix import ConfusionMatrix
from dogbreed_sdk.labels import LabelMap
from dogbreed_sdk.predictions import Prediction

ROWS = ((3, 0, 1), (0, 0, 0), (2, 0, 5))
MATRIX = ConfusionMatrix({(2, 2): 5, (0, 2): 1, (0, 0): 3, (2, 0): 2, (1, 1): 0}, size=3)


def test_it_reads_like_a_tuple_of_rows() -> None:
    assert tuple(MATRIX) == ROWS
    assert ROWS == MATRIX != ROWS[:2]
    assert (MATRIX[-1], MATRIX[:2], len(MATRIX)) == (ROWS[2], ROWS[:2], 3)
    assert list(MATRIX.cells()) == [(0, 0, 3), (0, 2, 1), (2, 0, 2), (2, 2, 5)]
    same = ConfusionMatrix({(0, 0): 3, (0, 2): 1, (2, 0): 2, (2, 2): 5}, size=3)
    assert (same, hash(same)) == (MATRIX, hash(MATRIX))


def test_an_evaluation_of_very_many_classes_lists_the_cells_in_place_of_the_matrix() -> None:
    labels = LabelMap.from_list([f"{number:05}.Breed" for number in range(2_001)])
    scores = labels.rank([0.5, *[0.5 / 2_000] * 2_000], top_k=5)
    found = summarize(
        [labels.class_folder(0), labels.class_folder(9)],
        [Prediction.from_scores(scores)] * 2,
        classes=labels.class_folders,
    )
    document = found.to_dict()
    assert document["confusion"] is None
    assert document["confusion_cells"] == [[0, 0, 1], [9, 0, 1]]
    assert [pair.count for pair in found.most_confused()] == [1]
