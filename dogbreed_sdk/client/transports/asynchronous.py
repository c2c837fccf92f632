"""Requests to an asynchronous endpoint: the body goes to S3, and the response, or a failure, comes from there."""

from __future__ import annotations

import json
import logging
import math
import re
import time
import uuid
from collections.abc import Collection
from contextlib import contextmanager
from threading import Event, Lock, get_ident
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from botocore.exceptions import ClientError, ReadTimeoutError, ResponseStreamingError

from dogbreed_sdk import defaults
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.client.transports import Response, deadlines
from dogbreed_sdk.client.transports.endpoint import EndpointTransport
from dogbreed_sdk.errors import AccessError, ConfigurationError, DogBreedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.exceptions import _ClientErrorResponseTypeDef

    from dogbreed_sdk.session import Session

_log = logging.getLogger("dogbreed_sdk")

# API reference, InvokeEndpointAsync: the bounds of RequestTTLSeconds and InvocationTimeoutSeconds.
_QUEUE_SECONDS = (60, 21_600)
_INVOCATION_SECONDS = (1, 3600)
# The pause between two looks for the response grows from the first to the last: a picture takes a fraction of a
# second, an instance that is being started minutes.
_FIRST_LOOK_SECONDS = 0.05
_LAST_LOOK_SECONDS = 2.0
# Longest text of a failure that is read for its meaning.
_LONGEST_FAILURE = 4000
# "Received client error (415) from model …": AWS has no separate field for the status.
_STATUS = re.compile(r"\((?P<status>[45]\d\d)\)|\bstatus(?: code)?[ :]+(?P<code>[45]\d\d)\b")
_TIMED_OUT = re.compile(r"tim(?:ed|e) ?out|did not respond|expired", re.IGNORECASE)


class Folders(NamedTuple):
    """Where an asynchronous endpoint's files are.

    Attributes:
        inputs: URI of the folder for the bodies of requests.
        keeps_outcomes: Whether responses and failures stay, since others were notified of them.
    """

    inputs: str
    keeps_outcomes: bool


class AsynchronousTransport(EndpointTransport):
    """Calls InvokeEndpointAsync, waits for the outcome, and deletes what the request left on S3.

    Args:
        endpoint_name: Name of the endpoint.
        session: The session that it belongs to; it must be allowed to write and delete in the folder for inputs, and to
            list and read those for responses and failures.
        folders: Where the endpoint's files are.

    Raises:
        ConfigurationError: No endpoint can have this name.
    """

    def __init__(self, endpoint_name: str, session: Session, folders: Folders) -> None:
        super().__init__(endpoint_name, session)
        self._folders = folders
        self._waits: dict[int, Event] = {}
        self._waits_lock = Lock()

    def __getstate__(self) -> Any:
        return super().__getstate__(), self._folders

    def __setstate__(self, state: Any) -> None:
        (name, session, connections, _), folders = state
        self.__init__(name, session, folders)  # type: ignore[misc]
        self.widen(connections)

    def for_variant(self, name: str | None) -> EndpointTransport:
        """Itself: InvokeEndpointAsync has no TargetVariant.

        Raises:
            ConfigurationError: A variant was named.
        """
        if name is not None:
            raise ConfigurationError(
                f"{self.name} is asynchronous: SageMaker chooses the variant, so target_variant cannot be given."
            )
        return self

    def invoke(
        self, body: bytes, content_type: str, accept: str, *, connect_timeout: float, read_timeout: float
    ) -> Response:
        """Sends one request and waits for its outcome; no retries.

        Raises:
            ClientError: AWS refused it, or the model failed.
            ReadTimeoutError: There was no outcome in time.
            DogBreedError: S3 refused.
        """
        ends = time.monotonic() + read_timeout
        inference_id = str(uuid.uuid4())
        source = join(self._folders.inputs, inference_id)
        storage = self.session.storage
        storage.write_bytes(body, source)
        try:
            client = self._runtime(connect_timeout, read_timeout)
            with deadlines.Deadline(max(ends - time.monotonic(), defaults.INVOKE_SHORTEST_TIMEOUT_SECONDS)):
                accepted = client.invoke_endpoint_async(
                    EndpointName=self.endpoint_name,
                    InputLocation=source,
                    ContentType=content_type,
                    Accept=accept,
                    InferenceId=inference_id,
                    # What nobody waits for any more should not occupy the model.
                    RequestTTLSeconds=_within(read_timeout, _QUEUE_SECONDS),
                    InvocationTimeoutSeconds=_within(read_timeout, _INVOCATION_SECONDS),
                )
            outcome = self._outcome(accepted["OutputLocation"], accepted.get("FailureLocation"), inference_id, ends)
        finally:
            self._delete(source)
        return Response(outcome, "", inference_id)

    def abort(self, thread_ids: Collection[int]) -> None:
        """Ends the waits of these threads, and shuts down the connections that they use."""
        with self._waits_lock:
            for thread_id in thread_ids:
                if thread_id in self._waits:
                    self._waits[thread_id].set()
        super().abort(thread_ids)

    def _outcome(self, output: str, failure: str | None, inference_id: str, ends: float) -> bytes:
        """The response, once it is there.

        Raises:
            ClientError: The model failed, or its endpoint did.
            ReadTimeoutError: There is neither in time.
            ResponseStreamingError: The wait was aborted.
        """
        pause = _FIRST_LOOK_SECONDS
        with self._abortable() as aborted:
            while True:
                for uri in filter(None, (output, failure)):
                    content = self._look(uri)
                    if content is None:
                        continue
                    if not self._folders.keeps_outcomes:
                        self._delete(uri)
                    if uri == failure:
                        raise _failed(content, inference_id)
                    return content
                left = ends - time.monotonic()
                if left <= 0:
                    raise ReadTimeoutError(endpoint_url=output)
                if aborted.wait(min(pause, left)):
                    raise ResponseStreamingError(error="the request was aborted")
                pause = min(1.5 * pause, _LAST_LOOK_SECONDS)

    def _look(self, uri: str) -> bytes | None:
        """The content of an outcome; None if it is not there yet."""
        try:
            return self.session.storage.read_bytes(uri)
        except AccessError as error:
            raise AccessError(
                f"{error} Waiting for a response takes s3:ListBucket beside s3:GetObject: without it S3 does not say "
                "whether a file is forbidden or not there yet."
            ) from error

    @contextmanager
    def _abortable(self) -> Iterator[Event]:
        """An event that `abort` sets for this thread."""
        event, thread_id = Event(), get_ident()
        with self._waits_lock:
            self._waits[thread_id] = event
        try:
            yield event
        finally:
            with self._waits_lock:
                del self._waits[thread_id]

    def _delete(self, uri: str) -> None:
        """Deletes a file that is of no use any more; a failure to do so must not hide the response."""
        try:
            self.session.storage.delete_file(uri)
        except DogBreedError as error:
            _log.warning("A file of an asynchronous request was left behind: %s", error)


def _within(seconds: float, bounds: tuple[int, int]) -> int:
    """Whole seconds within the bounds of a request.

    >>> _within(0.5, (60, 21_600)), _within(90.5, (60, 21_600)), _within(1e9, (60, 21_600))
    (60, 91, 21600)
    """
    least, most = bounds
    return min(max(math.ceil(seconds), least), most)


def _failed(content: bytes, inference_id: str) -> ClientError:
    """The error that the same failure would be at a real-time endpoint.

    The object at the failure location is a text without a documented form; local SageMaker's is JSON.
    """
    text = content.decode("utf-8", "replace")[:_LONGEST_FAILURE].strip()
    try:
        described = json.loads(content)
    except ValueError:
        described = None
    described = described if isinstance(described, dict) else {}
    message = str(described.get("message") or described.get("errorMessage") or text)
    found = _STATUS.search(message)
    status = described.get("originalStatusCode") or (int(found["status"] or found["code"]) if found else None)
    # As SageMaker reports what has no status: 0 for a model that did not respond.
    details = {
        "Error": {"Code": "ModelError", "Message": f"{message} (timed out)" if _TIMED_OUT.search(message) else message},
        "OriginalStatusCode": 0 if status is None else status,
        "OriginalMessage": described.get("originalMessage") or message,
        "ResponseMetadata": {"RequestId": inference_id, "HTTPStatusCode": 424},
    }
    return ClientError(cast("_ClientErrorResponseTypeDef", details), "InvokeEndpointAsync")
