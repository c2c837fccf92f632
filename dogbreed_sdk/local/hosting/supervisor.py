"""Supervises an endpoint while it starts: `python -m dogbreed_sdk.local.hosting.supervisor ROOT NAME`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dogbreed_sdk.local import supervision
from dogbreed_sdk.local.hosting.startup import bring_up


def main(arguments: Sequence[str]) -> int:
    """Bring up one endpoint; returns 0 even if that fails, because its record has the outcome."""
    bring_up(*supervision.open_store(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
