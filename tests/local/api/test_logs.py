"""CloudWatch Logs over a job's log file: tokens, ends, limits, and a log that is being written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk.local import Store
from dogbreed_sdk.local.api import log_files
from dogbreed_sdk.local.api import logs as logs_module
from dogbreed_sdk.local.api.common import Context
from dogbreed_sdk.local.store import TRAINING_JOB, TRANSFORM_JOB

GROUP = "/aws/sagemaker/TrainingJobs"
STREAM = "dogs/algo-1-1700000000"


class Log:
    """A job's log file, written as a supervisor does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = 0

    def write(self, *messages: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            for message in messages:
                file.write(json.dumps({"t": 1_700_000_000_000 + self.written, "m": message}) + "\n")
                self.written += 1


@pytest.fixture
def log(store: Store) -> Log:
    store.create(TRAINING_JOB, "dogs", {}, {"status": "Completed", "log_stream": STREAM})
    folder = store.root / "jobs" / "dogs"
    folder.mkdir(parents=True)
    return Log(folder / "log.jsonl")


@pytest.fixture
def logs(client: Any) -> Any:
    return client("logs")


def read(logs: Any, **members: Any) -> tuple[list[str], dict[str, Any]]:
    answer = logs.get_log_events(logGroupName=GROUP, logStreamName=STREAM, **members)
    return [event["message"] for event in answer["events"]], answer


def test_the_whole_log_from_its_head(logs: Any, log: Log) -> None:
    log.write("one", "", "zwei \u00e4")
    messages, answer = read(logs, startFromHead=True)
    assert messages == ["one", " ", "zwei \u00e4"]
    assert [event["timestamp"] for event in answer["events"]] == [1_700_000_000_000 + i for i in range(3)]


def test_following_a_log_gives_every_line_once(logs: Any, log: Log) -> None:
    log.write("one", "two")
    messages, answer = read(logs, startFromHead=True)
    for wanted in (["three"], [], ["four", "five"]):
        log.write(*wanted)
        more, answer = read(logs, startFromHead=True, nextToken=answer["nextForwardToken"])
        assert more == wanted
        messages += more
    assert messages == ["one", "two", "three", "four", "five"]


def test_at_the_end_the_token_stays_the_same(logs: Any, log: Log) -> None:
    log.write("one")
    _, first = read(logs, startFromHead=True)
    _, second = read(logs, startFromHead=True, nextToken=first["nextForwardToken"])
    assert second["events"] == []
    assert second["nextForwardToken"] == first["nextForwardToken"]
    _, head = read(logs, nextToken=first["nextBackwardToken"])
    assert head["events"] == []
    assert head["nextBackwardToken"] == first["nextBackwardToken"]


def test_without_a_direction_the_latest_events_come(logs: Any, log: Log) -> None:
    log.write(*(f"line {number}" for number in range(10)))
    messages, answer = read(logs, limit=3)
    assert messages == ["line 7", "line 8", "line 9"]
    before, _ = read(logs, limit=3, nextToken=answer["nextBackwardToken"])
    assert before == ["line 4", "line 5", "line 6"]
    after, _ = read(logs, limit=3, nextToken=answer["nextForwardToken"])
    assert after == []


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_both_directions_cover_a_long_log(logs: Any, log: Log, limit: int) -> None:
    count = 40 if limit == 1 else 3000
    wanted = [f"{number} " + "x" * (number % 300) for number in range(count)]
    log.write(*wanted)
    for forward in (True, False):
        seen: list[str] = []
        token: dict[str, str] = {}
        while True:
            messages, answer = read(logs, startFromHead=forward, limit=limit, **token)
            if not messages:
                break
            seen = seen + messages if forward else messages + seen
            token = {"nextToken": answer["nextForwardToken" if forward else "nextBackwardToken"]}
        assert seen == wanted


def test_a_line_that_is_being_written_waits_for_its_end(logs: Any, log: Log) -> None:
    log.write("one")
    line = json.dumps({"t": 1_700_000_000_009, "m": "two"})
    with log.path.open("a") as file:
        file.write(line[:10])
        file.flush()
        for direction in (True, False):
            messages, answer = read(logs, startFromHead=direction)
            assert messages == ["one"]
        file.write(line[10:] + "\n")
    assert read(logs, startFromHead=True, nextToken=answer["nextForwardToken"])[0] == ["two"]


def test_a_line_that_a_full_disk_cut_short_is_passed_over(logs: Any, log: Log) -> None:
    log.write("one")
    with log.path.open("a") as file:
        file.write('{"t": 17\n')
    log.write("two")
    assert read(logs, startFromHead=True)[0] == ["one", "two"]
    assert read(logs)[0] == ["one", "two"]


def test_a_page_holds_a_megabyte(logs: Any, log: Log) -> None:
    log.write(*("x" * 60_000 for _ in range(40)))
    messages, answer = read(logs, startFromHead=True)
    assert len(messages) == 17
    assert len(read(logs, startFromHead=True, nextToken=answer["nextForwardToken"])[0]) == 17


def test_times_bound_what_is_read(logs: Any, log: Log) -> None:
    log.write(*(str(number) for number in range(10)))
    bounds = {"startTime": 1_700_000_000_003, "endTime": 1_700_000_000_006}
    assert read(logs, startFromHead=True, **bounds)[0] == ["3", "4", "5"]
    assert read(logs, **bounds)[0] == ["3", "4", "5"]


def test_what_is_older_or_newer_than_asked_is_not_read(store: Store, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write(*(f"{number} " + "x" * 1000 for number in range(5000)))
    begin, read_lines = 1_700_000_000_000, []
    parse = log_files._parse
    monkeypatch.setattr(log_files, "_parse", lambda line, start: (read_lines.append(start), parse(line, start))[1])
    monkeypatch.setattr(logs_module, "DISORDER_MILLISECONDS", 10)
    context = Context(store, "us-east-1")
    for first, last in ((4990, 5000), (2500, 2510), (0, 10), (17, 18), (4999, 9999), (6000, 7000), (3000, 3000)):
        for from_head in (True, False):
            members = {"startTime": begin + first, "endTime": begin + last, "startFromHead": from_head}
            request = {"logGroupName": GROUP, "logStreamName": STREAM, **members}
            read_lines.clear()
            answer = logs_module.get_log_events(context, request)
            found = [int(event["message"].split()[0]) for event in answer["events"]]
            assert found == list(range(first, min(last, 5000)))
            assert len(read_lines) < 250, members
    token = logs_module.get_log_events(context, {**request, "startTime": begin, "endTime": begin + 9, "limit": 3})
    following = {**request, "startTime": begin + 4000, "endTime": begin + 4003, "nextToken": token["nextForwardToken"]}
    assert len(logs_module.get_log_events(context, following)["events"]) == 3


def test_the_streams_of_one_job_are_found_without_a_look_at_the_others(
    store: Store, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write("one")
    for number in range(30):
        name = f"other-{number:02}"
        store.create(TRAINING_JOB, name, {}, {"status": "Completed", "log_stream": f"{name}/algo-1-1"})
        (store.root / "jobs" / name).mkdir()
        (store.root / "jobs" / name / "log.jsonl").touch()
    read_records: list[str] = []
    record_of = Store._record

    def noted(self: Store, row: tuple[Any, ...]) -> Any:
        read_records.append(row[1])
        return record_of(self, row)

    monkeypatch.setattr(Store, "_record", noted)
    context = Context(store, "us-east-1")
    request = {"logGroupName": GROUP, "logStreamNamePrefix": "dogs/"}
    assert [found["logStreamName"] for found in logs_module.describe_log_streams(context, request)["logStreams"]] == [
        STREAM
    ]
    assert set(read_records) == {"dogs"}
    read_records.clear()
    page = logs_module.describe_log_streams(context, {"logGroupName": GROUP, "limit": 5, "nextToken": "10"})
    assert [found["logStreamName"] for found in page["logStreams"]] == [f"other-{n:02}/algo-1-1" for n in range(9, 14)]
    assert page["nextToken"] == "15"
    assert len(read_records) == 6


def test_streams_are_found_by_prefix_and_in_pages(logs: Any, log: Log, store: Store) -> None:
    log.write("one", "two")
    for name in ("dogs-2", "cats"):
        store.create(TRAINING_JOB, name, {}, {"status": "Completed", "log_stream": f"{name}/algo-1-1"})
        (store.root / "jobs" / name).mkdir()
        (store.root / "jobs" / name / "log.jsonl").touch()
    (stream,) = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="dogs/")["logStreams"]
    assert stream["logStreamName"] == STREAM
    assert (stream["firstEventTimestamp"], stream["lastEventTimestamp"]) == (1_700_000_000_000, 1_700_000_000_001)
    pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=GROUP, PaginationConfig={"PageSize": 2})
    found = [entry["logStreamName"] for page in pages for entry in page["logStreams"]]
    assert found == ["cats/algo-1-1", "dogs-2/algo-1-1", STREAM]
    latest = logs.describe_log_streams(logGroupName=GROUP, orderBy="LastEventTime", descending=True, limit=1)
    assert latest["logStreams"][0]["logStreamName"] == STREAM


def test_a_transform_job_has_two_streams_and_the_pages_name_each_once(logs: Any, store: Store) -> None:
    created = int(store.create(TRANSFORM_JOB, "dogs", {}, {"status": "Completed"}).created)
    store.create(TRANSFORM_JOB, "dogs-2", {}, {"status": "InProgress"})  # nothing is written yet
    folder = store.root / "transform-jobs" / "dogs"
    folder.mkdir()
    Log(folder / "log.jsonl").write("from the model")
    Log(folder / "data-log.jsonl").write("about the data")
    group, stream = "/aws/sagemaker/TransformJobs", f"dogs/i-{created:017x}-{created}"
    for size in (1, 2, 50):
        for prefix in ("dogs", "dogs/"):
            found, token = [], {}
            while True:
                page = logs.describe_log_streams(
                    logGroupName=group, logStreamNamePrefix=prefix, limit=size, orderBy="LogStreamName", **token
                )
                found += [entry["logStreamName"] for entry in page["logStreams"]]
                if "nextToken" not in page:
                    break
                token = {"nextToken": page["nextToken"]}
            assert found == [stream, f"{stream}/data-log"]
    latest_first = logs.describe_log_streams(logGroupName=group, descending=True)["logStreams"]
    assert [entry["logStreamName"] for entry in latest_first] == [f"{stream}/data-log", stream]
    for name, message in ((stream, "from the model"), (f"{stream}/data-log", "about the data")):
        (event,) = logs.get_log_events(logGroupName=group, logStreamName=name)["events"]
        assert event["message"] == message
    with pytest.raises(ClientError, match="nextToken is invalid"):
        logs.describe_log_streams(logGroupName=group, nextToken="1.x")


def test_what_is_not_there_is_said_in_awss_words(logs: Any, log: Log) -> None:
    missing = logs.exceptions.ResourceNotFoundException
    with pytest.raises(missing, match="The specified log stream does not exist"):
        logs.get_log_events(logGroupName=GROUP, logStreamName=STREAM)  # nothing written yet
    log.write("one")
    with pytest.raises(missing, match="The specified log stream does not exist"):
        logs.get_log_events(logGroupName=GROUP, logStreamName="dogs/other")
    with pytest.raises(missing, match="The specified log group does not exist"):
        logs.describe_log_streams(logGroupName="/aws/lambda/x")
    with pytest.raises(missing, match="The specified log group does not exist"):
        logs.get_log_events(logGroupName="/aws/sagemaker/Endpoints/none", logStreamName="a/b")
    with pytest.raises(ClientError, match="nextToken is invalid"):
        read(logs, nextToken="../../etc/passwd")
