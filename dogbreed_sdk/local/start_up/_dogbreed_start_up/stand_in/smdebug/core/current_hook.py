"""The process's hook, if there is one."""

from __future__ import annotations

from typing import Any

_current: dict[str, Any] = {}


def current_hook() -> Any:
    """The process's hook; None if there is none."""
    return _current.get("hook")


def set_hook(custom_hook: Any) -> None:
    """Make a hook the process's."""
    _current["hook"] = custom_hook


def del_hook() -> None:
    """Forget the process's hook."""
    _current.clear()
