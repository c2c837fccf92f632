"""HTTP connections of all our servers: strict framing, timeouts for slow clients, and a limit on their number.

uvicorn limits only the time between requests. The application limits the time for the bodies that it reads.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

# After a refusal, up to this much more input is read and discarded, so that the client sees the response, not a broken
# connection (nginx calls it lingering_close).
MOST_DISCARDED_BYTES = 32 * 1024 * 1024
# A household or machine can choose addresses from a whole IPv6 network of this size.
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
    """Limits on clients' open connections.

    At a limit, a new connection replaces the one that has been idle longest. It is refused with 503 only if all others
    are processing a request.

    Attributes:
        total: The maximum number of connections; default: half of the usual limit of open files, which leaves room for
            the server's own files and connections.
        per_address: The maximum per address, or per IPv6 network of 64 bits; None: as many as in total.
        proxies: Addresses and networks to which `per_address` does not apply, as many clients connect through them.
        header_seconds: From connecting, or from the first byte of a further request, to the end of its headers.
    """

    total: int = 512
    per_address: int | None = None
    proxies: Sequence[str] = ()
    header_seconds: float = 10.0


@lru_cache(maxsize=4096)  # asked for every request
def network(address: str) -> str:
    """The client behind an address: the address itself, or for IPv6 the network of one household or machine.

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
    """The protocol class with these limits, for `uvicorn.Config(http=...)`."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits})


class _StrictConnection(h11.Connection):
    """h11's connection, which refuses a request with two headers for its length.

    Two servers that follow different headers disagree on where the next request begins, so that a request may be
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
    """uvicorn's protocol, with limits on connections without a request in progress."""

    limits = ConnectionLimits()
    _address = ""
    _idle_since = 0.0
    _header_timer: asyncio.TimerHandle | None = None
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
        """Called when a client has connected."""
        super().connection_made(transport)
        self._address = network(self.client[0]) if self.client else ""
        self._idle_since = self.loop.time()
        if self._has_room():
            self._wait_for_client()
            return
        length = b"Content-Length: %d" % len(_FULL_BODY)
        transport.write(_FULL % (length, _FULL_BODY))
        transport.close()

    def data_received(self, data: bytes) -> None:
        """Called when a client has sent something."""
        super().data_received(data)
        if self._is_processing():
            self._discarded = 0
            self._stop_waiting()
            return
        self._discarded += len(data)
        if self._discarded > MOST_DISCARDED_BYTES:
            self._drop()
        elif self._header_timer is None:
            self._wait_for_client()

    def send_400_response(self, msg: str) -> None:
        """Refuse input that is not HTTP; if a response has begun, no second one is sent."""
        super().send_400_response(msg)
        if self.cycle is not None:
            self.cycle.disconnected = True

    def on_response_complete(self) -> None:
        """Called after a response; data that the client sent after its request may be the beginning of the next one."""
        self._idle_since = self.loop.time()
        super().on_response_complete()
        begun = self.conn.their_state is not h11.IDLE or self.conn.trailing_data[0]
        if begun and not self._is_processing() and self._header_timer is None:
            self._wait_for_client()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the connection has ended."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _has_room(self) -> bool:
        """Whether the connection may stay; an idle one may be closed to make room for it."""
        others = [each for each in cast("set[LimitedProtocol]", self.connections) if each.counts and each is not self]
        neighbors = [each for each in others if each._address == self._address]
        most = self.limits.per_address
        if most is not None and len(neighbors) >= most and not self._is_proxy():
            return _close_idlest(neighbors)
        return len(others) < self.limits.total or _close_idlest(others)

    @property
    def counts(self) -> bool:
        """Whether it counts against the limits: a connection that is being closed does not."""
        return not self.transport.is_closing()

    def _is_proxy(self) -> bool:
        address = _parsed(self.client[0]) if self.client else None
        return address is not None and any(address in ipaddress.ip_network(each) for each in self.limits.proxies)

    def _is_processing(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_client(self) -> None:
        self._header_timer = self.loop.call_later(self.limits.header_seconds, self._drop)

    def _stop_waiting(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _drop(self) -> None:
        if self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # the client does not read, so closing would wait for it
        else:
            self.transport.close()


def _close_idlest(connections: Iterable[LimitedProtocol]) -> bool:
    """Closes the longest-idle connection of the address that has the most; False if all are busy."""
    crowds = Counter(each._address for each in connections)
    idle = [each for each in connections if not each._is_processing()]
    if not idle:
        return False
    min(idle, key=lambda each: (-crowds[each._address], each._idle_since))._drop()
    return True
