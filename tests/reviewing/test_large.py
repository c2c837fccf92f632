"""Reviews of more pictures than fit into memory: their features are read a block at a time, with the same results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dogbreed_sdk.reviewing import heads, neighbors, outliers
from training_scripts.features import parts, unit_rows
from training_scripts.features.rows import Shard, ShardedRows
from training_scripts.features.unit_rows import UnitRows

CLASSES, WIDTH = 5, 24


@pytest.fixture
def rows(tmp_path: Path) -> UnitRows:
    """Two splits of clouds, one per class, in shards; of train the second view is the plain one."""
    dice = np.random.default_rng(0)
    centers = dice.normal(size=(CLASSES, WIDTH))
    splits = []
    for split, count, views in (("train", 300, 2), ("valid", 100, 1)):
        found = centers[np.arange(count) % CLASSES][:, None] + dice.normal(size=(count, views, WIDTH))
        shards = []
        for start in range(0, count, 70):
            path = tmp_path / f"{split}-{start}.npy"
            parts.write_features(path, found[start : start + 70].astype(np.float32))
            shards.append(Shard(path, len(found[start : start + 70])))
        splits.append((ShardedRows(shards, views=views, width=WIDTH, stored="float32"), views - 1))
    return UnitRows(splits)


@pytest.fixture
def array(rows: UnitRows) -> np.ndarray:
    return rows[:]


def test_rows_are_those_of_the_array(rows: UnitRows, array: np.ndarray) -> None:
    (train, view), (valid, _) = rows._splits
    whole = np.concatenate([train[:, view], valid[:, 0]])
    assert rows.shape == array.shape == (400, WIDTH)
    np.testing.assert_allclose(array, whole / np.linalg.norm(whole, axis=1, keepdims=True), rtol=1e-6)
    chosen = np.array([399, 3, 299, 300, 3])
    assert np.array_equal(rows[chosen], array[chosen])
    assert np.array_equal(rows[290:310], array[290:310])


def test_neighbors_are_found_in_tiles(rows: UnitRows, array: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "_LEAST_ROWS", 32)
    monkeypatch.setattr(neighbors, "_BLOCK_BYTES", 12 * 32 * 64)  # 32 rows against 64
    found = neighbors.nearest(rows, count=7)
    likeness = array @ array.T
    np.fill_diagonal(likeness, -np.inf)
    order = np.argsort(-likeness, axis=1)[:, :7]
    np.testing.assert_allclose(found.similarities, np.take_along_axis(likeness, order, 1), rtol=1e-5)
    assert np.array_equal(found.indices, order)


def test_heads_and_outliers_are_those_of_the_array(
    rows: UnitRows, array: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = np.arange(400) % CLASSES
    fold = heads.folds(targets, np.arange(400))
    logits = heads.out_of_fold(array, targets, fold, classes=CLASSES)
    scores = outliers.scores(array, targets, classes=CLASSES)
    monkeypatch.setattr(unit_rows.blocks, "__defaults__", (64,))
    monkeypatch.setattr(outliers, "READ_ROWS", 64)
    np.testing.assert_allclose(heads.out_of_fold(rows, targets, fold, classes=CLASSES), logits, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(outliers.scores(rows, targets, classes=CLASSES), scores, atol=1e-5)
    assert (logits.argmax(1) == targets).mean() > 0.8
