"""Splits the objects of a batch transform job into the groups of records that requests are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from dogbreed_sdk.local.transform.data_processing import DataError
from dogbreed_sdk.local.transform.request import TransformRequest


def batches(content: BinaryIO, request: TransformRequest) -> Iterator[list[bytes]]:
    """The groups of records of an object, in order; reads no more of it than the group that is asked for.

    Args:
        content: The object, decompressed.
        request: How it is split.

    Raises:
        DataError: A record is larger than MaxPayloadInMB.
    """
    limit = request.payload_bytes
    if not request.splits:
        yield [_checked(content.read() if limit is None else content.read(limit + 1), limit)]
        return
    records: list[bytes] = []
    size = 0
    for record in _lines(content, limit):
        full = limit is not None and size + len(record) + 1 > limit
        if records and (full or not request.groups):
            yield records
            records, size = [], 0
        records.append(record)
        size += len(record) + 1
    if records:
        yield records


def _lines(content: BinaryIO, limit: int | None) -> Iterator[bytes]:
    """The lines without their ends; a file's last newline does not begin another line."""
    longest = -1 if limit is None else limit + 2
    while line := content.readline(longest):
        yield _checked(line.removesuffix(b"\n").removesuffix(b"\r"), limit)


def _checked(record: bytes, limit: int | None) -> bytes:
    if limit is not None and len(record) > limit:
        raise DataError(
            f"Too much data for max payload size: a record has more than MaxPayloadInMB={limit >> 20}. "
            "Raise it (up to 100), or split the object by lines."
        )
    return record
