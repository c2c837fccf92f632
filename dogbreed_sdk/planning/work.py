"""What requests make SageMaker do: which jobs on which instances, and which endpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dogbreed_sdk import container
from dogbreed_sdk.aws.requests.instances import has_local_disks
from dogbreed_sdk.planning.dry_run import PlannedRequest

JobKind = Literal["features", "tuning", "training"]

FEATURES_PROGRAM = "extract_features"
FEATURES_CHANNEL = "features"


@dataclass(frozen=True, kw_only=True)
class PlannedJobs:
    """Training jobs that are alike: one, or the trials of a search.

    Attributes:
        kind: What they do.
        count: Number of jobs.
        parallel: Number of jobs that run at the same time.
        instance_type: Type of each job's instances.
        instance_count: Number of each job's instances.
        volume_gb: Size of the disk of each instance, in GB; 0 if the type has its own.
        hyperparameters: The scripts' hyperparameters, decoded; of a searched one its largest value.
        channels: Names of the input channels.
        is_upper_bound: Whether the search may end some jobs early, or start fewer.
        is_spot: Whether they run on spot capacity.
        keep_alive_seconds: How long the instances are kept, and charged, after a job.
    """

    kind: JobKind
    count: int
    parallel: int
    instance_type: str
    instance_count: int
    volume_gb: int
    hyperparameters: Mapping[str, object]
    channels: tuple[str, ...]
    is_upper_bound: bool = False
    is_spot: bool
    keep_alive_seconds: int

    @property
    def reads_features(self) -> bool:
        """Whether they train on features that are stored already."""
        return FEATURES_CHANNEL in self.channels


@dataclass(frozen=True, kw_only=True)
class PlannedEndpoint:
    """One variant of an endpoint.

    Attributes:
        instance_type: Type of its instances; None if it is serverless.
        instance_count: Number of instances it starts with.
        fewest: Number of instances at least; smaller with autoscaling.
        most: Number of instances at most; larger with autoscaling.
        volume_gb: Size of each instance's volume in GB; None for SageMaker's default.
        serverless_memory_mb: Memory of a serverless endpoint in MB; 0 for instances.
        keeps_capacity: Whether a serverless endpoint has provisioned concurrency.
    """

    instance_type: str | None
    instance_count: int
    fewest: int
    most: int
    volume_gb: int | None
    serverless_memory_mb: int
    keeps_capacity: bool


def jobs(requests: Iterable[PlannedRequest]) -> Iterator[PlannedJobs]:
    """The training jobs that requests start, in order."""
    for request in requests:
        if request.operation == "CreateTrainingJob":
            yield _training_job(request.parameters)
        elif request.operation == "CreateHyperParameterTuningJob":
            yield _tuning_job(request.parameters)


def endpoints(requests: Iterable[PlannedRequest]) -> Iterator[PlannedEndpoint]:
    """The variants of the endpoints that requests create, in order."""
    sent = list(requests)
    targets = [request.parameters for request in sent if request.operation == "RegisterScalableTarget"]
    for request in sent:
        if request.operation == "CreateEndpointConfig":
            for variant in request.parameters["ProductionVariants"]:
                ends = f"/variant/{variant['VariantName']}"
                scaled = next((target for target in targets if target["ResourceId"].endswith(ends)), {})
                yield _endpoint(variant, scaled)


def _endpoint(variant: Mapping[str, Any], scaled: Mapping[str, Any]) -> PlannedEndpoint:
    count = variant.get("InitialInstanceCount", 0)
    serverless = variant.get("ServerlessConfig", {})
    return PlannedEndpoint(
        instance_type=variant.get("InstanceType"),
        instance_count=count,
        fewest=scaled.get("MinCapacity", count),
        most=scaled.get("MaxCapacity", count),
        volume_gb=variant.get("VolumeSizeInGB"),
        serverless_memory_mb=serverless.get("MemorySizeInMB", 0),
        keeps_capacity="ProvisionedConcurrency" in serverless,
    )


def types(requests: Iterable[PlannedRequest]) -> set[str]:
    """The instance types that requests use."""
    sent = list(requests)
    hosting = {each.instance_type for each in endpoints(sent) if each.instance_type is not None}
    return {each.instance_type for each in jobs(sent)} | hosting


def notes(requests: Iterable[PlannedRequest]) -> Iterator[str]:
    """What else requests say about money, as sentences."""
    started = list(jobs(requests))
    if any(each.is_spot for each in started):
        yield "The jobs would run on spot capacity; the table has their on-demand prices, which are the most they cost."
    kept = max((each.keep_alive_seconds for each in started), default=0)
    if kept:
        yield (
            f"Instances are kept for up to {kept / 60:.0f} minutes after a job (keep_alive), which is charged as well; "
            "the larger price has it."
        )


def _training_job(request: Mapping[str, Any]) -> PlannedJobs:
    given = _decoded(request["HyperParameters"])
    program = str(given.get(container.PROGRAM_HYPERPARAMETER, ""))
    return PlannedJobs(
        kind="features" if FEATURES_PROGRAM in program else "training",
        count=1,
        parallel=1,
        hyperparameters=given,
        channels=_channels(request),
        **_resources(request),
    )


def _tuning_job(request: Mapping[str, Any]) -> PlannedJobs:
    config, job = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    limits = config["ResourceLimits"]
    ranges = config.get("ParameterRanges", {})
    count = limits.get("MaxNumberOfTrainingJobs") or _grid_size(ranges)
    return PlannedJobs(
        kind="tuning",
        count=count,
        parallel=min(count, limits["MaxParallelTrainingJobs"]),
        hyperparameters={**_decoded(job.get("StaticHyperParameters", {})), **_largest(ranges)},
        channels=_channels(job),
        is_upper_bound=config["Strategy"] == "Hyperband"
        or config.get("TrainingJobEarlyStoppingType") == "Auto"
        or "TuningJobCompletionCriteria" in config
        or "MaxRuntimeInSeconds" in limits,
        **_resources(job),
    )


def _resources(job: Mapping[str, Any]) -> dict[str, Any]:
    config = job["ResourceConfig"]
    return {
        "is_spot": job.get("EnableManagedSpotTraining", False),
        "keep_alive_seconds": config.get("KeepAlivePeriodInSeconds", 0),
        "instance_type": config["InstanceType"],
        "instance_count": config["InstanceCount"],
        "volume_gb": 0 if has_local_disks(config["InstanceType"]) else config.get("VolumeSizeInGB", 0),
    }


def _channels(job: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(channel["ChannelName"] for channel in job.get("InputDataConfig", ()))


def _decoded(hyperparameters: Mapping[str, str]) -> dict[str, object]:
    return {name: _value(text) for name, text in hyperparameters.items()}


def _value(text: str) -> object:
    """A hyperparameter's value: the request has it as JSON, in which our scripts' values are text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _grid_size(ranges: Mapping[str, Any]) -> int:
    """Number of combinations of a grid, which has lists of values only."""
    return math.prod(len(entry["Values"]) for entry in ranges.get("CategoricalParameterRanges", ()))


def _largest(ranges: Mapping[str, Any]) -> dict[str, object]:
    """The largest value of each searched number: it takes longest."""
    bounded = [*ranges.get("IntegerParameterRanges", ()), *ranges.get("ContinuousParameterRanges", ())]
    largest: dict[str, object] = {entry["Name"]: float(entry["MaxValue"]) for entry in bounded}
    for entry in ranges.get("CategoricalParameterRanges", ()):
        values = [_value(text) for text in entry["Values"]]
        numbers = [value for value in values if isinstance(value, (int, float))]
        largest[entry["Name"]] = max(numbers) if len(numbers) == len(values) else values[0]
    return largest
