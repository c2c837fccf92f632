"""The process beside a job: `python -m dogbreed_sdk.local.jobs.supervisor ROOT KIND NAME`.

It does the job's work and writes the outcome, so that neither client nor server has to stay. Kinds are
training-job, tuning-job, and endpoint (brings a new or changed endpoint up once, to verify it).
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from dogbreed_sdk._util.descendants import adopt_orphans
from dogbreed_sdk._util.files import file_lock_within
from dogbreed_sdk._util.processes import restore_interrupts
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.store import ENDPOINT, TRAINING_JOB, Store

# Others hold the lock for a moment while they look whether it is held.
_LOCK_SECONDS = 1.0


def main(arguments: list[str]) -> int:
    """Supervise one job; 0 also when another process does so already."""
    root, kind, name = arguments
    restore_interrupts()
    store = Store(Path(root))
    if kind == ENDPOINT:
        from dogbreed_sdk.local.hosting.endpoints import verify  # noqa: PLC0415

        verify(store, name)
        return 0
    with file_lock_within(JobFolder.of(store.root, name).lock, _LOCK_SECONDS) as is_ours:
        if is_ours:
            _supervise(store, kind, name)
    return 0


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
