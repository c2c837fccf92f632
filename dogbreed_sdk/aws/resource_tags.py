"""Reads the tags of SageMaker's resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from dogbreed_sdk.aws.errors import is_missing

if TYPE_CHECKING:
    from types_boto3_sagemaker import SageMakerClient


def tags_of(client: SageMakerClient, arn: str) -> dict[str, str]:
    """The tags of a resource of SageMaker; none if it has been deleted meanwhile."""
    try:
        pages = client.get_paginator("list_tags").paginate(ResourceArn=arn)
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
    except ClientError as error:
        if is_missing(error):
            return {}
        raise
