"""Metrics for Prometheus: requests, latencies, the queue, rejected pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from dogbreed_sdk.service.admission import Admission

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The metrics of one application, in a separate registry.

    Args:
        admission: Read for the numbers of the queue whenever Prometheus scrapes.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, admission: Admission) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "dogbreed_http_requests", "Requests by route and status.", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "dogbreed_http_request_seconds",
            "Time from a request's headers to the end of its response.",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        # Looking a metric up by its labels costs more than counting.
        self._of_routes: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._pictures = Counter("dogbreed_pictures", "Pictures that were classified.", registry=self._registry)
        self._rejected = Counter(
            "dogbreed_rejected_pictures", "Pictures that look like none of the classes.", registry=self._registry
        )
        self._problems = Counter("dogbreed_problems", "Problems by kind.", ["kind"], registry=self._registry)
        for name, text, read in (
            ("dogbreed_queue_length", "Pictures that wait for a slot.", lambda: admission.waiting),
            ("dogbreed_in_flight", "Pictures that are being classified.", lambda: admission.active),
            ("dogbreed_held_bytes", "Bytes of request bodies in memory.", lambda: admission.held_bytes),
        ):
            Gauge(name, text, registry=self._registry).set_function(read)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts one finished request."""
        found = self._of_routes.get((route, status))
        if found is None:
            found = self._requests.labels(route, str(status)), self._seconds.labels(route)
            self._of_routes[route, status] = found
        count, duration = found
        count.inc()
        duration.observe(seconds)

    def picture(self, *, rejected: bool | None) -> None:
        """Counts one classified picture."""
        self._pictures.inc()
        if rejected:
            self._rejected.inc()

    def problem(self, kind: str) -> None:
        """Counts one problem."""
        self._problems.labels(kind).inc()

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)
