"""Computes a batch in small pieces, in several threads: the activations of a few pictures stay in the cache."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

# With 1 to 4 pictures, efficientnet_lite0 costs a tenth less than with 16 or more, in both libraries.
_PICTURES = 4

Piece = Callable[[np.ndarray], np.ndarray]


class PieceRunner:
    """Runs a function that computes in the thread that calls it, on the pieces of a batch.

    One thread for each piece needs less CPU time than several threads for all of it. A picture's result does not
    depend on the others in its piece, so it is the same for every number of threads.

    Args:
        compute: float32 [n, 3, h, w] -> [n, width], for any n; called from several threads.
        threads: Number of threads.
    """

    def __init__(self, compute: Piece, threads: int) -> None:
        self._compute = compute
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="network") if threads > 1 else None

    def __call__(self, batch: Tensor) -> np.ndarray:
        """The results for a batch, in its order."""
        size = max(1, min(_PICTURES, -(-len(batch) // self._threads)))
        pieces = [batch[start : start + size] for start in range(0, len(batch), size)]
        run = self._pool.map if self._pool else map
        return np.concatenate(list(run(self._run, pieces)))

    def _run(self, piece: Tensor) -> np.ndarray:
        return self._compute(piece.contiguous().numpy())
