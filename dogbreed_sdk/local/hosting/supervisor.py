"""The process beside an endpoint that is coming up: `python -m dogbreed_sdk.local.hosting.supervisor ROOT NAME`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dogbreed_sdk.local import supervision
from dogbreed_sdk.local.hosting.startup import bring_up


def main(arguments: Sequence[str]) -> int:
    """Bring one endpoint up; 0 also where that fails, which its record says."""
    bring_up(*supervision.open_store(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
