"""Logs are read line by line from every stream; moto stands where CloudWatch would be."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from moto import mock_aws

from dogbreed_sdk.aws.logs import LogReader
from dogbreed_sdk.errors import AccessError
from tests.aws.account import refusal, response

GROUP = "/aws/sagemaker/TrainingJobs"
STREAMS_A_PAGE = 50


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A CloudWatch Logs client of an account with an empty log group."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("logs", region_name="us-east-1")
        client.create_log_group(logGroupName=GROUP)
        yield client


def write(client: Any, stream: str, *lines: str) -> None:
    if not client.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=stream)["logStreams"]:
        client.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    now = int(time.time() * 1000)
    events = [{"timestamp": now + number, "message": line} for number, line in enumerate(lines)]
    client.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def test_lines_come_once_each(client: Any) -> None:
    reader = LogReader(client, GROUP, "job/")
    assert list(reader.new_lines()) == []
    write(client, "job/algo-1", "one", "two")
    write(client, "another/algo-1", "not mine")
    assert list(reader.new_lines()) == ["one", "two"]
    assert list(reader.new_lines()) == []


def test_a_group_that_is_not_there_yet_is_an_empty_log(client: Any) -> None:
    assert list(LogReader(client, "/aws/sagemaker/Endpoints/dogs", "").new_lines()) == []


def test_streams_that_begin_later_are_read_too(client: Any) -> None:
    reader = LogReader(client, GROUP, "job/")
    write(client, "job/algo-1", "one")
    assert list(reader.new_lines()) == ["one"]
    write(client, "job/algo-2", "two")
    assert list(reader.new_lines()) == ["two"]


def test_more_streams_than_one_page_holds_are_all_read(client: Any) -> None:
    for number in range(STREAMS_A_PAGE + 2):
        write(client, f"job/algo-{number:03}", str(number))
    assert list(LogReader(client, GROUP, "job/").new_lines()) == [str(n) for n in range(STREAMS_A_PAGE + 2)]


class Refusing:
    """Lets CloudWatch refuse with a code, and counts how often it was asked."""

    def __init__(self, client: Any, code: str) -> None:
        self.asked = 0
        self._answer = response(400), refusal(code, "not now")
        client.meta.events.register("before-call.logs", self._refuse)

    def _refuse(self, **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        self.asked += 1
        return self._answer


def test_a_log_that_may_not_be_read_is_an_error_where_it_is_asked_for(client: Any) -> None:
    Refusing(client, "AccessDeniedException")
    with pytest.raises(AccessError, match=f"read the log {GROUP} job/"):
        list(LogReader(client, GROUP, "job/").new_lines())


def test_a_log_that_is_not_required_costs_one_warning(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    refusing = Refusing(client, "AccessDeniedException")
    reader = LogReader(client, GROUP, "job/")
    with caplog.at_level(logging.WARNING, "dogbreed_sdk"):
        assert [list(reader.new_lines(required=False)) for _ in range(3)] == [[], [], []]
    [warning] = caplog.messages
    assert "without the log" in warning
    assert refusing.asked == 1


def test_a_throttled_log_is_asked_for_again(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    refusing = Refusing(client, "ThrottlingException")
    reader = LogReader(client, GROUP, "job/")
    for _ in range(2):
        assert list(reader.new_lines(required=False)) == []
    assert len(caplog.messages) == 1
    client.meta.events.unregister("before-call.logs", refusing._refuse)
    write(client, "job/algo-1", "one")
    assert list(reader.new_lines(required=False)) == ["one"]
