"""XML bodies of AWS's query and REST-XML protocols, written and read as botocore's models describe them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree

from dogbreed_sdk.local.api import validation
from dogbreed_sdk.local.api.wire import ApiError

if TYPE_CHECKING:
    from botocore.model import ListShape, MapShape, Shape, StructureShape

XML = "application/xml"
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
# XML 1.0 has no way to write these; AWS's clients ask for keys in URL encoding instead.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(root: ElementTree.Element) -> bytes:
    """A document's bytes."""
    return _DECLARATION + ElementTree.tostring(root, encoding="unicode").encode()


def element(name: str, text: object = None, **attributes: str) -> ElementTree.Element:
    """An element with a text."""
    made = ElementTree.Element(name, attributes)
    if text is not None:
        made.text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(text))
    return made


def write(shape: Shape, value: Any, name: str) -> ElementTree.Element:
    """The element of a value of a shape."""
    if shape.type_name == "structure":
        return _write_structure(cast("StructureShape", shape), value, element(name))
    if shape.type_name == "list":
        made = element(name)
        _write_list(
            cast("ListShape", shape), value, made, cast("ListShape", shape).member.serialization.get("name", "member")
        )
        return made
    if shape.type_name == "map":
        made = element(name)
        for key, item in value.items():
            entry = ElementTree.SubElement(made, "entry")
            mapping = cast("MapShape", shape)
            entry.append(element(mapping.key.serialization.get("name", "key"), key))
            entry.append(write(mapping.value, item, mapping.value.serialization.get("name", "value")))
        return made
    return element(name, _text(shape, value))


def write_members(shape: StructureShape, members: Mapping[str, Any], into: ElementTree.Element) -> None:
    """Append the members that belong into the body; those that are None are left out."""
    _write_structure(shape, members, into)


def _write_structure(
    shape: StructureShape, members: Mapping[str, Any], into: ElementTree.Element
) -> ElementTree.Element:
    for name, member in shape.members.items():
        value = members.get(name)
        if value is None or "location" in member.serialization:
            continue
        if member.serialization.get("xmlAttribute"):
            prefix, _, local = member.serialization["name"].partition(":")
            into.set(f"{{http://www.w3.org/2001/XMLSchema-instance}}{local}" if prefix == "xsi" else prefix, str(value))
        elif member.type_name == "list" and member.serialization.get("flattened"):
            item = cast("ListShape", member).member
            _write_list(
                cast("ListShape", member),
                value,
                into,
                item.serialization.get("name", member.serialization.get("name", name)),
            )
        else:
            into.append(write(member, value, member.serialization.get("name", name)))
    return into


def _write_list(shape: ListShape, items: Any, into: ElementTree.Element, name: str) -> None:
    for item in items:
        into.append(write(shape.member, item, name))


def _text(shape: Shape, value: Any) -> str:
    if shape.type_name == "boolean":
        return "true" if value else "false"
    if shape.type_name == "timestamp":
        return timestamp(value, shape.serialization.get("timestampFormat", "iso8601"))
    return str(value)


def timestamp(seconds: float, form: str) -> str:
    """Epoch seconds as text: "iso8601", "rfc822" or "unixTimestamp"."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    if form == "rfc822":
        return format_datetime(moment, usegmt=True)
    if form == "unixTimestamp":
        return str(int(seconds))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read(shape: StructureShape, body: bytes) -> dict[str, Any]:
    """The members in a document.

    Raises:
        ApiError: MalformedXML.
    """
    try:
        root = _parsed(body)
    except ElementTree.ParseError as error:
        raise ApiError("MalformedXML", f"The XML you provided was not well-formed: {error}.") from None
    value: dict[str, Any] = _read(shape, root)
    return value


def _parsed(body: bytes) -> ElementTree.Element:
    parser = ElementTree.XMLParser()  # noqa: S314 - from this machine only, and expat limits entities' expansion
    parser.feed(body)
    root: ElementTree.Element = parser.close()
    for one in root.iter():
        one.tag = one.tag.rpartition("}")[2]
    return root


def _read(shape: Shape, found: ElementTree.Element) -> Any:
    if shape.type_name == "structure":
        members = {}
        for name, member in cast("StructureShape", shape).members.items():
            value = _read_member(name, member, found)
            if value is not None:
                members[name] = value
        return members
    if shape.type_name == "list":
        item = cast("ListShape", shape).member
        return [_read(item, child) for child in found.findall(item.serialization.get("name", "member"))]
    return scalar(shape, found.text or "")


def _read_member(name: str, member: Shape, found: ElementTree.Element) -> Any:
    tag = member.serialization.get("name", name)
    if member.type_name == "list" and member.serialization.get("flattened"):
        item = cast("ListShape", member).member
        children = found.findall(item.serialization.get("name", tag)) or found.findall(tag)
        return [_read(item, child) for child in children] or None
    if member.serialization.get("xmlAttribute"):
        return next((value for key, value in found.attrib.items() if key.endswith(tag.partition(":")[2])), None)
    child = found.find(tag)
    return None if child is None else _read(member, child)


def scalar(shape: Shape, text: str) -> Any:
    """The value of a text, such as a header's.

    Raises:
        ApiError: InvalidArgument if it has another type.
    """
    try:
        if shape.type_name in ("integer", "long"):
            return int(text)
        if shape.type_name in ("float", "double"):
            return float(text)
        if shape.type_name == "timestamp":
            return validation.timestamp(text)
    except (ValueError, TypeError):
        raise ApiError("InvalidArgument", f"{text[:100]!r} is not a valid {shape.type_name}.") from None
    if shape.type_name == "boolean":
        return text.strip().lower() == "true"
    return text
