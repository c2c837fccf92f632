"""Supervises a training job: `python -m dogbreed_sdk.local.jobs.supervisor ROOT NAME`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from dogbreed_sdk._util.descendants import adopt_orphans
from dogbreed_sdk.local import supervision
from dogbreed_sdk.local.jobs.training_run import TrainingRun
from dogbreed_sdk.local.store import TRAINING_JOB


def main(arguments: Sequence[str]) -> int:
    """Supervise one training job; returns 0 also if another process already does."""
    store, name = supervision.open_store(arguments)
    with supervision.sole_supervisor(store, TRAINING_JOB, name) as is_ours:
        if is_ours:
            run = TrainingRun(store, name, adopts=adopt_orphans())
            signal.signal(signal.SIGTERM, lambda _number, _frame: run.terminate())
            run.execute()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
