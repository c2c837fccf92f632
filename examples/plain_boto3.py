"""Ask a deployed bundle with nothing but boto3: one plain score a class, in index order.

python examples/plain_boto3.py ENDPOINT PICTURE [ENDPOINT_URL]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import boto3


def main(endpoint: str, picture: str, endpoint_url: str | None = None) -> None:
    """Prints the index of the best class and its score; give the URL of `dogbreed local up` to ask locally."""
    client = boto3.client("sagemaker-runtime", endpoint_url=endpoint_url)
    answer = client.invoke_endpoint(EndpointName=endpoint, ContentType="image/jpeg", Body=Path(picture).read_bytes())
    [scores] = json.loads(answer["Body"].read())
    best = max(range(len(scores)), key=scores.__getitem__)
    print(best, scores[best])


if __name__ == "__main__":
    main(*sys.argv[1:])
