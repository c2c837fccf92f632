"""The request for the schedule that deletes an endpoint, and the tag that says when."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from dogbreed_sdk.aws.requests import expiry
from tests.aws.requests.golden import check_golden

MOMENT = datetime(2026, 11, 30, 14, 5, 6, tzinfo=timezone.utc)
ROLE = "arn:aws:iam::123456789012:role/scheduler"


def test_a_schedule_deletes_the_endpoint_once_and_then_itself() -> None:
    request = expiry.schedule("dogs", expires_at=MOMENT, role_arn=ROLE)
    check_golden("schedule", "CreateSchedule", request, service="scheduler")
    assert json.loads(request["Target"]["Input"]) == {"EndpointName": "dogs"}


def test_the_time_is_sent_in_utc() -> None:
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=9)))
    request = expiry.schedule("dogs", expires_at=elsewhere, role_arn=ROLE)
    assert request["ScheduleExpression"] == "at(2026-11-30T14:05:06)"


def test_in_other_partitions_the_target_is_theirs() -> None:
    request = expiry.schedule("dogs", expires_at=MOMENT, role_arn="arn:aws-cn:iam::123456789012:role/x")
    assert request["Target"]["Arn"] == "arn:aws-cn:scheduler:::aws-sdk:sagemaker:deleteEndpoint"


def test_the_longest_name_of_an_endpoint_names_a_schedule_too() -> None:
    check_golden(
        "schedule-long-name",
        "CreateSchedule",
        expiry.schedule("d" * 63, expires_at=MOMENT, role_arn=ROLE),
        service="scheduler",
    )


@pytest.mark.parametrize("text", [None, "", "tomorrow", "2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_no_expiry(text: str | None) -> None:
    assert expiry.read_expiry(text) is None


def test_an_expiry_is_read_as_it_was_written() -> None:
    assert expiry.read_expiry(expiry.expiry_text(MOMENT)) == MOMENT
    assert expiry.read_expiry("2026-11-30T14:05:06") == MOMENT
