"""Storage on disk and on S3 behaves the same; moto stands where S3 would be."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from moto import mock_aws

from dogbreed_sdk import AccessError, BreedDataset, ConfigurationError, Session
from dogbreed_sdk.aws.storage import Storage, join


@pytest.fixture(params=["file", "s3"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Storage, str]]:
    """A storage and a URI below which nothing lies yet."""
    if request.param == "file":
        yield Session.local(tmp_path / "root").storage, (tmp_path / "bucket" / "with space").as_uri()
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="bucket")
        yield Session.aws(region="us-east-1", bucket="bucket").storage, "s3://bucket/with space"


def some_files(root: Path) -> dict[str, Path]:
    root.mkdir()
    files = {"one.txt": root / "one.txt", "inner/two words.txt": root / "elsewhere.txt"}
    for path in files.values():
        path.write_text("one")
    return files


def test_files_go_up_once_and_are_then_there(place: tuple[Storage, str], tmp_path: Path) -> None:
    storage, uri = place
    files = some_files(tmp_path / "data")
    (tmp_path / "data" / ".env").write_text("a secret beside them")
    seen: list[tuple[int, int]] = []
    assert storage.upload_files(files, uri, progress=lambda done, total: seen.append((done, total))) == 2
    assert seen[-1] == (2, 2)
    assert storage.sizes(uri) == {"inner/two words.txt": 3, "one.txt": 3}
    assert storage.upload_files(files, uri) == 0


def test_a_folder_is_deleted_and_its_neighbor_is_not(place: tuple[Storage, str], tmp_path: Path) -> None:
    storage, uri = place
    files = some_files(tmp_path / "data")
    for name in ("job", "job-2"):
        storage.upload_files(files, join(uri, name))
    assert storage.delete_folder(join(uri, "job")) == 2
    assert storage.sizes(join(uri, "job")) == {}
    assert len(storage.sizes(join(uri, "job-2"))) == 2
    assert storage.delete_folder(join(uri, "job")) == 0


def test_a_listing_marks_what_changed(place: tuple[Storage, str], tmp_path: Path) -> None:
    storage, uri = place
    source, marks = tmp_path / "source", []
    for content in ("one", "two"):
        source.write_text(content)
        storage.upload_file(source, join(uri, "a b", "name"))
        [file] = storage.files(uri)
        assert (file.name, file.size) == ("a b/name", 3)
        marks.append(file.mark)
    assert marks[0] != marks[1]
    assert [file.mark for file in storage.files(uri)] == marks[1:]


def test_an_interrupted_upload_continues_with_what_is_missing(place: tuple[Storage, str], tmp_path: Path) -> None:
    storage, uri = place
    files = some_files(tmp_path / "data")
    storage.upload_file(files["one.txt"], join(uri, "one.txt"))
    assert storage.upload_files(files, uri) == 1


def test_a_file_comes_back_as_it_went(place: tuple[Storage, str], tmp_path: Path) -> None:
    storage, uri = place
    storage.write_bytes(b"content", join(uri, "a b", "c.bin"))
    assert storage.exists(join(uri, "a b", "c.bin"))
    assert not storage.exists(join(uri, "a b"))
    storage.download_file(join(uri, "a b", "c.bin"), tmp_path / "new" / "c.bin")
    assert (tmp_path / "new" / "c.bin").read_bytes() == b"content"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["c.bin"]


def test_a_small_file_is_read_whole_and_deleted_alone(place: tuple[Storage, str]) -> None:
    storage, uri = place
    for name in ("one", "two"):
        storage.write_bytes(name.encode(), join(uri, name))
    assert storage.read_bytes(join(uri, "one")) == b"one"
    storage.delete_file(join(uri, "one"))
    storage.delete_file(join(uri, "one"))  # a second time is not an error
    assert storage.read_bytes(join(uri, "one")) is None
    assert storage.read_bytes(join(uri, "two")) == b"two"


def test_a_missing_file_is_named(place: tuple[Storage, str], tmp_path: Path) -> None:
    storage, uri = place
    with pytest.raises(ConfigurationError, match=r"nothing\.bin does not exist"):
        storage.download_file(join(uri, "nothing.bin"), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_other_kinds_of_uris_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="neither an s3:// nor a file:// URI"):
        Session.local(tmp_path).storage.exists("ftp://host/file")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session on AWS whose bucket is there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="bucket")
        yield Session.aws(region="us-east-1", bucket="bucket")


@pytest.mark.parametrize("linked", ["nothing", "splits", "classes", "pictures"])
def test_a_data_set_goes_up_whole_and_alone(
    account: Session, shapes: BreedDataset, tmp_path: Path, linked: str
) -> None:
    root = tmp_path / "dogs"
    for source in shapes.root.glob({"splits": "*", "classes": "*/*"}.get(linked, "*/*/*")):
        target = root / source.relative_to(shapes.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if linked == "nothing":
            target.write_bytes(source.read_bytes())
        else:
            target.symlink_to(source)
    for name in (".env", ".git/config", "notes.pdf", "sample.json"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("private")
    uri = BreedDataset.from_folder(root).upload(account)
    assert set(account.storage.sizes(uri)) == {
        path.relative_to(shapes.root).as_posix() for path in shapes.root.glob("*/*/*.jpg")
    }


@pytest.mark.parametrize(
    "call", ["exists", "sizes", "files", "write_bytes", "upload_file", "upload_files", "download_file"]
)
class TestErrorsOfS3:
    """Every operation of the storage puts S3's errors into the SDK's words."""

    def do(self, session: Session, call: str, tmp_path: Path, bucket: str = "bucket") -> None:
        source, uri = tmp_path / "source", f"s3://{bucket}/key"
        source.write_text("content")
        arguments: dict[str, tuple[object, ...]] = {
            "write_bytes": (b"content", uri),
            "upload_file": (source, uri),
            "upload_files": ({"name": source}, uri),
            "download_file": (uri, tmp_path / "target"),
        }
        answer = getattr(session.storage, call)(*arguments.get(call, (uri,)))
        if call == "files":
            list(answer)

    def test_missing_credentials(self, call: str, tmp_path: Path) -> None:
        with mock_aws(), pytest.raises(AccessError, match="no usable AWS credentials"):
            session = Session.aws(boto3_session=_without_credentials(), bucket="bucket")
            self.do(session, call, tmp_path)

    def test_a_refusal(self, account: Session, call: str, tmp_path: Path) -> None:
        account.client("s3").meta.events.register("before-call.s3", _forbid)
        with pytest.raises(AccessError, match=r"Could not .* s3://bucket/key: "):
            self.do(account, call, tmp_path)

    def test_a_missing_bucket(self, account: Session, call: str, tmp_path: Path) -> None:
        if call == "exists":
            assert not account.storage.exists("s3://gone/key")
            return
        with pytest.raises(ConfigurationError, match=r"does not exist"):
            self.do(account, call, tmp_path, bucket="gone")


def _without_credentials() -> boto3.Session:
    session = boto3.Session(region_name="us-east-1")
    session._session.get_component("credential_provider").providers.clear()
    return session


def _forbid(**_: object) -> tuple[AWSResponse, dict[str, object]]:
    answer = AWSResponse("https://s3", 403, {}, io.BytesIO())
    return answer, {"Error": {"Code": "403", "Message": "Forbidden"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
