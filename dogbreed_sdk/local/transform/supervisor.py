"""Supervises a transform job: `python -m dogbreed_sdk.local.transform.supervisor ROOT NAME`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from dogbreed_sdk._util.descendants import end_descendants
from dogbreed_sdk.local import supervision
from dogbreed_sdk.local.store import TRANSFORM_JOB
from dogbreed_sdk.local.transform.transform_run import TransformRun


def main(arguments: Sequence[str]) -> int:
    """Supervise one transform job; returns 0 also if another process already does."""
    store, name = supervision.open_store(arguments)
    with supervision.sole_supervisor(store, TRANSFORM_JOB, name) as is_ours:
        if is_ours:
            TransformRun(store, name).execute()
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # A stopped job no longer needs the download that may still be running in a thread, or pip in a process.
    end_descendants()
    sys.stderr.flush()
    os._exit(status)
