"""The process beside a job: `python -m dogbreed_sdk.local.jobs.supervisor ROOT KIND NAME`.

It does the job's work and writes the outcome, so that neither client nor server has to stay. Kinds are
training-job, tuning-job, and endpoint (brings a new or changed endpoint up once, to verify it).
"""

from __future__ import annotations

import fcntl
import signal
import sys
import time
from pathlib import Path

from dogbreed_sdk._util.descendants import adopt_orphans
from dogbreed_sdk._util.processes import restore_interrupts
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.store import ENDPOINT, TRAINING_JOB, Store

_LOOK_SECONDS = 1.0


def main(arguments: list[str]) -> int:
    """Supervise one job; 0 also when another process does so already."""
    root, kind, name = arguments
    restore_interrupts()
    store = Store(Path(root))
    if kind == ENDPOINT:
        from dogbreed_sdk.local.hosting.endpoints import verify  # noqa: PLC0415

        verify(store, name)
        return 0
    with JobFolder.of(store.root, name).lock.open("a") as lock:
        if _take(lock.fileno()):
            _supervise(store, kind, name)
    return 0


def _take(descriptor: int) -> bool:
    """Take the lock; False when another supervisor has it, and not just somebody who looks whether one does."""
    deadline = time.monotonic() + _LOOK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _supervise(store: Store, kind: str, name: str) -> None:
    if kind == TRAINING_JOB:
        from dogbreed_sdk.local.jobs.training_run import TrainingRun  # noqa: PLC0415

        run = TrainingRun(store, name, adopts=adopt_orphans())
        signal.signal(signal.SIGTERM, lambda _number, _frame: run.terminate())
        run.execute()
    else:
        from dogbreed_sdk.local.tuning.tuner import Tuner  # noqa: PLC0415

        Tuner(store, name).execute()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
