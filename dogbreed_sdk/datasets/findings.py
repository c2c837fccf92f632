"""Finding: one thing that a check of a data set found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
"""From the most serious to the least."""


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        level: "error" if training would refuse the data or its metrics would be meaningless, "warning" if accuracy
            suffers, "note" for information.
        code: A stable short name, such as "duplicate-across-splits".
        message: What was found, and where.
        paths: The files or folders concerned.
        remedy: What to do.
        detail: What differs between findings that are shown together, such as "32 x 32 pixels".
    """

    level: Level
    code: str
    message: str
    paths: tuple[Path, ...]
    remedy: str
    detail: str = ""

    def to_dict(self) -> dict[str, object]:
        """The finding as JSON-ready values, with stable keys."""
        return {
            "level": self.level,
            "code": self.code,
            "message": self.message,
            "paths": [str(path) for path in self.paths],
            "remedy": self.remedy,
        }
