"""Numbers on a command line, with bounds that its errors name."""

from __future__ import annotations

import argparse


def at_least_one(text: str) -> int:
    """A count."""
    value = _whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def port(text: str) -> int:
    """A TCP port; 0 leaves the choice to the system."""
    value = _whole(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port (0 to 65535)")
    return value


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        # argparse's own words would name the function: "invalid at_least_one value".
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
