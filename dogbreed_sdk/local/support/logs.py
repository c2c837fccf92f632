"""The members of CloudWatch Logs' operations."""

from __future__ import annotations

from dogbreed_sdk.local.support.rows import WORKS, Table, no_meaning, works

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
        "unmask": no_meaning("nothing is masked"),
    },
}
