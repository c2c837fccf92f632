"""Brings records up to date before clients see them: a supervisor may have been killed since they were written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dogbreed_sdk.local.states import RUNNING_STATUSES
from dogbreed_sdk.local.store import ENDPOINT, TRAINING_JOB, TRANSFORM_JOB, TUNING_JOB, Filters, NotFound, Record, Store


def _reconcilers() -> Mapping[str, Callable[[Store, str], None]]:
    """The function that corrects one record, by kind; loaded only if a record may need it."""
    from dogbreed_sdk.local.hosting import endpoints  # noqa: PLC0415
    from dogbreed_sdk.local.jobs import runner as training_runner  # noqa: PLC0415
    from dogbreed_sdk.local.transform import runner as transform_runner  # noqa: PLC0415
    from dogbreed_sdk.local.tuning import runner as tuning_runner  # noqa: PLC0415

    return {
        TRAINING_JOB: training_runner.reconcile,
        TUNING_JOB: tuning_runner.reconcile,
        TRANSFORM_JOB: transform_runner.reconcile,
        ENDPOINT: endpoints.reconcile,
    }


def current(store: Store, record: Record, *, statuses: Sequence[str] = RUNNING_STATUSES) -> Record:
    """The current record of a job or an endpoint.

    Args:
        store: The store with the record.
        record: The record as it was read.
        statuses: The statuses in which its process may have been killed.

    Raises:
        NotFound: It was deleted meanwhile.
    """
    if record.state.get("status") not in statuses:
        return record
    _reconcilers()[record.kind](store, record.name)
    return store.get(record.kind, record.name)


def reconcile_running(
    store: Store, kind: str, *, parent: str | None = None, statuses: Sequence[str] = RUNNING_STATUSES
) -> None:
    """Correct all records of a kind that may have lost their process, before they are listed.

    Args:
        store: The store with the records.
        kind: TRAINING_JOB, TUNING_JOB, TRANSFORM_JOB or ENDPOINT.
        parent: The tuning job whose training jobs are listed; default: of all records.
        statuses: The statuses in which a record's process may have been killed.
    """
    for status in statuses:
        for name in store.names(kind, Filters(status=status, parent=parent)):
            try:
                _reconcilers()[kind](store, name)
            except NotFound:
                continue  # deleted meanwhile
