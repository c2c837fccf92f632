"""The wire format: AWS's error shapes, JSON bodies, content types, request ids, and the region in a signature."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Mapping
from http import HTTPStatus

from dogbreed_sdk.local.store import DEFAULT_REGION

JSON_1_1 = "application/x-amz-json-1.1"
FORM = "application/x-www-form-urlencoded"
# The region and the service in the signature of a header, or of an address that was signed in advance.
_CREDENTIAL_SCOPE = re.compile(r"Credential=[^/%]+(?:/|%2F)\d{8}(?:/|%2F)([^/%]+)(?:/|%2F)([a-z0-9-]+)(?:/|%2F)")
_REGION = re.compile(r"[a-z0-9-]{1,32}")


class ApiError(Exception):
    """An error response, in AWS's terms.

    Args:
        code: AWS's name of the error, for instance "ValidationException".
        message: What happened, and to what.
        status: The HTTP status.
        details: More members of the error's shape, for instance ModelError's OriginalStatusCode.
    """

    def __init__(
        self, code: str, message: str, *, status: int = 400, details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.details = dict(details or {})


def validation_error(message: str) -> ApiError:
    """The error for an invalid request."""
    return ApiError("ValidationException", message)


def resource_not_found() -> ApiError:
    """The error for a training, tuning or transform job that does not exist, in AWS's words."""
    return ApiError("ResourceNotFound", "Requested resource not found.")


def resource_in_use(message: str) -> ApiError:
    """The error for a job whose name is taken, or that can't be changed now."""
    return ApiError("ResourceInUse", message)


def new_request_id() -> str:
    """A request id in AWS's form, marked as local: AWS's support can't look it up."""
    return f"local-{uuid.uuid4()}"


def region_of(authorization: str) -> str:
    """The region that a request was signed for; us-east-1 for an unsigned request.

    >>> region_of("AWS4-HMAC-SHA256 Credential=AKID/20261121/eu-west-1/sagemaker/aws4_request, SignedHeaders=host")
    'eu-west-1'
    >>> region_of("")
    'us-east-1'
    """
    match = _CREDENTIAL_SCOPE.search(authorization)
    return match.group(1) if match and _REGION.fullmatch(match.group(1)) else DEFAULT_REGION


def signed_service(text: str) -> str | None:
    """The service that a request was signed for, from its Authorization header or its query; None if it has no scope.

    >>> signed_service("X-Amz-Credential=AKID%2F20261121%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Date=20261121T000000Z")
    's3'
    """
    match = _CREDENTIAL_SCOPE.search(text)
    return match.group(2) if match else None


def fault_of(error: ApiError) -> str:
    """Whose fault an error is, in the query protocol's words."""
    return "Sender" if error.status < HTTPStatus.INTERNAL_SERVER_ERROR else "Receiver"


def parse_body(body: bytes) -> dict[str, object]:
    """The parameters in a JSON 1.1 request.

    Raises:
        ApiError: SerializationException if the body is not a JSON object.
    """
    if not body:
        return {}
    try:
        parameters = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError("SerializationException", f"The request body is not valid JSON: {error}") from None
    if not isinstance(parameters, dict):
        raise ApiError("SerializationException", "The request body must be a JSON object.")
    return parameters


def encode_body(response: Mapping[str, object]) -> bytes:
    """A response as JSON, without the members that are None, as on AWS."""
    return json.dumps(_without_none(response), allow_nan=False, separators=(",", ":")).encode()


def error_body(error: ApiError) -> bytes:
    """An error in the form that clients of both of AWS's JSON protocols read."""
    return encode_body({"__type": error.code, "message": error.message, "Message": error.message, **error.details})


def number(value: object) -> float | None:
    """A metric's value for JSON; None for NaN and infinity, which JSON does not have."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _without_none(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(item) for item in value]
    return value
