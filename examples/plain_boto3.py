"""Invoke a deployed bundle with boto3 alone: one plain score per class, in index order.

python examples/plain_boto3.py ENDPOINT PICTURE [ENDPOINT_URL]

The URL is the one that `dogbreed local up` prints; without it, the endpoint is in your AWS account.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import boto3


def main(endpoint: str, picture: str, endpoint_url: str | None = None) -> None:
    """Prints the index of the best class and its score."""
    client = boto3.client("sagemaker-runtime", **(at(endpoint_url) if endpoint_url else {}))
    response = client.invoke_endpoint(EndpointName=endpoint, ContentType="image/jpeg", Body=Path(picture).read_bytes())
    [scores] = json.loads(response["Body"].read())
    best = max(range(len(scores)), key=scores.__getitem__)
    print(best, scores[best])


def at(endpoint_url: str) -> dict[str, str]:
    """Arguments for a client of local SageMaker, which ignores region and keys."""
    return {
        "endpoint_url": endpoint_url,
        "region_name": "us-east-1",
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
    }


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
