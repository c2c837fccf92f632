"""InvokeEndpointAsync: puts a request into the queue of an asynchronous endpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping

from dogbreed_sdk.local.api.invocations import serving_endpoint
from dogbreed_sdk.local.api.validation import operation_model, problems
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.hosting.async_queue import (
    INVOCATION_SECONDS,
    REQUEST_SECONDS,
    Invocation,
    enqueue,
)
from dogbreed_sdk.local.hosting.async_starter import QueueStarter
from dogbreed_sdk.local.hosting.state import active
from dogbreed_sdk.local.store import Store
from dogbreed_sdk.local.support import tables

# API reference, InvokeEndpointAsync, Body.
MAX_INLINE_BYTES = 128_000
_SERVICE, _OPERATION = "sagemaker-runtime", "InvokeEndpointAsync"
# Members of the request -> headers for the model.
_PASSED_MEMBERS = {
    "ContentType": "content-type",
    "Accept": "accept",
    "CustomAttributes": "x-amzn-sagemaker-custom-attributes",
    "InferenceId": "x-amzn-sagemaker-inference-id",
}


def invoke_async(
    store: Store, starter: QueueStarter, name: str, headers: Mapping[str, str], body: bytes
) -> tuple[bytes, dict[str, str]]:
    """Queue a request; returns the body of the response, and its headers.

    Args:
        store: The store with the endpoint.
        starter: Starts the process that answers the queue.
        name: The endpoint.
        headers: The request's headers, with names in lower case.
        body: The request's body; empty if it has an InputLocation.

    Raises:
        ApiError: ValidationError.
    """
    texts, numbers = _members(headers)
    _check(name, {**texts, **numbers}, body)
    record = serving_endpoint(store, name)
    config = active(record.state).get("async_config")
    if config is None:
        raise ApiError("ValidationError", f"Endpoint {name} is a real-time endpoint: call InvokeEndpoint instead.")
    invocation = Invocation(
        input=texts.get("InputLocation", body),
        headers={header: texts[member] for member, header in _PASSED_MEMBERS.items() if member in texts},
        inference_id=texts.get("InferenceId"),
        path=texts.get("S3OutputPathExtension"),
        filename=texts.get("Filename"),
        expires_after=numbers.get("RequestTTLSeconds", REQUEST_SECONDS),
        timeout=numbers.get("InvocationTimeoutSeconds", INVOCATION_SECONDS),
    )
    queued = enqueue(store, record, config, invocation)
    starter.start(name)
    answer = {"x-amzn-sagemaker-outputlocation": queued["output"]}
    if queued["failure"]:
        answer["x-amzn-sagemaker-failurelocation"] = queued["failure"]
    return json.dumps({"InferenceId": queued["inference_id"]}).encode(), answer


def _members(headers: Mapping[str, str]) -> tuple[dict[str, str], dict[str, int]]:
    """The members of the operation that a request's headers carry: texts, and whole numbers."""
    texts: dict[str, str] = {}
    numbers: dict[str, int] = {}
    shape = operation_model(_SERVICE, _OPERATION).input_shape
    assert shape is not None
    for member, form in shape.members.items():
        value = headers.get(str(form.serialization.get("name", "")).lower())
        if value is not None and form.type_name == "integer" and value.isdecimal():
            numbers[member] = int(value)
        elif value is not None:
            texts[member] = value
    return texts, numbers


def _check(name: str, members: Mapping[str, str | int], body: bytes) -> None:
    """Refuse what AWS refuses, and what local SageMaker does not support.

    Raises:
        ApiError: ValidationError.
    """
    shape = operation_model(_SERVICE, _OPERATION).input_shape
    assert shape is not None
    found = list(problems(shape, {"EndpointName": name, **members}))
    if ("InputLocation" in members) == bool(body):
        found.append("give exactly one of InputLocation and Body")
    if len(body) > MAX_INLINE_BYTES:
        found.append(f"Body has {len(body)} bytes, more than {MAX_INLINE_BYTES}; use InputLocation instead")
    if str(members.get("InputLocation", "")).startswith("https:"):
        found.append("local SageMaker reads an InputLocation that is an s3:// or a file:// URI")
    found += [f"local SageMaker does not support {text}" for text in tables.refusals(_SERVICE, _OPERATION, members)]
    if found:
        raise ApiError("ValidationError", f"{'; '.join(found)}.")
