"""CloudWatch's metrics of training jobs, for clients of all protocols that botocore has spoken."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader

from dogbreed_sdk.local import LocalSageMaker, Store, metric_history
from dogbreed_sdk.local.api import cbor
from dogbreed_sdk.local.api.validation import service_model
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.metric_history import MetricHistory, read_history
from dogbreed_sdk.local.store import TRAINING_JOB
from tests.passing_time import set_time

# The Content-Type of the requests of each protocol; an old botocore speaks fewer of them.
CONTENT_TYPES = {
    "smithy-rpc-v2-cbor": "application/cbor",
    "json": "application/x-amz-json-1.0",
    "query": "application/x-www-form-urlencoded; charset=utf-8",
}
PROTOCOLS = [name for name in CONTENT_TYPES if name in service_model("cloudwatch").metadata.get("protocols", ["query"])]
NAMESPACE = "/aws/sagemaker/TrainingJobs"
START = datetime.datetime(2026, 11, 30, 12, 0, 20, tzinfo=datetime.timezone.utc)
MINUTE = datetime.timedelta(minutes=1)
WHOLE = START.replace(second=0)


class OneProtocolLoader(Loader):
    """Loads the description of CloudWatch as a botocore that speaks one protocol only had it."""

    protocol = "query"

    def load_service_model(self, *arguments: Any, **options: Any) -> Any:
        model = super().load_service_model(*arguments, **options)
        if "metadata" not in model:  # another file, with the rules for endpoints
            return model
        metadata = {**model["metadata"], "protocol": self.protocol, "protocols": [self.protocol]}
        return {**model, "metadata": metadata}


LOSSES = [(0.0, 4.0), (10.0, 2.0), (50.0, 1.0), (170.0, 0.5)]
# The values of the jobs' metrics, each with its seconds after START.
JOBS = {
    "dogs": {"loss": LOSSES, "accuracy": [(0.0, 0.25), (60.0, 0.75)], "train:loss <1>": [(0.0, 9.0)]},
    "cats": {"loss": LOSSES},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSageMaker]:
    """A server with the histories of training jobs, which the tests only read."""
    root = tmp_path_factory.mktemp("metrics")
    with closing(Store(root)) as store:
        for name, values in JOBS.items():
            metrics: Any = {metric: {"value": points[-1][1], "time": 1.0} for metric, points in values.items()}
            store.create(TRAINING_JOB, name, {"TrainingJobName": name}, {"status": "Completed", "metrics": metrics})
            folder = JobFolder.of(root, name)
            folder.path.mkdir(parents=True)
            history = MetricHistory(folder.metrics)
            for metric, points in values.items():
                for seconds, value in points:
                    history.note(metric, value, START.timestamp() + seconds)
            history.write()
    with LocalSageMaker(root) as running:
        yield running


@pytest.fixture(scope="module", params=PROTOCOLS)
def cloudwatch(request: pytest.FixtureRequest, server: LocalSageMaker) -> Any:
    core = botocore.session.Session()
    loader = OneProtocolLoader()
    loader.protocol = request.param
    loader.search_paths.extend(core.get_component("data_loader").search_paths)
    core.register_component("data_loader", loader)
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", botocore_session=core)
    return session.client("cloudwatch", region_name="us-east-1", endpoint_url=server.endpoint_url)


def test_the_clients_speak_different_protocols(cloudwatch: Any, request: pytest.FixtureRequest) -> None:
    sent: list[str] = []

    def note(request: Any, **_: Any) -> None:
        content_type = request.headers["Content-Type"]
        sent.append(content_type.decode() if isinstance(content_type, bytes) else content_type)

    cloudwatch.meta.events.register("before-send.cloudwatch", note)
    cloudwatch.list_metrics()
    cloudwatch.meta.events.unregister("before-send.cloudwatch", note)
    assert sent == [CONTENT_TYPES[request.node.callspec.params["cloudwatch"]]]


def statistics(name: str, job: str, **changes: Any) -> dict[str, Any]:
    """What sagemaker 2's TrainingJobAnalytics asks for."""
    return {
        "Namespace": NAMESPACE,
        "MetricName": name,
        "Dimensions": [{"Name": "TrainingJobName", "Value": job}],
        "StartTime": START,
        "EndTime": START + 5 * MINUTE,
        "Period": 60,
        "Statistics": ["Average"],
        **changes,
    }


def test_values_are_averaged_by_the_minute(cloudwatch: Any) -> None:
    answer = cloudwatch.get_metric_statistics(**statistics("loss", "dogs"))
    assert answer["Label"] == "loss"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert answer["Datapoints"] == [
        {"Timestamp": WHOLE, "Average": 3.0, "Unit": "None"},
        {"Timestamp": WHOLE + MINUTE, "Average": 1.0, "Unit": "None"},
        {"Timestamp": WHOLE + 3 * MINUTE, "Average": 0.5, "Unit": "None"},
    ]
    named = cloudwatch.get_metric_statistics(**statistics("train:loss <1>", "dogs"))
    assert (named["Label"], [point["Average"] for point in named["Datapoints"]]) == ("train:loss <1>", [9.0])


def test_all_statistics_of_a_longer_period(cloudwatch: Any) -> None:
    names = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"]
    answer = cloudwatch.get_metric_statistics(**statistics("loss", "dogs", Period=300, Statistics=names))
    assert answer["Datapoints"] == [
        {
            "Timestamp": WHOLE,
            "SampleCount": 4.0,
            "Average": 1.875,
            "Sum": 7.5,
            "Minimum": 0.5,
            "Maximum": 4.0,
            "Unit": "None",
        }
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"MetricName": "recall"},
        {"Namespace": "AWS/EC2"},
        {"Dimensions": [{"Name": "TrainingJobName", "Value": "birds"}]},
        {"Dimensions": [{"Name": "Host", "Value": "dogs/algo-1"}]},
        {"Dimensions": []},
        {"StartTime": START + 10 * MINUTE, "EndTime": START + 20 * MINUTE},
    ],
)
def test_what_was_never_printed_is_empty(cloudwatch: Any, changes: dict[str, Any]) -> None:
    assert cloudwatch.get_metric_statistics(**statistics("loss", "dogs", **changes))["Datapoints"] == []


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"EndTime": START}, "InvalidParameterValue", "StartTime must be less than"),
        ({"Period": 90}, "InvalidParameterValue", "multiple of 60"),
        ({"EndTime": START + 1440 * MINUTE}, "InvalidParameterCombination", "up to 1441 datapoints"),
        ({"MetricName": "x" * 256}, "ValidationError", "at 'metricName' .* length less than or equal to 255"),
        ({"Unit": "Seconds"}, "ValidationError", r"Unit 'Seconds' \(metrics from logs have no unit"),
        ({"Statistics": [], "ExtendedStatistics": ["p50"]}, "ValidationError", "percentiles are not kept"),
    ],
)
def test_errors_have_a_code_and_a_message(cloudwatch: Any, changes: dict[str, Any], code: str, message: str) -> None:
    request = {name: value for name, value in statistics("loss", "dogs", **changes).items() if value != []}
    with pytest.raises(ClientError, match=message) as caught:
        cloudwatch.get_metric_statistics(**request)
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_several_metrics_at_once(cloudwatch: Any) -> None:

    def query(name: str, **members: Any) -> dict[str, Any]:
        dimensions = [{"Name": "TrainingJobName", "Value": "dogs"}]
        metric = {"Namespace": NAMESPACE, "MetricName": name, "Dimensions": dimensions}
        return {"Id": name[:1], "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Maximum"}, **members}

    answer = cloudwatch.get_metric_data(
        MetricDataQueries=[query("loss", Label="the loss"), query("accuracy"), query("x", ReturnData=False)],
        StartTime=START,
        EndTime=START + 5 * MINUTE,
        ScanBy="TimestampAscending",
    )
    loss, accuracy = answer["MetricDataResults"]
    assert (loss["Id"], loss["Label"], loss["Values"]) == ("l", "the loss", [4.0, 1.0, 0.5])
    assert loss["Timestamps"] == [WHOLE, WHOLE + MINUTE, WHOLE + 3 * MINUTE]
    assert (accuracy["Label"], accuracy["Values"]) == ("accuracy", [0.25, 0.75])


def test_metrics_are_listed(cloudwatch: Any) -> None:

    def listed(**filters: Any) -> list[tuple[str, str]]:
        found = cloudwatch.list_metrics(**filters)["Metrics"]
        assert all(metric["Namespace"] == NAMESPACE for metric in found)
        return [(metric["Dimensions"][0]["Value"], metric["MetricName"]) for metric in found]

    assert listed() == [("dogs", "accuracy"), ("dogs", "loss"), ("dogs", "train:loss <1>"), ("cats", "loss")]
    assert listed(MetricName="loss") == [("dogs", "loss"), ("cats", "loss")]
    assert listed(Dimensions=[{"Name": "TrainingJobName", "Value": "cats"}]) == [("cats", "loss")]
    assert listed(Namespace="AWS/EC2") == []
    assert listed(Dimensions=[{"Name": "Host"}]) == []


def test_a_real_job_has_a_history(
    sagemaker: Any, client: Any, boto3_session: boto3.Session, local: LocalSageMaker, ended: Any, script: Any,
    training_request: Any,
) -> None:  # fmt: skip
    text = "import time\nfor step in range(4):\n    print(f'loss={4 - step}.5', flush=True)\n    time.sleep(0.2)"
    request = training_request("dogs", script(text))
    request["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
    before = time.time()
    sagemaker.create_training_job(**request)
    job = ended("dogs")
    (final,) = job["FinalMetricDataList"]
    assert (final["MetricName"], final["Value"]) == ("loss", 1.5)
    assert before < final["Timestamp"].timestamp() < job["TrainingEndTime"].timestamp()
    cloudwatch = boto3_session.client("cloudwatch", endpoint_url=local.endpoint_url)
    names = ["SampleCount", "Average", "Minimum", "Maximum"]
    span = {"StartTime": job["TrainingStartTime"], "EndTime": job["TrainingEndTime"] + MINUTE, "Period": 3600}
    (point,) = cloudwatch.get_metric_statistics(**statistics("loss", "dogs", Statistics=names, **span))["Datapoints"]
    assert [point[name] for name in names] == [4.0, 3.0, 1.5, 4.5]
    assert point["Timestamp"] == job["TrainingStartTime"].replace(second=0, microsecond=0)
    sagemaker.delete_training_job(TrainingJobName="dogs")
    assert cloudwatch.list_metrics()["Metrics"] == []


@pytest.mark.parametrize(
    "data", ["", "a1", "a16161", "7f", "18", "1c", "c0613a", "0000", "61ff", "f8ff", "9f", "a10101", "81" * 100 + "00"]
)
def test_damaged_cbor_is_refused(data: str) -> None:
    with pytest.raises(cbor.CborError):
        cbor.decode(bytes.fromhex(data))


def test_cbor_has_all_types_of_the_protocol() -> None:
    value = {"text": "Hündin", "list": [0, 23, 24, 255, 65536, 1 << 40, -1, -500], "none": None, "b": b"\x00", "f": 0.1}
    assert cbor.decode(cbor.encode({**value, "on": True, "at": cbor.Time(1.5)})) == {**value, "on": True, "at": 1.5}
    # RFC 8949, appendix A.
    assert cbor.decode(bytes.fromhex("bf6346756ef563416d7421ff")) == {"Fun": True, "Amt": -2}
    assert cbor.decode(bytes.fromhex("7f657374726561646d696e67ff")) == "streaming"
    assert cbor.decode(bytes.fromhex("f93e00")) == 1.5


class TestHistory:
    def test_it_is_written_now_and_then(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [1000.0]
        set_time(monkeypatch, metric_history, monotonic=lambda: now[0])
        history = MetricHistory(tmp_path / "metrics.jsonl")
        writes = []
        for second in range(4 * 3600):
            now[0] += 1
            history.note("loss", 1.0, float(second))
            size = (tmp_path / "metrics.jsonl").stat().st_size if second else 0
            history.write_due()
            if (tmp_path / "metrics.jsonl").stat().st_size > size:
                writes.append(second)
        assert writes[:5] == [0, 1, 2, 3, 4]
        assert 20 < writes[-1] - writes[-2] < 30
        history.write()
        total = sum(summary.count for _, summary in read_history(tmp_path / "metrics.jsonl"))
        assert total == 4 * 3600

    def test_a_line_that_was_cut_short_loses_nothing_else(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.jsonl"
        history = MetricHistory(path)
        history.note("loss", 1.0, 5.0)
        history.write()
        with path.open("ab") as handle:
            handle.write(b'{"t": 6.0, "n": "loss", "v": [1, 2')
        history.note("loss", 3.0, 65.0)
        history.write()
        assert [summary.total for _, summary in read_history(path, "loss")] == [1.0, 3.0]

    def test_a_full_disk_only_delays_it(self, tmp_path: Path) -> None:
        history = MetricHistory(tmp_path / "missing" / "metrics.jsonl")
        history.note("loss", 1.0, 5.0)
        with pytest.raises(OSError, match="missing"):
            history.write()
        (tmp_path / "missing").mkdir()
        history.note("loss", 2.0, 6.0)
        history.write()
        ((name, summary),) = read_history(tmp_path / "missing" / "metrics.jsonl")
        assert (name, summary.count, summary.total, summary.time) == ("loss", 2, 3.0, 5.0)
