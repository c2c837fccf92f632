"""Status lines in a notebook, each replaced by the next one."""

from __future__ import annotations

import html
import sys
import uuid
from typing import Any

# One per job and cell; the lines of older cells stay as they are.
_KEPT = 200
_lines: dict[tuple[int, str], str] = {}


def shell() -> Any | None:
    """IPython's shell if this process is a notebook's kernel (Jupyter, VS Code, Colab); else None."""
    ipython = sys.modules.get("IPython")
    found = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return found if hasattr(found, "kernel") else None


def show_line(key: str, text: str, *, fraction: float | None = None) -> bool:
    """Shows a line in the output of the running cell, in place of the last one with the same key.

    Args:
        key: What the line is about, such as a job's name.
        text: The line.
        fraction: How much is done, 0 to 1, shown as a bar; None for no bar.

    Returns:
        Whether this process is a notebook's kernel; elsewhere nothing is shown.
    """
    running = shell()
    if running is None:
        return False
    place = (int(running.execution_count), key)
    known = place in _lines
    if not known:
        while len(_lines) >= _KEPT:
            del _lines[next(iter(_lines))]
        _lines[place] = f"dogbreed-{uuid.uuid4()}"
    running.display_pub.publish(
        {"text/plain": text, "text/html": _html(text, fraction)},
        transient={"display_id": _lines[place]},
        update=known,
    )
    return True


def _html(text: str, fraction: float | None) -> str:
    bar = ""
    if fraction is not None:
        width = f"{100 * min(1.0, max(0.0, fraction)):.1f}%"
        filled = f"<div style='width:{width};height:.6em;border-radius:2px;background:#2f8fd0'></div>"
        bar = f"<div style='width:12em;background:#8883;border-radius:2px;flex:none'>{filled}</div>"
    said = f"<code style='background:none;white-space:pre-wrap'>{html.escape(text)}</code>"
    return f"<div style='display:flex;gap:.8em;align-items:center'>{bar}{said}</div>"
