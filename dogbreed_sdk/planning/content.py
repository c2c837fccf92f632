"""What a plan says: what would be sent, what each step would cost, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from dogbreed_sdk.planning.dataset_size import DatasetSize
from dogbreed_sdk.planning.dry_run import PlannedRequest
from dogbreed_sdk.planning.steps import SPOT_LARGEST_DISCOUNT, Step


@dataclass(frozen=True, kw_only=True)
class PlanContent:
    """The content of a `Plan`, which explains the attributes."""

    requests: tuple[PlannedRequest, ...]
    steps: tuple[Step, ...]
    region: str
    prices_as_of: date
    newest_price: date
    price_sources: tuple[str, ...]
    endpoint_hours: float
    dataset: DatasetSize
    usd_without_shared_features: float
    usd_without_features: float
    wait_seconds: float
    run_seconds: float
    speed: str
    notes: tuple[str, ...] = ()

    @property
    def usd(self) -> float:
        """The on-demand price of all steps, in US dollars."""
        return sum(step.usd for step in self.steps)

    @property
    def usd_range(self) -> tuple[float, float]:
        """The least and the most that is likely."""
        return sum(step.usd_least for step in self.steps), sum(step.usd_most for step in self.steps)

    @property
    def usd_with_spot_at_best(self) -> float:
        """The price with jobs on spot capacity at the largest discount that AWS names; not guaranteed."""
        jobs = sum(step.usd for step in self.steps if step.is_job)
        return self.usd - jobs * SPOT_LARGEST_DISCOUNT
