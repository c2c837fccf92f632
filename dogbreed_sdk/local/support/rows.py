"""The rows of the support tables: the three kinds of support, and how a table is written.

A table is nested like the request it describes: member name -> row, or -> table of the members below it. A row stands
for everything below its member. `tests/local/test_support.py` checks the tables against botocore's model: each member
has a row, and a row that works stands for one member only, so that nothing is taken and ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Support = Literal["works", "no meaning", "refused"]
# A value of a member: a text, a number or a switch.
Value = str | int | float | bool


@dataclass(frozen=True)
class Row:
    """The support for one member, or for a structure with everything below it.

    Attributes:
        support: What happens to the member.
        note: How it differs from AWS, why it has no meaning, or what to pass instead; for messages and documentation.
        only: The accepted values: all others are refused. Empty: every value is accepted (refused: none).
        is_routine: Whether ordinary requests contain it, so that a job's log does not mention it.
    """

    support: Support
    note: str = ""
    only: tuple[Value, ...] = ()
    is_routine: bool = False

    @property
    def explanation(self) -> str:
        """The note, with the accepted values of a member that works."""
        if self.support == "refused" or not self.only:
            return self.note
        accepted = f"accepted: {', '.join(str(value) for value in self.only)}"
        return f"{self.note}; {accepted}" if self.note else accepted

    def accepts(self, value: object) -> bool:
        """Whether a request may contain this value."""
        if self.only:
            return all(item in self.only for item in (value if isinstance(value, list) else [value]))
        return self.support != "refused" or value is False


Table = Mapping[str, "Row | Table"]


def works(note: str = "", *, only: tuple[Value, ...] = ()) -> Row:
    """The member does what it does on AWS, apart from what the note says; with `only`, for these values."""
    return Row("works", note, only)


def no_meaning(note: str) -> Row:
    """The member is accepted and described, but can't have an effect on one machine; a log names it once."""
    return Row("no meaning", note)


def routine(note: str) -> Row:
    """Like `no_meaning`, for members of almost every request, which a job's log does not name."""
    return Row("no meaning", note, is_routine=True)


def refused(note: str, *, unless: tuple[Value, ...] = ()) -> Row:
    """The member makes the request fail, unless it has one of these values, which ask for nothing."""
    return Row("refused", note, unless)


WORKS = works()
