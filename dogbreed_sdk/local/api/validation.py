"""Checks requests against botocore's service models; one message in AWS's words lists all problems.

One deviation from the models: where a pattern requires an s3:// or https:// URI, file:///absolute/path is accepted.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator, Mapping, Sequence, Sized
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, cast

from dogbreed_sdk.local.api.wire import ApiError

if TYPE_CHECKING:
    from botocore.loaders import Loader
    from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

# Longer values exceed their length limit anyway; no pattern is matched against them, because that might take minutes.
_LONGEST_PATTERN_VALUE = 8192
_LONGEST_SHOWN_VALUE = 200
# The services that do not call it ValidationException.
_ERROR_CODES = {"logs": "InvalidParameterException", "cloudwatch": "ValidationError"}
_MOST_SHOWN_MEMBERS = 10
_TYPE_NAMES = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "list": list,
    "map": dict,
    "structure": dict,
    "blob": str,
}
# Java's Unicode classes, as far as Python's `re` can express them inside a character class.
_JAVA_CLASSES = {
    "Print": r" -~",
    "N": r"\d",
    "Z": "\\s\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
    "Alnum": "a-zA-Z0-9",
    "ASCII": r"\x00-\x7f",
}


@cache
def model_loader() -> Loader:
    """The loader of botocore's model files, shared so that no model is read twice in a process."""
    from botocore.loaders import create_loader  # noqa: PLC0415 - botocore is heavy; only a server needs it

    return create_loader()


@cache
def service_model(service: str) -> ServiceModel:
    """A service as botocore models it, loaded once (about 0.1 s for SageMaker)."""
    from botocore.model import ServiceModel  # noqa: PLC0415

    return ServiceModel(model_loader().load_service_model(service, "service-2"), service_name=service)


def operation_model(service: str, operation: str) -> OperationModel:
    """One operation as botocore models it."""
    return service_model(service).operation_model(operation)


def validate(service: str, operation: str, parameters: Mapping[str, object]) -> None:
    """Refuse parameters that AWS would refuse.

    Raises:
        ApiError: ValidationException, or what the service calls it, that lists every problem.
    """
    shape = operation_model(service, operation).input_shape
    found = list(problems(shape, parameters)) if shape is not None else []
    if found:
        noun = "validation error" if len(found) == 1 else "validation errors"
        raise invalid_request(service, f"{len(found)} {noun} detected: {'; '.join(found)}")


def invalid_request(service: str, message: str) -> ApiError:
    """The error for an invalid request, as the service calls it."""
    return ApiError(_ERROR_CODES.get(service, "ValidationException"), message)


def problems(shape: Shape, value: Any, path: str = "") -> Iterator[str]:
    """The problems of a value of a shape, one sentence each; for requests and for responses."""
    if not _has_type(shape.type_name, value):
        yield _problem(path, value, f"Member must be of type {shape.type_name}")
    elif shape.type_name == "structure":
        yield from _structure_problems(cast("StructureShape", shape), value, path)
    elif shape.type_name == "list":
        yield from _size_problems(shape, value, path)
        for index, item in enumerate(value, start=1):
            yield from problems(cast("ListShape", shape).member, item, f"{path}.{index}.member")
    elif shape.type_name == "map":
        yield from _size_problems(shape, value, path)
        for key, item in value.items():
            yield from problems(cast("MapShape", shape).key, key, f"{path}.key")
            yield from problems(cast("MapShape", shape).value, item, f"{path}.{key[:64]}.member")
    elif shape.type_name in ("string", "blob"):
        yield from _string_problems(shape, value, path)
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from _range_problems(shape, value, path)


def _structure_problems(shape: StructureShape, value: Mapping[str, object], path: str) -> Iterator[str]:
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if value.get(name) is None:
            yield _problem(prefix + _member_name(name), None, "Member must not be null")
    for name, item in value.items():
        member = shape.members.get(name)
        if member is None:
            known = ", ".join(shape.members)
            yield _problem(prefix + name[:64], item, f"Member is not known here; allowed are: [{known}]")
        elif item is not None:
            yield from problems(member, item, prefix + _member_name(name))
    if getattr(shape, "is_tagged_union", False) and len([v for v in value.values() if v is not None]) != 1:
        yield _problem(path, value, "Exactly one member must be set")


def _string_problems(shape: Shape, value: str, path: str) -> Iterator[str]:
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield _problem(path, value, f"Member must satisfy enum value set: [{_listed(allowed)}]")
    yield from _size_problems(shape, value, path)
    pattern = shape.metadata.get("pattern")
    if pattern and len(value) <= _LONGEST_PATTERN_VALUE and not matches(pattern, value):
        yield _problem(path, value, f"Member must satisfy regular expression pattern: {pattern}")


def _listed(allowed: Sequence[str]) -> str:
    """Some of the values: AWS lists all of them, but there are hundreds of instance types."""
    rest = len(allowed) - _MOST_SHOWN_MEMBERS
    shown = ", ".join(allowed[:_MOST_SHOWN_MEMBERS])
    return shown if rest <= 0 else f"{shown}, … and {rest} more"


def _size_problems(shape: Shape, value: Sized, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and len(value) < low:
        yield _problem(path, value, f"Member must have length greater than or equal to {low}")
    if high is not None and len(value) > high:
        yield _problem(path, value, f"Member must have length less than or equal to {high}")


def _range_problems(shape: Shape, value: float, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and value < low:
        yield _problem(path, value, f"Member must have value greater than or equal to {low}")
    if high is not None and value > high:
        yield _problem(path, value, f"Member must have value less than or equal to {high}")


def _problem(path: str, value: object, constraint: str) -> str:
    if value is None:
        shown = " null"
    elif isinstance(value, (dict, list)):
        shown = ""
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        shown = f" '{text if len(text) <= _LONGEST_SHOWN_VALUE else text[:_LONGEST_SHOWN_VALUE] + '...'}'"
    return f"Value{shown} at '{path}' failed to satisfy constraint: {constraint}"


def _has_type(type_name: str, value: object) -> bool:
    if type_name == "timestamp":
        return _is_timestamp(value)
    if type_name in ("float", "double"):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if type_name in ("integer", "long") and isinstance(value, bool):
        return False
    return isinstance(value, _TYPE_NAMES[type_name])


def _is_timestamp(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    try:
        timestamp(value)
    except (ValueError, OverflowError):
        return False
    return True


def timestamp(value: float | str) -> float:
    """Epoch seconds of a timestamp as JSON clients send it: a number, or ISO 8601 text.

    Raises:
        ValueError: It is neither.

    >>> timestamp(1795232965), timestamp("2026-11-21T03:49:25Z")
    (1795232965.0, 1795232965.0)
    """
    if isinstance(value, str):
        from botocore.utils import parse_timestamp  # noqa: PLC0415 - as above

        moment: datetime.datetime = parse_timestamp(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)).timestamp()
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a time")
    return float(value)


def matches(pattern: str, value: str) -> bool:
    r"""Whether the whole value matches one of AWS's patterns; file:// URIs are accepted in place of s3:// URIs.

    >>> matches("(https|s3)://([^/]+)/?(.*)", "file:///data/dogs"), matches("[a-z]+", "dogs!")
    (True, False)
    >>> matches(r"\A\S[\p{Print}]*\z", "an id"), matches(r"\A\S[\p{Print}]*\z", " an id")
    (True, False)
    """
    if "s3" in pattern and "://" in pattern and value.startswith("file:///"):
        return True
    compiled = _compile(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> re.Pattern[str] | None:
    """AWS's Java pattern for Python; None for the few that Python can't express, which are not checked."""
    translated = re.sub(r"\\p\{(\w+)\}", _java_class, pattern.replace(r"\z", r"\Z"))
    try:
        return re.compile(translated)
    except re.error:
        return None


def _java_class(match: re.Match[str]) -> str:
    name, before = match.group(1), match.string[: match.start()]
    if name in ("ASCII", "Print") and before.count("[") == before.count("]"):
        return f"[{_JAVA_CLASSES[name]}]"
    # Inside a class `\w` is the closest to "letters": the patterns that use it allow digits and _ too.
    return r"\w" if name == "L" else _JAVA_CLASSES.get(name, r"\W")


def _member_name(name: str) -> str:
    return name[:1].lower() + name[1:]
