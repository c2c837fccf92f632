"""Code shared by all List operations: filters, sort order, pages."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Literal, TypedDict

from dogbreed_sdk.local.api.validation import timestamp
from dogbreed_sdk.local.api.wire import validation_error
from dogbreed_sdk.local.store import Filters, Position, Record, SortKey, Store

# The API reference's default for MaxResults, given for most List operations.
_DEFAULT_PAGE = 10
_SORT_KEYS: dict[str, SortKey] = {
    "Name": "name",
    "CreationTime": "created",
    "Status": "status",
    "FinalObjectiveMetricValue": "objective",
}


class ListRequest(TypedDict, total=False):
    """The members of List requests; each operation has some of them. Times are epoch seconds, or ISO 8601 text."""

    NextToken: str
    MaxResults: int
    SortBy: str
    SortOrder: str
    NameContains: str
    StatusEquals: str
    CreationTimeAfter: float | str
    CreationTimeBefore: float | str
    LastModifiedTimeAfter: float | str
    LastModifiedTimeBefore: float | str
    WarmPoolStatusEquals: str


@dataclass(frozen=True)
class Order:
    """How a List operation sorts by default.

    Attributes:
        sort_by: The default of SortBy.
        sort_order: The default of SortOrder.
    """

    sort_by: str = "CreationTime"
    sort_order: Literal["Ascending", "Descending"] = "Descending"

    def is_descending(self, request: ListRequest) -> bool:
        """Whether the largest value comes first."""
        return bool((request.get("SortOrder") or self.sort_order) == "Descending")


def page_of(
    store: Store, kind: str, request: ListRequest, order: Order, *, parent: str | None = None
) -> tuple[list[Record], str | None]:
    """One page of the records that pass the request's filters, and the token of the next page.

    A token contains the last record shown instead of a position, so that no record is repeated or skipped if others
    are created or deleted between two pages.

    Args:
        store: The records.
        kind: Their kind.
        request: The List operation's request.
        order: How the operation sorts by default.
        parent: The tuning job whose training jobs are listed.

    Raises:
        ApiError: ValidationException if the token is not valid for this list.
    """
    sort_by = _SORT_KEYS[request.get("SortBy") or order.sort_by]
    size = request.get("MaxResults") or _DEFAULT_PAGE
    found = store.page(
        kind,
        _filters(request, parent, measured=sort_by == "objective"),
        sort_by=sort_by,
        descending=order.is_descending(request),
        after=_read_token(request, sort_by),
        limit=size + 1,
    )
    shown = found[:size]
    if len(found) <= size:
        return shown, None
    return shown, _write_token(_position(shown[-1], sort_by))


def _filters(request: ListRequest, parent: str | None, *, measured: bool) -> Filters:
    return Filters(
        name_contains=request.get("NameContains"),
        status=request.get("StatusEquals"),
        parent=parent,
        created=(_moment(request.get("CreationTimeAfter")), _moment(request.get("CreationTimeBefore"))),
        modified=(_moment(request.get("LastModifiedTimeAfter")), _moment(request.get("LastModifiedTimeBefore"))),
        measured=measured,
    )


def _moment(given: float | str | None) -> float | None:
    return None if given is None else timestamp(given)


def _position(record: Record, sort_by: SortKey) -> Position:
    values: dict[SortKey, float | str] = {
        "name": record.name,
        "created": record.created,
        "status": str(record.state.get("status") or ""),
        "objective": record.objective or 0.0,
    }
    return values[sort_by], record.created, record.name


def _write_token(position: Position) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _read_token(request: ListRequest, sort_by: SortKey) -> Position | None:
    token = request.get("NextToken")
    if not token:
        return None
    try:
        value, created, name = json.loads(base64.urlsafe_b64decode(token.encode()))
        key = float(value) if sort_by in ("created", "objective") else value
        if not isinstance(key, (float, str)):
            raise TypeError(key)
        return key, float(created), str(name)
    except (ValueError, TypeError):
        raise validation_error("The specified NextToken is not valid for this list.") from None
