"""Helpers that scripts take from smdebug."""

from __future__ import annotations

from typing import Any

from ..core.reduction_config import is_true


def str2bool(v: Any) -> bool:
    """Whether an argument of a command line is switched on."""
    return is_true(v)
