"""The log of a job or endpoint, read from CloudWatch Logs or from local SageMaker's copy of that API."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from dogbreed_sdk.aws.errors import is_missing, is_transient, translated
from dogbreed_sdk.errors import DogBreedError

logger = logging.getLogger("dogbreed_sdk")

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
        self._warned = False
        self._given_up = False

    def new_lines(self, *, required: bool = True) -> Iterator[str]:
        """Lines that were written since the last call; none while the job has no log yet.

        Args:
            required: Whether a log that cannot be read is an error. If not, it counts as empty after one warning:
                a job can be waited for without the permission to read its log.

        Raises:
            AccessError: Reading the log is not allowed.
            JobError: It cannot be read for another reason.
        """
        if self._given_up and not required:
            return
        try:
            with translated(f"read the log {self._group} {self._prefix}".rstrip()):
                yield from self._unread()
        except DogBreedError as error:
            if required:
                raise
            # What is throttled or unreachable now may be read at the next look; a permission does not come.
            self._given_up = not (error.__cause__ and is_transient(error.__cause__))
            if not self._warned:
                self._warned = True
                logger.warning("Going on without the log: %s", error)

    def _unread(self) -> Iterator[str]:
        try:
            for stream in self._streams():
                yield from self._read(stream)
        except ClientError as error:
            if not is_missing(error):
                raise

    def _streams(self) -> list[str]:
        """The streams there are by now; machines of one job begin theirs at different times."""
        arguments = {"logStreamNamePrefix": self._prefix} if self._prefix else {}
        pages = self._client.get_paginator("describe_log_streams").paginate(logGroupName=self._group, **arguments)
        for page in pages:
            for stream in page["logStreams"]:
                self._tokens.setdefault(stream["logStreamName"], None)
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
