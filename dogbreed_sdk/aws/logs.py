"""Reads the log of a job or endpoint from CloudWatch Logs, or from local SageMaker's copy of that API."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from dogbreed_sdk.aws.errors import is_missing, is_transient, translated
from dogbreed_sdk.errors import DogBreedError

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_logs.type_defs import GetLogEventsRequestTypeDef

logger = logging.getLogger("dogbreed_sdk")

# CloudWatch returns at most this many events per call (API reference, GetLogEvents).
_PAGE = 10_000


class LogReader:
    """Reads each log line once, in order, as lines are written.

    Args:
        client: A CloudWatch Logs client.
        group: Log group.
        prefix: Prefix of the names of the streams to read; an empty string reads the whole group.
    """

    def __init__(self, client: CloudWatchLogsClient, group: str, prefix: str) -> None:
        self._client = client
        self._group = group
        self._prefix = prefix
        self._tokens: dict[str, str | None] = {}
        self._warned = False
        self._given_up = False

    def new_lines(self, *, required: bool = True) -> Iterator[str]:
        """Yields the lines written since the last call; none while the job has no log yet.

        Args:
            required: Whether a log that cannot be read is an error. If not, it counts as empty after one warning, so
                that a job can be waited for without the permission to read its log.

        Raises:
            AccessError: Reading the log is not allowed.
            JobError: The log cannot be read for another reason.
        """
        if self._given_up and not required:
            return
        try:
            with translated(f"read the log {self._group} {self._prefix}".rstrip()):
                yield from self._unread()
        except DogBreedError as error:
            if required:
                raise
            # A throttled or failed request may succeed next time; a missing permission will not appear.
            self._given_up = not (error.__cause__ and is_transient(error.__cause__))
            if not self._warned:
                self._warned = True
                logger.warning("Continuing without the log: %s", error)

    def follow(self, ended: Callable[[], bool], poll_seconds: float) -> Iterator[str]:
        """Yields the lines that have not been read, then new ones as they are written.

        Args:
            ended: Whether no more lines will be written.
            poll_seconds: Pause between two reads.
        """
        while not ended():
            yield from self.new_lines()
            time.sleep(poll_seconds)
        yield from self.new_lines()  # read after the end, so that no line is missed

    def _unread(self) -> Iterator[str]:
        try:
            for stream in self._streams():
                yield from self._read(stream)
        except ClientError as error:
            if not is_missing(error):
                raise

    def _streams(self) -> list[str]:
        """Names of the streams so far; the instances of a job create theirs at different times."""
        paginator = self._client.get_paginator("describe_log_streams")
        if self._prefix:
            pages = paginator.paginate(logGroupName=self._group, logStreamNamePrefix=self._prefix)
        else:
            pages = paginator.paginate(logGroupName=self._group)
        for page in pages:
            for stream in page["logStreams"]:
                self._tokens.setdefault(stream["logStreamName"], None)
        return list(self._tokens)

    def _read(self, stream: str) -> Iterator[str]:
        while True:
            token = self._tokens[stream]
            request: GetLogEventsRequestTypeDef = {
                "logGroupName": self._group,
                "logStreamName": stream,
                "limit": _PAGE,
            }
            if token:
                request["nextToken"] = token
            else:
                request["startFromHead"] = True
            response = self._client.get_log_events(**request)
            self._tokens[stream] = response["nextForwardToken"]
            for event in response["events"]:
                yield event["message"]
            # The same token again means that the end was reached (API reference, GetLogEvents).
            if response["nextForwardToken"] == token:
                return
