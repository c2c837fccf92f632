"""Isolates insights: if one fails, the others are still reported, as with rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from dogbreed_sdk.debugging.insights.insight import Insight
from training_scripts.recording.trial.trial import despite_damage

Found = TypeVar("Found")


class Guard:
    """Computes insights, and records a sentence for each one that failed.

    Attributes:
        problems: One sentence per failure.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []

    def insights(self, name: str, find: Callable[[], Iterable[Insight]]) -> list[Insight]:
        """The insights that `find` returns; none if it failed."""
        return self.value(name, lambda: list(find())) or []

    def value(self, name: str, compute: Callable[[], Found]) -> Found | None:
        """The result of `compute`; None if it failed."""
        try:
            found: Found = despite_damage(compute)
            return found
        except Exception as error:  # noqa: BLE001 - whatever an unusual recording causes, other insights are kept
            self.problems.append(
                f"The insight on {name.replace('_', ' ')} failed: {type(error).__name__}: {str(error)[:200]}."
            )
            return None
