"""The price of what requests start: hours from the data set's size, dollars from a price table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from dogbreed_sdk import defaults
from dogbreed_sdk.aws.prices import Price, PriceTable, Use
from dogbreed_sdk.aws.requests.instances import has_local_disks
from dogbreed_sdk.planning import durations, work
from dogbreed_sdk.planning.dataset_size import DatasetSize
from dogbreed_sdk.planning.dry_run import PlannedRequest
from dogbreed_sdk.planning.durations import JobTime, JobTimes
from dogbreed_sdk.planning.steps import Step
from dogbreed_sdk.planning.work import PlannedEndpoint, PlannedJobs
from training_scripts._util.number_text import counted

_BYTES_PER_GB = 1e9
# A bill that AWS has published (the price table's source "bill") has 165 GB-hours of endpoint storage for 8.2 hours of
# instances without built-in disks. AWS does not document the size.
_ENDPOINT_VOLUME_GB = 20
# A bundle with a small backbone, and a job's recording.
_BYTES_PER_MODEL = 25e6


@dataclass
class PriceList:
    """Looks prices up, and remembers which were used.

    Attributes:
        table: The prices.
        region: The region.
        used: Prices that were looked up.
    """

    table: PriceTable
    region: str
    used: list[Price] = field(default_factory=list)

    def usd(self, item: str, use: Use | None = None) -> float:
        """A price in US dollars.

        Raises:
            ConfigurationError: The table does not have it.
        """
        price = self.table.price(item, region=self.region, use=use)
        self.used.append(price)
        return price.usd


def steps(
    requests: Sequence[PlannedRequest],
    *,
    prices: PriceList,
    size: DatasetSize,
    times: JobTimes,
    endpoint_hours: float,
) -> tuple[Step, ...]:
    """The steps that requests are charged for.

    Args:
        requests: The requests.
        prices: The prices.
        size: The data set.
        times: Gives the time of a job.
        endpoint_hours: Hours for which the endpoint runs, and files are stored.

    Raises:
        ConfigurationError: A price is not known.
    """
    started = list(work.jobs(requests))
    deployed = list(work.endpoints(requests))
    jobs = [_job_step(each, times(each), prices) for each in started]
    hosting = [_endpoint_step(each, endpoint_hours, prices) for each in deployed]
    gigabytes = _stored_bytes(started, size) / _BYTES_PER_GB
    disks = sum(_job_disks(started, times)) + sum(_endpoint_disks(deployed, endpoint_hours))
    stored = _storage_step(gigabytes, disks, endpoint_hours, prices)
    return (*jobs, *hosting, stored)


def run_seconds(jobs: Iterable[PlannedJobs], times: JobTimes) -> tuple[float, float]:
    """How long jobs wait for instances, and how long they run, one after another except for parallel trials."""
    rounds = [(-(-each.count // each.parallel), times(each)) for each in jobs]
    waiting = sum(count for count, _ in rounds) * durations.WAIT_SECONDS
    return waiting, sum(count * time.seconds for count, time in rounds)


def _job_step(jobs: PlannedJobs, time: JobTime, prices: PriceList) -> Step:
    each = prices.usd(jobs.instance_type, "training")
    instances = jobs.count * jobs.instance_count

    def usd(seconds: float) -> float:
        return instances * seconds / 3600 * each

    return Step(
        name=jobs.kind,
        what=_described(jobs),
        instances=instances,
        hours=time.seconds / 3600,
        usd=usd(time.seconds),
        instance_type=jobs.instance_type,
        usd_per_hour=each,
        usd_least=usd(time.shortest),
        usd_most=usd(time.longest + jobs.keep_alive_seconds),
        is_job=True,
    )


def _described(jobs: PlannedJobs) -> str:
    if jobs.kind == "features":
        return "features of all pictures, once for all jobs"
    if jobs.kind == "training":
        return "one model"
    most = "up to " if jobs.is_upper_bound else ""
    return f"{most}{counted(jobs.count, 'trial')}, {jobs.parallel} at a time"


def _endpoint_step(endpoint: PlannedEndpoint, hours: float, prices: PriceList) -> Step:
    if endpoint.instance_type is None:
        idle = "provisioned concurrency is not counted" if endpoint.keeps_capacity else "nothing while idle"
        what = f"serverless, {endpoint.serverless_memory_mb} MB: {idle}; requests are not counted"
        return Step(name="endpoint", what=what, instances=0, hours=0, usd=0, usd_least=0, usd_most=0, is_job=False)
    each = prices.usd(endpoint.instance_type, "hosting")
    scaled = f", {endpoint.fewest} to {endpoint.most} instances" if endpoint.fewest != endpoint.most else ""
    return Step(
        name="endpoint",
        what=f"an endpoint for {hours:g} h{scaled}",
        instances=endpoint.instance_count,
        hours=hours,
        usd=endpoint.instance_count * hours * each,
        instance_type=endpoint.instance_type,
        usd_per_hour=each,
        usd_least=endpoint.fewest * hours * each,
        usd_most=endpoint.most * hours * each,
        is_job=False,
    )


def _storage_step(s3_gb: float, disk_gb_months: float, hours: float, prices: PriceList) -> Step:
    usd = s3_gb * hours / defaults.HOURS_PER_MONTH * prices.usd("s3") + disk_gb_months * prices.usd("volume")
    return Step(
        name="storage",
        what=f"{s3_gb:.1f} GB in S3 and {disk_gb_months:.0f} GB-months of disks",
        instances=0,
        hours=hours,
        usd=usd,
        usd_least=usd,
        usd_most=usd,
        is_job=False,
    )


def _stored_bytes(jobs: Sequence[PlannedJobs], size: DatasetSize) -> float:
    """Pictures, features and models."""
    models = sum(each.count for each in jobs if each.kind != "features")
    features = sum(durations.features_bytes(each, size) for each in jobs if each.kind == "features")
    return size.bytes + features + models * _BYTES_PER_MODEL


def _job_disks(jobs: Sequence[PlannedJobs], times: JobTimes) -> Iterator[float]:
    """The GB-months of the disks of jobs."""
    for each in jobs:
        months = times(each).seconds / 3600 / defaults.HOURS_PER_MONTH
        yield each.count * each.instance_count * each.volume_gb * months


def _endpoint_disks(endpoints: Sequence[PlannedEndpoint], hours: float) -> Iterator[float]:
    """The GB-months of the disks of endpoints."""
    for each in endpoints:
        if each.instance_type and not has_local_disks(each.instance_type):
            volume = _ENDPOINT_VOLUME_GB if each.volume_gb is None else each.volume_gb
            yield each.instance_count * volume * hours / defaults.HOURS_PER_MONTH
