"""Starts the model server: `python -m dogbreed_sdk.model_server [serve] --model-dir DIR`."""

from __future__ import annotations

import sys

from dogbreed_sdk._util.descendants import adopt_orphans, end_descendants
from dogbreed_sdk.model_server.command import main

if __name__ == "__main__":
    adopts = adopt_orphans()
    try:
        status = main()
    finally:
        if adopts:
            end_descendants()  # what the model's code has started must not outlive it
    sys.exit(status)
