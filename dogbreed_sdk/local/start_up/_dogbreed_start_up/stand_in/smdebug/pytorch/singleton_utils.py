"""The process's hook, and creating it as its job configures it."""

from __future__ import annotations

import os
from typing import Any

from ..core.current_hook import current_hook, del_hook, set_hook
from ..core.json_config import create_hook
from .hook import Hook

__all__ = ["del_hook", "get_hook", "set_hook"]


def get_hook(json_config_path: str | None = None, create_if_not_exists: bool = False) -> Any:
    """The process's hook; None if there is none.

    Args:
        json_config_path: The configuration of a new hook; None for the job's.
        create_if_not_exists: Whether to create one as configured, if there is a configuration.
    """
    if os.environ.get("USE_SMDEBUG", "true").lower() in ("false", "0", "no", "n", "off", "f"):
        return None
    if current_hook() is None and create_if_not_exists:
        try:
            create_hook(Hook, json_config_path)
        except FileNotFoundError:
            return None
    return current_hook()
