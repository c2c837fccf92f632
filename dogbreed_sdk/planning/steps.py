"""The steps of a plan, each with its price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# The SageMaker developer guide, "Managed Spot Training": "up to 90% over on-demand instances".
SPOT_LARGEST_DISCOUNT: Final = 0.9
# US dollars are shown to a hundredth of a cent to programs.
DIGITS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a plan; ``usd = instances * hours * usd_per_hour`` where instances are charged.

    Attributes:
        name: features, tuning, training, endpoint or storage.
        what: A few words about it.
        instances: Instances that are started: of every trial, for example. 0 if none are charged.
        hours: Charged hours of each of them; of storage, the hours for which it is counted.
        usd: On-demand price of the step, in US dollars.
        instance_type: Type of the instances, or None.
        usd_per_hour: On-demand price of one instance, or None.
        usd_least: The price if everything is as fast as is still likely.
        usd_most: The price if everything is as slow as is still likely.
        is_job: Whether these are jobs, which can run on spot capacity.
    """

    name: str
    what: str
    instances: int
    hours: float
    usd: float
    instance_type: str | None = None
    usd_per_hour: float | None = None
    usd_least: float
    usd_most: float
    is_job: bool

    def to_dict(self) -> dict[str, object]:
        """The step as plain values."""
        return {
            "name": self.name,
            "instances": self.instances,
            "hours": round(self.hours, DIGITS),
            "usd": round(self.usd, DIGITS),
            "what": self.what,
            "instance_type": self.instance_type,
            "usd_per_hour": self.usd_per_hour,
            "usd_range": [round(self.usd_least, DIGITS), round(self.usd_most, DIGITS)],
        }


def named(steps: Sequence[Step], name: str) -> Step | None:
    """The first step of a name, or None."""
    return next((step for step in steps if step.name == name), None)
