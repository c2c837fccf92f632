"""What all List operations share: filters, order, pages."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dogbreed_sdk.local.store import Record
from dogbreed_sdk.local.validation import timestamp
from dogbreed_sdk.local.wire import validation_error

# The API reference's default for MaxResults, given for most List operations.
_DEFAULT_PAGE = 10

SortKey = Callable[[Record], float | str]


def _status(record: Record) -> str:
    return str(record.state.get("status", ""))


@dataclass(frozen=True)
class Order:
    """How a List operation sorts where the request doesn't say, and by what it can.

    Attributes:
        sort_by: The default of SortBy.
        sort_order: The default of SortOrder.
        keys: Further values of SortBy beyond Name, CreationTime and Status.
    """

    sort_by: str = "CreationTime"
    sort_order: Literal["Ascending", "Descending"] = "Descending"
    keys: Mapping[str, SortKey] = field(default_factory=dict)

    def key(self, sort_by: str) -> SortKey:
        """The function that gives a record's value of SortBy."""
        known: dict[str, SortKey] = {
            "Name": lambda record: record.name,
            "CreationTime": lambda record: record.created,
            "Status": _status,
        }
        return {**known, **self.keys}[sort_by]


def page_of(records: Sequence[Record], request: Mapping[str, Any], order: Order) -> tuple[list[Record], str | None]:
    """One page of the records that pass the request's filters, and the token of the next page.

    A token remembers the last record shown, not a position: records that come or go between two pages
    neither repeat nor hide others.

    Raises:
        ApiError: ValidationException, where the token isn't one of ours.
    """
    key = order.key(request.get("SortBy") or order.sort_by)
    descending = (request.get("SortOrder") or order.sort_order) == "Descending"

    def position(record: Record) -> tuple[float | str, float, str]:
        return (key(record), record.created, record.name)

    chosen = [record for record in records if _passes(record, request)]
    chosen.sort(key=position, reverse=descending)
    if request.get("NextToken"):
        try:
            last = _read_token(request["NextToken"])
            chosen = [r for r in chosen if (position(r) < last if descending else position(r) > last)]
        except (ValueError, TypeError):
            raise validation_error("The specified NextToken is not valid for this list.") from None
    size = request.get("MaxResults") or _DEFAULT_PAGE
    shown = chosen[:size]
    return shown, _write_token(position(shown[-1])) if len(chosen) > size else None


def _passes(record: Record, request: Mapping[str, Any]) -> bool:
    name_part, status = request.get("NameContains"), request.get("StatusEquals")
    if name_part and name_part not in record.name:
        return False
    if status and _status(record) != status:
        return False
    for member, moment in (("CreationTime", record.created), ("LastModifiedTime", record.modified)):
        after, before = request.get(f"{member}After"), request.get(f"{member}Before")
        if after is not None and moment <= timestamp(after):
            return False
        if before is not None and moment >= timestamp(before):
            return False
    return True


def _write_token(position: tuple[float | str, float, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _read_token(token: str) -> tuple[float | str, float, str]:
    value, created, name = json.loads(base64.urlsafe_b64decode(token.encode()))
    return value, float(created), str(name)
