"""Downloads: a picture behind a URL, with the guard of an endpoint and the errors of the SDK."""

from __future__ import annotations

import http.server
import io
import threading
from collections.abc import Iterator

import pytest
from PIL import Image

from dogbreed_sdk.client.downloads import download
from dogbreed_sdk.client.images import to_payload
from dogbreed_sdk.errors import ConfigurationError, ImageDownloadError, UnsupportedImageError

NETWORKS = "DOGBREED_FETCH_NETWORKS"


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 48), 50).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


JPEG = jpeg()


class Host(http.server.BaseHTTPRequestHandler):
    """Answers by path, with a content type that is always wrong."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.send_response({"/missing": 404, "/inside": 302}.get(path, 200))
        self.send_header("Content-Type", "text/html" if path == "/dog" else "image/jpeg")
        if path == "/inside":
            self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
        self.end_headers()
        self.wfile.write({"/dog": JPEG, "/page": b"<!DOCTYPE html><html>log in</html>"}.get(path, b""))

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allows downloads from this machine."""
    monkeypatch.setenv(NETWORKS, "127.0.0.0/8")


def test_the_content_comes_whatever_the_server_calls_it(host: str) -> None:
    assert download(f"{host}/dog") == JPEG


def test_this_machine_is_refused_unless_its_network_is_allowed(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NETWORKS)
    with pytest.raises(ImageDownloadError, match=r"127\.0\.0\.1 is refused: it is not a public address"):
        download(f"{host}/dog")
    monkeypatch.setenv(NETWORKS, "10.0.0.0/8")
    with pytest.raises(ImageDownloadError, match="not a public address"):
        download(f"{host}/dog")
    monkeypatch.setenv(NETWORKS, "10.0.0.0/8,127.0.0.1/32")
    assert download(f"{host}/dog") == JPEG


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/missing?token=hunter2", "answered 404: there is nothing at this URL"),
        ("/inside?token=hunter2", r"169\.254\.169\.254 is refused"),
    ],
)
def test_errors_name_the_url_without_its_query(host: str, path: str, reason: str) -> None:
    with pytest.raises(ImageDownloadError, match=reason) as caught:
        download(host + path)
    assert f"cannot download {host}{path.partition('?')[0]}?…" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ImageDownloadError, match="user name or password") as caught:
        download("https://me:hunter2@example.com/dog.jpg")
    assert "hunter2" not in str(caught.value)


def test_limits_are_the_callers(host: str) -> None:
    with pytest.raises(ImageDownloadError, match="larger than"):
        download(f"{host}/dog", max_bytes=len(JPEG) - 1)
    with pytest.raises(ImageDownloadError, match="not one of the allowed hosts"):
        download(f"{host}/dog", allowed_hosts=["images.example.com"])
    assert download(f"{host}/dog", allowed_hosts=["127.0.0.1"]) == JPEG


def test_hosts_may_be_named_for_every_download_by_the_environment(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOGBREED_FETCH_HOSTS", "images.example.com, *.example.org")
    with pytest.raises(ImageDownloadError, match="not one of the allowed hosts"):
        download(f"{host}/dog")
    assert download(f"{host}/dog", allowed_hosts=["127.0.0.1"]) == JPEG


def test_settings_that_make_no_sense_are_found_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="must be positive"):
        download("https://example.com/", deadline=0)
    with pytest.raises(ConfigurationError, match="list of hosts"):
        download("https://example.com/", allowed_hosts="example.com")
    monkeypatch.setenv(NETWORKS, "everything")
    with pytest.raises(ConfigurationError, match="invalid network in DOGBREED_FETCH_NETWORKS"):
        download("https://example.com/")


def test_a_url_is_a_picture(host: str) -> None:
    payload = to_payload(f"{host}/dog?token=hunter2")
    assert (payload.body, payload.content_type) == (JPEG, "image/jpeg")
    assert payload.source == f"{host}/dog?…"
    with pytest.raises(ImageDownloadError, match="not one of the allowed hosts"):
        to_payload(f"{host}/dog", allowed_hosts=["example.com"])


@pytest.mark.parametrize(("path", "reason"), [("/page", "is a web page"), ("/nothing", "is empty")])
def test_what_is_behind_a_url_is_looked_at(host: str, path: str, reason: str) -> None:
    with pytest.raises(UnsupportedImageError, match=f"{host}{path} {reason}"):
        to_payload(host + path)


def test_a_refused_network_is_allowed_by_what_the_message_names(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NETWORKS)
    with pytest.raises(ImageDownloadError) as refused:
        to_payload(f"{host}/dog")
    assert "set the environment variable DOGBREED_FETCH_NETWORKS (such as 10.1.0.0/16)" in str(refused.value)
    monkeypatch.setenv(NETWORKS, "127.0.0.1/32")
    assert to_payload(f"{host}/dog").body == JPEG
