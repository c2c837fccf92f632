"""A random order over features that do not fit into memory: blocks from everywhere, mixed in a buffer.

A true permutation would read single rows from all over a disk. Instead, the rows are divided into small blocks, which
are read in a random order. The rows of as many blocks as fit into a buffer are mixed, then those of the next blocks. In
every epoch each row comes once, and the order is another one.

Compared with a permutation, the rows of a block stay near each other. Stores are sorted by class, so a class may have
more rows in one buffer than in the next: with blocks of b rows, the standard deviation of its share is sqrt(b) times
that of a random sample. With 105,000 rows of 1,280 numbers in a buffer and 25 of them in a block, a class of 1% has
1,050 +- 161 rows in a buffer, instead of +- 32. The batches are random samples of a buffer, in which this is less than
what differs from one batch to the next anyway, for batches of fewer than 4,000 rows.

Several processes draw the same order, and each reads every n-th block: the batches of all together are those of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training_scripts.features.rows import ShardedRows
from training_scripts.training.processes import Place

# Half of it is trained on while the other half is read.
BUFFER_BYTES = 1 << 30
# Disks read blocks of this size from anywhere nearly as fast as in order.
_BLOCK_BYTES = 256 << 10


@dataclass(frozen=True)
class _Buffer:
    """This process's rows of many blocks, and the order in which the rows of these blocks come.

    Attributes:
        rows: Their numbers in the split [n].
        features: One view of each [n, width], as they are stored.
        order: The order: positions in `rows`, and -1 for rows of other processes.
    """

    rows: npt.NDArray[np.int64]
    features: npt.NDArray[Any]
    order: npt.NDArray[np.int64]

    def take(self, start: int, end: int) -> Batch:
        """Some of the rows in their order."""
        chosen = self.order[start:end]
        mine = chosen[chosen >= 0]
        return Batch(self.rows[mine], self.features[mine].astype(np.float32, copy=False), len(chosen))


@dataclass(frozen=True)
class Batch:
    """Rows to train on together.

    Attributes:
        rows: The numbers in the split of those of this process [n].
        features: One random view of each, float32 [n, width].
        size: The number of rows of all processes.
    """

    rows: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]
    size: int

    def __add__(self, other: Batch) -> Batch:
        return Batch(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.features, other.features]),
            self.size + other.size,
        )


def batches(features: ShardedRows, batch_size: int, *, seed: int, place: Place, used: int) -> Iterator[Batch]:
    """Rows in a random order, one random view of each, in batches of which only the last one may be smaller.

    Args:
        features: The features.
        batch_size: Rows of all processes per batch. A process may have none of a batch.
        seed: Decides the order and the views.
        place: The place of this process among those that share the rows.
        used: The number of rows to use: all, or as many as fill whole batches.
    """
    dice = np.random.default_rng(seed)
    rows = max(1, _BLOCK_BYTES // features.row_bytes)
    blocks = dice.permutation(-(-len(features) // rows))
    together = max(1, BUFFER_BYTES // 2 * features.shape[1] // (rows * features.row_bytes))
    groups = [np.sort(blocks[start : start + together]) for start in range(0, len(blocks), together)]
    rest = Batch(np.empty(0, np.int64), np.empty((0, features.shape[2]), np.float32), 0)
    with ThreadPoolExecutor(1, thread_name_prefix="features") as pool:
        try:
            # The buffers are drawn one after the other, so that the dice fall as they would in one thread.
            ahead = pool.submit(_read, features, groups[0], rows, dice, place) if groups else None
            for following in [*groups[1:], None]:
                if ahead is None:
                    break
                buffer = ahead.result()
                ahead = None if following is None else pool.submit(_read, features, following, rows, dice, place)
                begin = min(batch_size - rest.size, len(buffer.order))
                rest += buffer.take(0, begin)
                while rest.size == batch_size:
                    yield rest
                    rest = buffer.take(begin, begin + batch_size)
                    begin += rest.size
                del buffer  # before the next one is taken, so that there are never three
            if rest.size and used == len(features):
                yield rest
        finally:
            pool.shutdown(cancel_futures=True)


def _read(
    features: ShardedRows, blocks: npt.NDArray[np.int64], size: int, dice: np.random.Generator, place: Place
) -> _Buffer:
    """Reads one random view of this process's rows of some blocks, in the order of the files."""
    starts = blocks * size
    ends = np.minimum(starts + size, len(features))
    rows = np.concatenate([np.arange(start, end) for start, end in zip(starts, ends, strict=True)])
    # What is drawn is drawn for all rows, so that every process draws the same.
    views = dice.integers(features.shape[1], size=len(rows))
    order = dice.permutation(len(rows))
    mine = np.repeat(np.arange(len(blocks)) % place.count == place.rank, ends - starts)
    positions = np.where(mine, np.cumsum(mine) - 1, -1)
    found, views, begin = np.empty((int(mine.sum()), features.shape[2]), features.stored), views[mine], 0
    for start, end in zip(*(each[place.rank :: place.count].tolist() for each in (starts, ends)), strict=True):
        part = slice(begin, begin + end - start)
        found[part] = features.read(start, end)[np.arange(end - start), views[part]]
        begin = part.stop
    return _Buffer(rows[mine], found, positions[order])
