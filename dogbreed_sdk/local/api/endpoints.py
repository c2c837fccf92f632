"""Endpoints: create, describe, list, update with another configuration or other weights, delete."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, cast

from dogbreed_sdk.local.api.common import Context, Members, Operation, cannot_start
from dogbreed_sdk.local.api.listing import ListRequest, Order, page_of
from dogbreed_sdk.local.api.models import container_of, create_hosting, delete_hosting, get_hosting
from dogbreed_sdk.local.api.reconciliation import current, reconcile_running
from dogbreed_sdk.local.api.wire import validation_error
from dogbreed_sdk.local.hosting import endpoints, servers
from dogbreed_sdk.local.hosting.routing import weight
from dogbreed_sdk.local.hosting.state import active
from dogbreed_sdk.local.states import ServedVariant, Serving, State
from dogbreed_sdk.local.store import ENDPOINT, ENDPOINT_CONFIG, MODEL, NotFound, Record, Store

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        CreateEndpointInputTypeDef,
        CreateModelInputTypeDef,
        DeleteEndpointInputTypeDef,
        DescribeEndpointInputTypeDef,
        ProductionVariantTypeDef,
        UpdateEndpointInputTypeDef,
        UpdateEndpointWeightsAndCapacitiesInputTypeDef,
    )


logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 5.0
# API reference, VariantProperty.
_PROPERTIES = {"DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig"}
IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


def create_endpoint(context: Context, request: CreateEndpointInputTypeDef) -> Members:
    """CreateEndpoint: record the endpoint, and bring up its model server in the background."""
    name, config = request["EndpointName"], request["EndpointConfigName"]
    state: State = {"status": "Creating", "failure": None, "serving": _serving(context, config)}
    record = create_hosting(context, ENDPOINT, name, request, state)
    try:
        endpoints.launch(context.store, name)
    except Exception as error:
        delete_hosting(context, ENDPOINT, name)
        raise cannot_start(f"endpoint {name}", error) from error
    return {"EndpointArn": record.arn}


def describe_endpoint(context: Context, request: DescribeEndpointInputTypeDef) -> Members:
    """DescribeEndpoint."""
    record = _current(context, request["EndpointName"])
    state, serving = record.state, active(record.state)
    summaries = [_variant_summary(record, served) for served in serving["variants"]]
    return {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "EndpointConfigName": serving["config"],
        "ProductionVariants": None if state["status"] == "Failed" else summaries,
        "EndpointStatus": state["status"],
        "FailureReason": state.get("failure"),
        "AsyncInferenceConfig": serving.get("async_config"),
        "DataCaptureConfig": _capture_summary(serving),
        "PendingDeploymentSummary": _pending_summary(record) if "previous" in state else None,
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
    }


def list_endpoints(context: Context, request: ListRequest) -> Members:
    """ListEndpoints."""
    reconcile_running(context.store, ENDPOINT, statuses=IN_PROGRESS)
    shown, token = page_of(context.store, ENDPOINT, request, Order())
    summaries = [
        {
            "EndpointName": record.name,
            "EndpointArn": record.arn,
            "CreationTime": record.created,
            "LastModifiedTime": record.modified,
            "EndpointStatus": record.state["status"],
        }
        for record in shown
    ]
    return {"Endpoints": summaries, "NextToken": token}


def update_endpoint(context: Context, request: UpdateEndpointInputTypeDef) -> Members:
    """UpdateEndpoint: bring up the new configuration beside the old one, which serves until the switch."""
    record = get_hosting(context, ENDPOINT, request["EndpointName"])
    serving = _serving(context, request["EndpointConfigName"])

    def change(state: State) -> None:
        _refuse_in_progress(record, state)
        if state["status"] == "Failed":
            raise validation_error(f'Cannot update endpoint "{record.arn}" in status Failed; delete it instead.')
        if request.get("RetainAllVariantProperties"):
            excluded = request.get("ExcludeRetainedVariantProperties") or ()
            _retain(state["serving"], serving, _PROPERTIES - {each["VariantPropertyType"] for each in excluded})
        state["previous"], state["serving"] = state["serving"], serving
        state.update({"status": "Updating", "failure": None, "process": None, "restarts": 0})
        state["update_started"] = time.time()

    before = context.store.update(ENDPOINT, record.name, change).state["previous"]
    try:
        endpoints.launch(context.store, record.name)
    except Exception as error:
        context.store.update(ENDPOINT, record.name, partial(_take_back, before))
        raise cannot_start(f"the update of endpoint {record.name}", error) from error
    return {"EndpointArn": record.arn}


def update_weights_and_capacities(context: Context, request: UpdateEndpointWeightsAndCapacitiesInputTypeDef) -> Members:
    """UpdateEndpointWeightsAndCapacities: route by other weights at once; the model servers stay the same."""
    record = get_hosting(context, ENDPOINT, request["EndpointName"])

    def change(state: State) -> None:
        _refuse_in_progress(record, state)
        if state["status"] != "InService":
            raise validation_error(f'Cannot update endpoint "{record.arn}" in status {state["status"]}.')
        variants = {served["variant"]["VariantName"]: served["variant"] for served in state["serving"]["variants"]}
        for wanted in request["DesiredWeightsAndCapacities"]:
            variant = variants.get(wanted["VariantName"])
            if variant is None:
                raise validation_error(f'Could not find variant "{wanted["VariantName"]}" of endpoint "{record.arn}".')
            if "DesiredWeight" in wanted:
                variant["InitialVariantWeight"] = wanted["DesiredWeight"]
            if "DesiredInstanceCount" in wanted:
                variant["InitialInstanceCount"] = wanted["DesiredInstanceCount"]
        if not sum(weight(served) for served in state["serving"]["variants"]):
            raise validation_error("At least one production variant must have a DesiredWeight above 0.")

    context.store.update(ENDPOINT, record.name, change)
    return {"EndpointArn": record.arn}


def delete_endpoint(context: Context, request: DeleteEndpointInputTypeDef) -> Members:
    """DeleteEndpoint: end the model servers, and delete the record."""
    record = _current(context, request["EndpointName"])

    def change(state: State) -> None:
        _refuse_in_progress(record, state)
        state["status"] = "Deleting"

    try:
        context.store.update(ENDPOINT, record.name, change)
    except NotFound:
        # Another client has just deleted it: respond as for an endpoint that does not exist.
        get_hosting(context, ENDPOINT, record.name)
        raise
    worker = threading.Thread(target=_remove, args=(context.store, record.name), name=f"delete-{record.name}")
    worker.start()
    # This usually ends at once; while a model server completes requests, the endpoint stays in status Deleting.
    worker.join(_PATIENCE_SECONDS)
    return {}


def _remove(store: Store, name: str) -> None:
    """End the model servers and delete the record; if that fails, a later request for the endpoint retries it."""
    try:
        servers.stop(store, name)
        store.delete(ENDPOINT, name)
    except NotFound:
        return  # another process has done it
    except Exception:
        logger.exception("endpoint %s is not deleted yet", name)


def _serving(context: Context, config_name: str) -> Serving:
    """The models that an endpoint with that configuration serves."""
    config = get_hosting(context, ENDPOINT_CONFIG, config_name)
    variants = [_served_variant(context, variant) for variant in config.request["ProductionVariants"]]
    serving: Serving = {"config": config.name, "variants": variants}
    if config.request.get("AsyncInferenceConfig"):
        serving["async_config"] = config.request["AsyncInferenceConfig"]
    if config.request.get("DataCaptureConfig"):
        serving["capture"] = config.request["DataCaptureConfig"]
    return serving


def _served_variant(context: Context, variant: ProductionVariantTypeDef) -> ServedVariant:
    model = get_hosting(context, MODEL, variant["ModelName"])
    container = container_of(cast("CreateModelInputTypeDef", model.request))
    return {"variant": variant, "model": model.name, "container": container}


def _retain(old: Serving, new: Serving, properties: Collection[str]) -> None:
    """Give the variants of a new configuration the properties of the old variants of the same names."""
    before = {served["variant"]["VariantName"]: served for served in old["variants"]}
    for served in new["variants"]:
        variant, kept = served["variant"], before.get(served["variant"]["VariantName"])
        if kept is None:
            continue
        if "DesiredWeight" in properties:
            variant["InitialVariantWeight"] = weight(kept)
        if "DesiredInstanceCount" in properties and "InitialInstanceCount" in kept["variant"]:
            variant["InitialInstanceCount"] = kept["variant"]["InitialInstanceCount"]
    if "DataCaptureConfig" in properties:
        new.pop("capture", None)
        if "capture" in old:
            new["capture"] = old["capture"]


def _take_back(before: Serving, state: State) -> None:
    """Undo the beginning of an update."""
    state.update({"status": "InService", "serving": before})
    state.pop("previous", None)


def _refuse_in_progress(record: Record, state: State) -> None:
    if state["status"] == "Deleting":
        raise validation_error(f'Endpoint "{record.arn}" is being deleted.')
    if state["status"] in IN_PROGRESS:
        raise validation_error(f'Cannot update in-progress endpoint "{record.arn}".')


def _current(context: Context, name: str) -> Record:
    """An endpoint's current record; brings the endpoint up again if its supervisor was killed while it came up."""
    record = get_hosting(context, ENDPOINT, name)
    try:
        return current(context.store, record, statuses=IN_PROGRESS)
    except NotFound:
        return get_hosting(context, ENDPOINT, name)


def _pending_summary(record: Record) -> Members:
    """The update in progress."""
    serving = record.state["serving"]
    return {
        "EndpointConfigName": serving["config"],
        "ProductionVariants": [_variant_summary(record, served) for served in serving["variants"]],
        "StartTime": record.state.get("update_started"),
    }


def _capture_summary(serving: Serving) -> Members | None:
    capture = serving.get("capture")
    if capture is None:
        return None
    enabled = capture.get("EnableCapture", True)
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
        "KmsKeyId": capture.get("KmsKeyId", ""),
    }


def _variant_summary(record: Record, served: ServedVariant) -> Members:
    variant, image = served["variant"], served["container"].get("Image")
    serverless, count = variant.get("ServerlessConfig"), variant.get("InitialInstanceCount")
    images = [{"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": record.created}]
    return {
        "VariantName": variant["VariantName"],
        "DeployedImages": images if image else None,
        "CurrentWeight": weight(served),
        "DesiredWeight": weight(served),
        "CurrentInstanceCount": 0 if serverless else count,
        "DesiredInstanceCount": 0 if serverless else count,
        "CurrentServerlessConfig": serverless,
        "DesiredServerlessConfig": serverless,
    }


OPERATIONS: dict[str, Operation] = {
    "CreateEndpoint": create_endpoint,
    "DescribeEndpoint": describe_endpoint,
    "ListEndpoints": list_endpoints,
    "UpdateEndpoint": update_endpoint,
    "UpdateEndpointWeightsAndCapacities": update_weights_and_capacities,
    "DeleteEndpoint": delete_endpoint,
}
