"""Makes a plan: lets the code that sends requests run against a session that sends nothing, and prices the result."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from botocore.exceptions import BotoCoreError

from dogbreed_sdk import defaults
from dogbreed_sdk._util.durations import Duration, duration_seconds
from dogbreed_sdk._util.formatting import amount
from dogbreed_sdk.aws import pricing_api
from dogbreed_sdk.aws.prices import SOURCES, PriceTable
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import ConfigurationError, DogBreedError
from dogbreed_sdk.planning import costs, work
from dogbreed_sdk.planning.costs import PriceList
from dogbreed_sdk.planning.dataset_size import DatasetSize, UnseenDataset
from dogbreed_sdk.planning.dry_run import DryRunSession, PlannedRequest
from dogbreed_sdk.planning.durations import JobTime, job_time
from dogbreed_sdk.planning.earlier_pass import earlier_pass
from dogbreed_sdk.planning.measure import measured
from dogbreed_sdk.planning.plan import Plan
from dogbreed_sdk.planning.speed import BackboneSpeed
from dogbreed_sdk.planning.steps import Step
from dogbreed_sdk.planning.work import PlannedJobs
from dogbreed_sdk.session import Session

Features = Literal["stored", "in-job", "off"]
# Sends the requests of a whole run to a session, with the features of pictures computed like this.
Rehearsal = Callable[[DryRunSession, Features], None]

# SageMaker's largest region, and the cheapest; only for people without an AWS configuration.
DEFAULT_REGION: Final = "us-east-1"


@dataclass(frozen=True)
class Backbone:
    """The backbone of a plan.

    Attributes:
        model: Its name.
        views: The views of each train picture.
    """

    model: str
    views: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the caller of a plan decides, beyond the jobs themselves.

    Attributes:
        session: Whose role, bucket, key and network the requests name.
        region: The region; None for that of the session or of the AWS configuration.
        prices: Prices that take precedence.
        live_prices: Whether AWS's Pricing API is asked.
        endpoint_hours: Hours for which the endpoint runs and files are stored.
        measure: Whether a pass is measured on this machine.
        earlier_jobs: Whether a pass of the session's earlier jobs is looked up.

    Raises:
        ConfigurationError: The hours are negative or infinite.
    """

    session: Session
    region: str | None
    prices: PriceTable | str | Path | None
    live_prices: bool
    endpoint_hours: float
    measure: bool
    earlier_jobs: bool

    def __post_init__(self) -> None:
        if not 0 <= self.endpoint_hours < math.inf:
            raise ConfigurationError(f"endpoint_hours is {self.endpoint_hours}; it must be 0 or more.")


def hours(given: float | None, ttl: Duration | None) -> float:
    """For how long an endpoint runs: as given, else until it expires, else a month."""
    if given is not None:
        return given
    return defaults.HOURS_PER_MONTH if ttl is None else duration_seconds(ttl, name="ttl") / 3600


def plan(rehearse: Rehearsal, *, features: Features, backbone: Backbone, dataset: BreedDataset, asked: Asked) -> Plan:
    """The plan of what a function sends.

    Args:
        rehearse: Sends the requests.
        features: How the features of pictures are computed.
        backbone: The backbone.
        dataset: The data set, which may be an `UnseenDataset`.
        asked: What else the caller decides.

    Raises:
        ConfigurationError: A price or the speed of the backbone is not known, or a pass cannot be measured.
    """
    configured = asked.region or configured_region(asked.session)
    region = configured or DEFAULT_REGION
    size = dataset.size if isinstance(dataset, UnseenDataset) else DatasetSize.measured(dataset)
    speed, remark = _speed(backbone, dataset, asked)
    requests = _rehearsed(rehearse, region, asked.session, features)
    table, notes = _prices(asked, region, requests)
    prices = PriceList(table, region)

    def times(jobs: PlannedJobs) -> JobTime:
        return job_time(jobs, size, speed)

    def priced(sent: Sequence[PlannedRequest]) -> tuple[Step, ...]:
        return costs.steps(sent, prices=prices, size=size, times=times, endpoint_hours=asked.endpoint_hours)

    def price_with(other: Features) -> float:
        return sum(step.usd for step in priced(_rehearsed(rehearse, region, asked.session, other)))

    steps = priced(requests)
    waiting, running = costs.run_seconds(work.jobs(requests), times)
    return Plan(
        requests=requests,
        steps=steps,
        region=region,
        prices_as_of=min(price.as_of for price in prices.used),
        newest_price=max(price.as_of for price in prices.used),
        price_sources=tuple(sorted({SOURCES.get(price.source, price.source) for price in prices.used})),
        endpoint_hours=asked.endpoint_hours,
        dataset=size,
        usd_without_shared_features=price_with("in-job"),
        usd_without_features=price_with("off"),
        wait_seconds=waiting,
        run_seconds=running,
        speed=speed.source,
        notes=(*_notes(configured, dataset), *work.notes(requests), *remark, *notes),
    )


def _prices(asked: Asked, region: str, requests: Sequence[PlannedRequest]) -> tuple[PriceTable, tuple[str, ...]]:
    """The packaged prices, replaced by current ones if they are wanted, and those by the caller's own."""
    table = PriceTable.packaged()
    notes: tuple[str, ...] = ()
    if asked.live_prices:
        session = Session.aws(region=region) if asked.session.is_local else asked.session
        try:
            live = pricing_api.fetch(session.client("pricing"), region=region, instance_types=work.types(requests))
        except DogBreedError as error:
            notes = (f"AWS's current prices could not be read, so the packaged ones are used. {error}",)
        else:
            table = table.with_prices(live)
    own = asked.prices
    if own is not None:
        table = table.with_prices(own if isinstance(own, PriceTable) else PriceTable.load(own))
    return table, notes


def configured_region(session: Session) -> str | None:
    """The region of a session on AWS, or of the AWS configuration; None if there is none. Needs no credentials.

    Raises:
        ConfigurationError: The session's profile does not exist.
    """
    import boto3  # noqa: PLC0415

    if not session.is_local:
        return session._region or session.boto3_session.region_name
    try:
        return boto3.Session().region_name
    except BotoCoreError:  # a profile that does not exist matters only to those who use AWS
        return None


def _rehearsed(rehearse: Rehearsal, region: str, session: Session, features: Features) -> tuple[PlannedRequest, ...]:
    dry = DryRunSession(region, session)
    rehearse(dry, features)
    return tuple(dry.requests)


def _speed(backbone: Backbone, dataset: BreedDataset, asked: Asked) -> tuple[BackboneSpeed, tuple[str, ...]]:
    """The speed of the backbone, from the best source there is, and a remark if one could not be used."""
    remark: tuple[str, ...] = ()
    if asked.earlier_jobs:
        try:
            found = earlier_pass(asked.session, model=backbone.model)
        except DogBreedError as error:
            found, remark = None, (f"Earlier jobs could not be looked up. {error}",)
        if found is not None:
            return found, ()
        remark = remark or (f"There is no earlier feature job with {backbone.model}.",)
    if not asked.measure:
        return BackboneSpeed.from_table(backbone.model), remark
    if isinstance(dataset, UnseenDataset):
        raise ConfigurationError("A pass can only be measured with pictures; pass the data set, or do not measure.")
    return measured(dataset, model=backbone.model, views=backbone.views), remark


def _notes(region: str | None, dataset: BreedDataset) -> tuple[str, ...]:
    notes = []
    if region is None:
        notes.append(f"No AWS region is configured, so the prices are those of {DEFAULT_REGION}.")
    if isinstance(dataset, UnseenDataset):
        notes.append(
            f"The pictures are assumed to have {amount(dataset.size.bytes_per_picture)} each, as untouched "
            "photographs have."
        )
    return tuple(notes)
