"""Checks that an AWS account can be used.

The check runs before a job is created: a job that fails after ten minutes because a permission is missing is the
first complaint of SageMaker's users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.errors import AccessError

if TYPE_CHECKING:
    from dogbreed_sdk.aws.buckets import SessionBucket
    from dogbreed_sdk.aws.clients import Clients


def check(client: Clients, *, region: str, role: str, bucket: SessionBucket) -> None:
    """Checks before any work that credentials, bucket and SageMaker can be used.

    Args:
        client: The session's clients.
        region: Region of the clients, for messages.
        role: ARN of the role that jobs assume, for messages.
        bucket: The bucket that jobs read and write; created if it is SageMaker's default one and missing.

    Raises:
        ConfigurationError: The bucket is missing or in another region.
        AccessError: Credentials or a permission are missing.
    """
    bucket.prepare()
    with translated(f"list training jobs in {region} (role {role})", otherwise=AccessError):
        client("sagemaker").list_training_jobs(MaxResults=1)
