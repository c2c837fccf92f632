"""Asynchronous endpoints and batch transform over real HTTP, with s3:// throughout: moto has the files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from dogbreed_sdk import Asynchronous, JobFailedError, ModelError, Session, defaults, deploy, transform
from dogbreed_sdk._util.progress import no_progress
from tests.aws.server import AwsServer
from tests.width_model import ANSWERED, REFUSED, pack_model, picture

pytestmark = [pytest.mark.extras, pytest.mark.slow]

BUCKET = "dogs-bucket"


@pytest.fixture
def session(aws_server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(defaults, "AWS_POLL_SECONDS", 0.1)
    aws_server.client("s3").create_bucket(Bucket=BUCKET)
    return aws_server.session(bucket=BUCKET)


@pytest.fixture
def model(session: Session, tmp_path: Path) -> str:
    uri = f"s3://{BUCKET}/models/model.tar.gz"
    session.storage.upload_file(pack_model(tmp_path), uri)
    return uri


def content(width: int, kind: str) -> bytes:
    file = io.BytesIO()
    picture(width).save(file, kind)
    return file.getvalue()


def keys(session: Session) -> list[str]:
    return sorted(session.storage.sizes(f"s3://{BUCKET}"))


def test_asynchronous(session: Session, model: str) -> None:
    options = Asynchronous(failure_uri=f"s3://{BUCKET}/failures")
    with deploy(model, session=session, asynchronous=options, progress=no_progress) as deployment:
        results = list(deployment.classifier().classify_many([picture(ANSWERED), picture(REFUSED)], on_error="return"))
    assert results[0].label == "Pug"  # type: ignore[union-attr]
    assert isinstance(results[1], ModelError)
    assert "answered 422: not a picture of a dog" in str(results[1])
    assert keys(session) == ["models/model.tar.gz"]


def test_transform(session: Session, model: str) -> None:
    s3 = session.client("s3")
    for name, width, kind in (("a/rex.jpg", ANSWERED, "JPEG"), ("b/rex.png", 7, "PNG"), ("bad.webp", REFUSED, "WEBP")):
        s3.put_object(Bucket=BUCKET, Key=f"new/{name}", Body=content(width, kind))
    s3.put_object(Bucket=BUCKET, Key="new-2/rex.jpg", Body=content(ANSWERED, "JPEG"))
    job = transform(model, f"s3://{BUCKET}/new", session=session, name="of-s3")
    with pytest.raises(JobFailedError, match="has 2 classified pictures"):
        job.wait(progress=no_progress)
    results = dict(job.predictions(on_error="return"))
    assert list(results) == ["a/rex.jpg", "b/rex.png", "bad.webp"]
    assert [getattr(result, "label", None) for result in results.values()] == ["Pug", "Pug", None]
    # moto has the logs, and knows nothing of this job.
    assert "the first is dogs-bucket/new/bad.webp: ClientError: 422" in str(results["bad.webp"])
    before = keys(session)
    job.delete()
    assert [key for key in before if key not in keys(session)] == [  # the pictures were there before
        "dogbreed/transform/of-s3/output/a/rex.jpg.out",
        "dogbreed/transform/of-s3/output/b/rex.png.out",
    ]
