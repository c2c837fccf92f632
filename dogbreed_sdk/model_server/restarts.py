"""The pause before a process that died is started again."""

from __future__ import annotations

# A process that keeps dying must not keep a core busy with loading.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 60.0


class Restarts:
    """The pauses between successive processes: none after the first death, then 1, 2, 4 ... 30 s.

    >>> restarts = Restarts()
    >>> [restarts.pause(lived) for lived in (5.0, 5.0, 5.0, 500.0, 5.0)]
    [0.0, 1.0, 2.0, 0.0, 1.0]
    """

    def __init__(self) -> None:
        self._next = 0.0

    def pause(self, lived: float) -> float:
        """Seconds to wait before the next start.

        Args:
            lived: Seconds between start and end of the process that died, including the time to load.
        """
        pause = 0.0 if lived > HEALTHY_SECONDS else self._next
        self._next = min(2 * pause or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        return pause
