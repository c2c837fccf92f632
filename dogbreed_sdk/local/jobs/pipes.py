"""Pipe mode: a channel's objects as a stream, which a script reads from <channel>_0, <channel>_1, ... epoch by epoch.

Source: the developer guide's "Access Training Data" and "Augmented Manifest Files for Training Jobs", and MXNet's
RecordIO, the format of records.
"""

from __future__ import annotations

import errno
import json
import os
import random
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogbreed_sdk._util.log_file import Report
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.jobs.channels import Channel, channels_of, local_path, objects_of, read
from dogbreed_sdk.local.jobs.hosts import Host
from dogbreed_sdk.local.s3.transfer import DataObject, client_for, open_object

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef

_CHUNK_BYTES = 1 << 20
_LOOK_SECONDS = 0.05
_END_SECONDS = 2.0
_RECORD_MARK = 0xCED7230A
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def stage_pipe(channel: Channel, host: Host) -> None:
    """Create the pipe of a channel's first epoch in a host's container.

    Raises:
        ConfigurationError: The channel has no objects, or they can't be listed.
    """
    _Stream(channel, host)
    os.mkfifo(_path(channel, host, 0))


@contextmanager
def fed(hosts: Sequence[Host], request: CreateTrainingJobRequestTypeDef, *, report: Report) -> Iterator[None]:
    """Feed the pipes of all channels in Pipe mode while the block runs the scripts that read them.

    Args:
        hosts: The job's hosts, whose pipes are staged.
        request: The CreateTrainingJob request.
        report: Called with a line about each channel that can't be read, once the scripts have ended.
    """
    channels = [channel for channel in channels_of(request) if channel.mode == "Pipe"]
    feeders = [_Feeder(channel, host) for channel in channels for host in hosts]
    for feeder in feeders:
        feeder.start()
    try:
        yield
    finally:
        for feeder in feeders:
            feeder.stop()
        for feeder in feeders:
            feeder.join(_END_SECONDS)
            if feeder.problem:
                report(f"warning: {feeder.problem}")


class _Feeder(threading.Thread):
    """Writes one channel into one host's pipes."""

    def __init__(self, channel: Channel, host: Host) -> None:
        super().__init__(name=f"pipe {channel.name} of {host.name}", daemon=True)
        self.problem = ""
        self._channel, self._host = channel, host
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Stop waiting for readers."""
        self._stopping.set()

    def run(self) -> None:
        """Feed one epoch after the other, as long as the script opens their pipes."""
        try:
            stream = _Stream(self._channel, self._host)
            for epoch in range(1 << 31):
                descriptor = self._opened(_path(self._channel, self._host, epoch))
                if descriptor is None:
                    return
                with os.fdopen(descriptor, "wb", buffering=0) as pipe, suppress(BrokenPipeError):
                    # Before the end of this epoch: the script opens the next pipe right after it.
                    os.mkfifo(_path(self._channel, self._host, epoch + 1))
                    for data in stream.epoch(epoch):
                        _write(pipe.fileno(), data)
                _path(self._channel, self._host, epoch).unlink(missing_ok=True)
        except (ConfigurationError, OSError, zlib.error) as error:
            self.problem = f"channel {self._channel.name!r} ended early: {error}"

    def _opened(self, path: Path) -> int | None:
        """A descriptor for writing to a pipe once it has a reader; None if the job ends before."""
        while not self._stopping.wait(_LOOK_SECONDS):
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                return None  # the script removed it
            except OSError as error:
                if error.errno != errno.ENXIO:  # no reader yet
                    raise
            else:
                os.set_blocking(descriptor, True)
                return descriptor
        return None


def _path(channel: Channel, host: Host, epoch: int) -> Path:
    return host.container / "input/data" / f"{channel.name}_{epoch}"


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@dataclass(frozen=True)
class _Line:
    """A line of an augmented manifest: the attributes that are streamed."""

    members: dict[str, Any]


class _Stream:
    """What a channel streams to a host.

    Raises:
        ConfigurationError: There is nothing to stream, or it can't be listed.
    """

    def __init__(self, channel: Channel, host: Host) -> None:
        self._channel = channel
        self._items: Sequence[DataObject | _Line]
        if channel.kind == "AugmentedManifestFile":
            lines = self._lines()
            self._items = lines[host.index :: host.count] if channel.distribution == "ShardedByS3Key" else lines
        else:
            self._items = objects_of(channel, host)

    def epoch(self, number: int) -> Iterator[bytes]:
        """The bytes of an epoch, in pieces."""
        items = self._items
        if self._channel.seed is not None:
            order = random.Random(f"{self._channel.seed} {number}")  # noqa: S311 - not a secret
            items = order.sample(list(items), len(items))
        for item in items:
            if isinstance(item, _Line):
                for name, value in item.members.items():
                    yield _record(self._attribute(name, value))
            elif self._channel.wrapper == "RecordIO":
                yield _record(b"".join(self._content(item.uri)))
            else:
                yield from self._content(item.uri)

    def _lines(self) -> list[_Line]:
        channel, found = self._channel, []
        for number, line in enumerate(read(channel.uri, channel.name).splitlines(), start=1):
            try:
                if line.strip():
                    found.append(_Line({name: json.loads(line)[name] for name in channel.attributes}))
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigurationError(
                    f"Data download failed: channel {channel.name!r}: line {number} of {channel.uri} is not a JSON "
                    f"object with the attributes {', '.join(channel.attributes)} ({error!r})."
                ) from error
        return found

    def _attribute(self, name: str, value: Any) -> bytes:
        """An attribute of an augmented manifest: the object that a -ref names, or the value itself."""
        if name.endswith("-ref"):
            return b"".join(self._content(str(value)))
        return (value if isinstance(value, str) else json.dumps(value)).encode()

    def _content(self, uri: str) -> Iterator[bytes]:
        is_remote = uri.startswith("s3://")
        stream = open_object(uri, self._client) if is_remote else local_path(uri, self._channel.name).open("rb")
        with stream:
            chunks = iter(lambda: stream.read(_CHUNK_BYTES), b"")
            yield from _decompressed(chunks) if self._channel.compression == "Gzip" else chunks

    @cached_property
    def _client(self) -> S3Client:
        return client_for(self._channel.uri)


def _decompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The content of a .gz file, which may consist of several members, in pieces of limited size."""
    decoder = zlib.decompressobj(_GZIP_WINDOW)
    for chunk in chunks:
        rest = chunk
        while rest:
            if decoder.eof:
                decoder = zlib.decompressobj(_GZIP_WINDOW)
            yield decoder.decompress(rest, _CHUNK_BYTES)
            rest = decoder.unconsumed_tail or decoder.unused_data
    if not decoder.eof:
        raise zlib.error("a compressed object is cut short")


def _record(content: bytes) -> bytes:
    """A RecordIO record: a mark, the length, the content, and zeros up to a multiple of four bytes."""
    return struct.pack("<II", _RECORD_MARK, len(content)) + content + bytes(-len(content) % 4)
