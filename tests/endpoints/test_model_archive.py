"""A model that AWS's containers cannot serve without code is refused before anything is created."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from dogbreed_sdk import ConfigurationError, Session
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.aws.requests.hosting import SERVING_ENVIRONMENT
from dogbreed_sdk.endpoints import model_archive
from dogbreed_sdk.endpoints.creation import deploy
from dogbreed_sdk.endpoints.model_archive import check_code
from tests.aws.account import BUCKET, RecordedSageMaker
from tests.endpoints.small_models import model

pytestmark = pytest.mark.extras


def saved(kind: str) -> bytes:
    """A small network as torch writes it."""
    import torch  # noqa: PLC0415 - needed here only

    network = torch.nn.Linear(3, 2) if "empty" not in kind else torch.nn.ReLU()
    buffer = io.BytesIO()
    if "script" in kind:
        torch.jit.save(torch.jit.script(network), buffer)  # type: ignore[no-untyped-call]
    elif kind == "whole":
        torch.save(network, buffer)
    else:
        torch.save(network.state_dict(), buffer, _use_new_zipfile_serialization=kind != "old")
    return buffer.getvalue()


def pack(path: Path, files: Mapping[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path.as_uri()


def check(uri: str, session: Session, *, image: str | None = None, **environment: str) -> None:
    check_code(
        {
            "ModelName": "dogs",
            "PrimaryContainer": {
                "Image": image or session.image_uri("inference", "ml.m5.large"),
                "ModelDataUrl": uri,
                "Environment": {**SERVING_ENVIRONMENT, **environment},
            },
        },
        session,
    )


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"./model.pth": "state"}, "no code/inference.py, and model.pth is not a TorchScript file"),
        ({"model.pth": "old"}, "model.pth is not a TorchScript file"),
        ({"model.pth": "whole", "inference.py": "code"}, "model.pth is not a TorchScript file"),
        ({"model.pth": "state", "code/serve.py": "code"}, "model.pth is not a TorchScript file"),
        ({"notes.txt": "code", "export/model.pth": "script"}, "no model file that AWS's container loads without code"),
        ({"b.pth": "script", "a.pt": "script"}, "only one model file without code, not a.pt, b.pth"),
    ],
)
def test_what_cannot_be_served_is_named(session: Session, tmp_path: Path, files: dict[str, str], problem: str) -> None:
    uri = pack(tmp_path / "model.tar.gz", {name: saved(kind) for name, kind in files.items()})
    with pytest.raises(ConfigurationError) as refused:
        check(uri, session)
    assert str(refused.value).startswith(f"{uri} cannot be served: it has ")
    assert f"{problem}" in str(refused.value)
    assert "Pass entry_point=…" in str(refused.value)


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize(
    ("files", "program"),
    [
        ({"model.pth": "state", "./code/inference.py": "code"}, "inference.py"),
        ({"model.pth": "state", "code/serve.py": "code"}, "serve.py"),
        ({"model.pth": "state", "code/serve.py": "code"}, "serve"),
        ({"network.pt": "script"}, "inference.py"),
        ({"network.pth": "empty script"}, "inference.py"),
        ({"model.pt": "script", "other.pth": "state"}, "inference.py"),
        ({"dogs.mar": "state"}, "inference.py"),
        ({"dogs/MAR-INF/MANIFEST.json": "code", "dogs/model.pth": "state"}, "inference.py"),
    ],
)
def test_what_can_be_served_is_not_refused(
    session: Session, tmp_path: Path, files: dict[str, str], program: str
) -> None:
    uri = pack(tmp_path / "model.tar.gz", {name: saved(kind) for name, kind in files.items()})
    check(uri, session, SAGEMAKER_PROGRAM=program)


def test_what_others_serve_is_not_looked_at(session: Session, tmp_path: Path) -> None:
    uri = pack(tmp_path / "model.tar.gz", {"model.pth": b"weights"})
    registry = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
    check(uri, session, image="mine:1")
    check(uri, session, image=f"{registry}/huggingface-pytorch-inference:2.6.0-transformers4.51.3-cpu-py312")
    check(uri, session, SAGEMAKER_SUBMIT_DIRECTORY=f"s3://{BUCKET}/sourcedir.tar.gz")
    with pytest.raises(ConfigurationError, match="cannot be served"):
        check(uri, session, image=f"{registry}/pytorch-inference:2.6.0-cpu-py312-ubuntu22.04-sagemaker")


@pytest.mark.parametrize("content", [None, b"", b"no archive", "cut short", "too slow"])
def test_what_cannot_be_read_is_left_to_sagemaker(
    session: Session, tmp_path: Path, content: bytes | str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.tar.gz"
    pack(path, {"model.pth": bytes(range(256)) * 100})
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "too slow":
        monkeypatch.setattr(model_archive, "_LONGEST_SECONDS", -1.0)
    else:
        path.write_bytes(path.read_bytes()[:-20])
    check(path.as_uri(), session)


def test_nothing_is_created_on_aws(account: tuple[Session, RecordedSageMaker], tmp_path: Path) -> None:
    session, aws = account
    bad, good = f"s3://{BUCKET}/bad/model.tar.gz", f"s3://{BUCKET}/good/model.tar.gz"
    pack(tmp_path / "bad.tar.gz", {"model.pth": b"weights" * 1000})
    session.storage.upload_file(tmp_path / "bad.tar.gz", bad)
    session.storage.upload_file(Path(model(tmp_path, "001.Boxer").removeprefix("file://")), good)
    with pytest.raises(ConfigurationError, match=rf"{bad} cannot be served: it has no code/inference\.py"):
        deploy(bad, session=session, endpoint_name="dogs", progress=no_progress)
    assert not aws.sent("CreateModel")
    deployment = deploy(good, session=session, endpoint_name="dogs", progress=no_progress)
    for change in (deployment.update, deployment.canary):
        with pytest.raises(ConfigurationError, match=rf"{bad} cannot be served: it has no code/inference\.py"):
            change(bad, progress=no_progress)
    assert [sent["PrimaryContainer"]["ModelDataUrl"] for sent in aws.sent("CreateModel")] == [good]
    assert len(aws.sent("CreateEndpointConfig")) == 1
