"""Which AWS service a request is for: all of them share one port, as `AWS_ENDPOINT_URL` points all clients to it."""

from __future__ import annotations

from collections.abc import Mapping

from dogbreed_sdk.local.api.wire import FORM, signed_service

# Services by the names in signatures that SageMaker's own routes serve.
SAGEMAKER, S3, STS, IAM = "sagemaker", "s3", "sts", "iam"
_OF_SAGEMAKER = {"sagemaker", "logs", "monitoring"}
_RUNTIME_PATHS = "/endpoints/"


def service_of(method: str, path: str, query: str, headers: Mapping[str, str]) -> str:
    """The service that a request was signed for; for an unsigned request, the one that its form belongs to.

    Args:
        method: The method.
        path: The path.
        query: The query as sent.
        headers: The headers, with names in lower case.

    Returns:
        SAGEMAKER, S3, STS, IAM, or the name of a service that is not offered.

    >>> service_of("GET", "/bucket/key", "", {})
    's3'
    >>> service_of("POST", "/", "", {"x-amz-target": "SageMaker.ListModels"})
    'sagemaker'
    """
    authorization = headers.get("authorization", "")
    name = signed_service(authorization) or signed_service(query)
    if name:
        return SAGEMAKER if name in _OF_SAGEMAKER else S3 if name == "s3express" else name
    if authorization.startswith("AWS ") or "AWSAccessKeyId=" in query:
        return S3  # the older kind of signature, which S3 alone has
    if headers.get("content-type", "").startswith(FORM):
        return STS  # AssumeRoleWithWebIdentity and the like need no signature
    if "x-amz-target" in headers or path.startswith(_RUNTIME_PATHS) or (method == "POST" and path == "/"):
        return SAGEMAKER
    return S3
