"""An endpoint's expiry: as a tag, and as the request for a schedule that deletes the endpoint.

Sources: EventBridge Scheduler's user guide, "Using universal targets" and "Schedule types"; API reference,
CreateSchedule.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types_boto3_scheduler.type_defs import CreateScheduleInputTypeDef

# Schedules have no tags of their own, only groups have: this project's schedules are those in its group.
SCHEDULE_GROUP: Final = "dogbreed-sdk"
# For throttling and outages. No source says that a DeleteEndpoint which SageMaker refused is repeated, as it does while
# an endpoint is created or updated. The default, 24 hours, could reach a later endpoint of the same name.
_RETRY_SECONDS = 3600


def expiry_text(moment: datetime) -> str:
    """The value of the tag EXPIRES_AT.

    >>> expiry_text(datetime(2026, 11, 30, 14, tzinfo=timezone.utc))
    '2026-11-30T14:00:00Z'
    """
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_expiry(text: str | None) -> datetime | None:
    """The moment in the tag EXPIRES_AT; None without a tag, or if somebody has written something else there."""
    try:
        moment = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def schedule(endpoint_name: str, *, expires_at: datetime, role_arn: str) -> CreateScheduleInputTypeDef:
    """The members of a CreateSchedule request: delete the endpoint once, and then the schedule itself.

    Args:
        endpoint_name: The endpoint; the schedule has the same name.
        expires_at: When.
        role_arn: A role that EventBridge Scheduler may assume, and that may delete the endpoint.
    """
    partition = role_arn.split(":")[1]
    moment = expires_at.astimezone(timezone.utc)
    return {
        "Name": endpoint_name,
        "GroupName": SCHEDULE_GROUP,
        "Description": f"Deletes the SageMaker endpoint {endpoint_name}, whose time to live has passed.",
        "ScheduleExpression": f"at({moment.strftime('%Y-%m-%dT%H:%M:%S')})",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": f"arn:{partition}:scheduler:::aws-sdk:sagemaker:deleteEndpoint",
            "RoleArn": role_arn,
            "Input": json.dumps({"EndpointName": endpoint_name}),
            "RetryPolicy": {"MaximumEventAgeInSeconds": _RETRY_SECONDS, "MaximumRetryAttempts": 20},
        },
    }
