"""Where this package is, for processes that run its modules with `-m`."""

from __future__ import annotations

from pathlib import Path

PACKAGE_PARENT = Path(__file__).resolve().parents[2]
