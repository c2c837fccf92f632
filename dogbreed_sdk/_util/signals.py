"""How our programs handle the signal that a terminal sends when it is closed."""

from __future__ import annotations

import signal


def end_on_hangup() -> None:
    """Handles SIGHUP as SIGTERM, so that a server finishes what it accepted. Under nohup it stays ignored."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda _number, _frame: signal.raise_signal(signal.SIGTERM))
