"""A report as a page on loopback that stays up to date while the run is recorded."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast

from dogbreed_sdk._util.sockets import bind, is_loopback, url_of
from dogbreed_sdk.debugging.html.document import document, waiting_page
from dogbreed_sdk.debugging.numbers import Format, encoded
from dogbreed_sdk.errors import DogBreedError

if TYPE_CHECKING:
    from socket import socket
    from types import TracebackType

    from typing_extensions import Self

    from dogbreed_sdk.debugging.content import ReportContent

_log = logging.getLogger(__name__)
# A page asks every five seconds; this long after the last state came, it has it.
LAST_LOOK_SECONDS = 8.0
_CSV, _JSON = "text/csv; charset=utf-8", "application/json"


class LivePage:
    """Serves the newest report to browsers on this machine, from `start` to `stop`.

    A page asks once every five seconds whether there is a newer report, and is drawn only if somebody looks at it.

    Attributes:
        url: Of the page.
    """

    def __init__(self, source: str, *, port: int = 0) -> None:
        """Listens; browsers are answered only after `start`.

        Args:
            source: What the report is about, until there is one.
            port: 0 for a free one.

        Raises:
            ConfigurationError: The port is taken.
        """
        self._source = source
        self._report: ReportContent | None = None
        self._state: tuple[str, int] | None = None
        self._version = 0
        self._page: tuple[int, bytes] | None = None
        self._lock = threading.Lock()
        self._looked = threading.Event()
        self._viewed = False
        listener = bind("127.0.0.1", port)
        self.url = f"{url_of(listener)}/"
        self._server = _Server(listener, self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True, name="live-page")

    def start(self) -> None:
        """Answers browsers from now on."""
        self._thread.start()

    def show(self, report: ReportContent | None) -> None:
        """Replaces the report, unless nothing was recorded meanwhile; None as long as nothing has been at all."""
        state = None if report is None else (report.status, report.recorded_steps)
        with self._lock:
            if state == self._state:
                return
            self._report, self._state, self._version = report, state, self._version + 1
            self._looked.clear()

    def stop(self) -> None:
        """Stops serving, once a browser that shows the page has the last report."""
        if self._viewed:
            self._looked.wait(LAST_LOOK_SECONDS)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def version(self) -> str:
        """Another text for each report that was shown."""
        return str(self._version)

    def page(self) -> bytes:
        """The page of the newest report."""
        with self._lock:  # drawing takes most of a second: once for all browsers
            if self._page is None or self._page[0] != self._version:
                drawn = (
                    waiting_page(self._source, self.version)
                    if self._report is None
                    else document(self._report, version=self.version)
                )
                self._page = self._version, drawn
            self._viewed = True
            return self._page[1]

    def delivered(self, version: str) -> None:
        """Notes that a browser has received the page of this version."""
        with self._lock:
            if version == self.version:
                self._looked.set()

    def numbers(self, form: Format) -> bytes | None:
        """The recorded numbers of the newest report; None without any."""
        try:
            return None if self._report is None else encoded(self._report, form)
        except DogBreedError:
            return None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    """Serves a page on a socket that is bound already."""

    daemon_threads = True

    def __init__(self, listener: socket, live: LivePage) -> None:
        super().__init__(listener.getsockname()[:2], cast("Any", partial(_Handler, live)), bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_activate()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Logs the failure of one request: a traceback would bury the report on the terminal.

        Browsers close connections whenever a page is reloaded before it has arrived.
        """
        _log.debug("a request of the live page failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET for the page, its version and its numbers, if the request is addressed to loopback."""

    protocol_version = "HTTP/1.0"  # a connection that stayed open would be answered after `LivePage.stop`
    timeout = 30
    server_version, sys_version = "dogbreed", ""

    def __init__(self, live: LivePage, *given: Any) -> None:
        self._live = live
        super().__init__(*given)

    def do_GET(self) -> None:
        """Answers one request."""
        # A page of another site could otherwise reach this one by a name that resolves to 127.0.0.1.
        if not is_loopback(self.headers.get("Host", "").rpartition(":")[0].strip("[]")):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"This page is for browsers on this machine.")
            return
        routes: dict[str, tuple[str, Callable[[], bytes | None]]] = {
            "/": ("text/html; charset=utf-8", self._live.page),
            "/version": ("text/plain", self._live.version.encode),
            "/numbers.csv": (_CSV, lambda: self._live.numbers("csv")),
            "/numbers.json": (_JSON, lambda: self._live.numbers("json")),
        }
        version = self._live.version
        kind, make = routes.get(self.path.partition("?")[0], ("text/plain", lambda: None))
        content = make()
        if content is None:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"There is nothing here.")
        else:
            self._answer(HTTPStatus.OK, kind, content)
            if make == self._live.page:
                self._live.delivered(version)

    def _answer(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
        """Logs nothing: a request every five seconds would bury the report on the terminal."""
