"""Reads thousands of small files: in parallel, in order, with few of them in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from dogbreed_sdk.aws.transfers import TRANSFER_THREADS

if TYPE_CHECKING:
    from dogbreed_sdk.aws.storage import Storage

_AHEAD = 4 * TRANSFER_THREADS


def read_files(storage: Storage, uris: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
    """Yields each URI with the file's content, or None if it does not exist, in the given order.

    Raises:
        AccessError: Reading is not allowed.
    """
    remaining = iter(uris)
    with ThreadPoolExecutor(TRANSFER_THREADS, thread_name_prefix="read") as pool:
        waiting: deque[tuple[str, Future[bytes | None]]] = deque()
        try:
            while True:
                for uri in islice(remaining, _AHEAD - len(waiting)):
                    waiting.append((uri, pool.submit(storage.read_bytes, uri)))
                if not waiting:
                    return
                uri, content = waiting.popleft()
                yield uri, content.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
