"""The log of a job or endpoint, read from CloudWatch Logs or from local SageMaker's copy of that API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from dogbreed_sdk.aws_errors import is_missing, translate

# CloudWatch answers at most this many events a call (API reference, GetLogEvents).
_PAGE = 10_000


class LogReader:
    """Reads log lines once each, in order, for as long as they come.

    Args:
        client: A CloudWatch Logs client.
        group: Log group.
        prefix: What the names of the streams to read begin with; an empty string reads all of the group.
    """

    def __init__(self, client: Any, group: str, prefix: str) -> None:
        self._client = client
        self._group = group
        self._prefix = prefix
        self._tokens: dict[str, str | None] = {}

    def new_lines(self) -> Iterator[str]:
        """Lines that were written since the last call; none while the job has no log yet."""
        try:
            for stream in self._streams():
                yield from self._read(stream)
        except ClientError as error:
            if not is_missing(error):
                raise translate(error, f"read the log {self._group} {self._prefix}") from error

    def _streams(self) -> list[str]:
        if not self._tokens:
            arguments = {"logStreamNamePrefix": self._prefix} if self._prefix else {}
            answer = self._client.describe_log_streams(logGroupName=self._group, **arguments)
            self._tokens = {stream["logStreamName"]: None for stream in answer["logStreams"]}
        return list(self._tokens)

    def _read(self, stream: str) -> Iterator[str]:
        while True:
            token = self._tokens[stream]
            arguments = {"nextToken": token} if token else {"startFromHead": True}
            answer = self._client.get_log_events(
                logGroupName=self._group, logStreamName=stream, limit=_PAGE, **arguments
            )
            self._tokens[stream] = answer["nextForwardToken"]
            for event in answer["events"]:
                yield event["message"]
            # The same token again means that the end was reached (API reference, GetLogEvents).
            if answer["nextForwardToken"] == token:
                return
