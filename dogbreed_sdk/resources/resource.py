"""One resource that this project created, and a list of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Literal

from dogbreed_sdk.aws.prices import PRICES_AS_OF

Kind = Literal[
    "endpoint",
    "endpoint-config",
    "model",
    "training-job",
    "tuning-job",
    "transform-job",
    "warm-pool",
    "scalable-target",
    "schedule",
]
JOB_KINDS: tuple[Kind, ...] = ("tuning-job", "training-job", "transform-job")


@dataclass(frozen=True)
class Resource:
    """Something that this project created and that still exists, or a job that still runs.

    Attributes:
        kind: endpoint, endpoint-config, model, training-job, tuning-job or transform-job (while they run), warm-pool
            (instances that wait for a next job, named after the job that left them), scalable-target (autoscaling of a
            production variant), schedule (which will delete an endpoint).
        name: Its name.
        status: SageMaker's status; empty for what has none.
        created: When it was created.
        usd_per_hour: On-demand price in US dollars per hour; 0 for what costs nothing by itself, such as an idle
            serverless endpoint, or on local SageMaker. Spot instances cost less. None if the price is not known.
        expires_at: When it may be deleted; None without an expiry.
        uses: Kind and name of what it needs to keep working: the configuration of an endpoint, for example.

    Examples:
        >>> for resource in list_resources(session):
        ...     print(resource.kind, resource.name, resource.status)
        endpoint dog-breeds InService
        ...
    """

    kind: Kind
    name: str
    status: str
    created: datetime
    usd_per_hour: float | None
    expires_at: datetime | None = None
    uses: frozenset[tuple[str, str]] = field(default=frozenset(), repr=False)

    @property
    def age(self) -> timedelta:
        """Time since it was created."""
        return _now() - self.created

    @property
    def is_expired(self) -> bool:
        """Whether its expiry has passed."""
        return self.expires_at is not None and self.expires_at <= _now()

    @property
    def endpoint(self) -> str | None:
        """Name of the endpoint that it is, scales or will delete; None for what belongs to no single endpoint."""
        if self.kind == "scalable-target":
            return self.name.split("/")[1]  # endpoint/NAME/variant/VARIANT
        return self.name if self.kind in ("endpoint", "schedule") else None

    def to_dict(self) -> dict[str, object]:
        """Its facts for JSON: times in ISO 8601, durations in seconds."""
        left = None if self.expires_at is None else round((self.expires_at - _now()).total_seconds())
        return {
            "kind": self.kind,
            "name": self.name,
            "status": self.status,
            "created": self.created.isoformat(timespec="seconds"),
            "age_seconds": round(self.age.total_seconds()),
            "usd_per_hour": self.usd_per_hour,
            "expires_at": None if self.expires_at is None else self.expires_at.isoformat(timespec="seconds"),
            "expires_in_seconds": left,
        }


@dataclass(frozen=True)
class ResourceList:
    """Everything that this project created and that still exists in one session; iterating yields each `Resource`.

    Attributes:
        resources: Endpoints first, then by age.
        notes: What could not be listed, and which permission that needs.
        prices_as_of: The day of the price table.

    Examples:
        >>> resources = list_resources(session)
        >>> len(resources.resources), resources.usd_per_hour
        (3, 0.0)
    """

    resources: tuple[Resource, ...]
    notes: tuple[str, ...] = ()
    prices_as_of: date = PRICES_AS_OF

    def __iter__(self) -> Iterator[Resource]:
        return iter(self.resources)

    def __len__(self) -> int:
        return len(self.resources)

    @property
    def usd_per_hour(self) -> float:
        """What all of it costs per hour; the resources whose price is not known count as 0."""
        return sum((resource.usd_per_hour or 0.0 for resource in self.resources), start=0.0)

    def to_dict(self) -> Mapping[str, object]:
        """The list for JSON."""
        return {
            "resources": [resource.to_dict() for resource in self.resources],
            "usd_per_hour": self.usd_per_hour,
            "unpriced": sum(resource.usd_per_hour is None for resource in self.resources),
            "prices_as_of": self.prices_as_of.isoformat(),
            "notes": list(self.notes),
        }


def _now() -> datetime:
    return datetime.now(timezone.utc)
