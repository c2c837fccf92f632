"""Starts the model server: `python -m dogbreed_sdk.serving [serve] --model-dir DIR`."""

from __future__ import annotations

import sys

from dogbreed_sdk.serving.command import main

if __name__ == "__main__":
    sys.exit(main())
