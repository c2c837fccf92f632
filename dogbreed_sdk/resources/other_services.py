"""What this project creates beside SageMaker: scalable targets and schedules.

Many users have no permission for these services and need none, so a refusal is noted and is not an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError

from dogbreed_sdk.aws.errors import is_missing, is_refused
from dogbreed_sdk.aws.requests.expiry import SCHEDULE_GROUP
from dogbreed_sdk.aws.requests.tags import is_ours
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.resources.resource import Resource

if TYPE_CHECKING:
    from dogbreed_sdk.session import Session

# The answer of a local SageMaker to clients for AWS.
_NOT_OFFERED = "UnsupportedService"


def find_beside(session: Session) -> tuple[list[Resource], list[str]]:
    """The scalable targets and schedules of this project, and notes about what could not be listed."""
    found: list[Resource] = []
    notes: list[str] = []
    kinds: tuple[tuple[str, str, Callable[[Session], Iterator[Resource]]], ...] = (
        ("scalable targets", "application-autoscaling:DescribeScalableTargets and ListTagsForResource", _targets),
        ("schedules", "scheduler:GetScheduleGroup, ListTagsForResource and ListSchedules", _schedules),
    )
    for what, actions, listing in kinds:
        try:
            found += listing(session)
        except ConfigurationError:
            if not session.is_local:
                raise
        except (EndpointConnectionError, ConnectTimeoutError) as error:
            notes.append(f"{what} are not listed: {error}")
        except ClientError as error:
            if is_refused(error):
                notes.append(f"{what} are not listed: that needs the permissions {actions}")
            elif error.response["Error"]["Code"] != _NOT_OFFERED:
                raise
    return found, notes


def _targets(session: Session) -> Iterator[Resource]:
    """The production variants that are scaled."""
    client = session.client("application-autoscaling")
    for page in client.get_paginator("describe_scalable_targets").paginate(ServiceNamespace="sagemaker"):
        for target in page["ScalableTargets"]:
            arn = target.get("ScalableTargetARN")
            if arn is None or not is_ours(client.list_tags_for_resource(ResourceARN=arn)["Tags"]):
                continue
            limits = f"{target['MinCapacity']} to {target['MaxCapacity']}"
            yield Resource("scalable-target", target["ResourceId"], limits, target["CreationTime"], 0.0)


def _schedules(session: Session) -> Iterator[Resource]:
    """The schedules that delete endpoints; local SageMaker ends its endpoints itself."""
    if session.is_local:
        return
    client = session.client("scheduler")
    try:
        group = client.get_schedule_group(Name=SCHEDULE_GROUP)
    except ClientError as error:
        if is_missing(error):
            return
        raise
    tags = client.list_tags_for_resource(ResourceArn=group["Arn"])["Tags"]
    if not is_ours({tag["Key"]: tag["Value"] for tag in tags}):
        return
    for page in client.get_paginator("list_schedules").paginate(GroupName=SCHEDULE_GROUP):
        for entry in page["Schedules"]:
            yield Resource("schedule", entry["Name"], entry["State"], entry["CreationDate"], 0.0)
