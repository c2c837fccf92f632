"""Data capture: requests and responses of an endpoint, in the files and the form that AWS's tools read."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk.local import LocalSageMaker, Store
from dogbreed_sdk.local.hosting import data_capture
from dogbreed_sdk.local.hosting.data_capture import DataCapture, Exchange, Payload
from tests.local.conftest import ClientMaker
from tests.local.hosting.test_authors_models import Endpoint, packed, write
from tests.waiting import wait_for

CODE = """
def model_fn(model_dir): return None
def input_fn(body, content_type): return body
def predict_fn(data, model): return data
def output_fn(prediction, accept): return prediction, accept
"""
NAME = re.compile(r"e/AllTraffic/\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl")


@pytest.fixture
def seconds() -> float:
    """How often the servers of a test write what they captured."""
    return 0.1


@pytest.fixture(autouse=True)
def period(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(data_capture, "FLUSH_SECONDS", seconds)


@pytest.fixture
def endpoint(client: ClientMaker, store: Store) -> Any:
    made = Endpoint(client, store)
    yield made
    made.delete()


def exchange(content: bytes = b"x") -> Exchange:
    payload = Payload(content, "application/octet-stream")
    return Exchange("e", "v", payload, payload)


def capturing(folder: Path) -> Any:
    return {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": folder.as_uri(),
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }


def create(endpoint: Endpoint, folder: Path, destination: str, **config: Any) -> dict[str, Any]:
    archive = packed(write(folder / "model", {"code/inference.py": CODE}), folder / "m.tar.gz")
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": destination,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        **config,
    }
    return endpoint.create({"ModelDataUrl": archive.as_uri()}, DataCaptureConfig=capture)


def send(endpoint: Endpoint, body: bytes, kind: str, **members: Any) -> None:
    answer = endpoint.runtime.invoke_endpoint(EndpointName="e", Body=body, ContentType=kind, Accept=kind, **members)
    assert answer["Body"].read() == body


def events(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.rglob("*.jsonl"), key=lambda path: path.name)
    assert all(NAME.fullmatch(path.relative_to(folder).as_posix()) for path in files)
    return [json.loads(line) for path in files for line in path.read_bytes().splitlines()]


HEADERS = {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}


def test_requests_and_responses_are_captured_in_awss_form(endpoint: Endpoint, tmp_path: Path) -> None:
    captured = tmp_path / "captured"
    described = create(endpoint, tmp_path, f"{captured.as_uri()}/", CaptureContentTypeHeader=HEADERS)
    assert described["DataCaptureConfig"] == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 100,
        "DestinationS3Uri": f"{captured.as_uri()}/",
        "KmsKeyId": "",
    }
    send(endpoint, b"1,2", "text/csv", InferenceId="my id", CustomAttributes="trace=1")
    send(endpoint, b"[1]", "application/json")
    send(endpoint, b"\xff\xd8", "image/jpeg")
    send(endpoint, b"\xff", "application/json; charset=utf-8")
    found = wait_for(lambda: len(events(captured)) == 4 and events(captured))
    first = found[0]
    shown = {"observedContentType": "text/csv", "data": "1,2", "encoding": "CSV"}
    output = first["captureData"]["endpointOutput"]
    assert first["captureData"]["endpointInput"] == {**shown, "mode": "INPUT"}
    assert output == {**shown, "mode": "OUTPUT", "observedContentType": output["observedContentType"]}
    assert output["observedContentType"].startswith("text/csv")
    assert first["eventMetadata"].pop("eventId")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["eventMetadata"].pop("inferenceTime"))
    assert first["eventMetadata"] == {"inferenceId": "my id", "customAttributes": "trace=1"}
    assert first["eventVersion"] == "0"
    inputs = [event["captureData"]["endpointInput"] for event in found]
    assert [each["encoding"] for each in inputs] == ["CSV", "JSON", "BASE64", "BASE64"]
    assert [base64.b64decode(each["data"]) for each in inputs[2:]] == [b"\xff\xd8", b"\xff"]


def test_a_server_keeps_the_period_it_began_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Changing the period for later servers must not delay one that runs already."""

    async def run() -> None:
        collected = DataCapture()
        monkeypatch.setattr(data_capture, "FLUSH_SECONDS", 3600.0)
        writing = asyncio.create_task(collected.run())
        collected.add(exchange(), capturing(tmp_path))
        while not list(tmp_path.rglob("*.jsonl")):
            await asyncio.sleep(0.02)
        writing.cancel()

    asyncio.run(asyncio.wait_for(run(), 60))


@pytest.mark.parametrize("seconds", [600.0])
def test_what_was_collected_is_written_when_the_server_stops(
    endpoint: Endpoint, local: LocalSageMaker, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalSageMaker(tmp_path / "s3") as bucket:  # the one below is about to stop
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.endpoint_url)
        elsewhere = bucket_client(s3, bucket)
        create(endpoint, tmp_path, "s3://bucket/captured", CaptureOptions=[{"CaptureMode": "Output"}])
        send(endpoint, b"1", "text/csv")
        endpoint.delete()
        endpoint.made = False
        local.stop()
        (found,) = elsewhere.list_objects_v2(Bucket="bucket", Prefix="captured/")["Contents"]
        assert NAME.fullmatch(found["Key"].removeprefix("captured/"))
        event = json.loads(elsewhere.get_object(Bucket="bucket", Key=found["Key"])["Body"].read())
        assert list(event["captureData"]) == ["endpointOutput"]


def bucket_client(s3: Any, bucket: LocalSageMaker) -> Any:
    import boto3  # noqa: PLC0415

    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name=s3.meta.region_name)
    client = session.client("s3", endpoint_url=bucket.endpoint_url)
    client.create_bucket(Bucket="bucket")
    return client


@pytest.mark.parametrize("config", [{"InitialSamplingPercentage": 0}, {"EnableCapture": False}])
def test_nothing_is_captured_unless_it_is_wanted(endpoint: Endpoint, tmp_path: Path, config: dict[str, Any]) -> None:
    described = create(endpoint, tmp_path, (tmp_path / "captured").as_uri(), **config)
    status = "Stopped" if "EnableCapture" in config else "Started"
    assert described["DataCaptureConfig"]["CaptureStatus"] == status
    send(endpoint, b"1", "text/csv")
    endpoint.delete()
    endpoint.made = False
    assert not (tmp_path / "captured").exists()


def test_what_cannot_be_captured_is_refused(endpoint: Endpoint) -> None:
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "https://host/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    variants = [{"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]
    given: dict[str, Any] = {"EndpointConfigName": "c", "ProductionVariants": variants}
    with pytest.raises(ClientError, match="must be an s3:// or a file:// URI"):
        endpoint.sagemaker.create_endpoint_config(**given, DataCaptureConfig=capture)
    output = {"OutputConfig": {"S3OutputPath": "s3://bucket/out"}}
    capture["DestinationS3Uri"] = "s3://bucket/captured"
    with pytest.raises(ClientError, match="Asynchronous endpoints of local SageMaker capture no data"):
        endpoint.sagemaker.create_endpoint_config(**given, DataCaptureConfig=capture, AsyncInferenceConfig=output)


def test_weights_and_capacities_are_described(endpoint: Endpoint, tmp_path: Path) -> None:
    create(endpoint, tmp_path, (tmp_path / "captured").as_uri())

    def update(name: str) -> None:
        wanted = {"VariantName": name, "DesiredWeight": 0.5, "DesiredInstanceCount": 3}
        endpoint.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="e", DesiredWeightsAndCapacities=[wanted]
        )

    update("AllTraffic")
    (variant,) = endpoint.sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"]
    assert (variant["CurrentWeight"], variant["CurrentInstanceCount"]) == (0.5, 3)
    with pytest.raises(ClientError, match='Could not find variant "other"'):
        update("other")


def test_what_comes_faster_than_it_is_written_is_counted_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(data_capture, "_MAX_KEPT_BYTES", 2000)

    async def capture() -> None:
        collected = DataCapture()
        for _ in range(10):
            collected.add(exchange(b"x" * 300), capturing(tmp_path))
        await collected.flush()

    asyncio.run(capture())
    kept = sum(len(file.read_bytes().splitlines()) for file in tmp_path.rglob("*.jsonl"))
    assert 0 < kept < 10
    assert f"captured requests are lost: {10 - kept}" in caplog.text


def test_what_cannot_be_written_is_tried_again_and_given_up_at_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("no folder")

    async def capture() -> None:
        collected = DataCapture()
        for _ in range(3):
            collected.add(exchange(), capturing(blocked))
            await collected.flush()
        assert "lost" not in caplog.text
        blocked.unlink()
        await collected.flush()
        (file,) = blocked.rglob("*.jsonl")
        assert len(file.read_bytes().splitlines()) == 3
        shutil.rmtree(blocked)
        blocked.write_text("no folder")
        collected.add(exchange(), capturing(blocked))
        for _ in range(20):
            await collected.flush()
        blocked.unlink()
        await collected.flush()

    asyncio.run(capture())
    assert not blocked.exists()
    assert caplog.text.count("can't be written yet") == 2
    assert caplog.text.count("captured requests are lost: 1") == 1


async def captured_once(folder: Path, flushes: int) -> None:
    collected = DataCapture()
    collected.add(exchange(), capturing(folder))
    for _ in range(flushes):
        await collected.flush()


def test_a_slow_disk_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside others that write much, a disk may take a minute to have what it was given."""
    waits: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda number: waits.append(Path(f"/proc/self/fd/{number}").readlink()))
    asyncio.run(captured_once(tmp_path, flushes=1))
    assert len(list(tmp_path.rglob("*.jsonl"))) == 1
    assert not [path for path in waits if path.is_relative_to(tmp_path)]  # other threads' may be among them


@pytest.mark.parametrize("where", ["_write", "write_object"])
def test_a_machine_without_threads_to_spare_costs_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    function, refused = getattr(data_capture, where), []

    def refuses_once(*arguments: Any, **options: Any) -> Any:
        if not refused:
            refused.append(where)
            raise RuntimeError("can't start new thread")
        return function(*arguments, **options)

    monkeypatch.setattr(data_capture, where, refuses_once)
    asyncio.run(captured_once(tmp_path, flushes=2))
    assert len(list(tmp_path.rglob("*.jsonl"))) == 1
