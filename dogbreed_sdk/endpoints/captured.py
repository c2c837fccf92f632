"""Reads captured data: the requests and responses that an endpoint with `DataCapture` stored.

SageMaker writes JSON lines to ``<folder>/<endpoint>/<variant>/<yyyy>/<mm>/<dd>/<hh>/<name>.jsonl``, in UTC (developer
guide, "Capture data from real-time endpoint"). Files appear minutes after their requests, on local SageMaker seconds.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from dogbreed_sdk.aws.small_files import read_files
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.client import responses
from dogbreed_sdk.errors import ModelError
from training_scripts._util.number_text import counted

if TYPE_CHECKING:
    from dogbreed_sdk.aws.storage import Storage
    from dogbreed_sdk.labels import LabelMap
    from dogbreed_sdk.predictions import Prediction

_log = logging.getLogger("dogbreed_sdk")

_FILE = re.compile(r"(?:.*/)?(?P<variant>[^/]+)/(?P<hour>\d{4}/\d\d/\d\d/\d\d)/[^/]+\.jsonl")
_HOUR = timedelta(hours=1)


class Body(NamedTuple):
    """A captured body.

    Attributes:
        content: The bytes that were sent.
        content_type: Their content type.
    """

    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class CapturedRequest:
    """A request to an endpoint, with the model's response.

    Attributes:
        time: When the model answered, in UTC, to the second.
        event_id: SageMaker's id of the record.
        inference_id: The id that the client gave to the request, or None.
        variant: Name of the production variant that answered.
        request: What the client sent; None if only responses are captured.
        response: What the model answered; None if only requests are captured.
        uri: The file that the record comes from.
    """

    time: datetime
    event_id: str
    inference_id: str | None
    variant: str
    request: Body | None = field(repr=False)
    response: Body | None = field(repr=False)
    uri: str = field(repr=False)

    @property
    def picture(self) -> bytes | None:
        """The picture's file content; None if there is none, as when a URL was sent or requests are not captured."""
        if self.request is None or self.request.content_type.partition(";")[0].strip().lower() == "application/json":
            return None
        return self.request.content

    def prediction(self, labels: LabelMap | None = None, *, top_k: int | None = None) -> Prediction:
        """The response as a prediction.

        Args:
            labels: Names of the classes. Responses to a `BreedClassifier` contain labels only until it knows them, so
                they are needed for most; `LabelMap.from_bundle` reads them from the bundle.
            top_k: Number of classes to keep; None keeps all.

        Raises:
            ModelError: There is no response, or it is not a prediction.
            LabelError: Labels are missing, or do not fit.
        """
        if self.response is None:
            raise ModelError(f"The record {self.event_id} has no response: the endpoint captures requests only.")
        try:
            return responses.parse(
                self.response.content, labels=labels, top_k=top_k, latency_ms=None, request_id=self.inference_id
            )
        except responses.UnknownModelError:
            raise responses.no_labels("probabilities") from None


def read_captured(
    storage: Storage, uri: str, endpoint_name: str, *, since: datetime | None = None, until: datetime | None = None
) -> Iterator[CapturedRequest]:
    """Yields the captured requests of an endpoint, hour by hour, oldest first.

    Files that data capture did not write are ignored; broken lines are counted in a warning at the end.

    Args:
        storage: The session's.
        uri: The folder that was given to data capture.
        endpoint_name: Name of the endpoint, which need not exist any more.
        since: Only requests from this time on; without a time zone it is local time.
        until: Only requests before this time.

    Raises:
        AccessError: Reading is not allowed.
    """
    folder = join(uri, endpoint_name)
    first, last = _utc(since), _utc(until)
    if first is not None:
        first = first.replace(microsecond=0)  # records tell their time to the second
    names = sorted(
        (found["hour"], file.name, found["variant"])
        for file in storage.files(folder)
        if (found := _FILE.fullmatch(file.name)) and _overlaps(found["hour"], first, last)
    )
    broken = 0
    contents = read_files(storage, [join(folder, name) for _, name, _ in names])
    for (_, _, variant), (file_uri, content) in zip(names, contents, strict=True):
        records, skipped = _records(content or b"", variant, file_uri)
        broken += skipped
        yield from (
            record
            for record in records
            if (first is None or record.time >= first) and (last is None or record.time < last)
        )
    if broken:
        _log.warning("Skipped %s below %s, not captured requests.", counted(broken, "line"), folder)


def _records(content: bytes, variant: str, uri: str) -> tuple[list[CapturedRequest], int]:
    """The records of a file, oldest first, and the number of its lines that are none."""
    records, broken = [], 0
    for line in content.splitlines():
        if not line.strip():
            continue
        try:
            records.append(_record(json.loads(line), variant, uri))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            broken += 1
    return sorted(records, key=lambda record: record.time), broken


def _record(event: Mapping[str, Any], variant: str, uri: str) -> CapturedRequest:
    captured, metadata = event["captureData"], event["eventMetadata"]
    request, response = _body(captured.get("endpointInput")), _body(captured.get("endpointOutput"))
    if request is None and response is None:
        raise ValueError("neither a request nor a response")
    time = datetime.strptime(metadata["inferenceTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return CapturedRequest(
        time=time,
        event_id=str(metadata["eventId"]),
        inference_id=metadata.get("inferenceId"),
        variant=variant,
        request=request,
        response=response,
        uri=uri,
    )


def _body(captured: Mapping[str, str] | None) -> Body | None:
    if captured is None:
        return None
    data = captured["data"]
    content = base64.b64decode(data, validate=True) if captured["encoding"] == "BASE64" else data.encode()
    return Body(content, captured.get("observedContentType") or "")


def _overlaps(hour: str, since: datetime | None, until: datetime | None) -> bool:
    """Whether a folder's hour contains times between the limits."""
    try:
        began = datetime.strptime(hour, "%Y/%m/%d/%H").replace(tzinfo=timezone.utc)
    except ValueError:
        return False
    # A file may have records of the next minutes, too: it is named for the first one.
    return (since is None or began + 2 * _HOUR > since) and (until is None or began < until)


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.astimezone(timezone.utc)
