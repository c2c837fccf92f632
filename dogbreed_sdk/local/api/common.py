"""Code shared by the operations of all resources: their context, checks of requests, tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dogbreed_sdk.local.api.validation import operation_model
from dogbreed_sdk.local.api.wire import ApiError, validation_error
from dogbreed_sdk.local.store import Request, Store

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import TagTypeDef

MAX_TAGS = 50


@dataclass(frozen=True)
class Context:
    """The context of a request: the store, and the region in its signature."""

    store: Store
    region: str


# The members of a response; those that are None are left out.
Members = dict[str, object]
# A request that was checked against AWS's model; each operation declares the type of its requests.
Operation = Callable[[Context, Any], Members]


def request_members(operation: str, request: Request) -> Members:
    """The members of a create request that an operation's response repeats (never the tags)."""
    output = operation_model("sagemaker", operation).output_shape
    known = output.members if output is not None else {}
    return {name: value for name, value in request.items() if name in known and value is not None}


def require(request: Mapping[str, object], *names: str, path: str = "") -> None:
    """Check for members that AWS requires although its model calls them optional.

    Raises:
        ApiError: ValidationException that names the first missing one.
    """
    for name in names:
        if request.get(name) is None:
            member = f"{path}{name[:1].lower()}{name[1:]}"
            raise validation_error(
                f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: "
                "Member must not be null"
            )


def first_duplicate(names: Sequence[str]) -> str | None:
    """The first name that occurs twice; None if there are no duplicates."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def tags_of(tags: Sequence[TagTypeDef] | None) -> dict[str, str]:
    """Tags by key.

    Raises:
        ApiError: ValidationException for a duplicate key, or for too many tags.
    """
    pairs = list(tags or [])
    duplicate = first_duplicate([tag["Key"] for tag in pairs])
    if duplicate is not None:
        raise validation_error(f"Duplicate tag key {duplicate!r}: each key may occur once.")
    if len(pairs) > MAX_TAGS:
        raise validation_error(f"{len(pairs)} tags given; a resource may have {MAX_TAGS}.")
    return {tag["Key"]: tag["Value"] for tag in pairs}


def cannot_start(what: str, error: Exception) -> ApiError:
    """The error for a resource that was accepted, but whose process can't be started."""
    return ApiError("InternalFailure", f"Could not start {what}: {error}", status=500)
