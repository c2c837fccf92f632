"""The protocol's rim: who may ask, how errors look, and that every request gets an answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import sqlite3
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk.local import LocalSageMaker, Store
from dogbreed_sdk.local.api.operations import SERVICES
from dogbreed_sdk.local.api.validation import operation_model
from dogbreed_sdk.local.store import MODEL


def call(
    local: LocalSageMaker,
    body: bytes = b"{}",
    *,
    path: str = "/",
    method: str = "POST",
    target: str = "SageMaker.ListModels",
    **headers: str,
) -> tuple[int, dict[str, Any], http.client.HTTPResponse]:
    """One request as the bytes say it, without a client's checks."""
    connection = http.client.HTTPConnection(urlsplit(local.endpoint_url).netloc, timeout=30)
    sent = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
    connection.request(method, path, body, {**sent, **{k.replace("_", "-"): v for k, v in headers.items()}})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, json.loads(content), response


def test_every_answer_has_a_request_id(empty_local: LocalSageMaker) -> None:
    _, _, good = call(empty_local)
    _, _, bad = call(empty_local, target="SageMaker.DescribeModel")
    assert good.headers["x-amzn-RequestId"] != bad.headers["x-amzn-RequestId"]
    assert good.headers["Content-Type"] == "application/x-amz-json-1.1"
    assert bad.headers["x-amzn-ErrorType"] == "ValidationException"


def test_a_client_reads_code_message_and_request_id_of_an_error(sagemaker: Any) -> None:
    with pytest.raises(sagemaker.exceptions.ResourceNotFound) as caught:
        sagemaker.describe_training_job(TrainingJobName="missing")
    answer = caught.value.response
    assert answer["Error"] == {"Code": "ResourceNotFound", "Message": "Requested resource not found."}
    assert re.fullmatch("local-[0-9a-f-]{36}", answer["ResponseMetadata"]["RequestId"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "SerializationException"),
        (b"[]", "SerializationException"),
        (b"\xff\xfe", "SerializationException"),
        (b"[" * 200_000, "SerializationException"),
        (b'{"ModelName": "m"}', "ValidationException"),
    ],
)
def test_a_malformed_body_is_refused(empty_local: LocalSageMaker, body: bytes, code: str) -> None:
    status, error, _ = call(empty_local, body)
    assert (status, error["__type"]) == (400, code)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("", "has no operation ''. It offers those of: SageMaker, "),
        ("DynamoDB.GetItem", "has no operation 'DynamoDB.GetItem'. It offers those of: SageMaker, "),
        ("SageMaker.__init__", "has no operation '__init__'. It offers: AddTags, CreateEndpoint, "),
        ("SageMaker.DescribeTrainingJobs", "'DescribeTrainingJobs'. The nearest that it offers: DescribeTrainingJob"),
        ("SageMaker.CreateProcessingJob", "'CreateProcessingJob': there are no processing jobs; run the script itself"),
    ],
)
def test_an_operation_that_is_not_offered_is_named_with_those_that_are(
    empty_local: LocalSageMaker, target: str, message: str
) -> None:
    status, error, _ = call(empty_local, target=target)
    assert (status, error["__type"]) == (400, "UnknownOperationException")
    assert message in error["message"]


def test_an_unknown_path_is_no_hang_and_no_page(empty_local: LocalSageMaker) -> None:
    status, error, _ = call(empty_local, path="/endpoints/e/no-such-route")
    assert (status, error["__type"]) == (404, "UnknownOperationException")


def test_a_web_page_is_refused(empty_local: LocalSageMaker) -> None:
    status, error, _ = call(empty_local, Origin="https://evil.example")
    assert (status, error["__type"]) == (403, "AccessDeniedException")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1:80", ""])
def test_a_rebound_name_is_refused(empty_local: LocalSageMaker, host: str) -> None:
    assert call(empty_local, Host=host)[0] == 403
    assert call(empty_local, path="/endpoints/e/invocations", Host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "127.1.2.3:80", "[::1]:80"])
def test_loopback_has_several_names(empty_local: LocalSageMaker, host: str) -> None:
    assert call(empty_local, Host=host)[0] == 200


def test_a_request_that_is_too_large_is_refused_and_the_server_goes_on(local: LocalSageMaker) -> None:
    status, error, _ = call(local, b" " * (5 * 1024 * 1024))
    assert (status, error["message"]) == (413, "HTTP content length exceeded 4194304 bytes.")
    assert call(local)[0] == 200


@pytest.mark.parametrize("path", ["/", "/endpoints/dogs/invocations"])
def test_a_client_that_goes_away_while_it_sends_is_no_failure(
    local: LocalSageMaker, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    address = urlsplit(local.endpoint_url)
    with socket.create_connection((str(address.hostname), int(address.port or 0))) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf".encode())
        assert call(local)[0] == 200  # what was sent before has arrived
    for _ in range(2):
        assert call(local)[0] == 200
    assert caplog.records == []


def test_the_signature_decides_about_the_region(client: Any) -> None:
    request = {"ModelName": "m", "PrimaryContainer": {"Image": "i"}}
    arn = client("sagemaker", region="eu-central-1").create_model(**request)["ModelArn"]
    assert arn == "arn:aws:sagemaker:eu-central-1:000000000000:model/m"


def test_a_failure_inside_is_an_answer_with_a_reason(
    local: LocalSageMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the cable is out")

    monkeypatch.setattr(Store, "page", broken)
    status, error, response = call(local)
    assert (status, error["__type"]) == (500, "InternalFailure")
    assert "the cable is out" in error["message"]
    assert response.headers["x-amzn-RequestId"] in caplog.text


def test_a_state_file_that_goes_bad_is_an_answer_with_a_reason(local: LocalSageMaker) -> None:
    with contextlib.closing(sqlite3.connect(local.root / "sagemaker.db")) as database:
        database.execute("DROP TABLE records")
    status, error, _ = call(local, json.dumps({"ModelName": "m", "PrimaryContainer": {"Image": "i"}}).encode(),
                            target="SageMaker.CreateModel")  # fmt: skip
    assert (status, error["__type"]) == (500, "InternalFailure")
    assert "sagemaker.db" in error["message"]


def test_many_clients_at_once_lose_nothing(client: Any, store: Store) -> None:
    failures: list[Exception] = []

    def create(worker: int) -> None:
        sagemaker = client("sagemaker")
        for number in range(10):
            try:
                name = f"model-{worker}-{number}"
                sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": "i"})
                sagemaker.create_model(ModelName="shared", PrimaryContainer={"Image": "i"})
            except ClientError as error:
                failures.append(error)

    threads = [threading.Thread(target=create, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.list(MODEL)) == 41
    assert len(failures) == 39
    assert all("Cannot create already existing model" in str(failure) for failure in failures)


def test_no_member_of_any_request_breaks_the_server(empty_local: LocalSageMaker) -> None:
    wrong = [0, -1, 1e300, True, "", "x" * 300, "\ud800", [], [None], {}, {"a": {"b": []}}, float("nan")]
    connection = http.client.HTTPConnection(urlsplit(empty_local.endpoint_url).netloc, timeout=30)
    asked = 0
    for prefix, service in SERVICES.items():
        for name in service.operations:
            shape = operation_model(service.model, name).input_shape
            for member in shape.members:
                for value in wrong:
                    body = json.dumps({member: value})
                    connection.request("POST", "/", body, {"X-Amz-Target": f"{prefix}.{name}"})
                    response = connection.getresponse()
                    assert response.status in (200, 400), (name, body, response.read())
                    response.read()
                    asked += 1
    connection.close()
    assert asked > 1000
