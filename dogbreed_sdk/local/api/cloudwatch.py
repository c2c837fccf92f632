"""CloudWatch's GetMetricStatistics, GetMetricData and ListMetrics, over the metrics of training jobs and endpoints."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypedDict

from dogbreed_sdk.local.api.common import Context, Members, Operation
from dogbreed_sdk.local.api.validation import timestamp
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.hosting.endpoint_metrics import (
    INSTANCE_METRICS,
    INSTANCES_NAMESPACE,
    REQUEST_METRICS,
    REQUESTS_NAMESPACE,
    noted_metrics,
    read_metric,
)
from dogbreed_sdk.local.metric_history import Summary, read_history
from dogbreed_sdk.local.store import ENDPOINT, TRAINING_JOB, NotFound

NAMESPACE = "/aws/sagemaker/TrainingJobs"
DIMENSION = "TrainingJobName"
_ENDPOINT_DIMENSIONS = ("EndpointName", "VariantName")
_ENDPOINT_NAMESPACES: Mapping[str, Collection[str]] = {
    REQUESTS_NAMESPACE: REQUEST_METRICS,
    INSTANCES_NAMESPACE: INSTANCE_METRICS,
}
# Metrics from logs have no unit.
_UNIT = "None"
_MINUTE_SECONDS = 60
_SHORT_PERIODS = (1, 5, 10, 20, 30)
# API reference, GetMetricStatistics, GetMetricData and ListMetrics.
_MOST_DATAPOINTS = 1440
_MOST_QUERIED_DATAPOINTS = 100_800
_PAGE = 500


class Dimension(TypedDict, total=False):
    """A dimension of a metric; the API's filters may lack the value."""

    Name: str
    Value: str


class Metric(TypedDict, total=False):
    """A metric, or a filter for metrics."""

    Namespace: str
    MetricName: str
    Dimensions: Sequence[Dimension]


class StatisticsRequest(Metric, total=False):
    """GetMetricStatistics's request. Times are epoch seconds, or ISO 8601 text."""

    StartTime: float | str
    EndTime: float | str
    Period: int
    Statistics: Sequence[str]
    Unit: str


class MetricStat(TypedDict, total=False):
    """The metric of a query, and what to return of it."""

    Metric: Metric
    Period: int
    Stat: str
    Unit: str


class Query(TypedDict, total=False):
    """One query of GetMetricData."""

    Id: str
    MetricStat: MetricStat
    Label: str
    ReturnData: bool


class DataRequest(TypedDict, total=False):
    """GetMetricData's request."""

    MetricDataQueries: Sequence[Query]
    StartTime: float | str
    EndTime: float | str
    ScanBy: str


class ListMetricsRequest(Metric, total=False):
    """ListMetrics's request."""

    NextToken: str


def get_metric_statistics(context: Context, request: StatisticsRequest) -> Members:
    """GetMetricStatistics: a metric's summaries by period, oldest first."""
    start, end, period = _span(request["StartTime"], request["EndTime"], request["Period"])
    statistics = request.get("Statistics") or ()
    if not statistics:
        raise ApiError("MissingParameter", "The request must contain the parameter Statistics.")
    points = math.ceil((end - start) / period)
    if points > _MOST_DATAPOINTS:
        raise ApiError(
            "InvalidParameterCombination",
            f"You have requested up to {points} datapoints, which exceeds the limit of {_MOST_DATAPOINTS}. You may "
            "reduce the datapoints requested by increasing Period, or decreasing the time range.",
        )
    found = _periods(context, request, start, end, period)
    return {
        "Label": request["MetricName"],
        "Datapoints": [
            {"Timestamp": moment, **{name: _statistic(summary, name) for name in statistics}, "Unit": _unit(request)}
            for moment, summary in sorted(found.items())
        ],
    }


def get_metric_data(context: Context, request: DataRequest) -> Members:
    """GetMetricData: one statistic of each of several metrics by period, newest first by default."""
    queries = [query for query in request["MetricDataQueries"] if query.get("ReturnData") is not False]
    return {"MetricDataResults": [_result(context, request, query) for query in queries], "Messages": []}


def _result(context: Context, request: DataRequest, query: Query) -> Members:
    stat = query.get("MetricStat")
    if stat is None:
        raise ApiError("ValidationError", f"The query {query['Id']!r} has no MetricStat.")
    start, end, period = _span(request["StartTime"], request["EndTime"], stat["Period"])
    if (end - start) / period > _MOST_QUERIED_DATAPOINTS:
        limit = f"{_MOST_QUERIED_DATAPOINTS} datapoints: choose a larger Period."
        raise ApiError("ValidationError", f"The query {query['Id']!r} is for more than {limit}")
    newest_first = request.get("ScanBy") != "TimestampAscending"
    points = sorted(_periods(context, stat["Metric"], start, end, period).items(), reverse=newest_first)
    return {
        "Id": query["Id"],
        "Label": query.get("Label") or stat["Metric"]["MetricName"],
        "Timestamps": [moment for moment, _ in points],
        "Values": [_statistic(summary, stat["Stat"]) for _, summary in points],
        "StatusCode": "Complete",
    }


def list_metrics(context: Context, request: ListMetricsRequest) -> Members:
    """ListMetrics: the metrics that training jobs have printed, and those of endpoints."""
    token = request.get("NextToken")
    if token is not None and not token.isdecimal():
        raise ApiError("InvalidParameterValue", "The specified NextToken is not valid.")
    start = int(token or 0)
    found = [*_metrics(context, request), *_endpoint_metrics(context, request)]
    page = found[start : start + _PAGE]
    more = str(start + _PAGE) if start + _PAGE < len(found) else None
    return {"Metrics": page, "NextToken": more}


def _metrics(context: Context, request: ListMetricsRequest) -> Iterator[Metric]:
    if request.get("Namespace") not in (None, NAMESPACE):
        return
    wanted = {entry["Name"]: entry.get("Value") for entry in request.get("Dimensions") or ()}
    if wanted.keys() - {DIMENSION}:
        return
    for record in context.store.list(TRAINING_JOB):
        if wanted.get(DIMENSION) in (None, record.name):
            for name in sorted(record.state.get("metrics") or ()):
                if request.get("MetricName") in (None, name):
                    dimensions: list[Dimension] = [{"Name": DIMENSION, "Value": record.name}]
                    yield {"Namespace": NAMESPACE, "MetricName": name, "Dimensions": dimensions}


def _endpoint_metrics(context: Context, request: ListMetricsRequest) -> Iterator[Metric]:
    wanted = {entry["Name"]: entry.get("Value") for entry in request.get("Dimensions") or ()}
    if wanted.keys() - set(_ENDPOINT_DIMENSIONS):
        return
    for record in context.store.list(ENDPOINT):
        for variant, name in noted_metrics(context.store.root, record.name):
            values = dict(zip(_ENDPOINT_DIMENSIONS, (record.name, variant), strict=True))
            dimensions: list[Dimension] = [{"Name": key, "Value": value} for key, value in values.items()]
            namespace = REQUESTS_NAMESPACE if name in REQUEST_METRICS else INSTANCES_NAMESPACE
            is_wanted = all(wanted[key] in (None, values[key]) for key in wanted)
            if (
                is_wanted
                and request.get("MetricName") in (None, name)
                and request.get("Namespace") in (None, namespace)
            ):
                yield {"Namespace": namespace, "MetricName": name, "Dimensions": dimensions}


def _span(start: float | str, end: float | str, period: int) -> tuple[float, float, int]:
    """The first moment (a whole minute), the last, and the period in seconds, of a minute at least."""
    first, last = timestamp(start), timestamp(end)
    if first >= last:
        raise ApiError("InvalidParameterValue", "The parameter StartTime must be less than the parameter EndTime.")
    if period not in _SHORT_PERIODS and (period < _MINUTE_SECONDS or period % _MINUTE_SECONDS):
        raise ApiError("InvalidParameterValue", "The parameter Period must be a multiple of 60, or 1, 5, 10, 20 or 30.")
    return first // _MINUTE_SECONDS * _MINUTE_SECONDS, last, max(period, _MINUTE_SECONDS)


def _periods(context: Context, metric: Metric, start: float, end: float, period: int) -> dict[float, Summary]:
    """A metric's summaries by the moment at which their period begins."""
    found: dict[float, Summary] = {}
    for summary in _history(context, metric):
        moment = start + (summary.time - start) // period * period
        if start <= moment < end:
            found[moment] = found[moment] + summary if moment in found else summary
    return {moment: summary for moment, summary in found.items() if math.isfinite(summary.total)}


def _history(context: Context, metric: Metric) -> Iterator[Summary]:
    dimensions = {entry["Name"]: entry.get("Value") or "" for entry in metric.get("Dimensions") or ()}
    if metric["Namespace"] in _ENDPOINT_NAMESPACES and dimensions.keys() == set(_ENDPOINT_DIMENSIONS):
        name, variant = (dimensions[key] for key in _ENDPOINT_DIMENSIONS)
        if metric["MetricName"] in _ENDPOINT_NAMESPACES[metric["Namespace"]] and _exists(context, name):
            yield from read_metric(context.store.root, name, variant, metric["MetricName"])
        return
    if metric["Namespace"] != NAMESPACE or dimensions.keys() != {DIMENSION}:
        return
    try:
        name = context.store.get(TRAINING_JOB, dimensions[DIMENSION]).name
    except NotFound:
        return
    for _, summary in read_history(JobFolder.of(context.store.root, name).metrics, metric["MetricName"]):
        yield summary


def _exists(context: Context, endpoint: str) -> bool:
    try:
        context.store.get(ENDPOINT, endpoint)
    except NotFound:
        return False
    return True


def _unit(metric: Metric) -> str:
    return {**REQUEST_METRICS, **INSTANCE_METRICS}.get(metric["MetricName"], _UNIT)


def _statistic(summary: Summary, name: str) -> float:
    if name.startswith("p"):
        value = summary.percentile(_percent(name))
        if value is None:
            raise ApiError("ValidationError", f"Percentiles such as {name} are kept of endpoints' latencies only.")
        return value
    values: Mapping[str, float] = {
        "SampleCount": float(summary.count),
        "Average": summary.total / summary.count,
        "Sum": summary.total,
        "Minimum": summary.minimum,
        "Maximum": summary.maximum,
    }
    if name not in values:
        raise ApiError("ValidationError", f"The value {name} for parameter Stat is not supported.")
    return values[name]


def _percent(statistic: str) -> float:
    """The number in a statistic such as p99.9.

    Raises:
        ApiError: ValidationError if there is none from 0 to 100.
    """
    number = re.fullmatch(r"p(\d{1,3}(?:\.\d{1,10})?)", statistic)
    if number is None or float(number.group(1)) > 100:
        raise ApiError("ValidationError", f"The value {statistic} for parameter Stat is not supported.")
    return float(number.group(1))


OPERATIONS: dict[str, Operation] = {
    "GetMetricStatistics": get_metric_statistics,
    "GetMetricData": get_metric_data,
    "ListMetrics": list_metrics,
}
