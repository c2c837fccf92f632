"""HTTP connections that lose patience: clients that dawdle with their headers or never end a refused body are cut off.

uvicorn limits only the time between requests. Bodies that the application reads have its own time limit.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# From connecting, or from the first byte of a further request, to the end of its headers.
HEADER_SECONDS = 10.0
# What a client goes on sending after it was refused is read and thrown away, up to here, so that it gets to see the
# answer in place of a broken connection (nginx calls it lingering_close).
MOST_DISCARDED_BYTES = 32 * 1024 * 1024
# Half of the usual limit of open files; the rest is for the connections to the endpoint.
MOST_CONNECTIONS = 512

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/problem+json\r\n"
    b"Connection: close\r\n%b\r\n\r\n%b"
)
_FULL_BODY = (
    b'{"type": "/problems/overloaded", "title": "Too many requests are waiting", "status": 503, '
    b'"detail": "Too many connections are open.", "retry_after": 1}'
)


class PatientProtocol(H11Protocol):
    """uvicorn's protocol with limits on what a client may hold open without a request under way."""

    header_seconds = HEADER_SECONDS
    most_connections = MOST_CONNECTIONS
    _patience: asyncio.TimerHandle | None = None
    _discarded = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            length = b"Content-Length: %d" % len(_FULL_BODY)
            transport.write(_FULL % (length, _FULL_BODY))
            transport.close()
            return
        self._wait_for_client()

    def data_received(self, data: bytes) -> None:
        """A client has sent something."""
        super().data_received(data)
        if self._request_under_way():
            self._discarded = 0
            self._stop_waiting()
            return
        self._discarded += len(data)
        if self._discarded > MOST_DISCARDED_BYTES:
            self._give_up()
        elif self._patience is None:
            self._wait_for_client()

    def send_400_response(self, msg: str) -> None:
        """What was sent is no HTTP; the request that it belongs to gets no second answer."""
        super().send_400_response(msg)
        if self.cycle is not None:
            self.cycle.disconnected = True

    def on_response_complete(self) -> None:
        """An answer is out; what the client had sent beyond its request may be the beginning of another."""
        super().on_response_complete()
        begun = self.conn.their_state is not h11.IDLE or self.conn.trailing_data[0]
        if begun and not self._request_under_way() and self._patience is None:
            self._wait_for_client()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _request_under_way(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_client(self) -> None:
        self._patience = self.loop.call_later(self.header_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
