"""Bodies of S3's requests: AWS's own chunks taken off, and the checksums that their sender names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dogbreed_sdk.local.api.wire import ApiError

_CHECKSUM = "x-amz-checksum-"
_NOT_VALUES = ("algorithm", "mode", "type")
_LONGEST_LINE = 8192
_MOST_TRAILERS = 100
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")


def is_chunked(headers: Mapping[str, str]) -> bool:
    """Whether a body consists of AWS's chunks, which carry signatures or checksums."""
    return headers.get("x-amz-content-sha256", "").startswith("STREAMING-") or "aws-chunked" in headers.get(
        "content-encoding", ""
    )


def checksums_in(headers: Mapping[str, str]) -> dict[str, str]:
    """The checksums in headers or trailers, in base64 by their algorithm: {"CRC32": "…"}."""
    names = (name for name in headers if name.startswith(_CHECKSUM) and not name.endswith(_NOT_VALUES))
    return {name.removeprefix(_CHECKSUM).upper(): headers[name] for name in names}


def announced_checksums(headers: Mapping[str, str]) -> list[str]:
    """The algorithms whose values come with a request, in its headers or behind its body."""
    trailers = {name.strip().lower(): "" for name in headers.get("x-amz-trailer", "").split(",")}
    return sorted({*checksums_in(headers), *checksums_in(trailers)})


class ChunkedBody:
    """Takes AWS's chunks off a body: `<size in hexadecimal>[;chunk-signature=…]`, data, …, 0, trailers.

    Attributes:
        trailers: The trailers, with names in lower case, when the body is complete.
        is_complete: Whether the last chunk has come.
    """

    def __init__(self) -> None:
        self.trailers: dict[str, str] = {}
        self.is_complete = False
        self._buffer = bytearray()
        self._left = 0
        self._in_trailers = False

    def feed(self, data: bytes) -> bytes:
        """The content in the next bytes.

        Raises:
            ApiError: They are not of that form.
        """
        self._buffer += data
        content = bytearray()
        while self._buffer and not self.is_complete:
            if self._left:
                taken = self._buffer[: self._left]
                del self._buffer[: len(taken)]
                content += taken
                self._left -= len(taken)
            elif not self._read_line():
                break
        return bytes(content)

    def _read_line(self) -> bool:
        """Reads a chunk's size or a trailer; False if the line has not come yet."""
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > _LONGEST_LINE:
                raise _malformed()
            return False
        line = bytes(self._buffer[:end]).strip()
        del self._buffer[: end + 1]
        if self._in_trailers:
            name, colon, value = line.decode("latin-1").partition(":")
            if colon:
                self.trailers[name.strip().lower()] = value.strip()
            if len(self.trailers) > _MOST_TRAILERS:
                raise _malformed()
            self.is_complete = not line
        elif line:  # otherwise the line's end behind a chunk
            size = line.partition(b";")[0].strip()
            if not _SIZE.fullmatch(size):
                raise _malformed()
            self._left = int(size, 16)
            self._in_trailers = self._left == 0
        return True

    def finish(self) -> None:
        """Check that the body was complete.

        Raises:
            ApiError: IncompleteBody.
        """
        # Without trailers, the empty line at the end may be missing.
        if not self.is_complete and not (self._in_trailers and not self._buffer):
            raise _malformed()


def _malformed() -> ApiError:
    return ApiError("IncompleteBody", "The request body is incomplete or not in AWS's chunks.")
