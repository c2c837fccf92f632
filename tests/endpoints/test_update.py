"""Updates without downtime: real endpoints of local SageMaker, with a client that never stops asking."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import ConfigurationError, EndpointError, Prediction, Session, plan_cleanup
from dogbreed_sdk._util.progress import JobProgress
from dogbreed_sdk.aws.requests.tags import CREATED_BY, ENDPOINT
from dogbreed_sdk.cli.program import main
from dogbreed_sdk.endpoints.creation import deploy
from dogbreed_sdk.endpoints.deployment import Deployment
from dogbreed_sdk.endpoints.kinds import DataCapture
from dogbreed_sdk.monitoring.answers import Baseline
from tests.endpoints.small_models import LABELS, PICTURE, model
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.extras]

BOXER, PUG = LABELS
BROKEN = "raise RuntimeError('no such weights')"


@pytest.fixture
def deployment(session: Session, tmp_path: Path) -> Iterator[Deployment]:
    """An endpoint "dogs" that answers Boxer."""
    made = deploy(model(tmp_path, BOXER), session=session, endpoint_name="dogs", tags={"team": "vision"}, progress=None)
    yield made
    made.delete()


def resources(session: Session) -> dict[str, list[str]]:
    """The names of everything that SageMaker has for endpoints."""
    client = session.client("sagemaker")
    return {
        "endpoints": [each["EndpointName"] for each in client.list_endpoints()["Endpoints"]],
        "configs": [each["EndpointConfigName"] for each in client.list_endpoint_configs()["EndpointConfigs"]],
        "models": [each["ModelName"] for each in client.list_models()["Models"]],
    }


def counts(session: Session) -> tuple[int, ...]:
    """How many endpoints, configurations and models there are."""
    return tuple(len(names) for names in resources(session).values())


def answer(deployment: Deployment, **options: Any) -> Prediction:
    return deployment.classifier(labels=LABELS, max_attempts=1, **options).classify(PICTURE)


@contextmanager
def asking(deployment: Deployment) -> Iterator[list[str]]:
    """Asks without a pause or a retry in another thread; gives the answers. An error fails the test."""
    answers: list[str] = []
    over = threading.Event()
    classifier = deployment.classifier(labels=LABELS, max_attempts=1)

    def ask() -> None:
        while not over.is_set():
            answers.append(classifier.classify(PICTURE).class_folder)

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        wait_for(lambda: answers or asked.done())
        try:
            yield answers
        finally:
            over.set()
            asked.result()


def test_requests_are_answered_throughout_and_the_old_model_is_deleted(deployment: Deployment, tmp_path: Path) -> None:
    session = deployment.session
    client = session.client("sagemaker")
    old = client.describe_model(ModelName="dogs")["PrimaryContainer"]["Environment"]
    with asking(deployment) as answers:
        before = len(answers)
        assert deployment.update(model(tmp_path, PUG), environment={"ADDED": "1"}, progress=None) is deployment
        wait_for(lambda: answers[-1] == PUG)
        assert len(answers) > before
    first = answers.index(PUG)
    assert set(answers[:first]) == {BOXER}
    assert set(answers[first:]) == {PUG}, "an old answer came after a new one"

    names = resources(session)
    assert [len(each) for each in names.values()] == [1, 1, 1]
    assert names["configs"] == names["models"] != ["dogs"]
    described = client.describe_model(ModelName=names["models"][0])
    assert described["PrimaryContainer"]["Environment"] == {**old, "ADDED": "1"}
    tags = {tag["Key"]: tag["Value"] for tag in client.list_tags(ResourceArn=described["ModelArn"])["Tags"]}
    assert tags == {"team": "vision", CREATED_BY: "dogbreed-sdk", ENDPOINT: "dogs"}
    deployment.delete()
    assert counts(session) == (0, 0, 0)


def test_a_broken_model_is_rolled_back_with_the_reason(deployment: Deployment, tmp_path: Path) -> None:
    before = resources(deployment.session)
    with asking(deployment) as answers:
        with pytest.raises(EndpointError, match="still serves what it served before") as caught:
            deployment.update(model(tmp_path, PUG, code=BROKEN), progress=None)
        assert "RuntimeError: no such weights" in str(caught.value)
    assert set(answers) == {BOXER}
    assert deployment.status == "InService"
    assert resources(deployment.session) == before, "parts of the failed update are left over"
    # A second failure is told from the first one, whose reason the endpoint still shows.
    with pytest.raises(EndpointError, match="no such weights"):
        deployment.update(model(tmp_path, PUG, code=BROKEN), progress=None)
    deployment.update(model(tmp_path, PUG), progress=None)
    assert answer(deployment).class_folder == PUG


def test_settings_stay_as_they_are(session: Session, tmp_path: Path) -> None:
    capture = DataCapture(50, uri=(tmp_path / "captured").as_uri())
    with deploy(
        model(tmp_path, BOXER),
        session=session,
        endpoint_name="dogs",
        instance_type="ml.c5.xlarge",
        startup_timeout=120,
        data_capture=capture,
        progress=None,
    ) as deployment:
        client = session.client("sagemaker")
        before = client.describe_endpoint_config(EndpointConfigName="dogs")
        deployment.update(model(tmp_path, PUG), instance_count=2, progress=None)
        described = client.describe_endpoint(EndpointName="dogs")
        after = client.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
        assert after["DataCaptureConfig"] == before["DataCaptureConfig"]
        (variant,) = after["ProductionVariants"]
        assert variant == {
            **before["ProductionVariants"][0],
            "ModelName": described["EndpointConfigName"],
            "InitialInstanceCount": 2,
        }
        assert described["ProductionVariants"][0]["DesiredInstanceCount"] == 2
        assert described["DataCaptureConfig"]["DestinationS3Uri"] == (tmp_path / "captured").as_uri()
        deployment.update(model(tmp_path, PUG), data_capture=DataCapture(5), progress=None)
        described = client.describe_endpoint(EndpointName="dogs")
        assert described["DataCaptureConfig"]["CurrentSamplingPercentage"] == 5
        assert described["ProductionVariants"][0]["DesiredInstanceCount"] == 2, "the update lost what was set before"


def test_an_instance_with_disks_of_its_own_gets_neither_a_key_nor_a_size_for_them(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "kms_key", "alias/dogs")
    uri = model(tmp_path, BOXER)
    client = session.client("sagemaker")
    with deploy(uri, session=session, endpoint_name="dogs", volume_size_gb=9, progress=None) as deployment:
        before = client.describe_endpoint_config(EndpointConfigName="dogs")
        assert (before["KmsKeyId"], before["ProductionVariants"][0]["VolumeSizeInGB"]) == ("alias/dogs", 9)
        deployment.update(uri, instance_type="ml.g5.xlarge", progress=None)
        name = client.describe_endpoint(EndpointName="dogs")["EndpointConfigName"]
        after = client.describe_endpoint_config(EndpointConfigName=name)
        assert "KmsKeyId" not in after
        assert "VolumeSizeInGB" not in after["ProductionVariants"][0]


def test_a_canary_gets_its_share_and_is_promoted_or_taken_away(deployment: Deployment, tmp_path: Path) -> None:
    session, pug = deployment.session, model(tmp_path, PUG)
    with asking(deployment) as answers:
        deployment.canary(pug, percent=25, progress=None)
        assert {each.name: each.share for each in deployment.variants()} == {"AllTraffic": 0.75, "canary": 0.25}
        wait_for(lambda: PUG in answers)
        pinned = answer(deployment, target_variant="canary")
        assert (pinned.class_folder, pinned.variant) == (PUG, "canary")
        assert answer(deployment, target_variant="AllTraffic").class_folder == BOXER
        assert counts(session) == (1, 1, 2)
        for doing in (deployment.update, deployment.canary):
            with pytest.raises(EndpointError, match=r"AllTraffic, canary.*promote\(\) or roll_back\(\)"):
                doing(pug, progress=None)

        deployment.shift({"AllTraffic": 0, "canary": 1}, progress=None)
        assert {answer(deployment).variant for _ in range(10)} == {"canary"}
        deployment.roll_back(progress=None)
        assert [each.name for each in deployment.variants()] == ["AllTraffic"]
        assert answer(deployment).class_folder == BOXER
        assert counts(session) == (1, 1, 1)

        deployment.canary(pug, variant="pug", progress=None)
        deployment.promote(variant="pug", progress=None)
        promoted = answer(deployment)
        assert (promoted.class_folder, promoted.variant) == (PUG, "AllTraffic")
        assert counts(session) == (1, 1, 1)
    with pytest.raises(EndpointError, match="has no canary named canary: it has only the variant AllTraffic"):
        deployment.promote(progress=None)


def test_weights_that_mean_nothing_are_refused(deployment: Deployment) -> None:
    weights: dict[str, float]
    for weights in ({}, {"AllTraffic": 0}, {"AllTraffic": -1}, {"AllTraffic": float("nan")}):
        with pytest.raises(
            ConfigurationError, match=r"must be finite numbers of 0 or more|would have a weight above 0"
        ):
            deployment.shift(weights, progress=None)
    with pytest.raises(ConfigurationError, match="no variant canary; its variants are AllTraffic"):
        deployment.shift({"canary": 1}, progress=None)


class Tuned:
    """A search whose best trial has this model."""

    def __init__(self, uri: str) -> None:
        self.best, self.job, self.model_uri = self, self, uri


def test_what_has_a_model_is_accepted_and_nothing_else(deployment: Deployment, tmp_path: Path) -> None:
    deployment.canary(Tuned(model(tmp_path, PUG)), percent=50, progress=None)
    with pytest.raises(EndpointError, match="Endpoint dogs has no variant nope; its variants are AllTraffic, canary"):
        answer(deployment, target_variant="nope")
    deployment.shift({"canary": 0}, progress=None)  # the other one has 50
    assert {each.name: each.share for each in deployment.variants()} == {"AllTraffic": 1.0, "canary": 0.0}
    steps: list[JobProgress] = []
    deployment.promote(progress=steps.append)
    assert steps[0].status == "Updating"  # "InService" first would look as if it was done
    assert steps[-1].status == "InService"
    assert answer(deployment).class_folder == PUG
    for refused in (deployment.update, deployment.canary):
        with pytest.raises(ConfigurationError, match=r"'nosuch' is not the URI of a model.*pass a training job"):
            refused("nosuch", progress=None)
    with pytest.raises(ConfigurationError, match=r"no instance type ml\.m5\.gigantic for an endpoint; sizes"):
        deployment.update(model(tmp_path, PUG), instance_type="ml.m5.gigantic", progress=None)
    with pytest.raises(ConfigurationError, match=r"SageMaker has no instance type ml\.p99\.large for this"):
        deployment.update(model(tmp_path, PUG), instance_type="ml.p99.large", progress=None)


def test_the_command_replaces_the_model(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri, root = model(tmp_path, PUG), str(tmp_path / "root")
    baseline = tmp_path / "baseline.json"
    Baseline(LABELS, ()).save(baseline)
    monitor = ["monitor", "dogs", "--baseline", str(baseline), "--root", root]
    assert main(monitor) == 1
    assert f" update dogs JOB --capture 100 --root {root}'" in capsys.readouterr().err
    assert main(["update", "dogs", uri, "--json", "--root", root, "--capture", "50"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "dogs", "endpoint": "dogs", "model_uri": uri}
    assert answer(deployment).class_folder == PUG
    assert main(monitor) == 0
    assert main(["update", "dogs", uri, "--root", root, "--capture", "150"]) == 2
    assert "argument --capture: 150 is above 100" in capsys.readouterr().err


UPDATING = """
import sys
from pathlib import Path
from dogbreed_sdk import Session
from dogbreed_sdk.endpoints.deployment import Deployment
from dogbreed_sdk.endpoints import update
root, uri = sys.argv[1:]
with Session.local(Path(root)) as session:
    deployment = Deployment("dogs", session)
    deployment.status
    print("ready", flush=True)
    sys.stdin.readline()
    deployment.update(uri)
    print("done", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def start_update(deployment: Deployment, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts processes that update the endpoint as soon as a line is written to them."""
    processes: list[subprocess.Popen[str]] = []

    def start(uri: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", UPDATING, str(tmp_path / "root"), uri]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_an_update_that_is_killed_at_any_point_is_completed_by_the_next(
    deployment: Deployment, tmp_path: Path, start_update: Callable[[str], subprocess.Popen[str]]
) -> None:
    session, uris = deployment.session, [model(tmp_path, BOXER), model(tmp_path, PUG)]
    seed = random.randrange(1000)
    generator = random.Random(seed)
    with asking(deployment) as answers:
        for number in range(2):
            process = start_update(uris[(number + 1) % 2])
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            time.sleep(generator.uniform(0.0, 1.5))
            process.kill()
            process.wait()
            assert answers[-1] in LABELS
        deployment.update(uris[1], progress=None)
        wait_for(lambda: answers[-1] == PUG, state=lambda: seed)
    assert answer(deployment).class_folder == PUG
    assert counts(session) == (1, 1, 1), f"left over with seed {seed}: {resources(session)}"


def test_deleting_finds_what_a_killed_update_left(deployment: Deployment) -> None:
    session = deployment.session
    client = session.client("sagemaker")
    # What a process that is killed before UpdateEndpoint leaves, and resources that only look like it.
    ours = [{"Key": CREATED_BY, "Value": "dogbreed-sdk"}]
    for name, tags in {
        "dogs-261130-101112-00ff": [*ours, {"Key": ENDPOINT, "Value": "dogs"}],
        "dogs-261130-101112-aaaa": [*ours, {"Key": ENDPOINT, "Value": "other"}],
        "dogs-261130-101112-bbbb": [{"Key": ENDPOINT, "Value": "dogs"}],
        "dogs-too": [*ours, {"Key": ENDPOINT, "Value": "dogs"}],
    }.items():
        client.create_model(ModelName=name, PrimaryContainer={"Image": "i"}, Tags=tags)  # type: ignore[arg-type]
    deployment.delete()
    assert sorted(resources(session)["models"]) == ["dogs-261130-101112-aaaa", "dogs-261130-101112-bbbb", "dogs-too"]
    plan_cleanup(session).run()
