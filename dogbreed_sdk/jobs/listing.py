"""Lists the newest training, tuning and transform jobs of a session."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict

from dogbreed_sdk.errors import AccessError
from dogbreed_sdk.session import local_store

if TYPE_CHECKING:
    from dogbreed_sdk.local.store import Store
    from dogbreed_sdk.session import Session

_log = logging.getLogger("dogbreed_sdk")

_MOST_PER_PAGE = 100  # API reference, MaxResults of both lists

Kind = Literal["training", "tuning", "transform"]


class ListedJob(TypedDict):
    """One job of a list.

    Attributes:
        name: Name of the job.
        kind: training, tuning or transform.
        status: SageMaker's status.
        created: When it was created, in ISO 8601 with seconds.
    """

    name: str
    kind: Kind
    status: str
    created: str


@dataclass(frozen=True)
class JobList:
    """The newest jobs of a session.

    Attributes:
        jobs: What `list_jobs` returns.
        left_out: Kind -> number of older jobs that are not listed, or None if SageMaker does not report it.
    """

    jobs: list[ListedJob]
    left_out: Mapping[str, int | None]


class _Entry(NamedTuple):
    name: str
    status: str
    created: datetime


def list_jobs(session: Session, *, newest: int | None = 100) -> list[ListedJob]:
    """The newest jobs of each kind, newest first.

    Args:
        session: The session whose jobs are listed.
        newest: Number of jobs of each kind; None for all.
    """
    return newest_jobs(session, newest).jobs


def newest_jobs(session: Session, newest: int | None) -> JobList:
    """`list_jobs`, with the number of jobs left out; counted on local SageMaker only, as AWS would take many calls."""
    store = local_store(session)
    if store is None:
        return _listed(*_from_api(session, newest))
    try:
        return _listed(*_from_store(store, newest))
    finally:
        store.close()


def _listed(found: list[tuple[Kind, _Entry]], left_out: Mapping[str, int | None]) -> JobList:
    found.sort(key=lambda pair: pair[1].created, reverse=True)
    jobs = [
        ListedJob(name=entry.name, kind=kind, status=entry.status, created=entry.created.isoformat(timespec="seconds"))
        for kind, entry in found
    ]
    return JobList(jobs, left_out)


def _from_store(store: Store, newest: int | None) -> tuple[list[tuple[Kind, _Entry]], dict[str, int | None]]:
    """The jobs as the records of local SageMaker have them: a server and its client would take ten times as long."""
    from dogbreed_sdk.local.api.reconciliation import reconcile_running  # noqa: PLC0415 - not for SageMaker on AWS
    from dogbreed_sdk.local.store import TRAINING_JOB, TRANSFORM_JOB, TUNING_JOB  # noqa: PLC0415 - likewise

    found: list[tuple[Kind, _Entry]] = []
    left_out: dict[str, int | None] = {}
    kinds: tuple[tuple[Kind, str], ...] = (
        ("training", TRAINING_JOB),
        ("tuning", TUNING_JOB),
        ("transform", TRANSFORM_JOB),
    )
    for kind, records in kinds:
        reconcile_running(store, records)
        listed = store.newest(records, newest)
        found += [
            (kind, _Entry(summary.name, summary.status, datetime.fromtimestamp(summary.created).astimezone()))
            for summary in listed
        ]
        rest = 0 if newest is None or len(listed) < newest else store.count(records) - len(listed)
        if rest > 0:
            left_out[kind] = rest
    return found, left_out


def _from_api(session: Session, newest: int | None) -> tuple[list[tuple[Kind, _Entry]], dict[str, int | None]]:
    from dogbreed_sdk.aws.errors import translated  # noqa: PLC0415 - not for local SageMaker

    found: list[tuple[Kind, _Entry]] = []
    left_out: dict[str, int | None] = {}
    page_size = _MOST_PER_PAGE if newest is None or session.is_local else min(newest, _MOST_PER_PAGE)
    kinds: tuple[tuple[Kind, Iterator[_Entry]], ...] = (
        ("training", _training_jobs(session, page_size)),
        ("tuning", _tuning_jobs(session, page_size)),
        ("transform", _transform_jobs(session, page_size)),
    )
    for kind, entries in kinds:
        try:
            with translated(f"list {kind} jobs"):
                found += [(kind, entry) for entry in itertools.islice(entries, newest)]
                if next(entries, None) is not None:
                    left_out[kind] = 1 + sum(1 for _ in entries) if session.is_local else None
        except AccessError as error:
            if kind != "transform":
                raise
            # Policies that were written for training need not fail now.
            _log.warning("Transform jobs are not listed: %s", error)
    return found, left_out


def _training_jobs(session: Session, page_size: int) -> Iterator[_Entry]:
    pages = session.client("sagemaker").get_paginator("list_training_jobs")
    for page in pages.paginate(SortBy="CreationTime", SortOrder="Descending", PaginationConfig={"PageSize": page_size}):
        for entry in page["TrainingJobSummaries"]:
            yield _Entry(entry["TrainingJobName"], entry["TrainingJobStatus"], entry["CreationTime"])


def _tuning_jobs(session: Session, page_size: int) -> Iterator[_Entry]:
    pages = session.client("sagemaker").get_paginator("list_hyper_parameter_tuning_jobs")
    for page in pages.paginate(SortBy="CreationTime", SortOrder="Descending", PaginationConfig={"PageSize": page_size}):
        for entry in page["HyperParameterTuningJobSummaries"]:
            name, status = entry["HyperParameterTuningJobName"], entry["HyperParameterTuningJobStatus"]
            yield _Entry(name, status, entry["CreationTime"])


def _transform_jobs(session: Session, page_size: int) -> Iterator[_Entry]:
    pages = session.client("sagemaker").get_paginator("list_transform_jobs")
    for page in pages.paginate(SortBy="CreationTime", SortOrder="Descending", PaginationConfig={"PageSize": page_size}):
        for entry in page["TransformJobSummaries"]:
            yield _Entry(entry["TransformJobName"], entry["TransformJobStatus"], entry["CreationTime"])
