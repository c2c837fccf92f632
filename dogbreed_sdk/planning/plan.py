"""The plan that users get: its content, as plain values and as text."""

from __future__ import annotations

from dataclasses import dataclass

from dogbreed_sdk.planning import text
from dogbreed_sdk.planning.content import PlanContent
from dogbreed_sdk.planning.steps import DIGITS


@dataclass(frozen=True, kw_only=True)
class Plan(PlanContent):
    """What a search, a training job and an endpoint would send, take and cost on AWS. Nothing has been created.

    `print` it for people.

    Attributes:
        requests: What `tune`, `train` and `deploy` would send, in order. Names, and whatever is not known without an
            account, are placeholders.
        steps: What is charged.
        region: The AWS region.
        prices_as_of: The day on which the oldest of the prices was read.
        newest_price: The day on which the newest of them was read.
        price_sources: Where the prices are from.
        endpoint_hours: Hours for which the endpoint and the stored files are counted.
        dataset: Size of the data set.
        usd_without_shared_features: The price if each job computed the features of the pictures itself.
        usd_without_features: The price if each job ran the backbone in every epoch, as training loops usually do.
        wait_seconds: Seconds that the jobs would wait for instances, one after another; not charged.
        run_seconds: Seconds that the jobs would run, one after another except for parallel trials.
        speed: Where the backbone's speed is from.
        notes: What else to know about the numbers.

    Examples:
        >>> plan = BreedTrainer(Session.aws()).plan(DatasetSize.of(pictures=8351, classes=133), region="us-east-1")
        >>> print(plan)
        Plan for Amazon SageMaker in us-east-1. Nothing has been created.
        8,351 pictures (6,680 train, 835 valid, 836 test), 133 classes, ...
        >>> [request.operation for request in plan.requests[:3]]
        ['CreateTrainingJob', 'CreateHyperParameterTuningJob', 'CreateTrainingJob']
    """

    def to_dict(self) -> dict[str, object]:
        """The plan as plain values; US dollars to a hundredth of a cent."""
        return {
            "usd": round(self.usd, DIGITS),
            "usd_range": [round(value, DIGITS) for value in self.usd_range],
            "usd_without_shared_features": round(self.usd_without_shared_features, DIGITS),
            "usd_without_features": round(self.usd_without_features, DIGITS),
            "usd_with_spot_at_best": round(self.usd_with_spot_at_best, DIGITS),
            "steps": [step.to_dict() for step in self.steps],
            "region": self.region,
            "prices_as_of": self.prices_as_of.isoformat(),
            "newest_price": self.newest_price.isoformat(),
            "price_sources": list(self.price_sources),
            "endpoint_hours": self.endpoint_hours,
            "seconds": {"waiting": round(self.wait_seconds), "running": round(self.run_seconds)},
            "dataset": {
                **self.dataset.splits,
                "classes": self.dataset.classes,
                "bytes": round(self.dataset.bytes),
            },
            "speed": self.speed,
            "notes": list(self.notes),
            "requests": [request.to_dict() for request in self.requests],
        }

    def to_text(self, *, width: int = 100) -> str:
        """The plan as text for people: a table, and what it means.

        Args:
            width: Longest line of the sentences, in characters.
        """
        return "\n".join(text.lines(self, width=width))

    def __repr__(self) -> str:
        return f"Plan(usd={self.usd:.2f}, region={self.region!r}, steps={[step.name for step in self.steps]})"

    def __str__(self) -> str:
        return self.to_text()
