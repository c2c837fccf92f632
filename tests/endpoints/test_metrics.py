"""An endpoint's metrics: what local SageMaker measured of real requests, and pages of CloudWatch's answers."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import BreedClassifier, ConfigurationError, Session
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.cli.program import main
from dogbreed_sdk.endpoints import metrics as module
from dogbreed_sdk.endpoints.creation import deploy
from dogbreed_sdk.endpoints.metrics import Latency
from dogbreed_sdk.local.hosting import endpoint_metrics
from tests.endpoints.small_models import LABELS, PICTURE, model
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.extras]

# Refuses what is not a picture, fails for GIF, and takes 50 ms for the rest.
SLOW_CODE = """
import time
def model_fn(model_dir, context=None): return {scores}
def input_fn(body, content_type):
    if content_type == "image/webp":
        raise ValueError("cannot decode")
    return body
def predict_fn(data, model):
    time.sleep(0.05)
    return [model]
"""


def test_requests_errors_and_latencies_are_those_of_the_requests(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(endpoint_metrics, "_SAMPLE_SECONDS", 0.3)
    uri = model(tmp_path, LABELS[0], code=SLOW_CODE)
    with deploy(uri, session=session, endpoint_name="dogs", progress=no_progress) as deployment:
        assert deployment.metrics().invocations == 0
        classifier: BreedClassifier = deployment.classifier(labels=LABELS, max_attempts=1)
        began = time.perf_counter()
        for _ in range(12):
            classifier.classify(PICTURE)
        runtime = session.client("sagemaker-runtime")
        with pytest.raises(runtime.exceptions.ModelError):
            runtime.invoke_endpoint(EndpointName="dogs", Body=b"x", ContentType="image/webp")
        milliseconds = (time.perf_counter() - began) * 1000
        # What was measured is written within a second, the use of the processors with the second look at them.
        wait_for(lambda: deployment.metrics().invocations == 13 and deployment.metrics().variants[0].total.cpu)
        metrics = deployment.metrics()
        (variant,) = metrics.variants
        total = variant.total
        assert (variant.variant, total.invocations, metrics.errors) == ("AllTraffic", 13, 1)
        assert (total.client_errors, total.server_errors) == (0, 1)
        assert total.model_latency is not None
        assert total.overhead_latency is not None
        assert 50 <= total.model_latency.p50 <= total.model_latency.p90 <= total.model_latency.p99
        assert total.overhead_latency.average > 0
        assert 12 * (total.model_latency.average + total.overhead_latency.average) < milliseconds
        assert total.memory is not None
        assert total.memory.average > 0
        assert sum(point.invocations for point in variant.points) == 13
        with pytest.raises(ConfigurationError, match="whole minutes"):
            deployment.metrics(period=90)
        with pytest.raises(ConfigurationError, match="must be before until"):
            deployment.metrics(since=datetime.now(timezone.utc) + timedelta(hours=1))

        root = ["--root", str(session.root)]
        assert main(["metrics", "dogs", "--json", *root]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["endpoint"], document["invocations"], document["errors"]) == ("dogs", 13, 1)
        assert document["variants"][0]["total"]["model_latency"]["p99"] >= 50
        assert main(["metrics", "dogs", *root]) == 0
        assert "variant AllTraffic" in capsys.readouterr().out


class Pages:
    """A CloudWatch client whose answers come in two pages."""

    def __init__(self, values: dict[tuple[str, str], list[float]], start: datetime) -> None:
        self._values, self._start = values, start
        self.requests: list[dict[str, Any]] = []

    def get_paginator(self, name: str) -> Pages:
        assert name == "get_metric_data"
        return self

    def paginate(self, **request: Any) -> Any:
        self.requests.append(request)
        for number in range(2):
            results = []
            for query in request["MetricDataQueries"]:
                stat = query["MetricStat"]
                values = self._values.get((stat["Metric"]["MetricName"], stat["Stat"]), [])
                moments = [self._start + timedelta(seconds=stat["Period"] * i) for i in range(len(values))]
                results.append(
                    {"Id": query["Id"], "Timestamps": moments[number::2], "Values": values[number::2], "Label": ""}
                )
            yield {"MetricDataResults": results}


def test_all_pages_are_read_and_microseconds_become_milliseconds(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = (datetime.now(timezone.utc) - timedelta(hours=2)).replace(minute=0, second=30, microsecond=0)
    values = {("Invocations", "Sum"): [10.0, 30.0], ("Invocation4XXErrors", "Sum"): [1.0, 0.0]}
    values |= {("ModelLatency", stat): [20_000.0, 40_000.0] for stat in ("Average", "p50", "p90", "p99")}
    values |= {("CPUUtilization", stat): [50.0, 150.0] for stat in ("Average", "Maximum")}
    pages = Pages(values, start.replace(second=0))
    monkeypatch.setattr(session, "client", lambda _: pages)
    found = module.read_metrics(
        session, "dogs", ["AllTraffic"], start=start, end=start + timedelta(minutes=10), period_seconds=300
    )
    (variant,) = found.variants
    assert [point.invocations for point in variant.points] == [10, 30]
    assert [point.start.minute for point in variant.points] == [0, 5]
    assert variant.points[0].model_latency == Latency(20.0, 20.0, 20.0, 20.0)
    # CloudWatch may answer for the whole time in two parts: counts are added, averages weighted, percentiles bounded.
    assert (variant.total.invocations, variant.total.client_errors) == (40, 1)
    assert variant.total.model_latency == Latency(35.0, 40.0, 40.0, 40.0)
    assert variant.total.cpu is not None
    assert (variant.total.cpu.average, variant.total.cpu.maximum) == (100.0, 150.0)
    assert variant.total.gpu is None
    assert {query["MetricStat"]["Period"] for query in pages.requests[0]["MetricDataQueries"]} == {660}
    assert {query["MetricStat"]["Period"] for query in pages.requests[1]["MetricDataQueries"]} == {300}


@pytest.mark.parametrize(
    ("age", "length", "seconds"),
    [(1, 1 / 24, 60), (1, 1, 3600), (20, 1 / 24, 300), (90, 1 / 24, 3600), (30, 30, 86_400)],
)
def test_periods_are_those_that_cloudwatch_still_has(age: float, length: float, seconds: int) -> None:
    start = datetime.now(timezone.utc) - timedelta(days=age)
    assert module._fitting_period(start, start + timedelta(days=length)) == seconds


@pytest.mark.parametrize(("age", "minutes", "seconds"), [(7, 7 * 1440, 86_400), (20, 7, 600), (90, 7, 3600)])
def test_totals_are_asked_for_in_periods_that_cloudwatch_accepts(
    age: int, minutes: int, seconds: int, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = (datetime.now(timezone.utc) - timedelta(days=age)).replace(second=0, microsecond=0)
    pages = Pages({("Invocations", "Sum"): [1.0] * 7}, start)
    monkeypatch.setattr(session, "client", lambda _: pages)
    end = start + timedelta(minutes=minutes)
    found = module.read_metrics(session, "dogs", ["AllTraffic"], start=start, end=end, period_seconds=None)
    assert found.invocations == 7
    assert {query["MetricStat"]["Period"] for query in pages.requests[0]["MetricDataQueries"]} == {seconds}
