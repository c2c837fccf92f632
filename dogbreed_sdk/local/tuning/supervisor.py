"""Supervises a tuning job: `python -m dogbreed_sdk.local.tuning.supervisor ROOT NAME`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dogbreed_sdk.local import supervision
from dogbreed_sdk.local.store import TUNING_JOB
from dogbreed_sdk.local.tuning.tuner import Tuner


def main(arguments: Sequence[str]) -> int:
    """Supervise one tuning job; 0 also when another process does so already."""
    store, name = supervision.open_store(arguments)
    with supervision.sole_supervisor(store, TUNING_JOB, name) as is_ours:
        if is_ours:
            Tuner(store, name).execute()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
