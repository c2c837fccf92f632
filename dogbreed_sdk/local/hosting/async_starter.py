"""Starts the processes that answer the requests of asynchronous endpoints."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from dogbreed_sdk._util.processes import start_module
from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.store import ASYNC_INVOCATION, Store
from training_scripts._util.locking import is_locked

_WORKER = "dogbreed_sdk.local.hosting.async_worker"
# A process that was started takes the queue's lock within this time.
_START_SECONDS = 3.0


@dataclass
class QueueStarter:
    """Starts the processes of queues that have unanswered requests and none.

    Attributes:
        store: The store with the queues.
    """

    store: Store
    _started: dict[str, float] = field(default_factory=dict)

    def start(self, endpoint: str) -> None:
        """Start the process of one endpoint's queue; does nothing if it runs, or was started just now."""
        folder = EndpointFolder.of(self.store.root, endpoint)
        now = time.monotonic()
        if now - self._started.get(endpoint, -_START_SECONDS) < _START_SECONDS or is_locked(folder.queue_lock):
            return
        self._started[endpoint] = now
        start_module(_WORKER, [str(self.store.root), endpoint], log=folder.queue_log)

    def start_all(self) -> None:
        """Start the processes of all queues with unanswered requests, for instance after a restart of the machine."""
        for endpoint in self.store.parents(ASYNC_INVOCATION):
            self.start(endpoint)
