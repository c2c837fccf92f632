"""How often tensors are saved: often enough to draw a curve, rarely enough to cost next to nothing."""

from __future__ import annotations

from dataclasses import dataclass

# On stored features, a save costs half a step: half a percent at one save per hundred steps, as in AWS's example.
SAVE_INTERVAL = 100
# Rules compare saves, and people read curves: a short run needs this many saves, whatever the requested interval.
SAVES_OF_A_SHORT_RUN = 15
# In a run of unknown length, this many saves for every doubling of the steps.
_SAVES_OF_A_DOUBLING = 4


@dataclass(frozen=True)
class Saving:
    """At which training steps tensors are saved.

    Attributes:
        asked: The requested interval; 0 for none.
        interval: The interval in use, at most the requested one.
        grows: Whether the interval starts at 1 and grows with the steps, because the run's length is unknown.
    """

    asked: int
    interval: int
    grows: bool = False

    def at(self, step: int) -> bool:
        """Whether tensors are saved at a step, counted from 0."""
        return step % self._interval_at(step) == 0

    def full_at(self, step: int) -> bool:
        """Whether full tensors, megabytes each, may be saved there too: never more often than requested."""
        return self.at(step) and step % (self.asked or self.interval) < self._interval_at(step)

    def note(self) -> str:
        """A sentence for readers if the interval differs from the requested one; otherwise empty."""
        if not self.asked or self.interval == self.asked:
            return ""
        every = f"every {self.interval} training steps" if self.interval > 1 else "at every training step"
        return (
            f"Weights, gradients and activations were recorded {every} instead of every {self.asked} "
            f"(train.save_interval): at that interval, the run is too short for {SAVES_OF_A_SHORT_RUN} points of each."
        )

    def _interval_at(self, step: int) -> int:
        if not self.grows:
            return self.interval
        # Powers of two, so that a restarted run saves the same steps.
        return min(self.interval, 1 << max(0, (step // _SAVES_OF_A_DOUBLING).bit_length() - 1))


def planned(asked: int, steps: int) -> Saving:
    """The saves of a run.

    Args:
        asked: The requested interval; 0 for none.
        steps: Training steps of the entire run; 0 if unknown.

    >>> planned(100, 60).interval, planned(0, 6000).interval, planned(100, 0).at(60)
    (4, 100, False)
    """
    wanted = asked or SAVE_INTERVAL
    if not steps:
        return Saving(asked, wanted, grows=True)
    return Saving(asked, min(wanted, max(1, steps // SAVES_OF_A_SHORT_RUN)))
