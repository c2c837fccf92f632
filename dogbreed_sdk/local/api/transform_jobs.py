"""Batch transform jobs: create, describe, list, stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.api.common import (
    Context,
    Members,
    Operation,
    request_members,
)
from dogbreed_sdk.local.api.jobs import create_job, current_job, stop_job
from dogbreed_sdk.local.api.listing import ListRequest, Order, page_of
from dogbreed_sdk.local.api.models import container_of, get_hosting
from dogbreed_sdk.local.api.reconciliation import reconcile_running
from dogbreed_sdk.local.api.wire import validation_error
from dogbreed_sdk.local.states import State
from dogbreed_sdk.local.store import MODEL, TRANSFORM_JOB, Record
from dogbreed_sdk.local.transform import data_processing, runner
from dogbreed_sdk.local.transform.request import TransformRequest

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        CreateModelInputTypeDef,
        CreateTransformJobRequestTypeDef,
        DescribeTransformJobRequestTypeDef,
        StopTransformJobRequestTypeDef,
    )


def create_transform_job(context: Context, request: CreateTransformJobRequestTypeDef) -> Members:
    """CreateTransformJob: record the job, and start its supervisor."""
    try:
        TransformRequest.read(request)
    except ConfigurationError as error:
        raise validation_error(str(error)) from None
    model = get_hosting(context, MODEL, request["ModelName"])
    state: State = {
        "status": "InProgress",
        "failure": None,
        "process": None,
        "stop": False,
        "started": None,
        "ended": None,
        # As on AWS, a model may be deleted once the job was created.
        "container": container_of(cast("CreateModelInputTypeDef", model.request)),
    }
    name, start = request["TransformJobName"], runner.start_transform_job
    record = create_job(context, TRANSFORM_JOB, name, request, state, start=start)
    return {"TransformJobArn": record.arn}


def describe_transform_job(context: Context, request: DescribeTransformJobRequestTypeDef) -> Members:
    """DescribeTransformJob, with the defaults that AWS adds to a request."""
    record = current_job(context, TRANSFORM_JOB, request["TransformJobName"])
    created = cast("CreateTransformJobRequestTypeDef", record.request)
    return {
        **request_members("DescribeTransformJob", record.request),
        "TransformJobName": record.name,
        "TransformJobArn": record.arn,
        "TransformJobStatus": record.state["status"],
        "FailureReason": record.state.get("failure"),
        "CreationTime": record.created,
        "TransformStartTime": record.state.get("started"),
        "TransformEndTime": record.state.get("ended"),
        "TransformInput": {"CompressionType": "None", "SplitType": "None", **created["TransformInput"]},
        "TransformOutput": {"AssembleWith": "None", "KmsKeyId": "", **created["TransformOutput"]},
        "DataProcessing": {**data_processing.DEFAULTS, **(created.get("DataProcessing") or {})},
    }


def list_transform_jobs(context: Context, request: ListRequest) -> Members:
    """ListTransformJobs."""
    reconcile_running(context.store, TRANSFORM_JOB)
    shown, token = page_of(context.store, TRANSFORM_JOB, request, Order())
    return {"TransformJobSummaries": [_summary(record) for record in shown], "NextToken": token}


def stop_transform_job(context: Context, request: StopTransformJobRequestTypeDef) -> Members:
    """StopTransformJob; does nothing if the job is already stopping."""
    stop_job(context, TRANSFORM_JOB, request["TransformJobName"], runner.request_stop)
    return {}


def _summary(record: Record) -> Members:
    return {
        "TransformJobName": record.name,
        "TransformJobArn": record.arn,
        "CreationTime": record.created,
        "TransformEndTime": record.state.get("ended"),
        "LastModifiedTime": record.modified,
        "TransformJobStatus": record.state["status"],
        "FailureReason": record.state.get("failure"),
    }


OPERATIONS: dict[str, Operation] = {
    "CreateTransformJob": create_transform_job,
    "DescribeTransformJob": describe_transform_job,
    "ListTransformJobs": list_transform_jobs,
    "StopTransformJob": stop_transform_job,
}
