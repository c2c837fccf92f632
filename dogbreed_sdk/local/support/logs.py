"""The members of CloudWatch Logs' operations."""

from __future__ import annotations

from dogbreed_sdk.local.support.rows import WORKS, Table, no_meaning, works

_UNMASK = no_meaning("nothing is masked")
_GROUP: Table = {"logGroupName": WORKS, "logGroupIdentifier": WORKS}

OPERATIONS: Table = {
    "DescribeLogStreams": {
        **_GROUP,
        "logStreamNamePrefix": WORKS,
        "orderBy": works(only=("LogStreamName", "LastEventTime")),
        "descending": WORKS,
        "nextToken": WORKS,
        "limit": WORKS,
    },
    "GetLogEvents": {
        **_GROUP,
        "logStreamName": WORKS,
        "startTime": WORKS,
        "endTime": WORKS,
        "nextToken": WORKS,
        "limit": WORKS,
        "startFromHead": WORKS,
        "unmask": _UNMASK,
    },
    "FilterLogEvents": {
        **_GROUP,
        "logStreamNames": WORKS,
        "logStreamNamePrefix": WORKS,
        "startTime": WORKS,
        "endTime": WORKS,
        "filterPattern": works("terms, but not patterns for JSON or columns"),
        "nextToken": WORKS,
        "limit": WORKS,
        "startFromHead": works("events come oldest first", only=(True,)),
        "interleaved": no_meaning("events of all streams are sorted by time, as on AWS"),
        "unmask": _UNMASK,
    },
}
