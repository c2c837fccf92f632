"""FilterLogEvents: patterns, pages, and a log that is read while it grows, as the SageMaker SDK does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk.local import Store
from dogbreed_sdk.local.api.log_filters import Pattern
from dogbreed_sdk.local.store import TRAINING_JOB

GROUP = "/aws/sagemaker/TrainingJobs"
BEGIN = 1_700_000_000_000

Write = Callable[..., None]


@pytest.fixture
def write(store: Store) -> Write:
    """Appends messages to the log of a job; each is a time in milliseconds from the beginning, and a text."""

    def append(job: str, *messages: tuple[int, str]) -> None:
        folder = store.root / "jobs" / job
        if not folder.exists():
            store.create(TRAINING_JOB, job, {}, {"status": "Completed", "log_stream": f"{job}/algo-1-17"})
            folder.mkdir(parents=True)
        with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"t": BEGIN + moment, "m": text}) + "\n" for moment, text in messages)

    return append


@pytest.fixture
def logs(client: Any) -> Any:
    return client("logs")


def texts(answer: dict[str, Any]) -> list[str]:
    return [event["message"] for event in answer["events"]]


def filtered(logs: Any, **members: Any) -> list[str]:
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, **members)
    return [text for page in pages for text in texts(page)]


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("", ["anything"], []),
        ("ERROR", ["an ERROR here"], ["an error here"]),
        ("ERROR memory", ["ERROR: out of memory"], ["ERROR", "memory"]),
        ('"out of"', ["out of memory"], ["of out"]),
        ('"say \\"no\\""', ['they say "no"'], ["say no"]),
        ("?WARN ?ERROR", ["WARN", "ERROR"], ["INFO"]),
        ("ERROR -retry", ["ERROR"], ["ERROR, retry"]),
        ("ERROR ?WARN", ["ERROR"], ["WARN"]),
    ],
)
def test_a_pattern_matches_as_on_aws(pattern: str, matches: list[str], others: list[str]) -> None:
    parsed = Pattern.parse(pattern)
    assert [text for text in matches + others if parsed.matches(text)] == matches


@pytest.mark.parametrize("pattern", ["{ $.level = 1 }", "[ip, user]", "%a+%"])
def test_patterns_of_other_kinds_are_refused(logs: Any, write: Write, pattern: str) -> None:
    write("dogs", (0, "x"))
    with pytest.raises(ClientError, match="filters logs by terms only"):
        filtered(logs, filterPattern=pattern)


def test_the_streams_of_a_group_are_merged_by_time(logs: Any, write: Write) -> None:
    write("dogs", (0, "one"), (20, "three"), (40, "five"))
    write("cats", (10, "two"), (30, "four"))
    assert filtered(logs) == ["one", "two", "three", "four", "five"]
    assert filtered(logs, logStreamNamePrefix="cats/") == ["two", "four"]
    assert filtered(logs, logStreamNames=["dogs/algo-1-17"]) == ["one", "three", "five"]
    assert filtered(logs, startTime=BEGIN + 10, endTime=BEGIN + 40) == ["two", "three", "four"]
    assert filtered(logs, filterPattern="?two ?five") == ["two", "five"]
    (event,) = logs.filter_log_events(logGroupName=GROUP, filterPattern="two")["events"]
    assert (event["logStreamName"], event["timestamp"]) == ("cats/algo-1-17", BEGIN + 10)


def test_pages_give_every_event_once(logs: Any, write: Write) -> None:
    write("dogs", *((number, str(number)) for number in range(0, 1000, 2)))
    write("cats", *((number, str(number)) for number in range(1, 1000, 2)))
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, PaginationConfig={"PageSize": 300})
    assert [text for page in pages for text in texts(page)] == [str(number) for number in range(1000)]


def test_a_page_with_events_has_a_token_with_which_a_growing_log_is_followed(logs: Any, write: Write) -> None:
    """The SageMaker SDK prints the events of such pages only, and continues from the last token."""
    write("dogs", (0, "one"))
    first = logs.filter_log_events(logGroupName=GROUP)
    last = logs.filter_log_events(logGroupName=GROUP, nextToken=first["nextToken"])
    assert (texts(first), texts(last), "nextToken" in last) == (["one"], [], False)
    write("dogs", (1, "two"))
    assert texts(logs.filter_log_events(logGroupName=GROUP, nextToken=first["nextToken"])) == ["two"]
    assert filtered(logs, PaginationConfig={"StartingToken": first["nextToken"]}) == ["two"]


def test_what_aws_would_refuse_is_refused(logs: Any, write: Write) -> None:
    for members, complaint in (
        ({"logGroupName": "/aws/sagemaker/Endpoints/e"}, "log group does not exist"),
        ({"logGroupName": GROUP, "logStreamNames": ["dogs/x"]}, "log stream does not exist"),
        ({"logGroupName": GROUP, "logStreamNames": ["dogs/x"], "logStreamNamePrefix": "d"}, "either logStreamNames"),
        ({"logGroupName": GROUP, "nextToken": "nonsense"}, "nextToken is invalid"),
    ):
        write("dogs", (0, "x"))
        with pytest.raises(ClientError, match=complaint):
            logs.filter_log_events(**members)
