"""The tags of endpoints and their parts, as they are on SageMaker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.requests.tags import AUTOSCALED, project_tags
from dogbreed_sdk.endpoints.deletion import missing_ignored
from dogbreed_sdk.errors import AccessError, EndpointError

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeEndpointOutputTypeDef

    from dogbreed_sdk.session import Session


def resource_tags(session: Session, arn: str) -> dict[str, str]:
    """The tags of a resource; none if it has just been deleted."""
    found: dict[str, str] = {}
    with missing_ignored():
        for page in session.client("sagemaker").get_paginator("list_tags").paginate(ResourceArn=arn):
            found.update({tag["Key"]: tag["Value"] for tag in page["Tags"]})
    return found


def inherited_tags(session: Session, described: DescribeEndpointOutputTypeDef) -> dict[str, str]:
    """The tags for what is created for an endpoint: the endpoint's own, and that of this project.

    Tags are for cost reports, so a caller who may not read them gets the project's only.
    """
    try:
        with translated(f"read the tags of endpoint {described['EndpointName']}", otherwise=EndpointError):
            given = resource_tags(session, described["EndpointArn"])
    except AccessError:
        given = {}
    return project_tags({key: value for key, value in given.items() if key != AUTOSCALED and key[:4] != "aws:"})
