"""Counts of confused classes: those of the whole matrix, without its empty cells."""

from __future__ import annotations

import numpy as np

from training_scripts.recording.trial.trial import MemoryTrial
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.confusion import Confusion
from training_scripts.rules.evidence.predictions import indices


def test_the_counts_are_those_of_the_whole_matrix() -> None:
    generator = np.random.default_rng(0)
    labels, predictions = generator.integers(6, size=(2, 80))
    matrix = np.zeros((7, 7), dtype=np.int64)
    np.add.at(matrix, (labels, predictions), 1)
    found = Confusion.of(labels, predictions, classes=7)
    assert len(found) == 7
    assert found.totals.tolist() == matrix.sum(axis=1).tolist()
    assert found.called.tolist() == matrix.sum(axis=0).tolist()
    assert found.right.tolist() == np.diag(matrix).tolist()
    assert [[found[row, column] for column in range(7)] for row in range(7)] == matrix.tolist()
    wrong = [(row, column, matrix[row, column]) for row, column in np.argwhere(matrix) if row != column]
    assert list(found.mistakes()) == wrong


def test_many_classes_take_memory_for_their_pictures_alone() -> None:
    labels = np.arange(20_000)
    found = Confusion.of(labels, np.roll(labels, 1))
    assert sum(each.nbytes for each in vars(found).values()) <= 5 * labels.nbytes
    assert (found[7, 6], found[7, 7]) == (1, 0)


def test_a_run_that_names_its_classes_has_as_many_as_it_names() -> None:
    """Of other runs, so large an integer may be a token or a number."""
    value = np.array([2_999, 0])
    named, nameless = (
        evidences.of(MemoryTrial(run={"classes": names})) for names in ([str(one) for one in range(3_000)], [])
    )
    found = indices(named, value, argmax=False)
    assert found is not None
    assert found.tolist() == [2_999, 0]
    assert indices(nameless, value, argmax=False) is None
