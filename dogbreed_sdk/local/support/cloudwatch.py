"""The members of CloudWatch's operations."""

from __future__ import annotations

from dogbreed_sdk.local.support.rows import WORKS, Table, refused, works

_METRIC: Table = {
    "Namespace": works(
        "/aws/sagemaker/TrainingJobs, AWS/SageMaker and /aws/sagemaker/Endpoints have metrics; others are empty"
    ),
    "MetricName": WORKS,
    "Dimensions": {
        "Name": works("TrainingJobName, or EndpointName and VariantName"),
        "Value": WORKS,
    },
}
_STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
_UNIT = works("metrics from logs have no unit", only=("None",))

OPERATIONS: Table = {
    "GetMetricStatistics": {
        **_METRIC,
        "StartTime": WORKS,
        "EndTime": WORKS,
        "Period": works("a minute at least"),
        "Statistics": works(only=_STATISTICS),
        "ExtendedStatistics": refused("percentiles are not kept; pass Statistics"),
        "Unit": _UNIT,
    },
    "GetMetricData": {
        "MetricDataQueries": {
            "Id": WORKS,
            "MetricStat": {
                "Metric": _METRIC,
                "Period": works("a minute at least"),
                "Stat": works("percentiles such as p99 of endpoints' latencies only"),
                "Unit": _UNIT,
            },
            "Expression": refused("pass MetricStat, and compute with its values"),
            "Label": WORKS,
            "ReturnData": WORKS,
            "Period": refused("it is for expressions; pass MetricStat.Period"),
            "AccountId": refused("there is one account; leave it out"),
        },
        "StartTime": WORKS,
        "EndTime": WORKS,
        "NextToken": refused("the answer has one page; leave it out"),
        "ScanBy": works(only=("TimestampDescending", "TimestampAscending")),
        "MaxDatapoints": refused("the answer has one page; leave it out"),
        "LabelOptions": refused("times are in UTC; leave it out"),
    },
    "ListMetrics": {
        **_METRIC,
        "NextToken": WORKS,
        "RecentlyActive": refused("metrics are kept as long as their job or endpoint; leave it out"),
        "IncludeLinkedAccounts": refused("there is one account; leave it out", unless=(False,)),
        "OwningAccount": refused("there is one account; leave it out"),
    },
}
