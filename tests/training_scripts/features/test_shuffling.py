"""The order in which heads train on features that are too large for memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from training_scripts.data import batches as data_batches
from training_scripts.data.batches import FeatureBatches
from training_scripts.features import parts, shuffling
from training_scripts.features.rows import Shard, ShardedRows
from training_scripts.features.store import SplitFeatures

ROWS, VIEWS, WIDTH = 1000, 2, 8
Stored = Callable[..., SplitFeatures]


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """Writes features whose first number is the row and whose second is the view, in shards of several sizes."""

    def write(dtype: str = "float32") -> SplitFeatures:
        features = np.zeros((ROWS, VIEWS, WIDTH), dtype)
        features[:, :, 0] = np.arange(ROWS)[:, None]
        features[:, :, 1] = np.arange(VIEWS)
        bounds = [0, 300, 301, 650, ROWS]
        shards = []
        for start, end in itertools.pairwise(bounds):
            path = tmp_path / f"{dtype}-{start}.npy"
            parts.write_features(path, features[start:end])
            shards.append(Shard(path, end - start))
        rows = ShardedRows(shards, views=VIEWS, width=WIDTH, stored=dtype)
        return SplitFeatures(rows, np.arange(ROWS) % 7, tuple(map(str, range(ROWS))))

    return write


@pytest.fixture
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 10 rows, of which 20 fit into a buffer."""
    monkeypatch.setattr(shuffling, "_BLOCK_BYTES", 10 * VIEWS * WIDTH * 4)
    monkeypatch.setattr(shuffling, "BUFFER_BYTES", 2 * 200 * WIDTH * 4)
    monkeypatch.setattr(data_batches, "IN_MEMORY_BYTES", 0)


def epoch(split: SplitFeatures, seed: int = 0, batch_size: int = 64) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return FeatureBatches({"train": split}).train(batch_size, torch.Generator().manual_seed(seed))


def order(split: SplitFeatures, seed: int = 0) -> np.ndarray:
    return torch.cat([inputs[:, 0] for inputs, _ in epoch(split, seed)]).numpy()


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize("batch_size", [1, 64, 200, 450, 5000])
def test_every_row_comes_once_with_its_target_and_a_random_view(stored: Stored, batch_size: int) -> None:
    found = list(epoch(stored(), batch_size=batch_size))
    sizes = [len(targets) for _, targets in found]
    assert sizes == [batch_size] * (ROWS // batch_size) + [ROWS % batch_size] * bool(ROWS % batch_size)
    inputs = torch.cat([inputs for inputs, _ in found]).numpy()
    targets = torch.cat([targets for _, targets in found]).numpy()
    assert inputs.dtype == np.float32
    assert sorted(inputs[:, 0]) == list(range(ROWS))
    assert np.array_equal(targets, inputs[:, 0].astype(int) % 7)
    assert 0.4 < inputs[:, 1].mean() < 0.6


@pytest.mark.parametrize("room", [0, 1 << 30])
@pytest.mark.parametrize(("batch_size", "rows"), [(64, 960), (200, 1000), (450, 900), (5000, 1000)])
def test_the_last_batch_can_be_dropped_unless_it_is_the_only_one(
    stored: Stored, room: int, batch_size: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_batches, "IN_MEMORY_BYTES", room)
    batches = FeatureBatches({"train": stored()})
    dropped = []
    for seed in (0, 1):
        generator = torch.Generator().manual_seed(seed)
        found = list(batches.train(batch_size, generator, drop_last=True))
        assert {len(targets) for _, targets in found} == {min(batch_size, rows)}
        numbers = torch.cat([inputs[:, 0] for inputs, _ in found]).tolist()
        assert len(set(numbers)) == len(numbers) == rows
        dropped.append(set(range(ROWS)) - set(numbers))
    assert rows == ROWS or dropped[0] != dropped[1]


@pytest.mark.usefixtures("small_buffers")
def test_the_seed_alone_decides_the_order(stored: Stored) -> None:
    split = stored()
    assert np.array_equal(order(split, seed=3), order(split, seed=3))
    assert not np.array_equal(order(split, seed=3), order(split, seed=4))


@pytest.mark.usefixtures("small_buffers")
def test_each_buffer_has_rows_from_everywhere(stored: Stored) -> None:
    rows = order(stored())
    for start in range(0, ROWS, 200):
        assert len(np.unique(rows[start : start + 200] // 100)) >= 7  # of the ten parts of a hundred rows
    # Neighbors in the order are no more neighbors in the files than in a true permutation of 20 blocks of 10.
    assert (np.abs(np.diff(rows)) == 1).mean() < 0.05


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_features_that_fit_into_memory_come_as_of_an_array(stored: Stored, dtype: str) -> None:
    split = stored(dtype)
    whole = SplitFeatures(np.asarray(split.features), split.targets, split.names)
    for one, other in zip(epoch(split), epoch(whole), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


@pytest.mark.parametrize("room", [0, 1 << 30])
def test_evaluation_reads_the_plain_view_in_order(stored: Stored, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_batches, "IN_MEMORY_BYTES", room)
    monkeypatch.setattr(data_batches, "EVALUATION_ROWS", 300)
    found = list(FeatureBatches({"train": stored()}).plain("train", 64))
    assert [len(targets) for _, targets in found] == [300, 300, 300, 100]
    inputs = torch.cat([inputs for inputs, _ in found])
    assert torch.equal(inputs[:, 0], torch.arange(ROWS, dtype=torch.float32))
    assert not inputs[:, 1].any()


def test_indexing_is_that_of_an_array(stored: Stored) -> None:
    dice = np.random.default_rng(0)
    rows, views = dice.integers(ROWS, size=50), dice.integers(VIEWS, size=50)
    for split in (stored(), stored("float16")):
        array = np.asarray(split.features)
        assert array.dtype == split.features.dtype == np.float32
        keys = [3, -1, slice(None), slice(290, 660), slice(20, 2), slice(0, ROWS, 40), (slice(3, 900), 1), rows]
        keys += [(rows, views), (rows, 0), (2, 1), (2, 1, 4), array[:, 0, 0] > 500, np.array([], int), [1, 302]]
        keys += [(slice(7, 7), 0), (slice(2, 20), [0, 1], slice(2)), [0, 999], rows - ROWS]
        for key in keys:
            found, expected = split.features[key], array[key]
            assert np.array_equal(found, expected)
            assert (np.shape(found), found.dtype) == (np.shape(expected), np.float32)
        with pytest.raises(IndexError, match=r"rows 3 to 1000 of 1000"):
            split.features[np.array([3, ROWS])]


def test_blocks_are_the_rows_in_order(stored: Stored) -> None:
    split = stored()
    found = list(split.blocks(300))
    assert [part for part, _ in found] == [slice(0, 300), slice(300, 600), slice(600, 900), slice(900, 1000)]
    assert np.array_equal(np.concatenate([block for _, block in found]), np.asarray(split.features))
