"""Fetching: a client's URL reaches public pictures, and nothing of the endpoint's own network."""

from __future__ import annotations

import http.server
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from training_scripts.fetching import FetchError, FetchPolicy, fetch, is_allowed

LOOPBACK = FetchPolicy(enabled=True, networks=(ipaddress.ip_network("127.0.0.0/8"),), max_bytes=100_000, timeout=1.0)


class PictureHost(http.server.BaseHTTPRequestHandler):
    """Answers by path; what was asked for is kept on the server."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))  # type: ignore[attr-defined]
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to?"))
            self.end_headers()
            return
        self.send_response(404 if self.path == "/missing" else 200)
        self.end_headers()
        if self.path == "/picture.jpg":
            self.wfile.write(b"picture")
        elif self.path == "/large":
            self.wfile.write(b"x" * 200_000)
        elif self.path == "/dripping":
            for _ in range(60):
                try:
                    self.wfile.write(b"x")
                except OSError:
                    return
                time.sleep(0.1)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), PictureHost)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def url(host: http.server.ThreadingHTTPServer, path: str) -> str:
    return f"http://127.0.0.1:{host.server_port}{path}"


def test_a_picture_of_an_allowed_network_is_fetched(host: http.server.ThreadingHTTPServer) -> None:
    assert fetch(url(host, "/picture.jpg"), LOOPBACK) == b"picture"
    assert host.asked == [("/picture.jpg", f"127.0.0.1:{host.server_port}")]  # type: ignore[attr-defined]


def test_fetching_is_off_until_it_is_allowed(host: http.server.ThreadingHTTPServer) -> None:
    with pytest.raises(FetchError, match="DOGBREED_FETCH_URLS=1"):
        fetch(url(host, "/picture.jpg"), FetchPolicy.from_environment({}))
    assert host.asked == []  # type: ignore[attr-defined]


def test_the_environment_switches_it_on_and_names_networks() -> None:
    policy = FetchPolicy.from_environment(
        {"DOGBREED_FETCH_URLS": "1", "DOGBREED_FETCH_NETWORKS": "10.0.0.0/8, fc00::/7"}
    )
    assert policy.enabled
    assert policy.networks == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fc00::/7"))
    with pytest.raises(FetchError, match="DOGBREED_FETCH_NETWORKS"):
        FetchPolicy.from_environment({"DOGBREED_FETCH_NETWORKS": "my network"})


@pytest.mark.parametrize(
    "name", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.1", "2130706433", "[::ffff:127.0.0.1]"]
)
def test_no_way_to_write_loopback_gets_through(host: http.server.ThreadingHTTPServer, name: str) -> None:
    with pytest.raises(FetchError, match=r"not a public address|cannot fetch"):
        fetch(f"http://{name}:{host.server_port}/picture.jpg", FetchPolicy(enabled=True, timeout=1.0))
    assert host.asked == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "169.254.170.2",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::1",
    ],
)
def test_addresses_that_are_nobodys_business(address: str) -> None:
    assert not is_allowed(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses(address: str) -> None:
    assert is_allowed(address)


def test_the_address_that_is_judged_is_the_one_connected_to(
    host: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers differently the second time gains nothing: the name is asked for once."""
    answers = iter([["93.184.216.34", "127.0.0.1"], ["127.0.0.1"]])

    def resolve(name: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(answers)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    for _ in range(2):
        with pytest.raises(FetchError, match=r"rebind\.example is refused"):
            fetch(f"http://rebind.example:{host.server_port}/picture.jpg", FetchPolicy(enabled=True))
    assert host.asked == []  # type: ignore[attr-defined]


def test_redirects_are_followed_and_judged_like_any_url(host: http.server.ThreadingHTTPServer) -> None:
    assert fetch(url(host, "/to?/picture.jpg"), LOOPBACK) == b"picture"
    with pytest.raises(FetchError, match=r"169\.254\.169\.254 is refused"):
        fetch(url(host, "/to?http://169.254.169.254/latest/meta-data/"), LOOPBACK)
    with pytest.raises(FetchError, match="only http:// and https://"):
        fetch(url(host, "/to?file:///etc/passwd"), LOOPBACK)


def test_redirects_without_end_are_left(host: http.server.ThreadingHTTPServer) -> None:
    with pytest.raises(FetchError, match="redirects more than 3 times"):
        fetch(url(host, "/to?/to?/to?/to?/to?/picture.jpg"), LOOPBACK)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("file:///etc/passwd", "only http"),
        ("ftp://example.com/x", "only http"),
        ("//example.com/x", "only http"),
        ("http:///x", "only http"),
        ("http://user:secret@example.com/x", "user name or password"),
        ("http://example.com:99999/x", "malformed"),
        ("http://[::1/x", "malformed"),
        ("http://example.com/a b", "percent-encoded"),
        ("http://example.com/x\r\nHost: other", "percent-encoded"),
    ],
)
def test_urls_that_are_no_public_pictures_address(bad: str, reason: str) -> None:
    with pytest.raises(FetchError, match=reason):
        fetch(bad, LOOPBACK)


def test_content_that_is_too_large_is_not_read_to_its_end(host: http.server.ThreadingHTTPServer) -> None:
    with pytest.raises(FetchError, match="larger than"):
        fetch(url(host, "/large"), LOOPBACK)


def test_a_server_that_drips_bytes_meets_the_deadline(host: http.server.ThreadingHTTPServer) -> None:
    begin = time.monotonic()
    with pytest.raises(FetchError, match="did not answer within 1 s"):
        fetch(url(host, "/dripping"), LOOPBACK)
    assert time.monotonic() - begin < 3


def test_what_the_url_lacks_is_said_without_the_endpoints_secrets(host: http.server.ThreadingHTTPServer) -> None:
    with pytest.raises(FetchError, match="answered 404"):
        fetch(url(host, "/missing"), LOOPBACK)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError, match=r"cannot fetch from 127\.0\.0\.1: ConnectionRefusedError"):
            fetch(f"http://127.0.0.1:{unused.getsockname()[1]}/", LOOPBACK)
