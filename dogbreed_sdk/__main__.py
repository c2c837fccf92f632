"""``python -m dogbreed_sdk`` is ``dogbreed``."""

import sys

from dogbreed_sdk.cli import main

if __name__ == "__main__":
    sys.exit(main())
