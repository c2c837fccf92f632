"""Asynchronous endpoints: their classifier is used like any other, and leaves nothing on the storage."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import (
    AccessError,
    AsyncBreedClassifier,
    Asynchronous,
    BreedClassifier,
    ConfigurationError,
    EndpointError,
    EndpointTimeoutError,
    ModelError,
    Prediction,
    Session,
    ThrottledError,
    deploy,
)
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.cli.program import main
from dogbreed_sdk.client.transports import asynchronous
from dogbreed_sdk.endpoints.deployment import Deployment
from dogbreed_sdk.local import Store
from tests.aws.account import BUCKET, RecordedSageMaker
from tests.model_servers import server_of
from tests.width_model import ANSWERED, BUSY, FAILS, REFUSED, SLEEPS, pack_model, picture

pytestmark = [pytest.mark.extras, pytest.mark.slow]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("asynchronous")
    model = pack_model(folder)
    with (
        Session.local(folder / "root") as session,
        deploy(
            model.as_uri(),
            session=session,
            endpoint_name="dogs",
            asynchronous=Asynchronous(max_concurrent_invocations=4),
            progress=no_progress,
        ) as made,
    ):
        yield made


def left(deployment: Deployment) -> list[str]:
    """The files of the endpoint's requests and responses."""
    storage, session = deployment.session.storage, deployment.session
    return sorted(storage.sizes(f"{session.base_uri}/asynchronous/{deployment.endpoint_name}"))


def test_a_picture_is_classified_and_leaves_nothing(deployment: Deployment) -> None:
    classifier = deployment.classifier()
    prediction = classifier.classify(picture(ANSWERED), top_k=1)
    assert (prediction.label, prediction.probability) == ("Pug", pytest.approx(0.9))
    assert len(prediction.scores) == 1
    assert prediction.request_id
    assert left(deployment) == []
    assert classifier.labels().class_folders == ("001.Boxer", "002.Pug")


def test_many_pictures_come_in_order_with_the_failures_among_them(deployment: Deployment) -> None:
    widths = [ANSWERED, FAILS, 6, REFUSED, 7, 8]
    results = list(deployment.classifier().classify_many(map(picture, widths), on_error="return"))
    assert [type(result) for result in results] == [
        Prediction,
        ModelError,
        Prediction,
        ModelError,
        Prediction,
        Prediction,
    ]
    probabilities = [result.probability for result in results if isinstance(result, Prediction)]
    assert probabilities == pytest.approx([1 - 1 / (width + 9) for width in (1, 6, 7, 8)])
    assert "endpoint dogs answered 500" in str(results[1])
    assert "no dog in it" in str(results[1])
    assert "endpoint dogs answered 422: not a picture of a dog" in str(results[3])
    assert left(deployment) == []


def test_a_busy_model_is_asked_again(deployment: Deployment) -> None:
    assert deployment.classifier().classify(picture(BUSY)).label == "Pug"
    assert left(deployment) == []


def test_a_response_that_is_late_names_the_option(deployment: Deployment) -> None:
    store = Store(deployment.session.root)
    server = server_of(store, deployment.endpoint_name)["pid"]
    store.close()
    os.kill(server, signal.SIGSTOP)
    try:
        with pytest.raises(EndpointTimeoutError, match=r"The limit was read_timeout=0\.3 s") as caught:
            deployment.classifier(read_timeout=0.3).classify(picture(ANSWERED))
    finally:
        os.kill(server, signal.SIGCONT)
    assert caught.value.limit == "read_timeout"


def test_closing_the_generator_ends_the_waits(deployment: Deployment) -> None:
    results = deployment.classifier().classify_many([picture(ANSWERED), *[picture(SLEEPS)] * 2], max_concurrency=4)
    next(results)
    results.close()
    assert not [name for name in left(deployment) if name.startswith("inputs/")]


def test_it_works_in_asyncio_and_from_another_process(deployment: Deployment) -> None:
    async def labels() -> list[str]:
        async with AsyncBreedClassifier.wrapping(deployment.classifier()) as classifier:
            return [each.label async for each in classifier.classify_many([picture(ANSWERED)] * 2)]

    assert asyncio.run(labels()) == ["Pug", "Pug"]
    copy: BreedClassifier = pickle.loads(pickle.dumps(deployment.classifier(read_timeout=30.0)))
    assert copy.classify(picture(ANSWERED)).label == "Pug"
    assert copy.options.read_timeout == 30.0


def test_a_client_that_waits_for_the_response_itself_is_told_which_one_works(deployment: Deployment) -> None:
    with pytest.raises(EndpointError, match=r"Create its client with Deployment\(name, session\)\.classifier"):
        BreedClassifier("dogs", session=deployment.session).classify(picture(ANSWERED))


def test_the_command_line_uses_it_like_any_other(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(ANSWERED).save(tmp_path / "rex.png")
    assert main(["classify", "dogs", str(tmp_path / "rex.png"), "--root", str(deployment.session.root)]) == 0
    assert "Pug" in capsys.readouterr().out


def test_its_limits_are_those_of_a_queue(deployment: Deployment) -> None:
    assert deployment.classifier().options.deadline == 900.0
    assert deployment.classifier(deadline=5.0).options.deadline == 5.0


class TestOnAws:
    """What is sent, and how failures are read, where nothing answers but S3."""

    @pytest.fixture
    def made(self, account: tuple[Session, RecordedSageMaker]) -> Deployment:
        options: dict[str, Any] = {"endpoint_name": "dogs", "progress": no_progress}
        return deploy(f"s3://{BUCKET}/m.tar.gz", session=account[0], asynchronous=Asynchronous(), **options)

    def outcome(self, monkeypatch: pytest.MonkeyPatch, made: Deployment, name: str, content: bytes) -> list[Any]:
        """Lets the endpoint answer with an object on S3; returns the requests."""
        requests: list[Any] = []
        s3 = made.session.client("s3")

        def answer(params: dict[str, Any], **_: Any) -> Any:
            from tests.aws.account import response  # noqa: PLC0415

            requests.append(params)
            s3.put_object(Bucket=BUCKET, Key=f"out/{name}", Body=content)
            locations = {"OutputLocation": f"s3://{BUCKET}/out/done", "FailureLocation": f"s3://{BUCKET}/out/failed"}
            return response(202), {**locations, "ResponseMetadata": {"HTTPStatusCode": 202}}

        made.session.boto3_session.events.register("before-call.sagemaker-runtime.InvokeEndpointAsync", answer)
        return requests

    def keys(self, made: Deployment) -> list[str]:
        found = made.session.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return [entry["Key"] for entry in found]

    def test_the_input_is_on_s3_under_the_endpoints_folder(
        self, made: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        requests = self.outcome(monkeypatch, made, "done", b"[[0.25, 0.75]]")
        prediction = made.classifier(labels=["Boxer", "Pug"]).classify(picture(ANSWERED))
        assert prediction.label == "Pug"
        [sent] = requests
        headers = sent["headers"]
        location = headers["X-Amzn-SageMaker-InputLocation"]
        assert location.startswith(f"s3://{BUCKET}/dogbreed/asynchronous/dogs/inputs/")
        assert headers["X-Amzn-SageMaker-Inference-Id"] == prediction.request_id
        assert headers["X-Amzn-SageMaker-RequestTTLSeconds"] == "900"
        assert self.keys(made) == []

    @pytest.mark.parametrize(
        ("failure", "error", "message"),
        [
            (b'Received client error (415) from model with message "no"', ModelError, "answered 415: Received client"),
            (b"Received server error (503) from model. Busy.", ThrottledError, "is overloaded"),
            (b"Model invocation timed out after 900 seconds", EndpointTimeoutError, "timed out: Model invocation"),
            (b"Request has expired in queue", EndpointTimeoutError, "Request has expired"),
            (b'{"message": "no memory", "originalStatusCode": 507}', ModelError, "answered 507: no memory"),
            (b"\xff\xfe unreadable", ModelError, "dogs failed: .* unreadable"),
        ],
    )
    def test_a_failure_becomes_the_error_of_a_real_time_endpoint(
        self, made: Deployment, monkeypatch: pytest.MonkeyPatch, failure: bytes, error: type[Exception], message: str
    ) -> None:
        self.outcome(monkeypatch, made, "failed", failure)
        with pytest.raises(error, match=message):
            made.classifier(max_attempts=1).classify(picture(ANSWERED))
        assert self.keys(made) == []

    def test_what_others_are_notified_of_stays(
        self, account: tuple[Session, RecordedSageMaker], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        topic = Asynchronous(success_topic="arn:aws:sns:us-east-1:123456789012:dogs")
        made = deploy(f"s3://{BUCKET}/m.tar.gz", session=account[0], asynchronous=topic, progress=no_progress)
        self.outcome(monkeypatch, made, "done", b"[[0.25, 0.75]]")
        made.classifier(labels=["Boxer", "Pug"]).classify(picture(ANSWERED))
        assert self.keys(made) == ["out/done"]

    def test_a_missing_permission_is_named(self, made: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
        self.outcome(monkeypatch, made, "nothing", b"")
        monkeypatch.setattr(made.session.storage, "read_bytes", _forbidden)
        with pytest.raises(AccessError, match="takes s3:ListBucket beside s3:GetObject"):
            made.classifier().classify(picture(ANSWERED))

    def test_a_name_that_no_endpoint_has_is_refused(self, made: Deployment) -> None:
        with pytest.raises(ConfigurationError, match="endpoint_name must be"):
            asynchronous.AsynchronousTransport("a/b", made.session, asynchronous.Folders("s3://b/i", False))


def _forbidden(uri: str) -> bytes:
    raise AccessError(f"Could not read {uri}: Access Denied.")
