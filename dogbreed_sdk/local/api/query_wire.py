"""AWS's query protocol: a form as request, XML as response, described by botocore's models.

STS and IAM speak it, and old versions of CloudWatch's clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

from dogbreed_sdk.local.api.validation import operation_model, service_model
from dogbreed_sdk.local.api.wire import ApiError, fault_of
from dogbreed_sdk.local.api.xml_wire import document, element, scalar, write_members

if TYPE_CHECKING:
    from botocore.model import ListShape, Shape, StructureShape


MEDIA_TYPE = "text/xml"  # of responses


def read_form(body: bytes) -> tuple[str, dict[str, str]]:
    """The action and the parameters of a request's form."""
    try:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    except ValueError as error:
        raise ApiError("MalformedQueryString", f"The request body is not a form: {error}") from None
    form.pop("Version", None)
    return form.pop("Action", ""), form


def members_of(service: str, operation: str, form: Mapping[str, str]) -> dict[str, Any]:
    """The request's members, from names such as ActionNames.member.1."""
    shape = operation_model(service, operation).input_shape
    return _structure(shape, form, "") if shape is not None else {}


def _structure(shape: StructureShape, form: Mapping[str, str], path: str) -> dict[str, Any]:
    found = {}
    for name, member in shape.members.items():
        value = _value(member, form, f"{path}{member.serialization.get('name', name)}")
        if value is not None:
            found[name] = value
    return found


def _value(shape: Shape, form: Mapping[str, str], path: str) -> Any:
    if shape.type_name == "structure":
        return _structure(cast("StructureShape", shape), form, f"{path}.") or None
    if shape.type_name == "list":
        member = cast("ListShape", shape).member
        prefix = (
            path if shape.serialization.get("flattened") else f"{path}.{member.serialization.get('name', 'member')}"
        )
        items: list[Any] = []
        while (item := _value(member, form, f"{prefix}.{len(items) + 1}")) is not None:
            items.append(item)
        return items or None
    return scalar(shape, form[path]) if path in form else None


def response(service: str, operation: str, members: Mapping[str, Any], request_id: str) -> bytes:
    """The document of a response."""
    model = operation_model(service, operation)
    root = element(f"{operation}Response", xmlns=service_model(service).metadata.get("xmlNamespace", ""))
    if model.output_shape is not None:
        result = element(model.output_shape.serialization.get("resultWrapper", f"{operation}Result"))
        write_members(model.output_shape, members, result)
        root.append(result)
    metadata = element("ResponseMetadata")
    metadata.append(element("RequestId", request_id))
    root.append(metadata)
    return document(root)


def error_response(error: ApiError, request_id: str) -> bytes:
    """The document of an error."""
    root, inner = element("ErrorResponse"), element("Error")
    for name, text in (
        ("Type", fault_of(error)),
        ("Code", error.code),
        ("Message", error.message),
    ):
        inner.append(element(name, text))
    root.append(inner)
    root.append(element("RequestId", request_id))
    return document(root)
