"""The URL guard: fetches a picture from an untrusted URL without giving its sender access to this machine's network.

A server that opens any URL it receives can be tricked into reading its internal network and its machine's credentials
(server-side request forgery; OWASP SSRF Prevention Cheat Sheet). So every connection, redirects included, goes to an
address that was checked, and names are not resolved a second time. An endpoint fetches nothing until its environment
allows it. Proxies from the environment are not used: a proxy resolves names itself, so no address could be checked.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import ipaddress
import os
import queue
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from training_scripts import ScriptError
from training_scripts._util.number_text import number_text
from training_scripts.data import limits

ENABLING_VARIABLE = "DOGBREED_FETCH_URLS"
NETWORKS_VARIABLE = "DOGBREED_FETCH_NETWORKS"
HOSTS_VARIABLE = "DOGBREED_FETCH_HOSTS"

MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Other ports below 1024 belong to services such as mail and remote shells, to which clients must not send requests.
_WEB_PORTS = frozenset({80, 443})
_SYSTEM_PORTS = 1024
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_NUMERIC_LABEL = re.compile(r"\d+|0x[0-9a-f]*")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA's special-purpose registries, spelled out: Python's `is_global` differs between versions (before 3.12.4 it
# lets most of 192.0.0.0/24 pass, where Oracle's cloud keeps its metadata).
_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # in public space, but Azure's machines reach their platform there
    )
)  # fmt: skip
_GLOBAL_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
# Teredo and 6to4 among them: they carry IPv4 addresses, and nobody serves pictures there.
_NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
# NAT64 (RFC 6052): the last 32 bits are an IPv4 address, which must be checked as one.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class FetchError(ScriptError):
    """A URL was refused or could not be fetched; the message is safe to show to the client that sent the URL."""


@dataclass(frozen=True)
class FetchPolicy:
    """What may be fetched.

    Attributes:
        enabled: Whether fetching is allowed at all.
        networks: Private networks that are allowed in addition to public addresses.
        max_bytes: Largest body.
        timeout: Seconds for the whole fetch, redirects included; SageMaker expects the response within 60.
        hosts: The allowed hosts, such as "images.example.com" or "*.example.com" (all of its subdomains); None
            allows any host.
    """

    enabled: bool = False
    networks: tuple[_Network, ...] = ()
    max_bytes: int = limits.MAX_ENDPOINT_FETCH_BYTES
    timeout: float = 10.0
    hosts: tuple[str, ...] | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> FetchPolicy:
        """The policy of `DOGBREED_FETCH_URLS=1`, `DOGBREED_FETCH_NETWORKS` and `DOGBREED_FETCH_HOSTS`.

        The last two are comma-separated lists, such as "10.0.0.0/8,fd00::/8" and "*.example.com".

        Raises:
            FetchError: A network is not in CIDR notation.
        """
        enabled = environ.get(ENABLING_VARIABLE, "").lower() in {"1", "true"}
        hosts = tuple(part.strip() for part in environ.get(HOSTS_VARIABLE, "").split(",") if part.strip())
        return cls(enabled, networks_from_environment(environ), hosts=hosts or None)


def networks_from_environment(environ: Mapping[str, str] = os.environ) -> tuple[_Network, ...]:
    """The private networks that `DOGBREED_FETCH_NETWORKS` allows.

    Raises:
        FetchError: One is not in CIDR notation.
    """
    listed = [part.strip() for part in environ.get(NETWORKS_VARIABLE, "").split(",") if part.strip()]
    try:
        return tuple(ipaddress.ip_network(part) for part in listed)
    except ValueError as error:
        raise FetchError(f"the variable {NETWORKS_VARIABLE} is invalid: {error}") from error


def fetch(url: str, policy: FetchPolicy) -> bytes:
    """Fetches the body of an http or https URL.

    Raises:
        FetchError: Fetching is off, the URL or where it leads is refused, or the response is an error, too
            large or too slow.
    """
    if not policy.enabled:
        raise FetchError(
            f"this endpoint does not fetch URLs: send the picture's bytes, or deploy with {ENABLING_VARIABLE}=1"
        )
    deadline = time.monotonic() + policy.timeout
    for _ in range(MAX_REDIRECTS + 1):
        target, host = _checked(url, policy)
        try:
            body, location = _request(target, host, policy, deadline)
        except (OSError, http.client.HTTPException, zlib.error, UnicodeError) as error:
            # Without the cause: it may quote the URL, whose query may contain a signature or a token.
            if isinstance(error, TimeoutError) or time.monotonic() >= deadline:
                raise FetchError(f"the URL's server did not answer within {number_text(policy.timeout)} s") from None
            raise FetchError(f"cannot fetch from {host}: {_words(error)}") from None
        if location is None:
            return body
        try:
            url = urljoin(url, _unmangled(location))
        except ValueError:
            raise FetchError("the URL redirects to one that is malformed") from None
    raise FetchError(f"the URL redirects more than {MAX_REDIRECTS} times")


def _checked(url: str, policy: FetchPolicy) -> tuple[SplitResult, str]:
    """The parsed URL, in ASCII, and its host in the spelling that is resolved and compared."""
    if len(url) > limits.MAX_URL_LENGTH:
        raise FetchError(f"the URL has {len(url):,} characters; the limit is {limits.MAX_URL_LENGTH:,}")
    # Checked before parsing, which silently drops some of these characters.
    if any(character <= " " or character == "\x7f" for character in url):
        raise FetchError("the URL contains characters that must be percent-encoded")
    try:
        target = urlsplit(url)
        port = target.port
        encoded = urlsplit("".join(character if character.isascii() else quote(character) for character in url))
    except ValueError:
        raise FetchError("the URL is malformed") from None
    if target.scheme not in {"http", "https"} or not target.hostname or port == 0:
        raise FetchError("unsupported URL: send an http:// or https:// URL with a host")
    if target.username is not None or target.password is not None:
        raise FetchError("the URL contains a user name or password; send a URL that needs neither")
    if port is not None and port < _SYSTEM_PORTS and port not in _WEB_PORTS:
        raise FetchError(f"port {port} is refused: the port must be 80, 443, or at least 1024")
    host = _canonical(target.hostname)
    if policy.hosts is not None and not any(_covers(pattern, host) for pattern in policy.hosts):
        raise FetchError(
            f"{host} is refused: it is not one of the allowed hosts; allow it with allowed_hosts or {HOSTS_VARIABLE}"
        )
    return encoded, host


def _canonical(name: str) -> str:
    """A host in its canonical spelling, which is resolved, compared, and sent in the Host header."""
    try:
        if ":" in name and "%" not in name:
            return str(ipaddress.IPv6Address(name))
        host = name.encode("idna").decode("ascii").lower().removesuffix(".")
    except ValueError:  # UnicodeError is a subclass
        raise FetchError("the URL's host is malformed") from None
    if not _HOST_NAME.fullmatch(host):
        raise FetchError("the URL's host is malformed")
    if _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
        # Resolvers also accept 2130706433, 0x7f.1 and 0177.0.0.1, which are only used to disguise an address.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise FetchError("the URL's address must be written as four decimal numbers") from None
    return host


def _covers(pattern: str, host: str) -> bool:
    pattern = pattern.strip().lower().removesuffix(".").removeprefix("[").removesuffix("]")
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _unmangled(location: str) -> str:
    # http.client reads headers as Latin-1, but some servers write UTF-8 instead of percent-encoding.
    with contextlib.suppress(UnicodeError):
        return location.encode("latin-1").decode("utf-8")
    return location


def _request(target: SplitResult, host: str, policy: FetchPolicy, deadline: float) -> tuple[bytes, str | None]:
    """One GET request: returns the body, or the URL that the response redirects to."""
    secure = target.scheme == "https"
    port = target.port or (443 if secure else 80)
    raw = _connected(host, port, policy, deadline)
    with contextlib.ExitStack() as stack:
        stack.callback(raw.close)
        # A socket's timeout restarts with every byte. The watchdog enforces the deadline on a server that sends its
        # bytes slowly, from the handshake on. The duplicate stays valid when TLS takes over the socket.
        line = stack.enter_context(raw.dup())
        watchdog = threading.Timer(_remaining(deadline), _cut, (line,))
        watchdog.daemon = True
        stack.callback(watchdog.cancel)
        watchdog.start()
        connected = _tls().wrap_socket(raw, server_hostname=host) if secure else raw
        stack.callback(connected.close)
        # The connection only speaks HTTP over the socket that it is given. `Host` includes a port only if it must.
        connection = http.client.HTTPConnection(host, port, timeout=_remaining(deadline))
        connection.default_port = 443 if secure else 80
        connection.sock = connected
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        wanted = {"Accept": "image/*", "User-Agent": "dogbreed-sdk", "Connection": "close"}
        connection.request("GET", path, headers=wanted)  # adds Accept-Encoding: identity
        response = stack.enter_context(connection.getresponse())
        location = response.getheader("Location")
        if response.status in _REDIRECTS and location:
            return b"", location
        body = _body(response, policy.max_bytes)
        _remaining(deadline)  # a body that the watchdog cut off may look complete
        return body, None


def _body(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    if response.status != http.client.OK:
        raise FetchError(f"the URL's server answered {response.status}{_meaning(response.status)}")
    too_large = FetchError(f"the URL's content is larger than {number_text(max_bytes / 10**6)} MB")
    if response.length is not None and response.length > max_bytes:
        raise too_large
    body = response.read(max_bytes + 1)
    if response.length and len(body) <= max_bytes:
        raise FetchError(f"the URL's server closed the connection early: {response.length:,} bytes are missing")
    encoding = (response.getheader("Content-Encoding") or "identity").strip().lower()
    if encoding in {"gzip", "x-gzip", "deflate"}:  # although the request did not ask for it
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # detects gzip or zlib
        body = inflater.decompress(body, max_bytes + 1)
        if len(body) <= max_bytes and not inflater.eof:
            raise FetchError("the URL's server closed the connection early: its compressed response is incomplete")
    elif encoding not in {"identity", ""}:
        raise FetchError("the URL's server sent a content encoding that was not requested")
    if len(body) > max_bytes:
        raise too_large
    return body


def _meaning(status: int) -> str:
    if status in {401, 403}:
        return ": the link requires a login or has expired"
    if status in {404, 410}:
        return ": there is nothing at this URL"
    if status == http.client.TOO_MANY_REQUESTS or status >= http.client.INTERNAL_SERVER_ERROR:
        return ": try again later"
    return ""


def _words(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "it does not offer a TLS connection that can be trusted"
    if isinstance(error, ConnectionRefusedError):
        return "it refused the connection"
    if isinstance(error, ConnectionError):
        return "it closed the connection early"
    return f"it could not be reached, or its response is malformed ({type(error).__name__})"


def _cut(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def _tls() -> ssl.SSLContext:
    return _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.lru_cache(maxsize=4)
def _context(file: str | None, folder: str | None) -> ssl.SSLContext:  # noqa: ARG001 - what OpenSSL itself reads
    """A TLS context, cached because reading a hundred certificate authorities takes 20 ms."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:  # some installations include no certificate authorities
        with contextlib.suppress(ImportError):
            import certifi  # noqa: PLC0415 - often absent, seldom needed

            return ssl.create_default_context(cafile=certifi.where())
    return ssl.create_default_context()


def _connected(host: str, port: int, policy: FetchPolicy, deadline: float) -> socket.socket:
    addresses = _resolved(host, port, deadline)
    # One forbidden address is enough to refuse the name: an attacker's name server may mix good and bad addresses.
    if not all(is_allowed(address, policy.networks) for address in addresses):
        raise FetchError(
            f"{host} is refused: it is not a public address; if you trust its network, set the environment variable"
            f" {NETWORKS_VARIABLE} (such as 10.1.0.0/16) where pictures are downloaded"
        )
    failure: OSError = OSError("no address")
    for tried, address in enumerate(addresses):
        try:
            # This machine may be unable to reach the first address's network; leave time for the other addresses.
            patience = _remaining(deadline) / (len(addresses) - tried)
            connected = socket.create_connection((address, port), timeout=patience)
        except OSError as error:
            failure = error
        else:
            connected.settimeout(_remaining(deadline))
            return connected
    raise failure


def _resolved(host: str, port: int, deadline: float) -> list[str]:
    """A host's addresses. Resolving has no timeout, so it runs in a thread that the caller waits for."""
    answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(str(answer[4][0]) for answer in found)))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=resolve, daemon=True).start()
    try:
        answer = answers.get(timeout=_remaining(deadline))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def is_allowed(address: str, networks: Sequence[_Network] = ()) -> bool:
    """Whether an address is public, or in one of the additionally allowed networks.

    >>> is_allowed("93.184.216.34"), is_allowed("169.254.169.254"), is_allowed("::ffff:127.0.0.1")
    (True, False, False)
    """
    parsed = _innermost(ipaddress.ip_address(address.partition("%")[0]))
    if any(parsed in network for network in networks):
        return True
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in network for network in _NOT_PUBLIC_V4)
    return parsed in _GLOBAL_UNICAST_V6 and not any(parsed in network for network in _NOT_PUBLIC_V6)


def _innermost(address: _Address) -> _Address:
    """The IPv4 address embedded in an IPv6 address; any other address unchanged."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
