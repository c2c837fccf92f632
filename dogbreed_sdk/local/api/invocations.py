"""InvokeEndpoint: passes a request to the endpoint's model server, and returns its response or its error."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from dogbreed_sdk.container import ENDPOINT_LOG_GROUP_PREFIX
from dogbreed_sdk.errors import EndpointError
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.hosting.data_capture import DataCapture, Exchange, Payload
from dogbreed_sdk.local.hosting.endpoint_client import EndpointClient
from dogbreed_sdk.local.hosting.endpoint_metrics import EndpointMetrics
from dogbreed_sdk.local.hosting.model_client import Answer, ServerGoneError, described_error
from dogbreed_sdk.local.hosting.routing import choose_variant, variant_names
from dogbreed_sdk.local.hosting.state import active
from dogbreed_sdk.local.store import ACCOUNT_ID, ENDPOINT, NotFound, Record, Store
from dogbreed_sdk.local.support import tables
from training_scripts.data.formats import OCTET_STREAM

# Quotas page of the developer guide: the response to a real-time request must arrive within 60 s.
INVOCATION_SECONDS = 60.0
_SERVING = ("InService", "Updating", "SystemUpdating", "RollingBack")
_MAX_HEADER_CHARACTERS = 1024
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_PASSED_HEADERS = {
    "content-type": "content-type",
    "accept": "accept",
    "x-amzn-sagemaker-content-type": "content-type",
    "x-amzn-sagemaker-accept": "accept",
    "x-amzn-sagemaker-custom-attributes": "x-amzn-sagemaker-custom-attributes",
    "x-amzn-sagemaker-inference-id": "x-amzn-sagemaker-inference-id",
    "x-amzn-sagemaker-session-id": "x-amzn-sagemaker-session-id",
}
_HEADER_PREFIX = "x-amzn-sagemaker-"
_TARGET_VARIANT = "x-amzn-sagemaker-target-variant"
# Headers whose names are not those of the members of InvokeEndpoint, which clients know.
_MEMBERS = {"x-amzn-sagemaker-inference-component": "InferenceComponentName"}


@dataclass
class Invoker:
    """Calls the model servers of one store's endpoints, over persistent connections.

    Attributes:
        store: Where endpoints are looked up, on every call: another process may have changed them.
        seconds: How long a response may take.
        capture: Gets the requests of endpoints with data capture.
        metrics: Gets the duration and the outcome of every request.
    """

    store: Store
    seconds: float = INVOCATION_SECONDS
    capture: DataCapture = field(default_factory=DataCapture)
    metrics: EndpointMetrics = field(init=False)
    _client: EndpointClient = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = EndpointMetrics(self.store)
        self._client = EndpointClient(self.store)

    async def invoke(self, name: str, headers: Mapping[str, str], body: bytes) -> tuple[bytes, dict[str, str]]:
        """Invoke an endpoint; returns the body of the model's response, and its headers.

        Args:
            name: The endpoint.
            headers: The request's headers, with names in lower case.
            body: The request's body, at most 25 MiB.

        Raises:
            ApiError: ValidationError, or ModelError with the model's response.
        """
        start = time.perf_counter()
        record = serving_endpoint(self.store, name)
        if "async_config" in active(record.state):
            raise ApiError(
                "ValidationError", f"Endpoint {name} is an asynchronous endpoint: call InvokeEndpointAsync instead."
            )
        _check_headers(record, headers)
        _check_support(headers)
        variant = headers.get(_TARGET_VARIANT) or choose_variant(record.state)
        passed = {_PASSED_HEADERS[key]: value for key, value in headers.items() if key in _PASSED_HEADERS}
        with self.metrics.measured(name, variant) as measured:
            answer = await self._answer(record, variant, passed, body)
            measured.status = answer.status
        if not answer.is_success:
            raise _model_error(record, answer.status, answer.text)
        self._note(record, variant, (passed, body), answer)
        result = {
            "content-type": answer.headers.get("content-type", OCTET_STREAM),
            "x-amzn-invoked-production-variant": variant,
        }
        self.metrics.note_overhead(name, variant, time.perf_counter() - start - measured.model_seconds)
        attributes = answer.headers.get("x-amzn-sagemaker-custom-attributes")
        return answer.body, {**result, "x-amzn-sagemaker-custom-attributes": attributes} if attributes else result

    async def _answer(self, record: Record, variant: str, passed: Mapping[str, str], body: bytes) -> Answer:
        """The model's response, also one that says that it failed.

        Raises:
            ApiError: ModelError if there is none.
        """
        try:
            return await self._client.call(record, variant, passed, body, seconds=self.seconds)
        except TimeoutError:
            raise _model_error(record, 0, _timed_out(variant)) from None
        except NotFound:
            raise _not_found(record.name) from None
        except (ServerGoneError, EndpointError) as error:
            raise _model_error(record, 500, str(error)) from error

    def _note(self, record: Record, variant: str, sent: tuple[Mapping[str, str], bytes], answer: Answer) -> None:
        config = active(record.state).get("capture")
        if config is None:
            return
        headers, body = sent
        exchange = Exchange(
            record.name,
            variant,
            request=Payload(body, headers.get("content-type", OCTET_STREAM)),
            response=Payload(answer.body, answer.headers.get("content-type", OCTET_STREAM)),
            inference_id=headers.get("x-amzn-sagemaker-inference-id"),
            custom_attributes=headers.get("x-amzn-sagemaker-custom-attributes"),
        )
        self.capture.add(exchange, config)

    async def close(self) -> None:
        """Close the connections, and write what was captured and measured."""
        await self._client.close()
        await self.capture.flush()
        await self.metrics.flush()


def serving_endpoint(store: Store, name: str) -> Record:
    """An endpoint that accepts requests.

    Raises:
        ApiError: ValidationError if there is none of that name, or it does not accept any in its status.
    """
    if not _NAME.fullmatch(name):
        raise ApiError("ValidationError", f"{name[:64]!r} is not an endpoint name.")
    try:
        record = store.get(ENDPOINT, name)
    except NotFound:
        raise _not_found(name) from None
    if record.state["status"] not in _SERVING:
        raise _not_found(name, f" It is in status {record.state['status']}.")
    return record


def _not_found(name: str, why: str = "") -> ApiError:
    return ApiError("ValidationError", f"Endpoint {name} of account {ACCOUNT_ID} not found.{why}")


def _check_headers(record: Record, headers: Mapping[str, str]) -> None:
    for name in ("content-type", "accept", "x-amzn-sagemaker-custom-attributes"):
        value = headers.get(name, "")
        if len(value) > _MAX_HEADER_CHARACTERS or not value.isascii():
            raise ApiError("ValidationError", f"Header {name} must be ASCII of at most 1024 characters.")
    target = headers.get(_TARGET_VARIANT)
    if target is not None and target not in variant_names(record.state):
        raise ApiError("ValidationError", f"Variant {target} not found for endpoint {record.name}.")
    if "x-amzn-sagemaker-target-model" in headers:
        raise ApiError(
            "ValidationError",
            f"Endpoint {record.name} is not a multi-model endpoint and target model header is set.",
        )


def _check_support(headers: Mapping[str, str]) -> None:
    """Refuse headers that local SageMaker does not support.

    Raises:
        ApiError: ValidationError that names all of them.
    """
    members = {_member(name): value for name, value in headers.items() if name.startswith(_HEADER_PREFIX)}
    found = tables.refusals("sagemaker-runtime", "InvokeEndpoint", members)
    if found:
        raise ApiError("ValidationError", f"Local SageMaker does not support {'; '.join(found)}.")


def _member(header: str) -> str:
    """The member of InvokeEndpoint that a header carries."""
    name = header.removeprefix(_HEADER_PREFIX)
    return _MEMBERS.get(header) or "".join(word.capitalize() for word in name.split("-"))


def _timed_out(variant: str) -> str:
    # AWS's message for a container that takes too long.
    return (
        f"Your invocation timed out while waiting for a response from container {variant}. Review the latency "
        "metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
    )


def _log_arn(record: Record) -> str:
    return f"arn:aws:logs:{record.region}:{ACCOUNT_ID}:log-group:{ENDPOINT_LOG_GROUP_PREFIX}{record.name}"


def _model_error(record: Record, status: int, message: str) -> ApiError:
    log = f"{ENDPOINT_LOG_GROUP_PREFIX}{record.name}"
    return ApiError(
        "ModelError",
        f"{described_error(status, message)} See the log group {log} for more information.",
        status=424,
        details={
            "ErrorCode": "CLIENT_ERROR_FROM_MODEL" if 400 <= status < 500 else "SERVER_ERROR_FROM_MODEL",
            "OriginalStatusCode": status,
            "OriginalMessage": message,
            "LogStreamArn": _log_arn(record),
        },
    )
