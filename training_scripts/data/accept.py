"""Chooses a response's content type by the client's Accept header (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence


def preferred(accept: str | None, offered: Sequence[str]) -> str | None:
    """The offered content type that a client prefers: by its q-values, then by its order.

    Args:
        accept: The Accept header; None or an empty one accepts everything.
        offered: The content types that can be produced; the first one answers a wildcard.

    Returns:
        One of `offered`, or None if the client accepts none of them.

    >>> preferred("text/csv;q=0.5, application/json", ["application/json", "text/csv"])
    'application/json'
    >>> preferred("text/*, */*;q=0.1", ["application/json", "text/csv"])
    'text/csv'
    >>> preferred("text/html", ["application/json"]) is None
    True
    """
    ranges = []
    for part in (accept or "*/*").split(","):
        kind, _, parameters = part.partition(";")
        ranges.append((_quality(parameters), kind.strip().lower()))
    refused = {kind for quality, kind in ranges if quality <= 0}
    for quality, kind in sorted(ranges, key=lambda each: -each[0]):
        if quality <= 0:
            break
        for content_type in offered:
            if content_type not in refused and _matches(kind, content_type):
                return content_type
    return None


def _matches(kind: str, content_type: str) -> bool:
    if kind in ("", "*/*"):
        return True
    return content_type.startswith(kind[:-1]) if kind.endswith("/*") else content_type == kind


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
