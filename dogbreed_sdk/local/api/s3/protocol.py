"""S3's protocol as botocore's model describes it: which operation a request is, its members, and its response."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, unquote

from dogbreed_sdk.local.api.validation import operation_model, problems, service_model
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.api.xml_wire import document, element, read, scalar, timestamp, write, write_members

if TYPE_CHECKING:
    from botocore.model import Shape, StructureShape

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_SERVICE = "s3"
# Query parameters of signatures, which are not verified, and of the SDKs' own statistics.
_IGNORED = re.compile(r"x-id|X-Amz-.*|AWSAccessKeyId|Signature|Expires", re.IGNORECASE)
# The root elements where AWS's have another name than the shape.
_ROOTS = {
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketLocation": "LocationConstraint",
    "GetBucketTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetObjectTagging": "Tagging",
    "ListBuckets": "ListAllMyBucketsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "ListObjectVersions": "ListVersionsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListParts": "ListPartsResult",
}


@dataclass(frozen=True)
class S3Request:
    """A request's line and headers.

    Attributes:
        method: GET, HEAD, PUT, POST or DELETE.
        bucket: The bucket; "" for none.
        key: The key; "" for none.
        query: The query's parameters, without those of a signature.
        headers: The headers, with names in lower case.
    """

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


def read_request(method: str, path: bytes, query: bytes, headers: Mapping[str, str], host_bucket: str) -> S3Request:
    """A request from its raw parts.

    Args:
        method: The method.
        path: The path as sent, percent-encoded.
        query: The query as sent.
        headers: The headers, with names in lower case.
        host_bucket: The bucket in the host's name (bucket.localhost); "" if there is none.

    Raises:
        ApiError: InvalidURI.
    """
    try:
        text = unquote(path.decode("ascii"), errors="strict").removeprefix("/")
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise ApiError("InvalidURI", "Couldn't parse the specified URI.") from None
    bucket, _, key = (host_bucket, "", text) if host_bucket else text.partition("/")
    return S3Request(method, bucket, key, {k: v for k, v in pairs if not _IGNORED.fullmatch(k)}, headers)


@dataclass(frozen=True)
class _Route:
    operation: str
    method: str
    has_bucket: bool
    has_key: bool
    query: Mapping[str, str]
    needs_query: tuple[str, ...]
    needs_headers: tuple[str, ...]

    def matches(self, request: S3Request) -> bool:
        return (
            (self.method, self.has_bucket, self.has_key) == (request.method, bool(request.bucket), bool(request.key))
            and all(request.query.get(name) == value for name, value in self.query.items())
            and all(name in request.query for name in self.needs_query)
            and all(name in request.headers for name in self.needs_headers)
        )

    @property
    def weight(self) -> int:
        return len(self.query) + len(self.needs_query) + len(self.needs_headers)


@cache
def _routes() -> tuple[_Route, ...]:
    """All operations of S3; those that ask for more come first, and those of general buckets before others."""
    found = list(_read_routes())
    return tuple(sorted(found, key=lambda route: (-route.weight, "Directory" in route.operation)))


def _read_routes() -> Iterator[_Route]:
    model = service_model(_SERVICE)
    for name in model.operation_names:
        operation = model.operation_model(name)
        if operation.deprecated or name == "WriteGetObjectResponse":
            continue
        shape = operation.input_shape
        members = shape.members if shape is not None else {}
        needed = [members[member].serialization for member in (shape.required_members if shape is not None else ())]
        query = operation.http["requestUri"].partition("?")[2]
        yield _Route(
            name,
            operation.http["method"],
            # Not by the path: botocore takes the bucket out of it when a client of this process uses the operation.
            "Bucket" in members and members["Bucket"].serialization.get("location") == "uri",
            "Key" in members and members["Key"].serialization.get("location") == "uri",
            {key: value for key, value in parse_qsl(query, keep_blank_values=True) if key != "x-id"},
            tuple(one["name"] for one in needed if one.get("location") == "querystring"),
            tuple(one["name"].lower() for one in needed if one.get("location") == "header"),
        )


def operation_of(request: S3Request) -> str:
    """The name of the operation that a request asks for.

    Raises:
        ApiError: MethodNotAllowed if there is none.
    """
    for route in _routes():
        if route.matches(request):
            return route.operation
    raise ApiError("MethodNotAllowed", "The specified method is not allowed against this resource.", status=405)


def body_member(operation: str) -> str | None:
    """The member that is the body's bytes; None if the operation has none."""
    shape = operation_model(_SERVICE, operation).input_shape
    payload = shape.serialization.get("payload") if shape is not None else None
    return payload if payload and shape is not None and shape.members[payload].type_name == "blob" else None


def members_of(operation: str, request: S3Request, body: bytes | None) -> dict[str, Any]:
    """A request's members.

    Args:
        operation: Its operation.
        request: The request.
        body: Its XML; None if its body is content.

    Raises:
        ApiError: A member has another type or misses, or the query has parameters that the operation doesn't know.
    """
    shape = operation_model(_SERVICE, operation).input_shape
    if shape is None:
        return {}
    named = {"Bucket": request.bucket, "Key": request.key}
    members: dict[str, Any] = {name: value for name, value in named.items() if name in shape.members}
    known = {name for route in _routes() if route.operation == operation for name in route.query}
    for name, member in shape.members.items():
        location, wire = member.serialization.get("location"), member.serialization.get("name", name)
        if location == "querystring":
            known.add(wire)
        value = _located(member, location, wire, request)
        if value is not None:
            members[name] = value
    unknown = sorted(set(request.query) - known)
    if unknown:
        raise ApiError("InvalidArgument", f"Local S3's {operation} has no parameter {unknown[0][:64]!r}.")
    payload = shape.serialization.get("payload")
    if payload and body:
        members[payload] = read(cast("StructureShape", shape.members[payload]), body)
    # The model of CopySource asks for a slash in front that clients leave out.
    checked = {name: value for name, value in members.items() if name != "CopySource"}
    found = [problem for name, value in checked.items() for problem in problems(shape.members[name], value, name)]
    if found:
        raise ApiError("MalformedXML" if payload else "InvalidArgument", "; ".join(found))
    return members


def _located(member: Shape, location: str | None, wire: str, request: S3Request) -> Any:
    if location == "headers":
        prefix = wire.lower()
        found = {name[len(prefix) :]: text for name, text in request.headers.items() if name.startswith(prefix)}
        return found or None
    text = {"querystring": request.query, "header": request.headers}.get(location or "", {}).get(
        wire.lower() if location == "header" else wire
    )
    if text is None:
        return None
    if member.type_name == "list":
        return [item.strip() for item in text.split(",")]
    return scalar(member, text)


def encode(operation: str, members: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """The headers and the XML of a response; members that are None are left out."""
    shape = operation_model(_SERVICE, operation).output_shape
    if shape is None:
        return {}, b""
    headers = _headers(shape, members)
    if operation == "GetBucketLocation":  # a text in the root element, which the model can't express
        return headers, document(element("LocationConstraint", members["LocationConstraint"], xmlns=NAMESPACE))
    payload = shape.serialization.get("payload")
    if payload:
        if shape.members[payload].type_name != "structure" or members.get(payload) is None:
            return headers, b""
        member = shape.members[payload]
        root = write(member, members[payload], member.serialization.get("name", member.name))
        root.set("xmlns", NAMESPACE)
        return headers, document(root)
    if all("location" in member.serialization for member in shape.members.values()):
        return headers, b""
    root = element(_ROOTS.get(operation, shape.name), xmlns=NAMESPACE)
    write_members(shape, members, root)
    return headers, document(root)


def _headers(shape: StructureShape, members: Mapping[str, Any]) -> dict[str, str]:
    headers = {}
    for name, member in shape.members.items():
        location, value = member.serialization.get("location"), members.get(name)
        if value is None:
            continue
        if location == "header":
            headers[member.serialization["name"]] = _header(member, value)
        elif location == "headers":
            headers.update({f"{member.serialization['name']}{key}": text for key, text in value.items()})
    return headers


def _header(member: Shape, value: Any) -> str:
    if member.type_name == "timestamp" and not isinstance(value, str):
        return timestamp(value, member.serialization.get("timestampFormat", "rfc822"))
    if member.type_name == "boolean":
        return "true" if value else "false"
    return str(value)


def error_document(error: ApiError, resource: str, request_id: str) -> bytes:
    """The document of an error."""
    root = element("Error")
    for name, text in (
        ("Code", error.code), ("Message", error.message), *error.details.items(), ("Resource", resource),
        ("RequestId", request_id),
    ):  # fmt: skip
        root.append(element(name, text))
    return document(root)
