"""Fetches a picture from a URL that a client of an endpoint names, without lending it the endpoint's network.

A server that opens any URL it is handed can be made to read its neighbours and its own credentials (server-side
request forgery; OWASP SSRF Prevention Cheat Sheet). So fetching is off until the endpoint's environment allows it,
and every connection, redirects included, goes to an address that was judged, not to a name resolved once more.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from training_scripts import ScriptError

ENABLING_VARIABLE = "DOGBREED_FETCH_URLS"
NETWORKS_VARIABLE = "DOGBREED_FETCH_NETWORKS"

MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK_BYTES = 64 << 10
# NAT64 (RFC 6052): the last 32 bits are an IPv4 address, which must be judged as one.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Retired (RFC 3879), but networks that still use it are private; Python calls it global.
_SITE_LOCAL = ipaddress.ip_network("fec0::/10")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class FetchError(ScriptError):
    """A URL is refused, or gave no picture; the message is fit for the client that named it."""


@dataclass(frozen=True)
class FetchPolicy:
    """What may be fetched.

    Attributes:
        enabled: Whether anything may.
        networks: Private networks that are allowed beside public addresses.
        max_bytes: Largest body; 25 MB is the largest request SageMaker would carry itself.
        timeout: Seconds for the whole fetch, redirects included; SageMaker wants the answer within 60.
    """

    enabled: bool = False
    networks: tuple[_Network, ...] = ()
    max_bytes: int = 25 * 10**6
    timeout: float = 10.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> FetchPolicy:
        """The policy of `DOGBREED_FETCH_URLS=1` and `DOGBREED_FETCH_NETWORKS=10.0.0.0/8,...`.

        Raises:
            FetchError: A network is not in CIDR notation.
        """
        listed = [part.strip() for part in environ.get(NETWORKS_VARIABLE, "").split(",") if part.strip()]
        try:
            networks = tuple(ipaddress.ip_network(part) for part in listed)
        except ValueError as error:
            raise FetchError(f"{NETWORKS_VARIABLE} of the endpoint is wrong: {error}") from error
        return cls(environ.get(ENABLING_VARIABLE, "").lower() in {"1", "true"}, networks)


def fetch(url: str, policy: FetchPolicy) -> bytes:
    """The body behind an http or https URL.

    Raises:
        FetchError: Fetching is off, the URL or where it leads is refused, or the answer is no success, too
            large or too slow.
    """
    if not policy.enabled:
        raise FetchError(
            f"this endpoint fetches no URLs: send the picture's bytes, or deploy with {ENABLING_VARIABLE}=1"
        )
    deadline = time.monotonic() + policy.timeout
    for _ in range(MAX_REDIRECTS + 1):
        target = _checked(url)
        try:
            body, location = _request(target, policy, deadline)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            if isinstance(error, TimeoutError) or time.monotonic() >= deadline:
                raise FetchError(f"the URL's server did not answer within {policy.timeout:g} s") from error
            raise FetchError(f"cannot fetch from {target.hostname}: {type(error).__name__}") from error
        if location is None:
            return body
        url = urljoin(url, location)
    raise FetchError(f"the URL redirects more than {MAX_REDIRECTS} times")


def _checked(url: str) -> SplitResult:
    try:
        target = urlsplit(url)
        port = target.port
    except ValueError:
        raise FetchError("the URL is malformed") from None
    if target.scheme not in {"http", "https"} or not target.hostname or port == 0:
        raise FetchError("only http:// and https:// URLs with a host are fetched")
    if target.username is not None or target.password is not None:
        raise FetchError("the URL carries a user name or password; name a URL that needs none")
    if not url.isascii() or any(character <= " " for character in url):
        raise FetchError("the URL holds characters that must be percent-encoded")
    return target


def _request(target: SplitResult, policy: FetchPolicy, deadline: float) -> tuple[bytes, str | None]:
    """One GET: the body, or the place that the answer redirects to."""
    connection = _connection(target, policy, deadline)
    # A socket's own timeout starts again with every byte; a server that drips them must meet the deadline too.
    watchdog = threading.Timer(_remaining(deadline), _cut, (connection.sock,))
    watchdog.daemon = True
    watchdog.start()
    try:
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        connection.request("GET", path, headers={"Accept": "image/*", "User-Agent": "dogbreed-sdk"})
        response = connection.getresponse()
        location = response.getheader("Location")
        if response.status in _REDIRECTS and location:
            return b"", location
        if response.status != http.client.OK:
            raise FetchError(f"the URL's server answered {response.status}")
        body = response.read(policy.max_bytes + 1)
    finally:
        watchdog.cancel()
        connection.close()
    _remaining(deadline)  # a body that the watchdog cut off may look like one that ended
    if len(body) > policy.max_bytes:
        raise FetchError(f"the URL's content is larger than {policy.max_bytes // 10**6} MB")
    return body, None


def _cut(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


def _connection(target: SplitResult, policy: FetchPolicy, deadline: float) -> http.client.HTTPConnection:
    """A connection to an address that was judged, with the URL's name kept for `Host` and for the certificate."""
    host = target.hostname or ""
    secure = target.scheme == "https"
    port = target.port or (443 if secure else 80)
    raw = _connected(host, port, policy, deadline)
    try:
        connection = http.client.HTTPConnection(host, port, timeout=_remaining(deadline))
        connection.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=host) if secure else raw
        if secure and port == http.client.HTTPS_PORT:
            connection.default_port = http.client.HTTPS_PORT  # else `Host` would name the port
    except BaseException:
        raw.close()
        raise
    return connection


def _connected(host: str, port: int, policy: FetchPolicy, deadline: float) -> socket.socket:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(answer[4][:2] for answer in answers))
    # One forbidden answer condemns the name: an attacker's name server mixes them to be tried again.
    if not all(is_allowed(str(address), policy.networks) for address, _ in addresses):
        raise FetchError(f"{host} is refused: it is not a public address")
    failure: OSError = OSError("no address")
    for address, _ in addresses:
        try:
            return socket.create_connection((str(address), port), timeout=_remaining(deadline))
        except OSError as error:
            failure = error
    raise failure


def is_allowed(address: str, networks: Sequence[_Network] = ()) -> bool:
    """Whether an address is public, or in one of the networks that the endpoint's owner allows.

    >>> is_allowed("93.184.216.34"), is_allowed("169.254.169.254"), is_allowed("::ffff:127.0.0.1")
    (True, False, False)
    """
    parsed = _innermost(ipaddress.ip_address(address.partition("%")[0]))
    if any(parsed in network for network in networks):
        return True
    return (
        parsed.is_global
        and parsed not in _SITE_LOCAL
        and not (parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified)
    )


def _innermost(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 one merely carries, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
