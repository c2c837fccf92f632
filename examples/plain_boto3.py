"""Invoke a deployed bundle with boto3 alone: one plain score per class, in index order.

python examples/plain_boto3.py ENDPOINT PICTURE [ENDPOINT_URL]

The URL is the one that `dogbreed local up` prints; without it, the endpoint is in your AWS account.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from types_boto3_sagemaker_runtime import SageMakerRuntimeClient


def main(endpoint: str, picture: str, endpoint_url: str | None = None) -> None:
    """Prints the index of the best class and its score."""
    client = boto3.client("sagemaker-runtime") if endpoint_url is None else local_client(endpoint_url)
    response = client.invoke_endpoint(EndpointName=endpoint, ContentType="image/jpeg", Body=Path(picture).read_bytes())
    [scores] = json.loads(response["Body"].read())
    best = max(range(len(scores)), key=scores.__getitem__)
    print(best, scores[best])


def local_client(endpoint_url: str) -> SageMakerRuntimeClient:
    """A client of local SageMaker, which ignores region and keys."""
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
