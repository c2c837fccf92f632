"""The protocols of requests and responses: JSON for all services, and the two others that CloudWatch's clients speak.

Which one a client sends depends on its version of botocore: "query" (forms and XML) in old ones, "rpc-v2-cbor" since
2025. Source: smithy.io, section "Smithy RPC v2 CBOR protocol".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from dogbreed_sdk.local.api import cbor, query_wire
from dogbreed_sdk.local.api.validation import operation_model, service_model
from dogbreed_sdk.local.api.wire import FORM, JSON_1_1, ApiError, encode_body, error_body, parse_body

if TYPE_CHECKING:
    from botocore.model import ListShape, Shape, StructureShape

    from dogbreed_sdk.local.api.common import Members

# CloudWatch's prefix in X-Amz-Target; rpc-v2-cbor's paths contain it too.
CLOUDWATCH = "GraniteServiceVersion20100801"
_JSON_1_0 = "application/x-amz-json-1.0"
_CBOR_PATH = re.compile(r"/service/(\w+)/operation/(\w+)")


# A request: the operation as in X-Amz-Target ("SageMaker.CreateTrainingJob"), and its parameters.
Call = tuple[str, dict[str, object]]


@dataclass(frozen=True)
class Protocol:
    """How requests are read and responses written.

    Attributes:
        media_type: The Content-Type of responses.
        read: Reads a request from its X-Amz-Target header, its path and its body; may raise ApiError.
        answer: Writes an operation's response: its target, its members and the request id.
        refuse: Writes an error, with the request id.
        headers: More headers of all responses.
    """

    media_type: str
    read: Callable[[str, str, bytes], Call]
    answer: Callable[[str, Members, str], bytes]
    refuse: Callable[[ApiError, str], bytes]
    headers: Mapping[str, str] = field(default_factory=dict)


def protocol_of(path: str, content_type: str) -> Protocol:
    """The protocol of a request, by its path and its Content-Type."""
    if _CBOR_PATH.fullmatch(path):
        return CBOR
    kind = content_type.partition(";")[0].strip().lower()
    return {FORM: QUERY, _JSON_1_0: JSON_10}.get(kind, JSON)


def _read_json(target: str, _path: str, body: bytes) -> Call:
    return target, parse_body(body)


def _json(media_type: str) -> Protocol:
    return Protocol(
        media_type,
        _read_json,
        lambda _target, members, _request_id: encode_body(members),
        lambda error, _request_id: error_body(error),
    )


def _read_cbor(_target: str, path: str, body: bytes) -> Call:
    match = _CBOR_PATH.fullmatch(path)
    assert match is not None
    try:
        parameters = cbor.decode(body) if body else {}
    except (cbor.CborError, RecursionError) as error:
        raise ApiError("SerializationException", f"The request body is not valid CBOR: {error}") from None
    if not isinstance(parameters, dict):
        raise ApiError("SerializationException", "The request body must be a CBOR map.")
    return f"{match.group(1)}.{match.group(2)}", parameters


def _answer_cbor(target: str, members: Members, _request_id: str) -> bytes:
    shape = operation_model("cloudwatch", target.partition(".")[2]).output_shape
    return cbor.encode({} if shape is None else _with_times(shape, members))


def _refuse_cbor(error: ApiError, _request_id: str) -> bytes:
    return cbor.encode({"__type": error.code, "message": error.message})


def _with_times(shape: Shape, value: object) -> object:
    """A response's value without members that are None, and with its times marked as such."""
    if shape.type_name == "structure":
        members, given = cast("StructureShape", shape).members, cast("Mapping[str, object]", value)
        return {name: _with_times(members[name], item) for name, item in given.items() if item is not None}
    if shape.type_name == "list":
        return [_with_times(cast("ListShape", shape).member, item) for item in cast("list[object]", value)]
    return cbor.Time(cast("float", value)) if shape.type_name == "timestamp" else value


def _read_query(_target: str, _path: str, body: bytes) -> Call:
    action, form = query_wire.read_form(body)
    if action not in service_model("cloudwatch").operation_names:
        raise ApiError("InvalidAction", f"CloudWatch has no action {action[:64]!r}.")
    return f"{CLOUDWATCH}.{action}", query_wire.members_of("cloudwatch", action, form)


def _answer_query(target: str, members: Members, request_id: str) -> bytes:
    return query_wire.response("cloudwatch", target.partition(".")[2], members, request_id)


JSON = _json(JSON_1_1)
JSON_10 = _json(_JSON_1_0)
CBOR = Protocol("application/cbor", _read_cbor, _answer_cbor, _refuse_cbor, {"smithy-protocol": "rpc-v2-cbor"})
QUERY = Protocol(query_wire.MEDIA_TYPE, _read_query, _answer_query, query_wire.error_response)
