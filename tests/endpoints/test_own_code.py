"""`deploy(entry_point=...)`: the user's own inference.py serves a model that came without it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from dogbreed_sdk import ConfigurationError, Session
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.endpoints.creation import deploy
from dogbreed_sdk.endpoints.deployment import Deployment
from dogbreed_sdk.endpoints.own_code import OwnCode, repacked_uri
from tests.aws.account import BUCKET, RecordedSageMaker
from tests.endpoints.small_models import CODE, LABELS, PICTURE, model
from tests.training_scripts.conftest import write_bundle

pytestmark = pytest.mark.extras

ONLY_MODEL_FN = """
from pathlib import Path
from training_scripts.models.model import load

def model_fn(model_dir):
    return load(Path(model_dir))
"""


@pytest.fixture
def inference(tmp_path: Path) -> Path:
    path = tmp_path / "inference.py"
    path.write_text(ONLY_MODEL_FN)
    return path


def packed(folder: Path) -> str:
    path = folder / "model.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(write_bundle(folder / "bundle"), ".")
    return path.as_uri()


def test_a_model_fn_alone_serves_json_and_npy_and_its_artifact_goes_with_the_endpoint(
    session: Session, inference: Path, tmp_path: Path
) -> None:
    """The functions that it lacks are AWS's defaults: the tensor of the body goes through the model."""
    pixels = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype("float32") / 4
    buffer = io.BytesIO()
    np.save(buffer, pixels)
    kinds = {"application/json": json.dumps(pixels.tolist()).encode(), "application/x-npy": buffer.getvalue()}
    runtime = session.client("sagemaker-runtime")
    given, made = packed(tmp_path), Path(join(session.base_uri, "models").removeprefix("file://"))
    with deploy(given, session=session, entry_point=inference, progress=no_progress) as deployment:
        answers = [
            runtime.invoke_endpoint(
                EndpointName=deployment.endpoint_name, Body=body, ContentType=kind, Accept="application/json"
            )["Body"].read()
            for kind, body in kinds.items()
        ]
        assert [path.name for path in made.rglob("*.gz")] == ["model.tar.gz"]
    by_json, by_npy = (np.array(json.loads(answer)) for answer in answers)
    assert by_json.shape == (2, 3)
    np.testing.assert_array_equal(by_json, by_npy)
    import torch  # noqa: PLC0415 - needed here only

    from training_scripts.models.model import load  # noqa: PLC0415

    expected = load(tmp_path / "bundle")(torch.from_numpy(pixels)).detach().numpy()
    np.testing.assert_allclose(by_npy, expected, rtol=1e-4, atol=1e-5)
    assert not list(made.rglob("*.gz"))
    assert Path(given.removeprefix("file://")).is_file()


def test_a_source_directory_is_laid_over_the_code_of_the_model(session: Session, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "lib").mkdir(parents=True)
    (source / "__pycache__").mkdir()
    for name in ("serve.py", "lib/words.py", "requirements.txt", "__pycache__/serve.pyc", ".hidden"):
        (source / name).write_text("# mine\n")
    code = OwnCode.read("serve.py", source)
    assert code.environment == {"SAGEMAKER_PROGRAM": "serve.py"}
    uri = repacked_uri(session, "dogs")
    code.add_to(model(tmp_path, "001.Boxer"), repacked=uri, session=session)
    with tarfile.open(uri.removeprefix("file://")) as tar:
        assert sorted(tar.getnames()) == [
            "code/inference.py",
            "code/lib/words.py",
            "code/requirements.txt",
            "code/serve.py",
        ]


def test_on_aws_the_new_artifact_is_served_and_deleted(
    account: tuple[Session, RecordedSageMaker], inference: Path
) -> None:
    session, aws = account
    uri = f"s3://{BUCKET}/mine/model.tar.gz"
    session.storage.upload_file(Path(model(inference.parent, "001.Boxer").removeprefix("file://")), uri)
    deployment = deploy(uri, session=session, entry_point=inference, endpoint_name="dogs", progress=no_progress)
    [sent] = aws.sent("CreateModel")
    container = sent["PrimaryContainer"]
    assert container["ModelDataUrl"] == join(session.base_uri, "models", "dogs", "model.tar.gz")
    assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
    assert session.storage.exists(container["ModelDataUrl"])
    deployment.delete()
    assert not session.storage.exists(container["ModelDataUrl"])
    assert session.storage.exists(uri)


@pytest.mark.parametrize(
    ("entry_point", "source_dir", "message"),
    [
        ("lost.py", None, r"lost\.py does not exist; pass the path of a Python file\."),
        ("lost.py", ".", r"does not exist; pass the path of a Python file, relative to source_dir\."),
        ("inference.py", "lost", "source_dir is lost, which is not a directory"),
        ("notes.txt", None, r"notes\.txt is not a Python file"),
        ("broken.py", None, r"broken\.py is not valid Python: .*line 1"),
        ("lib/deep.py", ".", "must be directly in source_dir"),
        (None, ".", "source_dir needs entry_point"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_is_created(
    account: tuple[Session, RecordedSageMaker],
    inference: Path,
    monkeypatch: pytest.MonkeyPatch,
    entry_point: str | None,
    source_dir: str | None,
    message: str,
) -> None:
    monkeypatch.chdir(inference.parent)
    Path("notes.txt").touch()
    Path("broken.py").write_text("def model_fn(:\n")
    Path("lib").mkdir()
    Path("lib/deep.py").touch()
    session, aws = account
    with pytest.raises(ConfigurationError, match=message):
        deploy(f"s3://{BUCKET}/m.tar.gz", session=session, entry_point=entry_point, source_dir=source_dir)
    assert not aws.sent("CreateModel")


def test_an_artifact_that_is_not_an_archive_is_refused_and_nothing_is_left(
    session: Session, inference: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.tar.gz").write_text("nothing")
    with pytest.raises(ConfigurationError, match=r"is not a model\.tar\.gz to which code can be added"):
        deploy((tmp_path / "model.tar.gz").as_uri(), session=session, entry_point=inference, progress=no_progress)
    assert not session.client("sagemaker").list_models()["Models"]


def test_an_update_serves_the_new_model_s_code_or_the_given_one(session: Session, tmp_path: Path) -> None:
    """The program of an entry point with another name is not looked for in an artifact that lacks it."""
    serve = tmp_path / "serve.py"
    serve.write_text(CODE.replace("{scores}", "[0.2, 0.8]"))
    artifacts = Path(join(session.base_uri, "models").removeprefix("file://"))
    boxer = model(tmp_path, "001.Boxer")

    def state() -> tuple[list[str], int]:
        client = session.client("sagemaker")
        programs = [
            client.describe_model(ModelName=each["ModelName"])["PrimaryContainer"]["Environment"]["SAGEMAKER_PROGRAM"]
            for each in client.list_models()["Models"]
        ]
        return sorted(programs), len(list(artifacts.rglob("*.gz")))

    def answered(deployment: Deployment) -> str:
        return deployment.classifier(labels=LABELS, max_attempts=1).classify(PICTURE).class_folder

    with deploy(boxer, session=session, entry_point=serve, endpoint_name="dogs", progress=no_progress) as deployment:
        assert (answered(deployment), state()) == ("002.Pug", (["serve.py"], 1))
        deployment.update(boxer, progress=no_progress)
        assert (answered(deployment), state()) == ("001.Boxer", (["inference.py"], 0))
        deployment.canary(boxer, percent=0, entry_point=serve, progress=no_progress)
        assert state() == (["inference.py", "serve.py"], 1)
        deployment.promote(progress=no_progress)
        assert (answered(deployment), state()) == ("002.Pug", (["serve.py"], 1))
        with pytest.raises(ConfigurationError, match="does not exist"):
            deployment.update(boxer, entry_point=tmp_path / "lost.py", progress=no_progress)
    assert state() == ([], 0)
