"""A service on a real socket of loopback, in a thread, with an endpoint behind it that a test scripts."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import fastapi
import requests
import uvicorn

from dogbreed_sdk._util.http_connections import ConnectionLimits
from dogbreed_sdk.service import ServiceSettings, create_app
from dogbreed_sdk.service.server import listen, make_server, url_of
from dogbreed_sdk.testing import FakeEndpoint
from tests.waiting import wait_for

BREEDS = ("001.Affenpinscher", "009.American_water_spaniel", "Pug")
JPEG = {"Content-Type": "image/jpeg"}

# Services that were told to end, for whoever is the last to see to it.
ENDING: list[RunningService] = []


class RunningService:
    """A service that answers from `with` to its end."""

    def __init__(
        self,
        endpoint: FakeEndpoint,
        settings: ServiceSettings | None = None,
        *,
        limits: ConnectionLimits | None = None,
        wrap: Callable[[fastapi.FastAPI], fastapi.FastAPI] = lambda app: app,
    ) -> None:
        self.endpoint = endpoint
        settings = settings or ServiceSettings()
        self._classifier = endpoint.async_classifier()
        app = wrap(create_app(self._classifier, settings))
        self._listener = listen("127.0.0.1", 0)
        self.url = url_of(self._listener)
        self.port: int = self._listener.getsockname()[1]
        limits = limits or ConnectionLimits(per_address=settings.max_connections_per_address)
        self.server: uvicorn.Server = make_server(app, deadline_seconds=settings.deadline_seconds, limits=limits)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._listener]})

    def __enter__(self) -> RunningService:
        self._thread.start()
        wait_for(lambda: self.server.started)
        return self

    def __exit__(self, *_: object) -> None:
        # Ending takes a while, most of it sleep: the next test need not wait for it.
        self.stop()
        ENDING.append(self)

    def join(self) -> None:
        """Waits for its end."""
        self._thread.join(120)
        assert not self._thread.is_alive()
        asyncio.run(self._classifier.close())

    def stop(self) -> None:
        """What SIGTERM does."""
        self.server.should_exit = True

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=120, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return requests.post(self.url + path, timeout=120, **options)

    def classify(self, body: bytes, query: str = "", **headers: str) -> requests.Response:
        """Sends a picture as the body."""
        return self.post(f"/v1/classify{query}", data=body, headers=JPEG | headers)

    def metric(self, name: str) -> float:
        """The value of one line of /metrics."""
        lines = self.get("/metrics").text.splitlines()
        [value] = [line.rpartition(" ")[2] for line in lines if line.startswith(name + " ")] or ["0"]
        return float(value)


def refuses(url: str) -> bool:
    """Whether nobody takes connections there any more."""
    try:
        requests.get(url, timeout=120)
    except requests.ConnectionError:
        return True
    return False


class Gate:
    """A model that works on a picture until the test says so."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self, _body: bytes) -> str:
        self.entered.release()
        assert self.open.wait(120)
        return BREEDS[0]

    def wait_until_entered(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.entered.acquire(timeout=120)


class LogLines(logging.Handler):
    """Keeps what a logger says."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
