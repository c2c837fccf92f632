"""The metrics of an endpoint: requests, errors, latencies and the use of its instances, from CloudWatch.

Names, units and namespaces: developer guide, "Metrics for monitoring Amazon SageMaker AI with Amazon CloudWatch". On
AWS a minute's values appear a few minutes later; on local SageMaker within a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.errors import EndpointError

if TYPE_CHECKING:
    from types_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef, MetricDataResultTypeDef

    from dogbreed_sdk.session import Session

_REQUESTS, _INSTANCES = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
_MINUTE = 60
# API reference, GetMetricData: queries in one request.
_MOST_QUERIES = 500
# "CloudWatch concepts", periods: one day at most.
_LONGEST_PERIOD = 86_400
# CloudWatch keeps minutes for 15 days, and five minutes for 63 days ("CloudWatch concepts", metrics retention).
_MINUTES_KEPT, _FIVE_MINUTES_KEPT = timedelta(days=15), timedelta(days=63)


@dataclass(frozen=True)
class Latency:
    """Durations of the requests of a period, in milliseconds; the pN are percentiles.

    Attributes:
        average: Their mean.
        p50: Half of the requests were faster.
        p90: 90% were faster.
        p99: 99% were faster.
    """

    average: float
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Utilization:
    """The use of a resource in a period, in percent; 100 for each processor or GPU of an instance.

    Attributes:
        average: The mean over time and instances.
        maximum: The largest value of an instance.
    """

    average: float
    maximum: float


@dataclass(frozen=True)
class MetricsPoint:
    """What happened in one period.

    Attributes:
        start: When the period began, in UTC.
        invocations: Number of requests.
        client_errors: Requests that the model refused (4xx), for instance because they are not pictures.
        server_errors: Requests in which the model failed (5xx), or did not respond in time.
        model_latency: What the model took; None without requests.
        overhead_latency: What SageMaker took beside the model; None without requests.
        cpu: Use of processors; None if unknown, as for a serverless endpoint.
        memory: Use of memory, likewise.
        gpu: Use of GPUs, likewise.
        gpu_memory: Use of GPU memory, likewise.
    """

    start: datetime
    invocations: int
    client_errors: int
    server_errors: int
    model_latency: Latency | None
    overhead_latency: Latency | None
    cpu: Utilization | None
    memory: Utilization | None
    gpu: Utilization | None
    gpu_memory: Utilization | None


@dataclass(frozen=True)
class VariantMetrics:
    """The metrics of one production variant.

    Attributes:
        variant: Its name.
        total: The whole time.
        points: Its periods with values, oldest first.
    """

    variant: str
    total: MetricsPoint
    points: tuple[MetricsPoint, ...]


@dataclass(frozen=True)
class EndpointMetrics:
    """The metrics of an endpoint.

    Attributes:
        endpoint_name: Name of the endpoint.
        start: Beginning of the time, in UTC.
        end: Its end.
        period_seconds: Length of the periods.
        variants: The metrics of its production variants.
    """

    endpoint_name: str
    start: datetime
    end: datetime
    period_seconds: int
    variants: tuple[VariantMetrics, ...]

    @property
    def invocations(self) -> int:
        """Number of requests to all variants."""
        return sum(each.total.invocations for each in self.variants)

    @property
    def errors(self) -> int:
        """Number of those that failed, through the client or the model."""
        return sum(each.total.client_errors + each.total.server_errors for each in self.variants)

    def to_dict(self) -> dict[str, object]:
        """The metrics as values for JSON; the keys are stable, times are ISO 8601 in UTC."""
        return {
            "endpoint": self.endpoint_name,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "period_seconds": self.period_seconds,
            "invocations": self.invocations,
            "errors": self.errors,
            "variants": [
                {
                    "variant": each.variant,
                    "total": _point_as_dict(each.total),
                    "points": [_point_as_dict(point) for point in each.points],
                }
                for each in self.variants
            ],
        }


class _Series(NamedTuple):
    """One statistic of one metric."""

    namespace: str
    metric: str
    statistic: str


_COUNTS = {
    "invocations": "Invocations",
    "client_errors": "Invocation4XXErrors",
    "server_errors": "Invocation5XXErrors",
}
_LATENCIES = {"model_latency": "ModelLatency", "overhead_latency": "OverheadLatency"}
_UTILIZATIONS = {
    "cpu": "CPUUtilization",
    "memory": "MemoryUtilization",
    "gpu": "GPUUtilization",
    "gpu_memory": "GPUMemoryUtilization",
}
_LATENCY_STATISTICS = {"average": "Average", "p50": "p50", "p90": "p90", "p99": "p99"}
_SERIES = [
    *(_Series(_REQUESTS, metric, "Sum") for metric in _COUNTS.values()),
    *(_Series(_REQUESTS, metric, each) for metric in _LATENCIES.values() for each in _LATENCY_STATISTICS.values()),
    *(_Series(_INSTANCES, metric, each) for metric in _UTILIZATIONS.values() for each in ("Average", "Maximum")),
]


def read_metrics(
    session: Session,
    endpoint_name: str,
    variants: Sequence[str],
    *,
    start: datetime,
    end: datetime,
    period_seconds: int | None,
) -> EndpointMetrics:
    """Reads the metrics of an endpoint's variants.

    Args:
        session: The session that the endpoint belongs to.
        endpoint_name: Name of the endpoint.
        variants: Names of the variants.
        start: Beginning of the time.
        end: Its end.
        period_seconds: Length of the periods, a multiple of 60; None for about 60 of them.

    Raises:
        EndpointError: CloudWatch refused.
        AccessError: The permission cloudwatch:GetMetricData is missing.
    """
    period = period_seconds or _fitting_period(start, end)
    # Times before the minute in which the time begins belong to the first period.
    first = start.astimezone(timezone.utc).replace(second=0, microsecond=0)
    last = end.astimezone(timezone.utc)
    step = _shortest_period(start)
    whole = min(max(math.ceil((last - first).total_seconds() / step), 1) * step, _LONGEST_PERIOD)
    found = []
    with translated(f"read the metrics of endpoint {endpoint_name}", otherwise=EndpointError):
        for variant in variants:
            where = {"EndpointName": endpoint_name, "VariantName": variant}
            totals = _points(_values(session, where, whole, first, last))
            points = _points(_values(session, where, period, first, last))
            total = totals[0] if len(totals) == 1 else _summed(first, totals)
            found.append(VariantMetrics(variant, total, tuple(points)))
    return EndpointMetrics(endpoint_name, first, last, period, tuple(found))


def _fitting_period(start: datetime, end: datetime) -> int:
    """A period of whole minutes that CloudWatch still has, and of which there are about 60."""
    wanted = (end - start).total_seconds() / 60
    least = _shortest_period(start)
    return next((each for each in (60, 300, 900, 3600, 21_600) if each >= max(least, wanted)), _LONGEST_PERIOD)


def _shortest_period(start: datetime) -> int:
    """The period that CloudWatch still has of this time, and of which every other one must be a multiple."""
    age = datetime.now(timezone.utc) - start.astimezone(timezone.utc)
    return _MINUTE if age < _MINUTES_KEPT else 5 * _MINUTE if age < _FIVE_MINUTES_KEPT else 60 * _MINUTE


def _values(
    session: Session, where: Mapping[str, str], period: int, start: datetime, end: datetime
) -> dict[datetime, dict[_Series, float]]:
    """The values of all series by the beginning of their period."""
    queries: list[MetricDataQueryTypeDef] = [
        {
            "Id": f"q{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": series.namespace,
                    "MetricName": series.metric,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in where.items()],
                },
                "Period": period,
                "Stat": series.statistic,
            },
        }
        for number, series in enumerate(_SERIES)
    ]
    assert len(queries) <= _MOST_QUERIES
    found: dict[datetime, dict[_Series, float]] = {}
    for result in _results(session, queries, start, end):
        series = _SERIES[int(result["Id"][1:])]
        for moment, value in zip(result["Timestamps"], result["Values"], strict=True):
            found.setdefault(moment.astimezone(timezone.utc), {})[series] = value
    return found


def _results(
    session: Session, queries: Sequence[MetricDataQueryTypeDef], start: datetime, end: datetime
) -> Iterator[MetricDataResultTypeDef]:
    pages = session.client("cloudwatch").get_paginator("get_metric_data")
    for page in pages.paginate(MetricDataQueries=queries, StartTime=start, EndTime=end, ScanBy="TimestampAscending"):
        yield from page["MetricDataResults"]


def _points(values: Mapping[datetime, Mapping[_Series, float]]) -> list[MetricsPoint]:
    return [_point(moment, values[moment]) for moment in sorted(values)]


def _point(start: datetime, values: Mapping[_Series, float]) -> MetricsPoint:
    counts = {name: round(values.get(_Series(_REQUESTS, metric, "Sum"), 0.0)) for name, metric in _COUNTS.items()}
    latencies = {name: _latency(metric, values) for name, metric in _LATENCIES.items()}
    return _assembled(
        start, counts, latencies, {name: _utilization(each, values) for name, each in _UTILIZATIONS.items()}
    )


def _assembled(
    start: datetime,
    counts: Mapping[str, int],
    latencies: Mapping[str, Latency | None],
    utilizations: Mapping[str, Utilization | None],
) -> MetricsPoint:
    return MetricsPoint(
        start=start,
        invocations=counts["invocations"],
        client_errors=counts["client_errors"],
        server_errors=counts["server_errors"],
        model_latency=latencies["model_latency"],
        overhead_latency=latencies["overhead_latency"],
        cpu=utilizations["cpu"],
        memory=utilizations["memory"],
        gpu=utilizations["gpu"],
        gpu_memory=utilizations["gpu_memory"],
    )


def _latency(metric: str, values: Mapping[_Series, float]) -> Latency | None:
    """CloudWatch's microseconds as milliseconds."""
    found = {name: values.get(_Series(_REQUESTS, metric, statistic)) for name, statistic in _LATENCY_STATISTICS.items()}
    known = {name: value / 1000 for name, value in found.items() if value is not None}
    return Latency(**known) if len(known) == len(found) else None


def _utilization(metric: str, values: Mapping[_Series, float]) -> Utilization | None:
    average, maximum = (values.get(_Series(_INSTANCES, metric, each)) for each in ("Average", "Maximum"))
    return None if average is None or maximum is None else Utilization(average, maximum)


def _summed(start: datetime, points: Sequence[MetricsPoint]) -> MetricsPoint:
    """Several points as one; no point, too. Of percentiles the largest is a bound."""

    def latency(name: str) -> Latency | None:
        known = [(point.invocations, each) for point in points if (each := getattr(point, name)) is not None]
        requests = sum(count for count, _ in known)
        if not requests:
            return None
        average = sum(count * each.average for count, each in known) / requests
        return Latency(average, *(max(getattr(each, p) for _, each in known) for p in ("p50", "p90", "p99")))

    def utilization(name: str) -> Utilization | None:
        known = [each for point in points if (each := getattr(point, name)) is not None]
        if not known:
            return None
        return Utilization(sum(each.average for each in known) / len(known), max(each.maximum for each in known))

    return _assembled(
        start,
        {name: sum(getattr(point, name) for point in points) for name in _COUNTS},
        {name: latency(name) for name in _LATENCIES},
        {name: utilization(name) for name in _UTILIZATIONS},
    )


def _point_as_dict(point: MetricsPoint) -> dict[str, object]:
    return {**asdict(point), "start": point.start.isoformat()}
