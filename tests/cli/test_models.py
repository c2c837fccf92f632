"""What MODEL names on the command line: an endpoint, a job, a bundle or a model server."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import boto3
import pytest
import requests

from dogbreed_sdk import ConfigurationError, EndpointNotFoundError, JobError, Session, TrainingJob
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.cli import models, serve_command
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.parser import parse
from dogbreed_sdk.endpoints.creation import deploy
from dogbreed_sdk.endpoints.deployment import Deployment
from tests.aws.account import BUCKET, RecordedSageMaker, refusal
from tests.conftest import Workshop


@pytest.fixture
def endpoint(workshop: Workshop) -> Iterator[Deployment]:
    """An endpoint with the name of a job."""
    with deploy(
        workshop.job.model_uri, session=workshop.session, endpoint_name=workshop.job.name, progress=no_progress
    ) as made:
        yield made


def found(workshop: Workshop, name: str) -> tuple[str, str]:
    with models.found(name, parse(["classify", name, "rex.jpg", "--root", str(workshop.root)])) as model:
        return model.kind, model.address


def test_a_jobs_name_stands_for_its_model_and_a_searchs_for_the_best_of_its_trials(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert found(workshop, workshop.job.name) == ("bundle", workshop.job.model_uri)
    best = workshop.tuning.best.job
    assert found(workshop, workshop.tuning.name) == ("bundle", best.model_uri)
    assert f"the best trial of {workshop.tuning.name} is {best.name}\n" in capsys.readouterr().err


def test_an_endpoint_goes_before_a_job_of_its_name(workshop: Workshop, endpoint: Deployment) -> None:
    assert found(workshop, workshop.job.name) == ("endpoint", endpoint.endpoint_name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("./dogs", "bundle"), ("model.tar.gz", "bundle"), ("file://FOLDER/dogs", "bundle"), ("http://h:1", "server")],
)
def test_a_dot_or_a_slash_is_no_name_on_sagemaker(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dogs").mkdir()
    (tmp_path / "model.tar.gz").touch()
    name = name.replace("FOLDER", str(tmp_path))
    with models.found(name, parse(["classify", name, "rex.jpg"])) as model:
        assert (model.kind, model.address, model.session) == (kind, name, None)


def test_what_is_none_of_them_is_refused_with_all_that_it_could_be(workshop: Workshop) -> None:
    with pytest.raises(EndpointNotFoundError) as caught:
        found(workshop, "rex")
    said = str(caught.value)
    assert "no endpoint rex, and no training or tuning job of that name" in said
    assert "'dogbreed endpoints'" in said
    assert "'dogbreed jobs'" in said
    assert "./model.tar.gz" in said
    assert "URL" in said


@pytest.mark.parametrize("name", ["./nothing", "model.tar.gz", "file:///nothing/model.tar.gz"])
def test_a_bundle_that_is_not_there_is_refused_before_anything_is_loaded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(
            ConfigurationError, match=f"There is no bundle {name}. A text with a dot or a slash is a bundle's"
        ),
        models.found(name, parse(["classify", name, "rex.jpg"])),
    ):
        pass


def test_what_no_name_can_be_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with (
        pytest.raises(ConfigurationError, match="'my_model' is not a valid name of an endpoint or a job"),
        models.found("my_model", parse(["classify", "my_model", "rex.jpg", "--root", str(root)])),
    ):
        pass
    assert not root.exists()


def test_a_job_that_computed_features_has_no_model(workshop: Workshop) -> None:
    listed = workshop.session.client("sagemaker").list_training_jobs(NameContains="-features-")
    features = listed["TrainingJobSummaries"][0]["TrainingJobName"]
    with pytest.raises(JobError, match=f"{features} computed features and has no model"):
        found(workshop, features)
    with pytest.raises(JobError, match="computed features"):
        TrainingJob(features, workshop.session).deploy(progress=no_progress)


@pytest.mark.extras
def test_a_model_on_s3_is_copied_for_as_long_as_it_is_used(
    account: tuple[Session, RecordedSageMaker], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _ = account
    monkeypatch.setattr(read, "sagemaker", lambda _: session)
    key = "dogbreed/jobs/dogs/output/model.tar.gz"
    boto3.client("s3", region_name="us-east-1").upload_fileobj(io.BytesIO(b"a model"), BUCKET, key)
    with models.found("dogs", parse(["classify", "dogs", "rex.jpg", "--aws"])) as model:
        assert model.kind == "bundle"
        copy = Path(model.address)
        assert copy.read_bytes() == b"a model"
    assert not copy.exists()


def test_those_who_may_only_invoke_endpoints_can(
    account: tuple[Session, RecordedSageMaker], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, aws = account
    monkeypatch.setattr(read, "sagemaker", lambda _: session)
    aws.refusals["DescribeEndpoint"] = refusal("AccessDeniedException", "not authorized to perform DescribeEndpoint")
    with models.found("dogs", parse(["classify", "dogs", "rex.jpg", "--aws"])) as model:
        assert (model.kind, model.address) == ("endpoint", "dogs")
    assert aws.sent("DescribeTrainingJob") == []


def test_serve_takes_a_jobs_name(workshop: Workshop) -> None:
    command = [sys.executable, "-m", "dogbreed_sdk.cli", "serve", workshop.job.name, "--root", str(workshop.root)]
    with subprocess.Popen([*command, "--port", "0", "--json"], stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            url = json.loads(serving.stdout.readline())["url"]
            picture = workshop.dataset.pictures("test")[0]
            answer = requests.post(
                f"{url}/v1/classify", data=picture.path.read_bytes(), headers={"Content-Type": "image/png"}, timeout=60
            ).json()
        finally:
            serving.terminate()
    assert answer["class_folder"] == picture.class_folder


def test_serve_takes_what_a_name_says_as_its_option_would(workshop: Workshop, endpoint: Deployment) -> None:
    asked = parse(["serve", endpoint.endpoint_name, "--root", str(workshop.root)])
    with ExitStack() as kept:
        options = serve_command._resolved(asked, kept)
    assert (options.endpoint, options.bundle, options.server) == (endpoint.endpoint_name, None, None)
    assert options.root == workshop.root
