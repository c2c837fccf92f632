"""After every test, ``dogbreed ls`` is empty: finds what a test has left on the local SageMakers that it used."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk.aws.requests.tags import is_ours
from dogbreed_sdk.local.store import (
    DATABASE,
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    TRAINING_JOB,
    TRANSFORM_JOB,
    TUNING_JOB,
    Store,
    StoreError,
    is_root,
)

__all__ = ["DATABASE", "check_nothing_is_left", "left", "noted_roots"]

# A job that was told to stop, and a server that completes its requests, end within this time.
_PATIENCE_SECONDS = 60.0
_JOBS = (TRAINING_JOB, TUNING_JOB, TRANSFORM_JOB)


def left(root: Path) -> set[str]:
    """What `list_resources` would list, without a server and in a millisecond."""
    if not is_root(root):
        return set()
    store = Store(root)
    try:
        return {f"{record.kind} {record.name}" for record in _existing(store) if is_ours(store.tags(record.arn))}
    finally:
        store.close()


def _existing(store: Store) -> Iterator[Any]:
    for kind in (ENDPOINT, ENDPOINT_CONFIG, MODEL):
        yield from store.list(kind)
    for kind in _JOBS:
        yield from (record for record in store.list(kind) if record.state.get("status") in ("InProgress", "Stopping"))


@contextmanager
def noted_roots() -> Iterator[set[Path]]:
    """The folders of all local SageMakers that this process opens within the block."""
    roots: set[Path] = set()
    initialize = Store.__init__

    def noting(store: Store, root: Path) -> None:
        initialize(store, root)
        roots.add(store.root)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "__init__", noting)
        yield roots


def check_nothing_is_left(roots: Iterable[Path]) -> None:
    """Fails if something is left, after waiting for what is about to end."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for root in roots:
        with suppress(StoreError):  # a test about a root that cannot be used
            while (found := left(root)) and _may_end(found) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not found, f"left on the local SageMaker in {root}: {', '.join(sorted(found))}"


def _may_end(found: Iterable[str]) -> bool:
    """Whether something is left that may be about to end: models and configurations do not do so by themselves."""
    return any(not entry.startswith((MODEL, ENDPOINT_CONFIG)) for entry in found)
