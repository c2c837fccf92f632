"""Draws a share of a sample: `python -m dogbreed_sdk.datasets.sample PLAN FOLDER FIRST STEP`.

It prints a byte for each picture.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from dogbreed_sdk.datasets.sample.sample import Plan, draw_share


def main(arguments: Sequence[str]) -> None:
    """Draw the share of one of several processes."""
    plan, folder, first, step = arguments
    for _ in draw_share(Plan(**json.loads(plan)), Path(folder), int(first), int(step)):
        sys.stdout.write(".")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
