"""HTTP connections of all our servers: framed strictly, cut off when they dawdle, and limited in number.

uvicorn limits only the time between requests. Bodies that the application reads have its own time limit.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

# What a client still sends after it was refused is read and thrown away, up to here, so that it gets to see the
# answer in place of a broken connection (nginx calls it lingering_close).
MOST_DISCARDED_BYTES = 32 * 1024 * 1024
# A household or machine has a whole IPv6 network of this size to choose addresses from.
_IPV6_NETWORK = 64

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/problem+json\r\n"
    b"Connection: close\r\n%b\r\n\r\n%b"
)
_FULL_BODY = (
    b'{"type": "/problems/overloaded", "title": "Too many requests are waiting", "status": 503, '
    b'"detail": "Too many connections are open.", "retry_after": 1}'
)


@dataclass(frozen=True)
class ConnectionLimits:
    """What clients may hold open.

    Where a limit is reached, a new connection takes the place of the one that has been idle longest; it is refused
    with 503 only where a request is under way on each of the others.

    Attributes:
        total: Connections at a time; default: half of the usual limit of open files, the rest of which is for the
            files and connections behind the server.
        per_address: Connections from one address, or from one IPv6 network of 64 bits; None: as many as in total.
        proxies: Addresses and networks to which `per_address` does not apply, as many clients come from there.
        header_seconds: From connecting, or from the first byte of a further request, to the end of its headers.
    """

    total: int = 512
    per_address: int | None = None
    proxies: Sequence[str] = ()
    header_seconds: float = 10.0


def network(address: str) -> str:
    """The client that an address counts as: itself, or for IPv6 the network that one household or machine has.

    >>> network("203.0.113.9"), network("2001:db8::1:2"), network("::ffff:203.0.113.9")
    ('203.0.113.9', '2001:db8::/64', '203.0.113.9')
    """
    parsed = _parsed(address)
    if parsed is None:
        return address
    return str(ipaddress.ip_network((parsed, _IPV6_NETWORK), strict=False)) if parsed.version == 6 else str(parsed)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped  # what a socket that listens on "::" calls an IPv4 client
    return parsed


def limited(limits: ConnectionLimits) -> type[LimitedProtocol]:
    """The protocol for `uvicorn.Config(http=...)` that keeps these limits."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits})


class _StrictConnection(h11.Connection):
    """h11's connection, which refuses a request whose length two headers give.

    Servers that disagree on which of them counts disagree on where the next request begins, so that one may be
    smuggled past a proxy (RFC 9112, 6.1 and 11.2). h11 itself follows Transfer-Encoding and accepts the request.
    """

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            names = {name for name, _ in event.headers}
            if {b"content-length", b"transfer-encoding"} <= names:
                raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding")
        return event


class LimitedProtocol(H11Protocol):
    """uvicorn's protocol with limits on what a client may hold open without a request under way."""

    limits = ConnectionLimits()
    _address = ""
    _idle_since = 0.0
    _patience: asyncio.TimerHandle | None = None
    _discarded = 0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        most = config.h11_max_incomplete_event_size
        self.conn = _StrictConnection(h11.SERVER) if most is None else _StrictConnection(h11.SERVER, most)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        self._address = network(self.client[0]) if self.client else ""
        self._idle_since = self.loop.time()
        if self._finds_room():
            self._wait_for_client()
            return
        length = b"Content-Length: %d" % len(_FULL_BODY)
        transport.write(_FULL % (length, _FULL_BODY))
        transport.close()

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
        """What was sent is not HTTP; a request that has begun to be answered gets no second answer."""
        super().send_400_response(msg)
        if self.cycle is not None:
            self.cycle.disconnected = True

    def on_response_complete(self) -> None:
        """An answer is out; what the client had sent beyond its request may be the beginning of another."""
        self._idle_since = self.loop.time()
        super().on_response_complete()
        begun = self.conn.their_state is not h11.IDLE or self.conn.trailing_data[0]
        if begun and not self._request_under_way() and self._patience is None:
            self._wait_for_client()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _finds_room(self) -> bool:
        """Whether the connection may stay; one that is idle may have to go for it."""
        others = [each for each in cast("set[LimitedProtocol]", self.connections) if each.counts and each is not self]
        neighbours = [each for each in others if each._address == self._address]
        most = self.limits.per_address
        if most is not None and len(neighbours) >= most and not self._is_proxy():
            return _close_idlest(neighbours)
        return len(others) < self.limits.total or _close_idlest(others)

    @property
    def counts(self) -> bool:
        """Whether it counts against the limits: once it is being closed, it no longer does."""
        return not self.transport.is_closing()

    def _is_proxy(self) -> bool:
        address = _parsed(self.client[0]) if self.client else None
        return address is not None and any(address in ipaddress.ip_network(each) for each in self.limits.proxies)

    def _request_under_way(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_client(self) -> None:
        self._patience = self.loop.call_later(self.limits.header_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        if self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # its client does not even read: closing would wait for it
        else:
            self.transport.close()


def _close_idlest(connections: Iterable[LimitedProtocol]) -> bool:
    """Closes one on which no request is under way: of the address with the most, the one idle longest."""
    crowds = Counter(each._address for each in connections)
    idle = [each for each in connections if not each._request_under_way()]
    if not idle:
        return False
    min(idle, key=lambda each: (-crowds[each._address], each._idle_since))._give_up()
    return True
