"""What runs inside a training or inference container: training, feature extraction and serving."""

from __future__ import annotations

__all__ = ["ScriptError"]


class ScriptError(ValueError):
    """An error that the user can fix: entry points show its message without a traceback."""
