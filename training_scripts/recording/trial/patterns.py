"""Matches names with regular expressions read from disk, without letting a malicious one take up the reader's time."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Set

# Matching tries every combination of choices: three repetitions in 256 characters and three alternatives make millions.
_REPEATED_GROUP, _SYNTAX = re.compile(r"\)[*+{?]"), re.compile(r"\(\?[a-zA-Z:=!<]*")
_MAX_REPETITIONS, _MAX_ALTERNATIVES, _MAX_REGEX, _MAX_MATCHED = 3, 3, 500, 256
# Time limit for all patterns of a trial, of the processor: others on the machine must not use it up.
_SECONDS = 2.0


class Patterns:
    """Matches patterns at the beginning of names, as smdebug finds the members of a collection.

    Attributes:
        names: All names.
        refused: Number of patterns that were not matched at all, or not against all names.
    """

    def __init__(self, names: Set[str]) -> None:
        """Matches nothing yet."""
        self.names = names
        self.refused = 0
        self._shortened = [(name, name[:_MAX_MATCHED]) for name in sorted(names)]
        self._left = _SECONDS

    def matching(self, pattern: str) -> set[str]:
        """The names that a pattern matches; empty for a pattern that might take long."""
        found: set[str] = set()
        begin = time.thread_time()
        compiled = _compiled(pattern) if self._left > 0 else None
        if compiled is None:
            self.refused += 1
            return found
        for name, shortened in self._shortened:
            if compiled.match(shortened):
                found.add(name)
            if time.thread_time() - begin > self._left:
                self.refused += 1
                break
        self._left -= time.thread_time() - begin
        return found


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """A pattern that matches quickly; None for any other."""
    if len(pattern) > _MAX_REGEX or _REPEATED_GROUP.search(pattern):
        return None
    choices = _SYNTAX.sub("", pattern)
    if sum(map(choices.count, "*+{")) > _MAX_REPETITIONS or sum(map(choices.count, "|?")) > _MAX_ALTERNATIVES:
        return None
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None
