"""Each filter and each order of each List operation, compared with a plain search over the records."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore import xform_name

from dogbreed_sdk.local import Store
from dogbreed_sdk.local.store import ENDPOINT, ENDPOINT_CONFIG, MODEL, TRAINING_JOB, TRANSFORM_JOB, TUNING_JOB, Record
from dogbreed_sdk.local.support.rows import Row
from dogbreed_sdk.local.support.tables import TABLES

VARIANT = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
SEARCH = {"Strategy": "Random", "ResourceLimits": {"MaxParallelTrainingJobs": 1}}
OBJECTIVE = {"Type": "Maximize", "MetricName": "m"}
DEFINITION = {"AlgorithmSpecification": {"TrainingImage": "i"}, "StaticHyperParameters": {}}
REQUESTS: dict[str, dict[str, Any]] = {
    TRAINING_JOB: {"OutputDataConfig": {"S3OutputPath": "file:///out"}},
    TUNING_JOB: {
        "HyperParameterTuningJobConfig": {**SEARCH, "HyperParameterTuningJobObjective": OBJECTIVE},
        "TrainingJobDefinition": DEFINITION,
    },
    MODEL: {},
    ENDPOINT_CONFIG: {"ProductionVariants": [VARIANT]},
    ENDPOINT: {},
    TRANSFORM_JOB: {},
}


@dataclass(frozen=True)
class Listing:
    """A List operation: the records it lists, the member of its answer, and the member with an entry's name."""

    operation: str
    kind: str
    entries: str
    name: str
    statuses: tuple[str, ...] = ("Completed", "Failed")

    def __str__(self) -> str:
        return self.operation


LISTINGS = (
    Listing("ListTrainingJobs", TRAINING_JOB, "TrainingJobSummaries", "TrainingJobName"),
    Listing(
        "ListHyperParameterTuningJobs",
        TUNING_JOB,
        "HyperParameterTuningJobSummaries",
        "HyperParameterTuningJobName",
    ),
    Listing("ListModels", MODEL, "Models", "ModelName"),
    Listing("ListEndpointConfigs", ENDPOINT_CONFIG, "EndpointConfigs", "EndpointConfigName"),
    Listing("ListEndpoints", ENDPOINT, "Endpoints", "EndpointName", ("InService", "Failed")),
    Listing("ListTransformJobs", TRANSFORM_JOB, "TransformJobSummaries", "TransformJobName"),
)
# A member of the request -> whether a record passes the filter with this value.
FILTERS: dict[str, Callable[[Record, Any], bool]] = {
    "NameContains": lambda record, value: value in record.name,
    "StatusEquals": lambda record, value: record.state["status"] == value,
    "CreationTimeAfter": lambda record, value: record.created > value,
    "CreationTimeBefore": lambda record, value: record.created < value,
    "LastModifiedTimeAfter": lambda record, value: record.modified > value,
    "LastModifiedTimeBefore": lambda record, value: record.modified < value,
}
ORDERS: dict[str, Callable[[Record], Any]] = {
    "Name": lambda record: record.name,
    "CreationTime": lambda record: record.created,
    "Status": lambda record: (record.state["status"], record.created),
}
# What the tests of pages cover, and a filter that nothing passes here, which has a test of its own.
ELSEWHERE = {"NextToken", "MaxResults", "SortBy", "SortOrder", "WarmPoolStatusEquals"}


def rows(listing: Listing) -> dict[str, Row]:
    table: Any = TABLES["sagemaker"][listing.operation]
    return {name: row for name, row in table.items() if row.support == "works"}


@pytest.fixture
def filled(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[Listing], list[Record]]:
    """Creates four records of a listing's kind, a minute apart, the first of which changed last."""

    def fill(listing: Listing) -> list[Record]:
        clock = itertools.count(int(time.time()) - 3600, 60)
        monkeypatch.setattr("dogbreed_sdk.local.store.time.time", lambda: float(next(clock)))
        for name, status in zip(("pug", "akita", "poodle", "corgi"), listing.statuses * 2, strict=True):
            state: Any = {"status": status, "secondary": status, "transitions": []}
            store.create(listing.kind, name, REQUESTS[listing.kind], state)
        store.update(listing.kind, "pug", lambda state: state.update(stop=False))
        monkeypatch.undo()
        return store.list(listing.kind)

    return fill


def values(listing: Listing, records: list[Record], member: str) -> Iterator[Any]:
    """Values of a filter that some records pass and some don't."""
    if member == "NameContains":
        yield "p"
    elif member == "StatusEquals":
        yield from listing.statuses
    else:
        moments = sorted(record.created if member.startswith("Creation") else record.modified for record in records)
        yield int(moments[1]) + 30


@pytest.mark.parametrize("listing", LISTINGS, ids=str)
def test_each_filter_passes_what_a_plain_search_finds(sagemaker: Any, filled: Any, listing: Listing) -> None:
    records = filled(listing)
    members = set(rows(listing)) - ELSEWHERE
    assert members <= set(FILTERS), "a filter without a test"
    for member in members:
        for value in values(listing, records, member):
            answer = call(sagemaker, listing, **{member: value})
            wanted = {record.name for record in records if FILTERS[member](record, value)}
            assert 0 < len(wanted) < len(records), member
            assert set(answer) == wanted, member


@pytest.mark.parametrize("listing", LISTINGS, ids=str)
def test_each_order_is_that_of_a_plain_search(sagemaker: Any, filled: Any, listing: Listing) -> None:
    records = filled(listing)
    for sort_by, order in itertools.product(rows(listing)["SortBy"].only, ("Ascending", "Descending")):
        found = sorted(records, key=ORDERS[str(sort_by)], reverse=order == "Descending")
        answer = call(sagemaker, listing, SortBy=sort_by, SortOrder=order)
        assert answer == [record.name for record in found], (sort_by, order)


def call(sagemaker: Any, listing: Listing, **members: Any) -> list[str]:
    method = getattr(sagemaker, xform_name(listing.operation))
    return [entry[listing.name] for entry in method(**members)[listing.entries]]


def test_no_list_operation_with_filters_is_left_out() -> None:
    tables: Any = TABLES["sagemaker"]
    filtered = {name for name, table in tables.items() if name.startswith("List") and "NameContains" in table}
    assert {listing.operation for listing in LISTINGS} == filtered


def test_no_instances_are_kept_warm_here(sagemaker: Any, filled: Any) -> None:
    filled(LISTINGS[0])
    assert sagemaker.list_training_jobs()["TrainingJobSummaries"] != []
    assert sagemaker.list_training_jobs(WarmPoolStatusEquals="Available")["TrainingJobSummaries"] == []
