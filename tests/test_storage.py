"""Storage on disk and on S3 behaves the same; moto stands where S3 would be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from dogbreed_sdk import BreedDataset, ConfigurationError, Session
from dogbreed_sdk.storage import Storage, join


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


def test_a_missing_file_is_named(place: tuple[Storage, str], tmp_path: Path) -> None:
    storage, uri = place
    with pytest.raises(ConfigurationError, match=r"no file at .*nothing\.bin"):
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
