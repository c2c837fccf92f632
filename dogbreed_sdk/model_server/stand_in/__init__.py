"""Packages that AWS's containers have and code in inference.py imports; used where they are not installed."""

from __future__ import annotations

from pathlib import Path

# To be searched last.
FOLDER = Path(__file__).parent
