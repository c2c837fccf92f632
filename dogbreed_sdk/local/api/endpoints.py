"""Endpoints: create, describe, list, update, delete."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from dogbreed_sdk.local.api.common import Context, Operation, cannot_start, get_hosting
from dogbreed_sdk.local.api.listing import Order, page_of
from dogbreed_sdk.local.api.models import NOUNS, container_of, create_hosting, delete_hosting
from dogbreed_sdk.local.api.reconciliation import current, reconcile_running
from dogbreed_sdk.local.api.wire import validation_error
from dogbreed_sdk.local.hosting import endpoints, servers
from dogbreed_sdk.local.store import ENDPOINT, ENDPOINT_CONFIG, MODEL, NotFound, Record, Store

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 5.0
_IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


def create_endpoint(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """CreateEndpoint: record the endpoint and have its model server brought up."""
    name, config = request["EndpointName"], request["EndpointConfigName"]
    state = {"status": "Creating", "failure": None, "server": None, **_serving(context, config)}
    record = create_hosting(context, ENDPOINT, name, request, state)
    try:
        endpoints.launch(context.store, name)
    except Exception as error:
        delete_hosting(context, ENDPOINT, name)
        raise cannot_start(f"endpoint {name}", error) from error
    return {"EndpointArn": record.arn}


def describe_endpoint(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeEndpoint."""
    record = _current(context, request["EndpointName"])
    failed = record.state["status"] == "Failed"
    return {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "EndpointConfigName": record.state["config"],
        "ProductionVariants": None if failed else [_variant_summary(record)],
        "EndpointStatus": record.state["status"],
        "FailureReason": record.state.get("failure"),
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
    }


def list_endpoints(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """ListEndpoints."""
    reconcile_running(context.store, ENDPOINT, statuses=_IN_PROGRESS)
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


def update_endpoint(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """UpdateEndpoint: the new configuration is brought up beside the old one, which serves until then."""
    record = get_hosting(context, ENDPOINT, request["EndpointName"], NOUNS[ENDPOINT])
    serving = _serving(context, request["EndpointConfigName"])

    def change(state: dict[str, Any]) -> None:
        _refuse_in_progress(record, state)
        if state["status"] == "Failed":
            raise validation_error(f'Cannot update endpoint "{record.arn}" in status Failed; delete it instead.')
        previous = {member: state[member] for member in serving}
        state.update(status="Updating", failure=None, previous=previous, process=None, restarts=0, **serving)

    before = context.store.update(ENDPOINT, record.name, change).state["previous"]
    try:
        endpoints.launch(context.store, record.name)
    except Exception as error:
        context.store.update(ENDPOINT, record.name, lambda state: state.update(status="InService", **before))
        raise cannot_start(f"the update of endpoint {record.name}", error) from error
    return {"EndpointArn": record.arn}


def delete_endpoint(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteEndpoint: ends the model server and forgets the endpoint."""
    record = _current(context, request["EndpointName"])

    def change(state: dict[str, Any]) -> None:
        _refuse_in_progress(record, state)
        state["status"] = "Deleting"

    try:
        context.store.update(ENDPOINT, record.name, change)
    except NotFound:
        # Another client's deletion has just ended: the answer is that of an endpoint that is not there.
        get_hosting(context, ENDPOINT, record.name, NOUNS[ENDPOINT])
        raise
    worker = threading.Thread(target=_remove, args=(context.store, record.name), name=f"delete-{record.name}")
    worker.start()
    # Usually it is gone at once; a model server that still answers somebody goes on in the status Deleting.
    worker.join(_PATIENCE_SECONDS)
    return {}


def _remove(store: Store, name: str) -> None:
    """End the model server and forget the endpoint; where that fails, a later look at it tries again."""
    try:
        servers.stop(store, name)
        store.delete(ENDPOINT, name)
    except NotFound:
        return  # another process has done it
    except Exception:
        logger.exception("endpoint %s is not deleted yet", name)


def _serving(context: Context, config_name: str) -> dict[str, Any]:
    """What an endpoint serves, resolved now: its configuration and model may be deleted later."""
    config = get_hosting(context, ENDPOINT_CONFIG, config_name, NOUNS[ENDPOINT_CONFIG])
    variant = config.request["ProductionVariants"][0]
    model = get_hosting(context, MODEL, variant["ModelName"], NOUNS[MODEL])
    return {
        "config": config.name,
        "variant": variant["VariantName"],
        "variant_request": variant,
        "model": model.name,
        "container": dict(container_of(model.request)),
    }


def _refuse_in_progress(record: Record, state: Mapping[str, Any]) -> None:
    if state["status"] == "Deleting":
        raise validation_error(f'Endpoint "{record.arn}" is being deleted.')
    if state["status"] in _IN_PROGRESS:
        raise validation_error(f'Cannot update in-progress endpoint "{record.arn}".')


def _current(context: Context, name: str) -> Record:
    """An endpoint's record as it is now: one whose supervisor was killed while it came up is brought up again."""
    record = get_hosting(context, ENDPOINT, name, NOUNS[ENDPOINT])
    try:
        return current(context.store, record, statuses=_IN_PROGRESS)
    except NotFound:
        return get_hosting(context, ENDPOINT, name, NOUNS[ENDPOINT])


def _variant_summary(record: Record) -> dict[str, Any]:
    variant, image = record.state["variant_request"], record.state["container"].get("Image")
    weight = float(variant.get("InitialVariantWeight", 1.0))
    serverless, count = variant.get("ServerlessConfig"), variant.get("InitialInstanceCount")
    images = [{"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": record.created}]
    return {
        "VariantName": variant["VariantName"],
        "DeployedImages": images if image else None,
        "CurrentWeight": weight,
        "DesiredWeight": weight,
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
    "DeleteEndpoint": delete_endpoint,
}
