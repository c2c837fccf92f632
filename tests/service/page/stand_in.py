"""A small real HTTP server in the place of the service: it serves the page and answers as a test scripts it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from dogbreed_sdk.service import page
from dogbreed_sdk.service.middleware import PAGE_POLICY

MODEL_ID = "3f9c21ab77d0" + "0" * 52
BREEDS = ("Collie", "Border collie", "Soft-coated wheaten terrier", "Old English sheepdog", "Shetland sheepdog")
PROBABILITIES = (0.9134, 0.0521, 0.0113, 0.0062, 0.0009)


@dataclass(frozen=True)
class Reply:
    """One answer of the service.

    Attributes:
        status: Of HTTP.
        body: JSON to be, or bytes as they are.
        headers: Beyond the usual.
        hold: Waited for before it is sent.
    """

    status: int
    body: object
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None


@dataclass(frozen=True)
class Request:
    """One picture as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


def prediction(*, rejected: bool = False, breeds: tuple[str, ...] = BREEDS, model_id: str = MODEL_ID) -> Reply:
    """An answer as Prediction.to_dict() has it."""
    shares = [share * 0.3 for share in PROBABILITIES] if rejected else PROBABILITIES
    scores = [
        {"label": label, "class_folder": f"{number:03}.{label}", "index": number - 1, "probability": share}
        for number, (label, share) in enumerate(zip(breeds, shares, strict=False), start=1)
    ]
    best = {key: scores[0][key] for key in ("label", "class_folder", "index", "probability")}
    judged = {"rejected": rejected, "rejection_score": 1.0, "rejection_threshold": 0.5}
    return Reply(200, {**best, **judged, "folder_number": 1, "scores": scores, "model_id": model_id})


def labels(count: int, *, model_id: str = MODEL_ID) -> Reply:
    """An answer with so many breeds."""
    breeds = [{"index": index, "label": f"Breed {index}"} for index in range(count)]
    return Reply(200, {"model_id": model_id, "labels": breeds, "subject": "dogs"})


def problem(status: int, kind: str, detail: str, **headers: str) -> Reply:
    """A refusal as problem details."""
    body = {"type": f"/problems/{kind}", "title": kind, "status": status, "detail": detail, "request_id": "f00d"}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class PageServer:
    """Serves the page and answers pictures by `answer`, which a test may replace at any time.

    Attributes:
        requests: The pictures that arrived, in order.
        answer: What to answer to a request.
        labels: What to answer to who asks for the breeds.
        files: Further files by path, each with its content type.
        options: What the page is told about the service, as `page.index` takes it.
        most_at_once: The most pictures that were under way at the same time.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Reply] = lambda _request: prediction()
        self.labels = labels(120)
        self.options: dict[str, Any] = {}
        self.files: dict[str, tuple[bytes, str]] = {}
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self._running = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/"

    def replies(self, *replies: Reply) -> None:
        """These answers, one after the other; the last for all that come later."""
        left = list(replies)

        def answer(request: Request) -> Reply:
            with self._lock:
                return left.pop(0) if len(left) > 1 else left[0]

        self.answer = answer

    def received(self, request: Request) -> Reply:
        """What a picture is answered with, once it may be."""
        with self._lock:
            self.requests.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        reply = self.answer(request)
        if reply.hold is not None:
            reply.hold.wait(240)
        with self._lock:
            self._at_once -= 1
        return reply

    def close(self) -> None:
        """The service goes down."""
        if self._running:
            self._running = False
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def __enter__(self) -> PageServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            # One connection a request: a server that is down leaves none open behind it.
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                if self.path == "/v1/labels":
                    self._send(owner.labels)
                elif self.path in owner.files:
                    content, content_type = owner.files[self.path]
                    self._send(Reply(200, content, {"Content-Type": content_type}))
                elif self.path in page.files():
                    body, media_type = page.files()[self.path]
                    if self.path == "/":
                        body = page.index(subject="dogs", **owner.options)
                    headers = {"Content-Type": media_type, "Content-Security-Policy": PAGE_POLICY}
                    self._send(Reply(200, body, headers))
                else:
                    self._send(problem(404, "not-found", "There is nothing here."))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self._send(owner.received(Request(self.path, headers, body)))

            def log_message(self, *arguments: object) -> None:
                pass

            def _send(self, reply: Reply) -> None:
                body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                json_type = "application/json" if reply.status == 200 else "application/problem+json"
                headers = {"Content-Type": json_type, "Content-Length": str(len(body)), **reply.headers}
                try:
                    self.send_response(reply.status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the reader has gone, as when a card is removed

        return Handler
