"""What all List operations share: filters, order, pages."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dogbreed_sdk.local.api.validation import timestamp
from dogbreed_sdk.local.api.wire import validation_error
from dogbreed_sdk.local.store import Filters, Position, Record, SortKey, Store

# The API reference's default for MaxResults, given for most List operations.
_DEFAULT_PAGE = 10
_SORT_KEYS: dict[str, SortKey] = {"Name": "name", "CreationTime": "created", "Status": "status"}


@dataclass(frozen=True)
class Order:
    """How a List operation sorts where the request doesn't say.

    Attributes:
        sort_by: The default of SortBy.
        sort_order: The default of SortOrder.
    """

    sort_by: str = "CreationTime"
    sort_order: Literal["Ascending", "Descending"] = "Descending"

    def is_descending(self, request: Mapping[str, Any]) -> bool:
        """Whether the largest comes first."""
        return bool((request.get("SortOrder") or self.sort_order) == "Descending")


def page_of(
    store: Store, kind: str, request: Mapping[str, Any], order: Order, *, parent: str | None = None
) -> tuple[list[Record], str | None]:
    """One page of the records that pass the request's filters, and the token of the next page.

    A token remembers the last record shown, not a position: records that come or go between two pages
    neither repeat nor hide others.

    Args:
        store: The records.
        kind: Which of them.
        request: A List operation's.
        order: What the operation sorts by where the request doesn't say.
        parent: The tuning job whose training jobs are listed.

    Raises:
        ApiError: ValidationException, where the token isn't one of ours.
    """
    sort_by = _SORT_KEYS[request.get("SortBy") or order.sort_by]
    size = request.get("MaxResults") or _DEFAULT_PAGE
    found = store.page(
        kind,
        _filters(request, parent),
        sort_by=sort_by,
        descending=order.is_descending(request),
        after=_read_token(request, sort_by),
        limit=size + 1,
    )
    shown = found[:size]
    if len(found) <= size:
        return shown, None
    return shown, _write_token(_position(shown[-1], sort_by))


def page_by_value(
    records: Sequence[Record], request: Mapping[str, Any], order: Order, value: Callable[[Record], float]
) -> tuple[list[Record], str | None]:
    """The same for a few records that are sorted by a value which the store doesn't know."""

    def position(record: Record) -> Position:
        return (value(record), record.created, record.name)

    descending = order.is_descending(request)
    chosen = sorted(records, key=position, reverse=descending)
    last = _read_token(request, "created")
    if last is not None:
        chosen = [record for record in chosen if (position(record) < last if descending else position(record) > last)]
    size = request.get("MaxResults") or _DEFAULT_PAGE
    shown = chosen[:size]
    return shown, _write_token(position(shown[-1])) if len(chosen) > size else None


def _filters(request: Mapping[str, Any], parent: str | None) -> Filters:
    def moment(member: str) -> float | None:
        given = request.get(member)
        return None if given is None else timestamp(given)

    return Filters(
        name_contains=request.get("NameContains"),
        status=request.get("StatusEquals"),
        parent=parent,
        created=(moment("CreationTimeAfter"), moment("CreationTimeBefore")),
        modified=(moment("LastModifiedTimeAfter"), moment("LastModifiedTimeBefore")),
    )


def _position(record: Record, sort_by: SortKey) -> Position:
    if sort_by == "created":
        return record.created, record.created, record.name
    return (record.name if sort_by == "name" else str(record.state.get("status") or "")), record.created, record.name


def _write_token(position: Position) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _read_token(request: Mapping[str, Any], sort_by: SortKey) -> Position | None:
    token = request.get("NextToken")
    if not token:
        return None
    try:
        value, created, name = json.loads(base64.urlsafe_b64decode(token.encode()))
        key = float(value) if sort_by == "created" else value
        if not isinstance(key, (float, str)):
            raise TypeError(key)
        return key, float(created), str(name)
    except (ValueError, TypeError):
        raise validation_error("The specified NextToken is not valid for this list.") from None
