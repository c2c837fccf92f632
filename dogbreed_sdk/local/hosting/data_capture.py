"""Data capture: samples of an endpoint's requests and responses, as JSON lines in AWS's form.

Source: the developer guide's page "Capture data from real-time endpoint". Lines are collected for a moment and written
together, to <destination>/<endpoint>/<variant>/<yyyy>/<mm>/<dd>/<hh>/<mm-ss-mmm-id>.jsonl, in UTC.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import logging
import random
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dogbreed_sdk.local.hosting.objects import joined, write_object

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DataCaptureConfigOutputTypeDef

# AWS writes files every few minutes; people wait for local ones.
FLUSH_SECONDS = 2.0
# A larger collection is written at once.
_MAX_WAITING_BYTES = 8 * 1024 * 1024
# What comes while a slow destination takes the last collection is lost beyond this.
_MAX_KEPT_BYTES = 64 * 1024 * 1024
# A disk may be full or an index locked for a moment; a destination that is gone must not fill the memory.
_ATTEMPTS = 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Payload:
    """A body with its content type."""

    content: bytes
    content_type: str


@dataclass(frozen=True)
class Exchange:
    """A request to an endpoint, and the model's response.

    Attributes:
        endpoint: The endpoint's name.
        variant: The production variant's name.
        request: What the client sent.
        response: What the model answered.
        inference_id: The client's id for the request, if it gave one.
        custom_attributes: The attributes that the client gave, if any.
        time: When the response came.
    """

    endpoint: str
    variant: str
    request: Payload
    response: Payload
    inference_id: str | None = None
    custom_attributes: str | None = None
    time: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.timezone.utc))

    def line(self, config: DataCaptureConfigOutputTypeDef) -> bytes:
        """The captured event as a line of a file."""
        modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        captured = {}
        if modes & {"Input", "InputAndOutput"}:
            captured["endpointInput"] = _captured(self.request, "INPUT", config)
        if modes & {"Output", "InputAndOutput"}:
            captured["endpointOutput"] = _captured(self.response, "OUTPUT", config)
        given = {"inferenceId": self.inference_id, "customAttributes": self.custom_attributes}
        event = {
            "captureData": captured,
            "eventMetadata": {
                "eventId": str(uuid.uuid4()),
                **{name: value for name, value in given.items() if value},
                "inferenceTime": self.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "eventVersion": "0",
        }
        return json.dumps(event).encode() + b"\n"


def _captured(payload: Payload, mode: str, config: DataCaptureConfigOutputTypeDef) -> dict[str, str]:
    headers = config.get("CaptureContentTypeHeader") or {}
    kind = payload.content_type.partition(";")[0].strip().lower()
    encoding = "BASE64"
    for name, types in (("CSV", headers.get("CsvContentTypes")), ("JSON", headers.get("JsonContentTypes"))):
        if kind in _lowered(types or ()):
            encoding = name
    try:
        data = payload.content.decode("utf-8") if encoding != "BASE64" else ""
    except UnicodeDecodeError:
        encoding = "BASE64"
    if encoding == "BASE64":
        data = base64.b64encode(payload.content).decode("ascii")
    return {"observedContentType": payload.content_type, "mode": mode, "data": data, "encoding": encoding}


def _lowered(types: Iterable[str]) -> set[str]:
    return {each.strip().lower() for each in types}


@dataclass
class _Batch:
    """Lines for one file.

    Attributes:
        time: When the first one was captured; it names the file.
        lines: The lines.
        attempts: How often writing them has failed.
    """

    time: datetime.datetime
    lines: list[bytes] = field(default_factory=list)
    attempts: int = 0


class DataCapture:
    """Collects captured events and writes them.

    Events that a killed server had collected in its last two seconds are lost.
    """

    def __init__(self) -> None:
        self._seconds = FLUSH_SECONDS
        # By the folder of the file.
        self._waiting: dict[str, _Batch] = {}
        self._size = 0
        self._lost = 0
        self._full = asyncio.Event()

    def add(self, exchange: Exchange, config: DataCaptureConfigOutputTypeDef) -> None:
        """Capture an exchange, if the sampling picks it."""
        if not config.get("EnableCapture", True):
            return
        if random.random() * 100 >= config["InitialSamplingPercentage"]:  # noqa: S311 - sampling is not a secret
            return
        hour = exchange.time.strftime("%Y/%m/%d/%H")
        folder = joined(config["DestinationS3Uri"], exchange.endpoint, exchange.variant, hour)
        line = exchange.line(config)
        if self._size + len(line) > _MAX_KEPT_BYTES:
            self._lost += 1
            return
        self._waiting.setdefault(folder, _Batch(exchange.time)).lines.append(line)
        self._size += len(line)
        if self._size > _MAX_WAITING_BYTES:
            self._full.set()

    async def run(self) -> None:
        """Write the captured records every two seconds until cancelled."""
        while True:
            with suppress(asyncio.TimeoutError):  # another class than the builtin one in Python 3.10
                await asyncio.wait_for(self._full.wait(), self._seconds)
            try:
                await self.flush()
            except Exception:  # noqa: BLE001 - or nothing would be written any more
                _log.exception("captured requests are lost")

    async def flush(self) -> None:
        """Write what was collected; what can't be written is kept for some further attempts."""
        if self._lost:
            _log.error("captured requests are lost: %d, which came faster than they could be written", self._lost)
        waiting = self._waiting
        self._waiting, self._size, self._lost = {}, 0, 0
        self._full.clear()
        if not waiting:
            return
        try:
            failures = await asyncio.to_thread(_write, waiting)
        except RuntimeError as error:  # the machine gives no more threads
            failures = dict.fromkeys(waiting, error)
        for folder, failure in failures.items():
            self._keep(folder, waiting[folder], failure)

    def _keep(self, folder: str, batch: _Batch, failure: Exception) -> None:
        """Keeps what could not be written for the next attempt, if there is one."""
        batch.attempts += 1
        if batch.attempts >= _ATTEMPTS:
            _log.error("captured requests are lost: %d, since %s", len(batch.lines), failure)
            return
        if batch.attempts == 1:
            _log.warning("captured requests can't be written yet: %s", failure)
        newer = self._waiting.get(folder)
        self._waiting[folder] = batch
        self._size += sum(map(len, batch.lines))
        if newer is not None:
            batch.lines += newer.lines


def _write(waiting: Mapping[str, _Batch]) -> dict[str, Exception]:
    """Writes a file for each folder; returns why some could not be written."""
    failures: dict[str, Exception] = {}
    for folder, batch in waiting.items():
        name = f"{batch.time:%M-%S}-{batch.time.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
        content = b"".join(batch.lines)
        try:
            # A power failure loses the last seconds, as the end of a killed server does.
            write_object(joined(folder, name), content, content_type="application/jsonlines", durable=False)
        except Exception as error:  # noqa: BLE001 - the requests were answered; their clients can't be told
            failures[folder] = error
    return failures
