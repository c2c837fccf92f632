"""One line of an examination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was checked, and how it went.

    Attributes:
        name: What was checked, in one to three words.
        status: pass; warn: something may go wrong or is slower than it could be; fail: something will go wrong.
        message: What was found.
        remedy: What to do about it, or an empty string.
    """

    name: str
    status: Status
    message: str
    remedy: str = ""


def passed(name: str, message: str) -> Check:
    """Nothing needs to be done."""
    return Check(name, "pass", message)


def warned(name: str, message: str, remedy: str = "") -> Check:
    """Something may go wrong."""
    return Check(name, "warn", message, remedy)


def failed(name: str, message: str, remedy: str = "") -> Check:
    """Something will go wrong; without a remedy if the message ends with it."""
    return Check(name, "fail", message, remedy)
