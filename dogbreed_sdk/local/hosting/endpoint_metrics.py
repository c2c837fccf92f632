"""The metrics of endpoints by production variant, as CloudWatch has them: requests, errors, latencies, processors.

Names and units: developer guide, "Metrics for monitoring Amazon SageMaker AI with Amazon CloudWatch".
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.metric_history import MetricHistory, Summary, read_history
from dogbreed_sdk.local.store import ENDPOINT, NotFound, Store

REQUESTS_NAMESPACE = "AWS/SageMaker"
INSTANCES_NAMESPACE = "/aws/sagemaker/Endpoints"
# Metric -> CloudWatch's unit.
REQUEST_METRICS = {
    "Invocations": "None",
    "InvocationsPerInstance": "None",
    "Invocation4XXErrors": "None",
    "Invocation5XXErrors": "None",
    "InvocationModelErrors": "None",
    "ModelLatency": "Microseconds",
    "OverheadLatency": "Microseconds",
}
INSTANCE_METRICS = {"CPUUtilization": "Percent", "MemoryUtilization": "Percent"}

_WRITE_SECONDS = 0.5
_SAMPLE_SECONDS = 5.0
# The processors of an endpoint that gets no requests are not watched.
_WATCHED_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclass
class Measured:
    """A request while it is measured.

    Attributes:
        status: The HTTP status of the model's response; 500 as long as there is none.
        model_seconds: How long the model took, once it is known.
    """

    status: int = 500
    model_seconds: float = 0.0


@dataclass
class EndpointMetrics:
    """Notes the metrics of one store's endpoints, and writes them every half a second.

    Attributes:
        store: Where the endpoints are; their folders get the histories.
    """

    store: Store
    _histories: dict[str, MetricHistory] = field(default_factory=dict)
    # Endpoint -> when its last request came; (endpoint, variant) -> when its processors were read, and their seconds.
    _requested: dict[str, float] = field(default_factory=dict)
    _processors: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    @contextmanager
    def measured(self, endpoint: str, variant: str) -> Iterator[Measured]:
        """Measures a request: what the block takes is the model's latency; an exception counts as a server error."""
        request, start = Measured(), time.perf_counter()
        try:
            yield request
        finally:
            request.model_seconds = time.perf_counter() - start
            self._note(endpoint, variant, request)

    def _note(self, endpoint: str, variant: str, request: Measured) -> None:
        history, now = self._history(endpoint), time.time()
        self._requested[endpoint] = time.monotonic()
        values = {
            "Invocations": 1.0,
            "InvocationsPerInstance": 1.0,
            "Invocation4XXErrors": float(400 <= request.status < 500),
            "Invocation5XXErrors": float(request.status >= 500),
            "InvocationModelErrors": float(not 200 <= request.status < 300),
        }
        for name, value in values.items():
            history.note(_key(variant, name), value, now)
        history.note(_key(variant, "ModelLatency"), request.model_seconds * 1e6, now, keep_distribution=True)

    def note_overhead(self, endpoint: str, variant: str, seconds: float) -> None:
        """Notes the time that a request took beside the model."""
        overhead = max(0.0, seconds) * 1e6
        self._history(endpoint).note(_key(variant, "OverheadLatency"), overhead, time.time(), keep_distribution=True)

    async def run(self) -> None:
        """Write the metrics and sample the processors until cancelled."""
        due = time.monotonic() + _SAMPLE_SECONDS
        while True:
            await asyncio.sleep(_WRITE_SECONDS)
            try:
                if time.monotonic() >= due:
                    due = time.monotonic() + _SAMPLE_SECONDS
                    await asyncio.to_thread(self._sample)
                await self.flush()
            except Exception:  # noqa: BLE001 - or nothing would be written any more
                _log.exception("metrics of endpoints could not be written")

    async def flush(self) -> None:
        """Write what was noted."""
        for history in list(self._histories.values()):
            try:
                history.write()
            except OSError as error:  # written with the next ones
                _log.error("metrics of endpoints could not be written: %s", error)

    def _history(self, endpoint: str) -> MetricHistory:
        if endpoint not in self._histories:
            self._histories[endpoint] = MetricHistory(EndpointFolder.of(self.store.root, endpoint).metrics)
        return self._histories[endpoint]

    def _sample(self) -> None:
        """Note the use of processors and memory by the model servers of endpoints that got requests lately."""
        now = time.monotonic()
        for endpoint in [name for name, last in self._requested.items() if now - last < _WATCHED_SECONDS]:
            try:
                servers = self.store.get(ENDPOINT, endpoint).state.get("servers", {})
            except NotFound:
                self._requested.pop(endpoint, None)
                continue
            for variant, server in servers.items():
                self._sample_server(endpoint, variant, int(server["pid"]))

    def _sample_server(self, endpoint: str, variant: str, pid: int) -> None:
        try:
            main = psutil.Process(pid)
            processes = [main, *main.children(recursive=True)]
            used = sum(sum(process.cpu_times()[:2]) for process in processes)
            memory = sum(process.memory_percent() for process in processes)
        except psutil.Error:
            return  # it has just ended
        now, history = time.monotonic(), self._history(endpoint)
        before = self._processors.get((endpoint, variant))
        self._processors[endpoint, variant] = now, used
        history.note(_key(variant, "MemoryUtilization"), memory, time.time())
        if before is not None and used >= before[1]:
            # 100 for each processor, as on AWS.
            history.note(_key(variant, "CPUUtilization"), (used - before[1]) / (now - before[0]) * 100, time.time())


def read_metric(root: Path, endpoint: str, variant: str, name: str) -> Iterator[Summary]:
    """The history of a variant's metric."""
    for _, summary in read_history(EndpointFolder.of(root, endpoint).metrics, _key(variant, name)):
        yield summary


def noted_metrics(root: Path, endpoint: str) -> Sequence[tuple[str, str]]:
    """The variants and names of an endpoint's metrics that have values."""
    keys = {key for key, _ in read_history(EndpointFolder.of(root, endpoint).metrics)}
    return sorted((variant, name) for variant, _, name in (key.partition("/") for key in keys))


def _key(variant: str, name: str) -> str:
    return f"{variant}/{name}"
