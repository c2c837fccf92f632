"""Right requests to the service with some things wrong: bytes cut, doubled, exchanged, spoiled, or of another one."""

from __future__ import annotations

import base64
import random

from dogbreed_sdk.testing import picture

_PICTURE = picture(1, size=(16, 12))
_BASE64 = base64.b64encode(_PICTURE)
_SPOILERS = (
    b"\x00", b"\xff\xfe", b"\r\n", b"\r\n\r\n", b"--b", b"--b--", b'"', b"{", b"[" * 200, b"9" * 40, b"-1", b"e999",
    b"NaN", b"\\ud800", b":", b";", b",", b"null", b"chunked", b"gzip", b"%00", b"..", b"data:", b"http://[", b"\t",
)  # fmt: skip


def _request(start: bytes, kind: bytes, body: bytes) -> bytes:
    head = b"%b HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nContent-Length: %d\r\n" % (start, kind, len(body))
    return head + b"Connection: close\r\n\r\n" + body


def _right() -> tuple[bytes, ...]:
    """One of each kind, but for those with a URL: a mutated one may lead to anybody."""
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n' + _PICTURE
    form += b'\r\n--b\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n2\r\n--b--\r\n'
    json_type, form_type = b"application/json", b"multipart/form-data; boundary=b"
    return (
        _request(b"POST /v1/classify?top_k=2", b"image/jpeg", _PICTURE),
        _request(b"POST /v1/classify", form_type, form),
        _request(b"POST /v1/classify/batch?top_k=1", form_type, form),
        _request(b"POST /v1/classify", json_type, b'{"base64": "%b", "top_k": 2}' % _BASE64),
        _request(b"POST /v1/classify", json_type, b'{"data": "data:image/jpeg;base64,%b"}' % _BASE64),
        _request(b"POST /v1/classify/batch", json_type, b'{"pictures": [{"base64": "%b"}, {"base64": ""}]}' % _BASE64),
        _request(b"GET /v1/labels", b"text/plain", b""),
        _request(b"GET /readyz", b"text/plain", b""),
    )


RIGHT = _right()


def mutated(dice: random.Random) -> bytes:
    """One of them with some things wrong."""
    request = dice.choice(RIGHT)
    fit = dice.random() < 0.6  # then Content-Length says the truth, so that the body is looked at
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        at, until = sorted(dice.randrange(len(request) + 1) for _ in range(2))
        until = min(until, at + dice.choice((1, 4, 30, 10_000)))
        kind = dice.randrange(5)
        if kind == 0:
            request = request[:at] + request[until:]
        elif kind == 1:
            request = request[:at] + request[at:until] * 2 + request[until:]
        elif kind == 2:
            request = request[:at] + dice.choice(_SPOILERS) + request[at:]
        elif kind == 3:
            request = request[:at] + dice.randbytes(min(8, until - at)) + request[until:]
        else:
            other = dice.choice(RIGHT)
            request = request[:at] + other[dice.randrange(len(other)) :]
    return _with_true_length(request) if fit else request


def _with_true_length(request: bytes) -> bytes:
    head, separator, body = request.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"content-length", b"transfer-enc"))]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + separator + body
