"""A transform job's request with AWS's defaults: how objects are split, sent and assembled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.store import Request
from dogbreed_sdk.local.transform.data_processing import DataProcessing

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTransformJobRequestTypeDef, TransformS3DataSourceTypeDef

# API reference, CreateTransformJob and ModelClientConfig.
_DEFAULT_PAYLOAD_MB = 6
_MAX_PAYLOAD_MB = 100
# The model server lets as many requests wait.
MAX_CONCURRENCY = 64
_DEFAULT_TIMEOUT_SECONDS = 600
_DEFAULT_RETRIES = 3
_STRATEGIES = {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD"}


@dataclass(frozen=True)
class TransformRequest:
    """The parts of a CreateTransformJob request that a job uses.

    Attributes:
        source: The S3DataSource of the input.
        output: S3OutputPath without the last slash.
        headers: The headers of each request to the model.
        is_compressed: Whether the objects are compressed with gzip.
        splits: Whether each line of an object is a record; otherwise the object is one.
        groups: Whether a request has as many records as fit; otherwise one.
        adds_newline: Whether the response to each request ends with a newline in the output.
        payload_bytes: The largest record, and the largest group of records; None for no limit.
        concurrency: How many requests are sent at the same time; None if the request does not say.
        timeout_seconds: How long the model may take for a request.
        retries: How often a request that failed is sent again.
        processing: The filters and the join.
    """

    source: TransformS3DataSourceTypeDef
    output: str
    headers: dict[str, str]
    is_compressed: bool
    splits: bool
    groups: bool
    adds_newline: bool
    payload_bytes: int | None
    concurrency: int | None
    timeout_seconds: float
    retries: int
    processing: DataProcessing

    @classmethod
    def read(cls, request: Request) -> TransformRequest:
        """The settings in a CreateTransformJob request, which was checked against AWS's model and the support table.

        Raises:
            ConfigurationError: Members contradict each other, or a URI or a JSONPath is not supported.
        """
        given = cast("CreateTransformJobRequestTypeDef", request)
        _check(given)
        source, target = given["TransformInput"], given["TransformOutput"]
        client = given.get("ModelClientConfig") or {}
        content_type, accept = source.get("ContentType"), target.get("Accept")
        return cls(
            source=source["DataSource"]["S3DataSource"],
            output=target["S3OutputPath"].rstrip("/"),
            headers={
                **({"content-type": content_type} if content_type else {}),
                **({"accept": accept} if accept else {}),
            },
            is_compressed=source.get("CompressionType") == "Gzip",
            splits=source.get("SplitType") == "Line",
            groups=given.get("BatchStrategy") != "SingleRecord",
            adds_newline=target.get("AssembleWith") == "Line",
            payload_bytes=given.get("MaxPayloadInMB", _DEFAULT_PAYLOAD_MB) << 20 or None,
            concurrency=given.get("MaxConcurrentTransforms") or None,
            timeout_seconds=client.get("InvocationsTimeoutInSeconds", _DEFAULT_TIMEOUT_SECONDS),
            retries=client.get("InvocationsMaxRetries", _DEFAULT_RETRIES),
            processing=DataProcessing.read(given),
        )

    def concurrency_for(self, parameters: Mapping[str, Any]) -> int:
        """How many requests are sent at the same time.

        Args:
            parameters: The execution parameters of the model, which count if the request does not say.
        """
        if self.concurrency is not None:
            return min(self.concurrency, MAX_CONCURRENCY)
        fits = _MAX_PAYLOAD_MB // ((self.payload_bytes or _MAX_PAYLOAD_MB << 20) >> 20)
        return max(1, min(int(parameters.get("MaxConcurrentTransforms", 1)), fits, MAX_CONCURRENCY))


def batch_environment(request: Request) -> dict[str, str]:
    """The variables that a model finds in a transform job, in addition to those that people set.

    Source: developer guide, "Use Your Own Inference Code with Batch Transform".

    >>> batch_environment({"BatchStrategy": "SingleRecord", "MaxPayloadInMB": 1})
    {'SAGEMAKER_BATCH': 'true', 'SAGEMAKER_BATCH_STRATEGY': 'SINGLE_RECORD', 'SAGEMAKER_MAX_PAYLOAD_IN_MB': '1'}
    """
    given: dict[str, Any] = {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_BATCH_STRATEGY": _STRATEGIES.get(request.get("BatchStrategy", "")),
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": request.get("MaxPayloadInMB"),
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": request.get("MaxConcurrentTransforms"),
    }
    return {name: str(value) for name, value in given.items() if value is not None}


def described_settings(request: TransformRequest, concurrency: int) -> str:
    """The settings as the data log of AWS begins with them."""
    payload = (request.payload_bytes or 0) >> 20
    strategy = "MULTI_RECORD" if request.groups else "SINGLE_RECORD"
    return f"MaxConcurrentTransforms={concurrency}, MaxPayloadInMB={payload}, BatchStrategy={strategy}"


def _check(request: CreateTransformJobRequestTypeDef) -> None:
    source = request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    for uri in (source, request["TransformOutput"]["S3OutputPath"]):
        if not uri.startswith(("s3://", "file://")):
            raise ConfigurationError(f"Local SageMaker reads and writes s3:// and file:// URIs, not {uri}.")
    payload = request.get("MaxPayloadInMB", _DEFAULT_PAYLOAD_MB)
    parallel = request.get("MaxConcurrentTransforms") or 1
    if payload > _MAX_PAYLOAD_MB or payload * parallel > _MAX_PAYLOAD_MB:
        raise ConfigurationError(
            f"MaxPayloadInMB ({payload}) times MaxConcurrentTransforms ({parallel}) must be at most {_MAX_PAYLOAD_MB}."
        )
