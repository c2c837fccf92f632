"""Fetching: a client's URL reaches public pictures, and nothing of the endpoint's own network."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import gzip
import http.server
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from training_scripts.data.safe_fetch import FetchError, FetchPolicy, fetch, is_allowed

LOOPBACK = FetchPolicy(enabled=True, networks=(ipaddress.ip_network("127.0.0.0/8"),), max_bytes=100_000, timeout=60.0)
HASTY = dataclasses.replace(LOOPBACK, timeout=0.5)


GZIP = gzip.compress(b"picture" * 1000)
BODIES = {
    "/gzip": GZIP,
    "/gzip-cut": GZIP[:20],
    "/gzip-bomb": gzip.compress(bytes(50_000_000)),
    "/brotli": b"picture",
    "/short": b"pict",
    "/announced": b"x",
    "/H%C3%BCndchen.jpg?x=%C3%A4": b"picture",
}
HEADERS = {
    "/gzip": {"Content-Encoding": "gzip"},
    "/gzip-cut": {"Content-Encoding": "gzip"},
    "/gzip-bomb": {"Content-Encoding": "gzip"},
    "/brotli": {"Content-Encoding": "br"},
    "/short": {"Content-Length": "7"},
    "/announced": {"Content-Length": "200000"},
}


class PictureHost(http.server.BaseHTTPRequestHandler):
    """Answers by path; what was asked for is kept on the server."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))  # type: ignore[attr-defined]
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to?"))
            self.end_headers()
            return
        self.send_response({"/missing": 404, "/private": 403, "/busy": 503}.get(self.path.partition("?")[0], 200))
        for name, value in HEADERS.get(self.path.partition("?")[0], {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.path == "/picture.jpg":
            self.wfile.write(b"picture")
        elif self.path == "/large":
            self.wfile.write(b"x" * 200_000)
        elif self.path in BODIES:
            self.wfile.write(BODIES[self.path])
        elif self.path == "/dripping":
            with contextlib.suppress(OSError):  # until the other side hangs up
                while True:
                    self.wfile.write(b"x")
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
    "name",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "localhost.",
        "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
        "127。0。0。1",
    ],
)
def test_no_way_to_write_loopback_gets_through(host: http.server.ThreadingHTTPServer, name: str) -> None:
    with pytest.raises(FetchError, match=r"not a public address|cannot fetch|four decimal numbers"):
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
        "2002:808:808::1",  # 6to4, even around a public address
        "2001:0:808:808::1",  # Teredo
        "64:ff9b:1::808:808",  # NAT64 of a network's own
        "::127.0.0.1",
        "192.0.0.192",  # metadata in Oracle's cloud
        "168.63.129.16",  # Azure's platform
        "100.100.100.200",  # metadata in Alibaba's cloud
        "192.88.99.1",
        "198.18.0.1",
        "203.0.113.7",
        "2001:db8::1",
        "3fff::1",
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
    with pytest.raises(FetchError, match="send an http:// or https:// URL"):
        fetch(url(host, "/to?file:///etc/passwd"), LOOPBACK)
    with pytest.raises(FetchError, match="redirects to one that is malformed"):
        fetch(url(host, "/to?http://[::1/"), LOOPBACK)


def test_redirects_without_end_are_left(host: http.server.ThreadingHTTPServer) -> None:
    with pytest.raises(FetchError, match="redirects more than 3 times"):
        fetch(url(host, "/to?/to?/to?/to?/to?/picture.jpg"), LOOPBACK)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("file:///etc/passwd", "send an http:"),
        ("ftp://example.com/x", "send an http:"),
        ("//example.com/x", "send an http:"),
        ("http:///x", "send an http:"),
        ("http://user:secret@example.com/x", "user name or password"),
        ("http://example.com:99999/x", "malformed"),
        ("http://[::1/x", "malformed"),
        ("http://example.com/a b", "percent-encoded"),
        ("http://example.com/x\r\nHost: other", "percent-encoded"),
        ("http://exa\tmple.com/x", "percent-encoded"),
        ("http://example.com:22/x", "port 22 is refused"),
        ("http://example.com:0/x", "send an http:"),
        ("http://good.example\\@127.0.0.1/x", "user name or password"),
        ("http://good.example\\.evil.example/x", "malformed"),
        ("http://%6c%6fcalhost/x", "malformed"),
        ("http://a..b/x", "malformed"),
        ("http://[fe80::1%25eth0]/x", "malformed|not a public"),
        ("http://0x7f000001/x", "four decimal numbers"),
        ("http://example.com/" + "x" * 20_000, "20,019 characters"),
        ("http://example.com/\udcff", "malformed"),
    ],
)
def test_urls_that_are_no_public_pictures_address(bad: str, reason: str) -> None:
    with pytest.raises(FetchError, match=reason):
        fetch(bad, LOOPBACK)


def test_content_that_is_too_large_is_not_read_to_its_end(host: http.server.ThreadingHTTPServer) -> None:
    with pytest.raises(FetchError, match="larger than"):
        fetch(url(host, "/large"), LOOPBACK)


def test_a_server_that_drips_bytes_meets_the_deadline(host: http.server.ThreadingHTTPServer) -> None:
    with pytest.raises(FetchError, match=r"did not answer within 0\.5 s"):
        fetch(url(host, "/dripping"), HASTY)


def test_what_the_url_lacks_is_said_without_the_endpoints_secrets(host: http.server.ThreadingHTTPServer) -> None:
    with pytest.raises(FetchError, match="answered 404"):
        fetch(url(host, "/missing"), LOOPBACK)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError, match=r"cannot fetch from 127\.0\.0\.1: it refused the connection"):
            fetch(f"http://127.0.0.1:{unused.getsockname()[1]}/", LOOPBACK)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/private", "answered 403: the link requires a login or has expired"),
        ("/busy", "answered 503: try again later"),
        ("/short", "closed the connection early: 3 bytes are missing"),
        ("/announced", "larger than 0.1 MB"),
        ("/gzip-bomb", "larger than 0.1 MB"),
        ("/gzip-cut", "compressed response is incomplete"),
        ("/brotli", "content encoding that was not requested"),
    ],
)
def test_answers_that_are_no_picture(host: http.server.ThreadingHTTPServer, path: str, reason: str) -> None:
    with pytest.raises(FetchError, match=reason):
        fetch(url(host, path), LOOPBACK)


def test_gzip_that_nobody_asked_for_is_undone(host: http.server.ThreadingHTTPServer) -> None:
    assert fetch(url(host, "/gzip"), LOOPBACK) == b"picture" * 1000


def test_letters_of_other_languages_are_encoded(host: http.server.ThreadingHTTPServer) -> None:
    assert fetch(url(host, "/Hündchen.jpg?x=ä"), LOOPBACK) == b"picture"
    assert fetch(url(host, "/to?/H%C3%BCndchen.jpg?x=%C3%A4"), LOOPBACK) == b"picture"


def test_only_allowed_hosts_are_asked_and_redirected_to(host: http.server.ThreadingHTTPServer) -> None:
    only = dataclasses.replace(LOOPBACK, hosts=("127.0.0.1", "*.Example.com."))
    assert fetch(url(host, "/picture.jpg"), only) == b"picture"
    for elsewhere in (
        f"http://localhost:{host.server_port}/picture.jpg",
        "https://example.com/",
        "https://badexample.com/",
    ):
        for asked in (elsewhere, url(host, f"/to?{elsewhere}")):
            with pytest.raises(FetchError, match="not one of the allowed hosts"):
                fetch(asked, only)
    with pytest.raises(FetchError, match="not one of the allowed hosts"):
        fetch(url(host, "/picture.jpg"), dataclasses.replace(LOOPBACK, hosts=()))


def test_hosts_below_an_allowed_name_are_asked(
    host: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **how: resolve("127.0.0.1", *rest, **how))
    only = dataclasses.replace(LOOPBACK, hosts=("*.example.com",))
    assert fetch(f"http://Images.EXAMPLE.com.:{host.server_port}/picture.jpg", only) == b"picture"
    assert host.asked[-1][1] == f"images.example.com:{host.server_port}"  # type: ignore[attr-defined]


def test_the_environment_names_hosts_too() -> None:
    named = FetchPolicy.from_environment({"DOGBREED_FETCH_HOSTS": "a.example, *.b.example"})
    assert named.hosts == ("a.example", "*.b.example")
    assert FetchPolicy.from_environment({}).hosts is None


def test_proxies_of_the_environment_are_not_asked(
    host: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch(url(host, "/picture.jpg"), LOOPBACK) == b"picture"


def test_a_name_server_that_does_not_answer_meets_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: given_up.wait() and [])
    with pytest.raises(FetchError, match=r"did not answer within 0\.5 s"):
        fetch("http://slow.example/", HASTY)
    given_up.set()


def test_no_message_or_its_cause_quotes_the_query(host: http.server.ThreadingHTTPServer) -> None:
    for path in ("/missing?token=hunter2", "/short?token=hunter2", "/to?file:///x?token=hunter2"):
        with pytest.raises(FetchError) as caught:
            fetch(url(host, path), LOOPBACK)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate of its own for good.example, and a server's TLS with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "good.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("good.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "good.pem"
    unencrypted = serialization.NoEncryption()
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, unencrypted)
    file.write_bytes(private + certificate.public_bytes(encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


def test_certificates_are_checked_for_the_name_that_was_asked(
    authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = authority
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), PictureHost)
    server.asked = []  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign] - a client that hangs up is no news
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **how: resolve("127.0.0.1", *rest, **how))
    try:
        with pytest.raises(FetchError, match="its certificate is not valid: self"):
            fetch(f"https://good.example:{server.server_port}/picture.jpg", LOOPBACK)
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        assert fetch(f"https://good.example.:{server.server_port}/picture.jpg", LOOPBACK) == b"picture"
        with pytest.raises(FetchError, match=r"its certificate is not valid: .*other\.example"):
            fetch(f"https://other.example:{server.server_port}/picture.jpg", LOOPBACK)
    finally:
        server.shutdown()
        server.server_close()
    assert asked == ["good.example", "good.example", "other.example"]


def test_a_handshake_that_drips_meets_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connected, _ = listening.accept()
            with connected, contextlib.suppress(OSError):
                connected.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KB, which never comes to its end
                while True:  # until the other side hangs up
                    connected.sendall(b"\x02")
                    time.sleep(0.05)

        threading.Thread(target=drip, daemon=True).start()
        with pytest.raises(FetchError, match=r"did not answer within 0\.5 s"):
            fetch(f"https://127.0.0.1:{listening.getsockname()[1]}/", HASTY)
