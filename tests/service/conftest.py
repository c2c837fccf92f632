"""What the service's tests share: services that are started for one test, and one for those that only ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from dogbreed_sdk._util.http_connections import ConnectionLimits
from dogbreed_sdk.service import ServiceSettings, readiness
from dogbreed_sdk.testing import FakeEndpoint
from tests.service.running import BREEDS, ENDING, RunningService

Serve = Callable[..., RunningService]


@pytest.fixture(scope="session", autouse=True)
def _all_services_end() -> Iterator[None]:
    yield
    while ENDING:
        ENDING.pop().join()


@pytest.fixture(autouse=True)
def _a_standstill_is_no_endpoint_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_PROBE_SECONDS", 120.0)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a service of the test's own: serve(endpoint, max_waiting=1, ...)."""
    with ExitStack() as stack:

        def start(
            endpoint: FakeEndpoint | None = None, *, limits: ConnectionLimits | None = None, **settings: Any
        ) -> RunningService:
            running = RunningService(endpoint or FakeEndpoint(BREEDS), ServiceSettings(**settings), limits=limits)
            return stack.enter_context(running)

        yield start


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    """A service with the default settings, whose endpoint always answers the same."""
    with RunningService(FakeEndpoint(BREEDS, answer="Pug")) as running:
        yield running
