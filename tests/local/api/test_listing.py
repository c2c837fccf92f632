"""What all List operations share, shown on models and training jobs: filters, order, pages."""

from __future__ import annotations

import math
import random
import sqlite3
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk.local import Store
from dogbreed_sdk.local.api.common import Context
from dogbreed_sdk.local.api.training_jobs import list_training_jobs
from dogbreed_sdk.local.store import TRAINING_JOB, TUNING_JOB, Record

JOB = {
    "OutputDataConfig": {"S3OutputPath": "file:///out"},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def add_job(store: Store, name: str, status: str = "Completed") -> None:
    transition = {"status": status, "start": time.time(), "end": None, "message": "done"}
    state = {"status": status, "secondary": status, "transitions": [transition], "ended": time.time()}
    store.create(TRAINING_JOB, name, {**JOB, "TrainingJobName": name}, state)


def names(answer: dict[str, Any]) -> list[str]:
    return [summary["TrainingJobName"] for summary in answer["TrainingJobSummaries"]]


@pytest.fixture
def jobs(store: Store) -> None:
    for name in ("beagle-2", "akita-1", "corgi-3"):
        add_job(store, name, "Failed" if name == "akita-1" else "Completed")


@pytest.mark.usefixtures("jobs")
def test_training_jobs_come_newest_first_as_programs_expect(sagemaker: Any) -> None:
    assert names(sagemaker.list_training_jobs()) == ["corgi-3", "akita-1", "beagle-2"]


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("request_members", "expected"),
    [
        ({"SortBy": "Name"}, ["akita-1", "beagle-2", "corgi-3"]),
        ({"SortBy": "Name", "SortOrder": "Descending"}, ["corgi-3", "beagle-2", "akita-1"]),
        ({"SortBy": "Status"}, ["beagle-2", "corgi-3", "akita-1"]),
        ({"SortBy": "CreationTime"}, ["beagle-2", "akita-1", "corgi-3"]),
        ({"SortOrder": "Ascending"}, ["beagle-2", "akita-1", "corgi-3"]),
        ({"NameContains": "i"}, ["corgi-3", "akita-1"]),
        ({"StatusEquals": "Failed"}, ["akita-1"]),
        ({"StatusEquals": "Stopped"}, []),
    ],
)
def test_order_and_filters(sagemaker: Any, request_members: dict[str, Any], expected: list[str]) -> None:
    assert names(sagemaker.list_training_jobs(**request_members)) == expected


def test_times_filter_on_both_sides(sagemaker: Any, store: Store) -> None:
    add_job(store, "old")
    between = math.ceil(time.time())  # clients send whole seconds, up to botocore 1.43 at least
    time.sleep(max(0.0, between + 0.01 - time.time()))
    add_job(store, "new")
    assert names(sagemaker.list_training_jobs(CreationTimeAfter=between)) == ["new"]
    assert names(sagemaker.list_training_jobs(CreationTimeBefore=between)) == ["old"]
    assert names(sagemaker.list_training_jobs(LastModifiedTimeAfter=between)) == ["new"]
    store.update(TRAINING_JOB, "old", lambda state: state.update(note=1))
    assert names(sagemaker.list_training_jobs(LastModifiedTimeAfter=between)) == ["new", "old"]


def test_a_page_has_ten_entries_unless_told(sagemaker: Any, store: Store) -> None:
    for number in range(12):
        add_job(store, f"job-{number:02}")
    first = sagemaker.list_training_jobs()
    assert len(names(first)) == 10
    rest = sagemaker.list_training_jobs(NextToken=first["NextToken"])
    assert names(rest) == ["job-01", "job-00"]
    assert "NextToken" not in rest


@pytest.mark.parametrize("order", ["Ascending", "Descending"])
@pytest.mark.parametrize("sort_by", ["Name", "CreationTime", "Status"])
def test_pages_cover_everything_once(sagemaker: Any, store: Store, sort_by: str, order: str) -> None:
    for number in range(7):
        add_job(store, f"job-{number}", ("Completed", "Failed", "Stopped")[number % 3])
    pages = sagemaker.get_paginator("list_training_jobs").paginate(
        SortBy=sort_by, SortOrder=order, PaginationConfig={"PageSize": 2}
    )
    seen = [name for page in pages for name in names(page)]
    assert sorted(seen) == [f"job-{number}" for number in range(7)]
    assert seen == names(sagemaker.list_training_jobs(SortBy=sort_by, SortOrder=order, MaxResults=100))


def test_a_job_created_between_two_pages_repeats_nothing(sagemaker: Any, store: Store) -> None:
    for number in range(4):
        add_job(store, f"job-{number}")
    first = sagemaker.list_training_jobs(MaxResults=2, SortOrder="Descending")
    add_job(store, "job-4")
    second = sagemaker.list_training_jobs(MaxResults=5, SortOrder="Descending", NextToken=first["NextToken"])
    assert names(first) + names(second) == ["job-3", "job-2", "job-1", "job-0"]


@pytest.mark.parametrize("token", ["nonsense", "e30=", "WzFd", "WyJhIiwgMSwgImIiXQ==", "\u00e9"])
def test_a_foreign_token_is_refused(sagemaker: Any, store: Store, token: str) -> None:
    add_job(store, "job")
    with pytest.raises(ClientError, match="NextToken is not valid"):
        sagemaker.list_training_jobs(NextToken=token)


def test_models_come_newest_first_and_tuning_jobs_by_name(sagemaker: Any, store: Store) -> None:
    for name in ("b", "a", "c"):
        sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": "i"})
        config = {"Strategy": "Random", "ResourceLimits": {"MaxParallelTrainingJobs": 1}}
        request = {"HyperParameterTuningJobName": name, "HyperParameterTuningJobConfig": config}
        store.create(TUNING_JOB, name, request, {"status": "Completed"})
    assert [model["ModelName"] for model in sagemaker.list_models()["Models"]] == ["c", "a", "b"]
    summaries = sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    assert [summary["HyperParameterTuningJobName"] for summary in summaries] == ["a", "b", "c"]


@pytest.mark.parametrize("order", ["Ascending", "Descending"])
@pytest.mark.parametrize("sort_by", ["Name", "CreationTime", "Status"])
def test_a_page_reads_the_records_it_shows_and_no_others(
    store: Store, monkeypatch: pytest.MonkeyPatch, sort_by: str, order: str
) -> None:
    with store.transaction():
        for number in range(200):
            add_job(store, f"job-{number:03}", ("Completed", "Failed", "Stopped")[number % 3])
    context = Context(store, "us-east-1")
    read: list[str] = []
    record_of = Store._record

    def noted(self: Store, row: tuple[Any, ...]) -> Record:
        read.append(row[1])
        return record_of(self, row)

    monkeypatch.setattr(Store, "_record", noted)
    token: dict[str, str] = {}
    seen: list[str] = []
    for _ in range(3):
        answer = list_training_jobs(context, {"SortBy": sort_by, "SortOrder": order, "MaxResults": 10, **token})
        seen += names(answer)
        token = {"NextToken": answer["NextToken"]}
    assert len(seen) == len(set(seen)) == 30
    assert len(read) == 33, "ten a page, and one that says that there are more"
    with sqlite3.connect(store.path) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {page_query(store, sort_by, order)}").fetchall()
    connection.close()
    assert not [step for *_, step in plan if "TEMP B-TREE" in step or "SCAN" in step], plan


def page_query(store: Store, sort_by: str, order: str) -> str:
    """What SQLite is asked for a page."""
    asked: list[str] = []
    with store._database.reading() as connection:  # the next call borrows the same one
        connection.set_trace_callback(asked.append)
    list_training_jobs(Context(store, "us-east-1"), {"SortBy": sort_by, "SortOrder": order})
    connection.set_trace_callback(None)
    return asked[-1]


def test_filters_and_order_are_those_of_a_plain_search(sagemaker: Any, store: Store) -> None:
    generator = random.Random(5)
    for _ in range(40):
        name = "".join(generator.choices("abAB-", k=6)).strip("-") + str(generator.random())[2:8]
        add_job(store, name, generator.choice(["Completed", "Failed"]))
    everything = {record.name: record for record in store.list(TRAINING_JOB)}
    key = {
        "Name": lambda record: record.name,
        "CreationTime": lambda record: record.created,
        "Status": lambda record: (record.state["status"], record.created),
    }
    for sort_by, sorting in key.items():
        for part, status in (("a", None), ("A", "Failed"), ("b-", "Completed"), ("-", None)):
            chosen = [
                record
                for record in everything.values()
                if part in record.name and (status is None or record.state["status"] == status)
            ]
            wanted = [record.name for record in sorted(chosen, key=sorting, reverse=True)]
            pages = sagemaker.get_paginator("list_training_jobs").paginate(
                SortBy=sort_by,
                SortOrder="Descending",
                NameContains=part,
                PaginationConfig={"PageSize": 3},
                **({"StatusEquals": status} if status else {}),
            )
            assert [name for page in pages for name in names(page)] == wanted
