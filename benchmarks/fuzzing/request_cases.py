"""Requests as attackers, broken programs and broken lines send them: what `fuzz_requests.py` puts on the wire."""

# ruff: noqa: E501, RUF001 - tables of odd texts are read across

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from dogbreed_sdk.testing import picture
from fuzzing.json_text import document, flipped, value
from fuzzing.mutations import mutated

PICTURE = picture()
_BASE64 = base64.b64encode(PICTURE).decode()
_BOUNDARY = "0f3a"


class Case(NamedTuple):
    """One request.

    Attributes:
        kind: What it is, for the counts.
        data: What goes over the connection.
        whole: Whether it is well-formed HTTP, so that an answer must come. Else closing the connection is one.
        method: For reading the answer.
    """

    kind: str
    data: bytes
    whole: bool
    method: str = "POST"


Header = tuple[str, str]


class Maker:
    """Makes cases for one server.

    Args:
        seed: The same seed makes the same cases.
        port: A port of this machine that must never be connected to: what URLs lead to.
    """

    def __init__(self, seed: int, port: int) -> None:
        self.dice = random.Random(seed)
        self._port = port

    def of_service(self, count: int) -> Iterator[Case]:
        """Cases for the HTTP service."""
        kinds: Sequence[Callable[[], Case]] = (
            *[self._json_of_one] * 5,
            *[self._json_of_several] * 4,
            *[self._form] * 5,
            *[self._headers] * 5,
            *[self._query] * 2,
            *[self._place] * 2,
            *[self._chunked] * 2,
            *[self._garbage] * 2,
            *[self._mutated] * 3,
        )
        for _ in range(count):
            yield self.dice.choice(kinds)()

    def of_model_server(self, count: int) -> Iterator[Case]:
        """Cases for the model server."""
        kinds: Sequence[Callable[[], Case]] = (
            *[self._tensor] * 6,
            *[self._json_of_model] * 5,
            *[self._accept] * 2,
            *[self._headers_of_model] * 4,
            *[self._chunked_of_model] * 2,
            *[self._garbage_of_model] * 2,
        )
        for _ in range(count):
            yield self.dice.choice(kinds)()

    # The service's bodies

    def _json_of_one(self) -> Case:
        return self._posted("json", "/v1/classify", "application/json", document(self._source(), self.dice))

    def _json_of_several(self) -> Case:
        dice = self.dice
        sources = ", ".join("{" + self._members(self._source()) + "}" for _ in range(dice.choice((0, 1, 2, 3, 33))))
        pictures = dice.choice((f"[{sources}]", f"[{sources}]", f"[{sources}]", value(dice)))
        members = {"pictures": pictures} | ({"top_k": self._number()} if dice.random() < 0.3 else {})
        return self._posted("json batch", "/v1/classify/batch", "application/json", document(members, dice))

    def _source(self) -> dict[str, str]:
        """Members of a picture's JSON, one to four of them, some right."""
        dice = self.dice
        usual = {
            "base64": lambda: f'"{self._damaged(_BASE64)}"',
            "data": lambda: f'"{self._damaged("data:image/jpeg;base64," + _BASE64)}"',
            "url": lambda: f'"{self.url()}"',
            "top_k": self._number,
        }
        names = dice.sample(sorted(usual), dice.choice((1, 1, 1, 2, 4)))
        return {name: usual[name]() if dice.random() < 0.7 else value(dice) for name in names}

    @staticmethod
    def _members(members: dict[str, str]) -> str:
        return ", ".join(f'"{name}": {text}' for name, text in members.items())

    def _damaged(self, text: str) -> str:
        dice = self.dice
        at = dice.randrange(len(text))
        return dice.choice(
            (
                text,
                text,
                text[:at],
                text[:at] + dice.choice(("=", "\\n", "é", "\\u0000", "\\ud800", " ", "%", "😀")) + text[at:],
                text.replace(",", dice.choice(("", ";", ",,"))),
                text * 2,
                "",
                "data:",
                "data:,",
                "data:;base64,",
                "data:" + ";" * 3000 + "," + "%" * 3000,
            )
        )

    def url(self) -> str:
        """A URL that must not be fetched, as text of a JSON string."""
        dice, port = self.dice, self._port
        hosts = (
            "127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0177.0.0.1",
            "127.1", "[::]", "169.254.169.254", "[fd00:ec2::254]", "10.0.0.1", "192.168.1.1", "100.100.100.200",
            "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::ffff:0:127.0.0.1]", "localhost.", "LOCALHOST", "127.0.0.1.",
            "①②⑦.⓪.⓪.①", "127。0。0。1", "[::1%25lo]", "[fe80::1%lo]", "[", "[]", "", ".", "a..b", "\\ud800", "ﬁ.invalid",
            "x" * 300, "xn--" + "9" * 60, "none.invalid", "127.0.0.1\\u0000.invalid", "127.0.0.1%00", "127.0.0.1#@none.invalid",
        )  # fmt: skip
        scheme = dice.choice(("http", "http", "https", "HTTP", "file", "gopher", "ftp", "http:http", "", "data"))
        user = dice.choice(("", "", "", "none.invalid@", "a:b@", "@", "%40@", "\\\\@"))
        suffix = dice.choice((f":{port}", f":{port}", "", ":0", ":99999", ":-1", ":", ":22", ":１２", ":" + "9" * 5000))
        path = dice.choice(
            ("", "/", "/dog.jpg", "/?key=" + "s" * 9000, "/\\u0000", "/\\r\\nX: y", "/é😀", "\\\\", "/%", "?", "#")
        )
        return f"{scheme}://{user}{dice.choice(hosts)}{suffix}{path}"

    def _number(self) -> str:
        return self.dice.choice(
            ("3", "1", "1000", "0", "-1", "1001", "1e3", "3.0", "3.5", "null", "true", '"3"', "9" * 400, "NaN")
        )

    def _form(self) -> Case:
        dice = self.dice
        path = dice.choice(("/v1/classify", "/v1/classify/batch"))
        parts = [self._part() for _ in range(dice.choice((0, 1, 1, 1, 2, 3, 40, 300)))]
        delimiter = f"--{_BOUNDARY}".encode()
        body = b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in parts) + delimiter + b"--\r\n"
        if dice.random() < 0.3:
            body = flipped(body, dice)
        return self._posted("form", path, self._form_type(), body)

    def _part(self) -> bytes:
        dice = self.dice
        disposition = dice.choice(
            (
                'form-data; name="file"; filename="rex.jpg"',
                'form-data; name="file"; filename="rex.jpg"',
                'form-data; name="top_k"',
                "form-data",
                "form-data; name=file; filename=" + "x" * dice.choice((10, 9000)),
                "form-data; name=f; filename*=utf-8''%e2%82",
                f"form-data; name=f; filename*={dice.choice(_CHARSETS)}'x'a%ff%00",
                f"form-data; name*{dice.choice(('', '0', '1', '0*', '9' * 5000))}=a; name*0=b; filename=c",
                'form-data; name="a\\"b"; filename="../../etc/passwd"',
                'form-data; name="' + ";" * 7000,
                "form-data; name=\x00\xff; filename=\x00",
                "attachment; name=file; filename=x",
                "form-data; name=file; filename=x\r\nContent-Disposition: form-data",
                "form-data;;;=;name=file;filename==",
            )
        )
        content = dice.choice((PICTURE, PICTURE, PICTURE, b"", b"3", b"\xd9\xa3", b"9" * 5000, dice.randbytes(300)))
        return f"Content-Disposition: {disposition}\r\n\r\n".encode("utf-8", "replace") + content

    def _form_type(self) -> str:
        usual = f"multipart/form-data; boundary={_BOUNDARY}"
        odd = (
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=" + "x" * 71,
            f'multipart/form-data; boundary="{_BOUNDARY}"; charset=utf-8',
            f"multipart/form-data; boundary*={self.dice.choice(_CHARSETS)}'x'{_BOUNDARY}%ff",
            f"multipart/form-data; boundary*={_BOUNDARY}; boundary*0={_BOUNDARY}",
            f"multipart/form-data; boundary*{'9' * 5000}={_BOUNDARY}",
            'multipart/form-data; boundary="' + ";" * self.dice.choice((9000, 60_000)),
            "multipart/form-data; boundary=\xff\x80",
            "multipart/form-data;" + "a=b;" * 2000,
        )
        return usual if self.dice.random() < 0.6 else self.dice.choice(odd)

    # Headers, places, framing

    def _headers(self) -> Case:
        return self._odd_headers("headers", "/v1/classify", self.dice.choice((PICTURE, b"", b"x" * 70_000)))

    def _headers_of_model(self) -> Case:
        return self._odd_headers("headers", "/invocations", b"[1]")

    def _odd_headers(self, kind: str, path: str, body: bytes) -> Case:
        dice = self.dice
        headers = [("Host", "x"), ("Content-Type", "image/jpeg"), ("Content-Length", str(len(body)))]
        for _ in range(dice.choice((1, 1, 2, 3))):
            odd = self._odd_header(len(body))
            replaced = [name.lower() for name, _ in headers].index(odd[0].lower()) if odd[0].lower() in _USUAL else None
            if replaced is None or replaced >= len(headers) or dice.random() < 0.3:
                headers.append(odd)
            else:
                headers[replaced] = odd
        return Case(kind, _request("POST", path, headers, body), whole=False)

    def _odd_header(self, size: int) -> Header:
        dice = self.dice
        lengths = ("-1", "0x10", "1e3", "+5", "5, 6", f"{size}, {size}", "", " ", "9" * 18, "9" * 30, "9" * 5000, "²", "１",
                   str(size + 1), str(size + 1000), str(max(0, size - 1)), "0", str(26 * 2**20), str(2**31), str(2**63))  # fmt: skip
        types = ("", "image/", "image/jpeg, image/png", "image/x-" + "y" * 9000, "text/html", "IMAGE/JPEG;q=0", "/", ";;;",
                 "application/json; charset=utf-16", "application/xml", "\xff\xfe", "application/octet-stream", "*/*",
                 "application/x-www-form-urlencoded", 'image/jpeg; a="')  # fmt: skip
        options: tuple[Header, ...] = (
            ("Content-Length", dice.choice(lengths)),
            ("Content-Length", dice.choice(lengths)),
            ("Content-Type", dice.choice(types)),
            ("Content-Type", dice.choice(types)),
            (
                "Transfer-Encoding",
                dice.choice(("chunked", "gzip", "chunked, chunked", "identity", "\x0bchunked", "xchunked")),
            ),
            ("Content-Encoding", dice.choice(("gzip", "br", "identity", "\xff"))),
            ("Expect", dice.choice(("100-continue", "200-ok", ""))),
            ("Connection", dice.choice(("close", "upgrade", "keep-alive, close", "\xff"))),
            ("Upgrade", dice.choice(("websocket", "h2c", "TLS/1.0"))),
            ("Host", dice.choice(("", "\xff", "a b", "x" * 9000))),
            ("Authorization", dice.choice(("Bearer", "Bearer " + "k" * 9000, "Basic \xff", "Bearer \xe9", ""))),
            ("X-API-Key", dice.choice(("", "\xff", "k" * 9000))),
            ("Accept", dice.choice(("", "text/html", "*/*;q=nan", "," * 5000, "\xff"))),
            ("Origin", dice.choice(("null", "http://\xff", "x" * 9000))),
            ("Cookie", "a=b; " * 2000),
            ("X-" + "y" * dice.choice((10, 9000)), dice.choice(("\x00", "\x01", "\xff", "a\r\n b", "z" * 70_000))),
            (dice.choice(("", " ", "a b", "\xff", "X:", ":", "X-Ok")), "1"),
        )
        return dice.choice(options)

    def _accept(self) -> Case:
        dice = self.dice
        wish = dice.choice(
            ("*/*", "", "a/b", "application/json;q=0", "application/json;q=nan", "application/json;q=inf", "*/*;q=1e999",
             "application/vnd.dogbreed+json", "application/vnd.dogbreed.scores+json, a/b", ",,,", ";q=1", "\xe9/\xff",
             "application/json;q=" + "9" * 5000, "a/b," * 9000, "application/vnd.dogbreed+json;q=-1, */*;q=0.1")
        )  # fmt: skip
        usual = [("Host", "x"), ("Content-Type", "image/jpeg"), ("Content-Length", str(len(PICTURE)))]
        return Case(
            "accept", _request("POST", "/invocations", [*usual, ("Accept", wish)], PICTURE), whole=len(wish) < 60_000
        )

    def _query(self) -> Case:
        dice = self.dice
        number = dice.choice(("0", "1", "-1", "1000", "1001", "9" * 5000, "1e3", "%00", "%FF", "٣", "%D9%A3", "", "null", "3.0",
                              "1&top_k=2", "1;top_k=2", "1&" + "a=b&" * 3000, "+3", "%203", "1_0", "0x1", "inf", "[]", "{}"))  # fmt: skip
        name = dice.choice(("top_k", "top_k", "top_k", "top_k[]", "TOP_K", "%74op_k", "", "%"))
        query = f"?{name}={number}"
        return self._posted("query", "/v1/classify" + query, "image/jpeg", PICTURE, whole=query.isascii())

    def _place(self) -> Case:
        dice = self.dice
        method = dice.choice(
            ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "X" * 300, "get", "POST")
        )
        path = dice.choice(
            ("/", "/v1/classify", "/v1/classify/", "/v1/labels", "/v1/classify/batch", "/healthz", "/readyz", "/docs",
             "/openapi.json", "/assets/../../../etc/passwd", "/assets/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/assets/app.js%00",
             "/problems/x", "/problems/%0d%0aX:y", "/problems/image", "//", "//evil.example/", "*", "http://evil.example/v1/labels",
             "/%ff%fe", "/%", "/v1/%63lassify", "/" + "a" * 9000, "/v1/labels?" + "x" * 9000, "/docs/\\..\\", "x", "/;a=b", "/assets/")
        )  # fmt: skip
        data = _request(method, path, [("Host", "x"), ("Content-Length", "0")], b"")
        return Case("place", data, whole=method != "CONNECT" and len(method) < 20, method=method)

    def _chunked(self) -> Case:
        return self._pieces("/v1/classify", "image/jpeg", PICTURE)

    def _chunked_of_model(self) -> Case:
        return self._pieces("/invocations", "application/json", b"[[1]]")

    def _pieces(self, path: str, kind: str, body: bytes) -> Case:
        dice = self.dice
        step = dice.choice((1, 7, 500, 100_000))
        chunks = [body[at : at + step] for at in range(0, len(body), step)][:200]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        damages = (
            lambda: framed.replace(b"\r\n", b"\n", 1),
            lambda: framed[: dice.randrange(len(framed))],
            lambda: b"ffffffffffffffff\r\n" + framed,
            lambda: b"-1\r\n" + framed,
            lambda: b"0x5\r\nabcde\r\n0\r\n\r\n",
            lambda: b"5;" + b"e" * dice.choice((10, 70_000)) + b"\r\nabcde\r\n0\r\n\r\n",
            lambda: framed[:-2] + b"X-Trailer: " + b"y" * dice.choice((10, 70_000)) + b"\r\n\r\n",
            lambda: flipped(framed, dice),
        )
        whole = dice.random() < 0.3
        headers = [("Host", "x"), ("Content-Type", kind), ("Transfer-Encoding", "chunked")]
        return Case(
            "chunked", _request("POST", path, headers, framed if whole else dice.choice(damages)()), whole=whole
        )

    def _garbage(self) -> Case:
        return self._noise("/v1/classify")

    def _mutated(self) -> Case:
        return Case("mutated", mutated(self.dice), whole=False)

    def _garbage_of_model(self) -> Case:
        return self._noise("/invocations")

    def _noise(self, path: str) -> Case:
        dice = self.dice
        headers = [("Host", "x"), ("Content-Type", "image/jpeg"), ("Content-Length", str(len(PICTURE)))]
        usual = _request("POST", path, headers, PICTURE)
        data = dice.choice(
            (
                flipped(usual, dice),
                flipped(usual[:120], dice) + usual[120:],
                usual[: dice.randrange(len(usual))],
                dice.randbytes(dice.choice((1, 50, 3000))),
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + dice.randbytes(500),
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + dice.randbytes(100),
                b"\r\n" * dice.choice((1, 5, 40_000)),
                usual.replace(
                    b"HTTP/1.1", dice.choice((b"HTTP/0.9", b"HTTP/1.0", b"HTTP/2", b"HTTP/9.9", b"http/1.1", b""))
                ),
                b"GET\r\n\r\n",
                b"A" * 100_000,
                usual + usual + b"junk",
            )
        )
        return Case("garbage", data, whole=False)

    # The model server's bodies

    def _json_of_model(self) -> Case:
        dice = self.dice
        members = dice.choice(({"url": f'"{self.url()}"'}, {"url": value(dice)}, {"instances": "[[1]]"}))
        text = document(members, dice) if dice.random() < 0.7 else value(dice).encode("utf-8", "surrogatepass")
        return self._posted("json", "/invocations", "application/json", text)

    def _tensor(self) -> Case:
        dice = self.dice
        number = dice.choice(
            ("0", "1", "0.5", "-1", "1e38", "3e38", "-3e38", "1e39", "1e999", "NaN", "true", "null", '"1"', "9" * 400, "[]", "{}")
        )  # fmt: skip
        shape = dice.choice(((3, 32, 32), (1, 3, 32, 32), (2, 3, 33, 32), (3, 31, 32), (1, 32, 32), (3, 1, 4000), (0,), (3, 0, 32),
                             (1, 1, 3, 32, 32), (3, 32), (40, 3, 32, 32), (3, 64, 64), (1,) * 70, (1, 4, 32, 32)))  # fmt: skip
        text = number if dice.random() < 0.5 else "0.5"
        for size in reversed(shape):
            text = "[" + ",".join([text] * size) + "]"
        if text.count(number) > 1 and dice.random() < 0.5:
            text = text.replace("0.5", number, 1)
        data = flipped(text.encode(), dice) if dice.random() < 0.2 else text.encode()
        wish = dice.choice(
            ("application/json", "application/vnd.dogbreed+json", "application/vnd.dogbreed.scores+json")
        )
        return self._posted("tensor", "/invocations", "application/json", data, ("Accept", wish))

    def _posted(self, kind: str, path: str, content_type: str, body: bytes, *more: Header, whole: bool = True) -> Case:
        headers = [("Host", "x"), ("Content-Type", content_type), ("Content-Length", str(len(body))), *more]
        # The longest head that uvicorn reads is 64 KiB; beyond ASCII none is well-formed.
        whole = whole and content_type.isascii() and content_type.isprintable()
        return Case(kind, _request("POST", path, headers, body), whole=whole)


_USUAL = ("host", "content-type", "content-length")
_CHARSETS = (
    "utf-8",
    "idna",
    "punycode",
    "rot13",
    "zlib",
    "unicode_escape",
    "utf-7",
    "u%00",
    "",
    "none",
    "hex",
    "x" * 200,
)


def _request(method: str, path: str, headers: Sequence[Header], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {text}" for name, text in headers)]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body
