"""Asynchronous endpoints: every request gets one outcome where its client expects it, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk.local import LocalSageMaker, Store
from dogbreed_sdk.local.api import app
from dogbreed_sdk.local.api.validation import operation_model
from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.hosting import async_queue, async_starter, async_worker
from dogbreed_sdk.local.store import ASYNC_INVOCATION, ENDPOINT
from tests.local.hosting.test_authors_models import Endpoint, packed, write
from tests.model_servers import server_of
from tests.waiting import wait_for
from training_scripts._util.locking import is_locked

pytestmark = pytest.mark.slow

_REQUEST = operation_model("sagemaker-runtime", "InvokeEndpointAsync").input_shape
INLINE = pytest.mark.skipif(
    _REQUEST is None or "Body" not in _REQUEST.members, reason="this botocore knows no body in the request"
)

# Notes each request that the model processes, so that a repetition is seen.
CODE = """
import json, os, time
NOTES = os.environ["NOTES"]
def model_fn(model_dir): return None
def input_fn(body, content_type, context): return body, content_type, context.get_all_request_header(0)
def predict_fn(data, model):
    body, content_type, headers = data
    with open(NOTES, "a") as file:
        file.write(str(body) + "\\n")
    if body == "fail":
        raise ValueError("no dog")
    while body == "held" and not os.path.exists(NOTES + "-go"):
        time.sleep(0.02)
    return {"body": body, "type": content_type, "attributes": headers.get("x-amzn-sagemaker-custom-attributes")}
"""
INPUT_TYPE = "text/csv"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_QUEUE_CHECK_SECONDS", 0.2)
    monkeypatch.setattr(async_starter, "_START_SECONDS", 1.5)


class AsyncEndpoint:
    """An asynchronous endpoint whose inputs and outputs are folders."""

    def __init__(self, endpoint: Endpoint, store: Store, folder: Path) -> None:
        self.endpoint = endpoint
        self.store = store
        self.folder = folder
        self.notes = folder / "notes"
        self.outputs = folder / "outputs"

    def create(self, *, concurrency: int = 2, **output: Any) -> None:
        archive = packed(write(self.folder / "model", {"code/inference.py": CODE}), self.folder / "m.tar.gz")
        locations = {"S3OutputPath": self.outputs.as_uri(), "S3FailurePath": f"{self.outputs.as_uri()}/failed/"}
        config = {
            "OutputConfig": {**locations, **output},
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": concurrency},
        }
        described = self.endpoint.create(
            {"ModelDataUrl": archive.as_uri(), "Environment": {"NOTES": str(self.notes)}}, AsyncInferenceConfig=config
        )
        assert described["EndpointStatus"] == "InService", described

    def send(self, text: str, **members: Any) -> Any:
        members = {"InputLocation": self.input(text), "ContentType": INPUT_TYPE, **members}
        return self.endpoint.runtime.invoke_endpoint_async(EndpointName="e", **members)

    def input(self, text: str) -> str:
        path = self.folder / "inputs" / text.replace(" ", "-")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path.as_uri()

    def outcome(self, sent: Any) -> tuple[str, Any]:
        def found() -> tuple[str, Any] | None:
            for kind, name in (("output", "OutputLocation"), ("failure", "FailureLocation")):
                path = Path(sent[name].removeprefix("file://"))
                if path.exists():
                    return kind, json.loads(path.read_bytes())
            return None

        return wait_for(found, state=lambda: self.store.list(ASYNC_INVOCATION))

    def go(self) -> None:
        """Let the model respond to "held"."""
        Path(f"{self.notes}-go").touch()

    def processed(self) -> list[str]:
        return self.notes.read_text().split("\n")[:-1] if self.notes.exists() else []

    def unanswered(self, status: str) -> list[str]:
        return [record.name for record in async_queue.waiting(self.store, "e", status)]

    def end_worker(self) -> None:
        """Kill the queue's process, once there is one only: another that was started finds the queue locked."""
        for pid in wait_for(lambda: len(found := self._workers()) < 2 and [found]).pop():
            os.kill(pid, signal.SIGKILL)

    def _workers(self) -> list[int]:
        found = []
        marks = ("dogbreed_sdk.local.hosting.async_worker", str(self.store.root))
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    command = (entry / "cmdline").read_bytes().decode().split("\0")
                except OSError:
                    continue
                if all(mark in command for mark in marks):
                    found.append(int(entry.name))
        return found


@pytest.fixture
def endpoint(client: Any, store: Store) -> Any:
    made = Endpoint(client, store)
    yield made
    made.delete()
    # Its queue's process ends as soon as the endpoint is gone.
    wait_for(lambda: not is_locked(EndpointFolder.of(store.root, "e").queue_lock))


@pytest.fixture
def queued(endpoint: Endpoint, store: Store, tmp_path: Path) -> Iterator[AsyncEndpoint]:
    yield AsyncEndpoint(endpoint, store, tmp_path)
    log = EndpointFolder.of(store.root, "e").queue_log
    assert not log.exists() or log.read_text() == ""


def test_responses_and_failures_are_where_the_client_was_told(queued: AsyncEndpoint, tmp_path: Path) -> None:
    queued.create()
    described = queued.endpoint.sagemaker.describe_endpoint(EndpointName="e")
    assert described["AsyncInferenceConfig"]["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 2}
    sent = queued.send("1,2", CustomAttributes="trace=1", Accept="application/json")
    assert sent["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert sent["OutputLocation"] == f"{queued.outputs.as_uri()}/{sent['InferenceId']}.out"
    assert sent["FailureLocation"] == f"{queued.outputs.as_uri()}/failed/{sent['InferenceId']}-error.out"
    answer = {"body": "1,2", "type": INPUT_TYPE, "attributes": "trace=1"}
    assert queued.outcome(sent) == ("output", answer)
    (tmp_path / "input").write_text("from a file")
    located = {"InputLocation": (tmp_path / "input").as_uri(), "ContentType": INPUT_TYPE}
    named = {"InferenceId": "my id", "S3OutputPathExtension": "run/1", "Filename": "dog.json"}
    sent = queued.endpoint.runtime.invoke_endpoint_async(EndpointName="e", **located, **named)
    assert (sent["InferenceId"], sent["OutputLocation"]) == ("my id", f"{queued.outputs.as_uri()}/run/1/dog.json")
    assert queued.outcome(sent)[1]["body"] == "from a file"
    failed = queued.outcome(queued.send("fail"))
    assert failed[0] == "failure"
    assert failed[1]["originalStatusCode"] == 500
    assert failed[1]["originalMessage"] == "ValueError: no dog"
    assert failed[1]["message"] == 'Received server error (500) from primary with message "ValueError: no dog".'
    missing = {"InputLocation": "file:///nowhere/input", "ContentType": INPUT_TYPE}
    outcome = queued.outcome(queued.endpoint.runtime.invoke_endpoint_async(EndpointName="e", **missing))
    assert outcome[0] == "failure"
    assert outcome[1]["message"].startswith("The input file:///nowhere/input can't be read: ")
    assert queued.processed() == ["1,2", "from a file", "fail"]
    wait_for(lambda: not queued.store.list(ASYNC_INVOCATION))  # removed once the outcome is there
    assert not list(EndpointFolder.of(queued.store.root, "e").path.glob("outcome-*"))
    log = queued.endpoint.log()
    assert any("[my id] Inference request succeeded. TimeInBacklog: " in line for line in log)


def test_s3_is_read_and_written(queued: AsyncEndpoint, s3: Any) -> None:
    """As AsyncPredictor of the v2 SDK sends it: the S3 object alone has the content type."""
    queued.create(S3OutputPath="s3://bucket/out/", S3FailurePath="s3://bucket/failed")
    s3.put_object(Bucket="bucket", Key="in/1", Body=b"3,4", ContentType=INPUT_TYPE)
    invoke = queued.endpoint.runtime.invoke_endpoint_async
    sent = invoke(EndpointName="e", InputLocation="s3://bucket/in/1", Accept="application/json")
    missing = invoke(EndpointName="e", InputLocation="s3://bucket/in/2")

    def stored(location: str) -> Any:
        key = location.removeprefix("s3://bucket/")
        s3.get_waiter("object_exists").wait(Bucket="bucket", Key=key, WaiterConfig={"Delay": 0.05, "MaxAttempts": 600})
        return s3.get_object(Bucket="bucket", Key=key)

    output = stored(sent["OutputLocation"])
    assert output["ContentType"] == "application/json"
    assert json.loads(output["Body"].read())["type"] == INPUT_TYPE
    failure = stored(missing["FailureLocation"])
    assert failure["ContentType"] == "application/json"
    assert "s3://bucket/in/2" in json.loads(failure["Body"].read())["message"]


def test_no_more_than_the_given_number_are_processed_at_once(queued: AsyncEndpoint) -> None:
    queued.create(concurrency=1)
    sent = [queued.send(text) for text in ("held", "second", "third")]
    wait_for(queued.processed)
    assert len(queued.unanswered("Running")) == 1
    queued.go()
    assert [queued.outcome(each)[0] for each in sent] == ["output"] * 3
    assert queued.processed() == ["held", "second", "third"]


def test_a_model_that_takes_too_long_is_a_failure(queued: AsyncEndpoint) -> None:
    queued.create()
    kind, content = queued.outcome(queued.send("held", InvocationTimeoutSeconds=1))
    queued.go()
    assert (kind, content["message"]) == (
        "failure",
        "The model did not respond within 1 s (InvocationTimeoutSeconds).",
    )


def test_a_killed_process_repeats_nothing_and_loses_nothing(queued: AsyncEndpoint) -> None:
    queued.create(concurrency=1)
    running, pending = queued.send("held"), queued.send("waits")
    wait_for(queued.processed)
    queued.end_worker()
    kind, content = queued.outcome(running)
    assert (kind, content["message"]) == ("failure", async_worker._INTERRUPTED)
    queued.go()
    assert queued.outcome(pending)[1]["body"] == "waits"
    assert queued.processed() == ["held", "waits"]


def test_a_killed_model_server_fails_what_it_had_and_answers_the_rest(queued: AsyncEndpoint) -> None:
    queued.create(concurrency=1)
    running, pending = queued.send("held"), queued.send("waits")
    wait_for(queued.processed)
    server = server_of(queued.store, "e")
    os.kill(server["pid"], signal.SIGKILL)
    kind, content = queued.outcome(running)
    assert kind == "failure"
    assert "The model server ended the connection without a complete answer" in content["message"]
    assert queued.outcome(pending)[1]["body"] == "waits"
    assert queued.processed() == ["held", "waits"]


def test_the_queue_goes_on_without_and_after_its_server(queued: AsyncEndpoint, local: LocalSageMaker) -> None:
    queued.create(concurrency=1)
    first, second = queued.send("held"), queued.send("after")
    local.stop()
    queued.go()
    assert queued.outcome(first)[0] == queued.outcome(second)[0] == "output"
    queued.end_worker()
    wait_for(lambda: not is_locked(EndpointFolder.of(queued.store.root, "e").queue_lock))
    endpoint = queued.store.get(ENDPOINT, "e")
    waiting = async_queue.Invocation(b"left over", {"content-type": INPUT_TYPE})
    left = async_queue.enqueue(queued.store, endpoint, endpoint.state["serving"]["async_config"], waiting)
    with LocalSageMaker(local.root) as again:
        outcome = queued.outcome({"OutputLocation": left["output"], "FailureLocation": left["failure"]})
        assert outcome[1]["body"] == "left over"
        again.boto3_session().client("sagemaker").delete_endpoint(EndpointName="e")
    queued.endpoint.made = False


def test_an_outcome_is_delivered_once_if_its_process_was_killed_before(queued: AsyncEndpoint) -> None:
    """The state that a process leaves which is killed after the model's response, and before its delivery."""
    queued.create()
    folder = EndpointFolder.of(queued.store.root, "e")
    endpoint = queued.store.get(ENDPOINT, "e")
    config = endpoint.state["serving"]["async_config"]
    left = async_queue.enqueue(queued.store, endpoint, config, async_queue.Invocation(b"x", {}))
    (record,) = queued.store.list(ASYNC_INVOCATION)
    (folder.path / f"outcome-{record.name}").write_bytes(b'"delivered"')
    outcome = {"succeeded": True, "content_type": "application/json", "custom_attributes": None, "message": "done"}
    queued.store.update(ASYNC_INVOCATION, record.name, lambda state: state.update(status="Delivering", outcome=outcome))
    async_starter.QueueStarter(queued.store).start("e")
    locations = {"OutputLocation": left["output"], "FailureLocation": left["failure"]}
    assert queued.outcome(locations) == ("output", "delivered")
    assert queued.processed() == []


def test_what_cannot_be_delivered_fails_with_the_reason(queued: AsyncEndpoint, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file, not a folder")
    queued.create(S3OutputPath=f"{(tmp_path / 'blocked').as_uri()}/out")
    kind, content = queued.outcome(queued.send("1,2"))
    assert kind == "failure"
    assert content["message"].startswith("The response could not be delivered: ")
    assert queued.processed() == ["1,2"]


def test_requests_that_waited_too_long_or_lost_their_endpoint_fail(queued: AsyncEndpoint) -> None:
    queued.create(concurrency=1)
    endpoint = queued.store.get(ENDPOINT, "e")
    config = endpoint.state["serving"]["async_config"]
    blocking = queued.send("held")
    wait_for(queued.processed)
    short = async_queue.Invocation(b"expires", {"content-type": INPUT_TYPE}, expires_after=1)
    expiring = async_queue.enqueue(queued.store, endpoint, config, short)
    kind, content = queued.outcome({"OutputLocation": expiring["output"], "FailureLocation": expiring["failure"]})
    assert (kind, content["message"]) == (
        "failure",
        "The request expired: it was in the queue for 1 s, the limit of RequestTTLSeconds.",
    )
    orphaned = queued.send("orphaned")
    with ThreadPoolExecutor(1) as pool:
        deletion = pool.submit(queued.endpoint.delete)
        kind, content = queued.outcome(orphaned)
        # As for real-time endpoints, the model server completes what it has.
        queued.go()
        deletion.result()
    assert (kind, content["message"]) == ("failure", "The endpoint was deleted before the request was processed.")
    assert queued.outcome(blocking)[0] == "output"
    assert queued.processed() == ["held"]
    wait_for(lambda: not queued.store.list(ASYNC_INVOCATION))


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        pytest.param({}, "give exactly one of InputLocation and Body", marks=INLINE),
        pytest.param(
            {"Body": b"x", "InputLocation": "s3://b/k"}, "give exactly one of InputLocation and Body", marks=INLINE
        ),
        pytest.param({"Body": b"x" * 128_001}, "Body has 128001 bytes, more than 128000", marks=INLINE),
        ({"InputLocation": "s3://b/k", "RequestTTLSeconds": 30_000}, "requestTTLSeconds"),
        ({"InputLocation": "s3://b/k", "InvocationTimeoutSeconds": 4000}, "invocationTimeoutSeconds"),
        ({"InputLocation": "https://host/input"}, "s3:// or a file:// URI"),
        ({"InputLocation": "ftp://host/input"}, "inputLocation"),
        ({"InputLocation": "s3://b/k", "Filename": "../x"}, "filename"),
    ],
)
def test_what_aws_refuses_is_refused(client: Any, members: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ClientError, match=complaint) as caught:
        client("sagemaker-runtime").invoke_endpoint_async(EndpointName="none", **members)
    assert caught.value.response["Error"]["Code"] == "ValidationError"


@INLINE
def test_a_small_payload_may_be_in_the_request(queued: AsyncEndpoint) -> None:
    queued.create()
    sent = queued.endpoint.runtime.invoke_endpoint_async(EndpointName="e", Body=b"1,2", ContentType=INPUT_TYPE)
    assert queued.outcome(sent)[0] == "output"
    assert queued.processed() == ["1,2"]


def test_each_kind_of_endpoint_has_its_operation(queued: AsyncEndpoint) -> None:
    queued.create()
    with pytest.raises(ClientError, match="e is an asynchronous endpoint: call InvokeEndpointAsync instead"):
        queued.endpoint.invoke()
    with pytest.raises(ClientError, match="call InvokeEndpoint instead of InvokeEndpointWithResponseStream"):
        queued.endpoint.runtime.invoke_endpoint_with_response_stream(EndpointName="e", Body=b"x")
    with pytest.raises(ClientError, match="Endpoint none of account 000000000000 not found"):
        queued.endpoint.runtime.invoke_endpoint_async(EndpointName="none", InputLocation="s3://b/k")


def test_a_configuration_must_say_where_responses_go(endpoint: Endpoint) -> None:
    variants = [{"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]
    create = endpoint.sagemaker.create_endpoint_config
    topic = {"SuccessTopic": "arn:aws:sns:us-east-1:123456789012:t"}
    for config, complaint in (
        ({"OutputConfig": {}}, "needs an S3OutputPath"),
        ({"OutputConfig": {"S3OutputPath": "https://host/out"}}, "must be an s3:// or a file:// URI"),
        ({"OutputConfig": {"S3OutputPath": "s3://b/o", "NotificationConfig": topic}}, "there is no SNS"),
    ):
        with pytest.raises(ClientError, match=complaint):
            create(EndpointConfigName="c", ProductionVariants=variants, AsyncInferenceConfig=config)
