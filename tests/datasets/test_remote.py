"""A data set on S3 is used where it is: its layout follows from names, and pictures come down only when asked for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import AccessError, BreedDataset, BreedTrainer, ConfigurationError, DatasetError, Session
from dogbreed_sdk.cli import main
from dogbreed_sdk.jobs.transform_inputs import stored_input
from tests.aws.account import BUCKET, RecordedSageMaker
from tests.aws.server import AwsServer
from tests.aws.test_roles import forbid

LAYOUT = {
    "train/a/1.jpg": b"1",
    "train/a/2.JPG": b"2",
    "train/b/more/3.png": b"3",
    "train/b/0.webp": b"0",
    "valid/a/4.jpg": b"4",
    "valid/b/5.jpg": b"5",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dogbreed" / "datasets"


@pytest.fixture
def session(moto_server: AwsServer) -> Session:
    made = moto_server.session(bucket="dogs")
    made.client("s3").create_bucket(Bucket="dogs")
    return made


def put(session: Session, files: Mapping[str, bytes], prefix: str = "data/") -> None:
    for name, content in files.items():
        session.client("s3").put_object(Bucket="dogs", Key=prefix + name, Body=content)


def requested(session: Session) -> list[str]:
    """The operations of S3 that are called from here on."""
    called: list[str] = []
    session.client("s3").meta.events.register(
        "provide-client-params.s3.*", lambda model, **_: called.append(model.name)
    )
    return called


def test_layout_classes_and_splits_follow_from_the_names(session: Session) -> None:
    put(session, LAYOUT | {"train/.DS_Store": b"", "train/a/": b"", "README.md": b"", "train/a/notes.txt": b""})
    put(session, {"train/c/1.jpg": b""}, "data2/")  # as text, its name begins like the folder's
    called = requested(session)
    dataset = BreedDataset.from_s3("s3://dogs/data/", session=session)
    assert dataset.classes == ("a", "b")
    assert dataset.splits == {"train": 4, "valid": 2}
    assert len(dataset) == 6
    assert dataset.labels.label(1) == "b"
    assert repr(dataset) == "BreedDataset.from_s3('s3://dogs/data')"
    assert len(dataset.fingerprint) == 64
    assert set(called) == {"HeadBucket", "ListObjectsV2"}


@pytest.mark.parametrize("names", [("Training", "Val"), ("train_set", "DEV")])
def test_splits_are_known_in_their_usual_spellings(session: Session, names: tuple[str, str]) -> None:
    put(session, {name.replace("train", names[0]).replace("valid", names[1]): data for name, data in LAYOUT.items()})
    assert BreedDataset.from_s3("s3://dogs/data", session=session).splits == {"train": 4, "valid": 2}


def test_names_and_pictures_are_those_of_the_same_folder_on_disk(
    session: Session, shapes: BreedDataset, cache: Path
) -> None:
    uri = shapes.upload(session)
    called = requested(session)
    there = BreedDataset.from_s3(uri, session=session)
    assert (there.classes, there.splits) == (shapes.classes, shapes.splits)
    assert not {"GetObject"} & set(called)
    pictures = there.pictures("test")
    assert [picture.path.read_bytes() for picture in pictures] == [
        picture.path.read_bytes() for picture in shapes.pictures("test")
    ]
    assert called.count("GetObject") == len(shapes)
    assert there.root.parent == cache
    again = BreedDataset.from_s3(uri, session=session)
    assert again.check().ok
    assert again.materialize().fingerprint == shapes.fingerprint
    assert called.count("GetObject") == len(shapes)


def test_pictures_come_in_the_order_of_the_disk(session: Session) -> None:
    put(session, LAYOUT)
    dataset = BreedDataset.from_s3("s3://dogs/data", session=session)
    listed = [sample.name for sample in dataset._listed.splits["train"]]
    on_disk = BreedDataset.from_folder(dataset.root)
    assert listed == [sample.name for sample in on_disk._listed.splits["train"]]
    assert listed[2:] == ["b/0.webp", "b/more/3.png"]


def test_the_fingerprint_changes_with_any_object(session: Session) -> None:
    put(session, LAYOUT)

    def fingerprint() -> str:
        return BreedDataset.from_s3("s3://dogs/data", session=session).fingerprint

    before = fingerprint()
    assert fingerprint() == before
    put(session, {"train/a/1.jpg": b"x"})
    changed = fingerprint()
    put(session, {"train/a/9.jpg": b"x"})
    assert len({before, changed, fingerprint()}) == 3


def test_an_ignore_list_beside_the_splits_counts(session: Session, shapes: BreedDataset) -> None:
    uri = shapes.upload(session)
    whole = BreedDataset.from_s3(uri, session=session)
    ignored = shapes.pictures("train")[0].path.relative_to(shapes.root).as_posix()
    text = f"{ignored}  # likely a circle\ntrain/no/such.jpg\n"
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    session.client("s3").put_object(Bucket=bucket, Key=f"{key}/dogbreed-ignore.txt", Body=text.encode())
    dataset = BreedDataset.from_s3(uri, session=session)
    assert dataset.splits == {**whole.splits, "train": whole.splits["train"] - 1}
    assert dataset.fingerprint != whole.fingerprint
    assert not (dataset.root / ignored).exists()
    findings = [finding for finding in dataset.check().findings if finding.code.startswith("ignored")]
    assert [finding.message for finding in findings] == [
        "train/no/such.jpg in dogbreed-ignore.txt is not a picture of this data set."
    ]


def test_a_folder_of_classes_can_be_divided(session: Session, shapes: BreedDataset, tmp_path: Path) -> None:
    files = {path.relative_to(shapes.root / "train").as_posix(): path for path in shapes.root.glob("train/*/*")}
    session.storage.upload_files(files, "s3://dogs/data")
    dataset = BreedDataset.from_s3("s3://dogs/data", session=session)
    assert (dataset.splits, len(dataset)) == ({}, 36)
    with pytest.raises(ConfigurationError, match="pass the folder"):
        dataset.split()
    assert set(dataset.split(tmp_path / "split").splits) == {"train", "valid", "test"}
    with pytest.raises(DatasetError, match=r"no folder named train, valid or test.*from_s3\('s3://dogs/data'\)\.split"):
        dataset.ensure_trainable()


@pytest.mark.parametrize(
    ("files", "uri", "message"),
    [
        ({}, "s3://dogs/data", "contains nothing. Check the spelling"),
        ({"x": b""}, "s3://dogs/data/x", "is a file; pass"),
        ({"dogs.zip": b""}, "s3://dogs/data/dogs.zip", "is an archive. Unpack it"),
        (
            {"train-0.tar": b"", "classes.txt": b""},
            "s3://dogs/data",
            r"contains shards, such as train-0\.tar, .*`aws s3 sync s3://dogs/data DIR`, and pass that folder",
        ),
        ({"train/0000.tar": b""}, "s3://dogs/data", r"such as train/0000\.tar, .*`aws s3 sync s3://dogs/data DIR`"),
        ({"data/train-0.parquet": b""}, "s3://dogs/data", r"such as data/train-0\.parquet, .*`aws s3 sync "),
        ({"dogs.tar.gz": b"", "README": b""}, "s3://dogs/data", r"contains the archive dogs\.tar\.gz and no pictures"),
        ({"a/notes.txt": b""}, "s3://dogs/data", r"contains 1 file, but no picture, such as a/notes\.txt"),
        ({"1.jpg": b""}, "s3://dogs/data", "contains no folders; expected train/<class>/<picture>"),
        ({f"dogImages/{name}": b"" for name in LAYOUT}, "s3://dogs/data", "s3://dogs/data/dogImages looks like one"),
    ],
)
def test_what_is_no_data_set_is_refused_with_the_reason(
    session: Session, files: dict[str, bytes], uri: str, message: str
) -> None:
    put(session, files)
    with pytest.raises(DatasetError, match=message):
        BreedDataset.from_s3(uri, session=session)


@pytest.mark.parametrize(
    ("files", "needs", "message"),
    [
        (LAYOUT, ("train", "valid", "test"), r"has no test split \(found: train, valid\).*split_from_train\(DEST\)"),
        ({"valid/a/1.jpg": b"", "valid/b/1.jpg": b""}, ("train",), "s3://dogs/data has no folder named train"),
        ({"train/a/1.jpg": b""}, ("train",), "single class"),
        (
            LAYOUT | {"valid/c/1.jpg": b""},
            ("train",),
            r"classes that the train split lacks: c \(in s3://dogs/data/valid\)",
        ),
        (LAYOUT | {"Train/a/1.jpg": b""}, ("train",), "Two folders for the train split: s3://dogs/data/Train and"),
    ],
)
def test_what_training_would_refuse_is_refused_by_the_names(
    session: Session, files: dict[str, bytes], needs: tuple[str, ...], message: str
) -> None:
    put(session, files)
    with pytest.raises(DatasetError, match=message):
        BreedDataset.from_s3("s3://dogs/data", session=session).ensure_trainable(needs)


def test_a_bucket_that_jobs_cannot_use_is_refused(moto_server: AwsServer, session: Session) -> None:
    moto_server.client("s3", "eu-west-1").create_bucket(
        Bucket="dogs-eu", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    with pytest.raises(ConfigurationError, match="dogs-eu is in eu-west-1 and the session in us-east-1"):
        BreedDataset.from_s3("s3://dogs-eu/data", session=session)
    with pytest.raises(ConfigurationError, match="bucket no-such-bucket does not exist"):
        BreedDataset.from_s3("s3://no-such-bucket/data", session=session)


def test_other_addresses(session: Session, shapes: BreedDataset) -> None:
    assert BreedDataset.from_s3(shapes.root.as_uri()).root == shapes.root
    with pytest.raises(ConfigurationError, match="neither an s3:// nor a file:// URI"):
        BreedDataset.from_s3("https://dogs.s3.amazonaws.com/data", session=session)


def test_a_local_session_reads_s3_with_the_default_credentials(session: Session, tmp_path: Path) -> None:
    put(session, LAYOUT)
    with Session.local(tmp_path / "root") as local:
        dataset = BreedDataset.from_s3("s3://dogs/data", session=local)
        assert dataset.upload(local) == "s3://dogs/data/"
        with pytest.raises(ConfigurationError, match=r"no-such-bucket does not exist\. Correct the URI s3:"):
            BreedDataset.from_s3("s3://no-such-bucket/data", session=local)
        with pytest.raises(ConfigurationError, match="takes pictures of this machine"):
            stored_input("s3://dogs/data/", None, folder=local.base_uri, session=local)


def test_a_missing_permission_is_an_error_of_access(session: Session) -> None:
    put(session, LAYOUT)
    dataset = BreedDataset.from_s3("s3://dogs/data", session=session)

    forbid(session, "s3", "GetObject")
    with pytest.raises(AccessError, match="Could not download s3://dogs/data"):
        dataset.pictures("train")


def test_a_killed_download_of_a_data_set_resumes_and_is_not_seen_before_it_is_complete(
    session: Session, shapes: BreedDataset, cache: Path
) -> None:
    uri = shapes.upload(session)
    program = f"""
import os, time
from dogbreed_sdk import BreedDataset, Session
session, got = Session.aws(region="us-east-1", bucket="dogs"), []
def slow(**_):
    got.append(1)
    if len(got) > 40:
        os.write(1, b"half way\\n")
        time.sleep(60)
session.client("s3").meta.events.register("provide-client-params.s3.GetObject", slow)
BreedDataset.from_s3({uri!r}, session=session).materialize()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half way\n"
        process.send_signal(signal.SIGKILL)
    dataset = BreedDataset.from_s3(uri, session=session)
    assert not (cache / dataset.fingerprint[:24]).exists()
    called = requested(session)
    copied = dataset.materialize()
    assert 0 < called.count("GetObject") < len(shapes) - 5
    assert copied.fingerprint == shapes.fingerprint
    assert [path for path in cache.iterdir() if path.is_dir()] == [copied.root]


@pytest.mark.extras
class TestJobs:
    """Jobs get the folder as it is, and nothing is uploaded again."""

    @pytest.fixture
    def uri(self, account: tuple[Session, RecordedSageMaker], shapes: BreedDataset) -> str:
        session, _ = account
        for path in shapes.root.rglob("*.jpg"):
            session.storage.upload_file(path, f"s3://{BUCKET}/given/{path.relative_to(shapes.root).as_posix()}")
        return f"s3://{BUCKET}/given"

    def channels(self, request: dict[str, Any]) -> dict[str, str]:
        return {
            channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
            for channel in request["InputDataConfig"]
        }

    def test_train_reads_it_where_it_is(self, account: tuple[Session, RecordedSageMaker], uri: str) -> None:
        session, sagemaker = account
        BreedTrainer(session, features="off").train(uri)
        [request] = sagemaker.sent("CreateTrainingJob")
        assert self.channels(request) == {"training": f"{uri}/"}
        assert session.storage.sizes(f"{session.base_uri}/datasets") == {}

    def test_features_are_shared_by_the_objects(self, account: tuple[Session, RecordedSageMaker], uri: str) -> None:
        session, sagemaker = account
        trainer = BreedTrainer(session)
        features = trainer.extract_features(BreedDataset.from_s3(uri, session=session))
        session.storage.write_bytes(b"{}", f"{features}/features.json")
        trainer.tune(uri)
        [extraction] = sagemaker.sent("CreateTrainingJob")
        assert self.channels(extraction) == {"training": f"{uri}/"}
        [search] = sagemaker.sent("CreateHyperParameterTuningJob")
        assert self.channels(search["TrainingJobDefinition"]) == {"features": features}


@pytest.mark.extras
def test_the_command_line_takes_the_address(
    session: Session, shapes: BreedDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = shapes.upload(session)
    assert main(["data", "check", uri, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"]["train"]
    put(session, {"a/1.jpg": b""}, "plain/")
    assert main(["train", "s3://dogs/plain", "--root", str(tmp_path / "root")]) != 0
    assert "s3://dogs/plain has no folder named train" in capsys.readouterr().err


def test_names_that_lead_elsewhere_are_no_pictures(session: Session) -> None:
    put(session, LAYOUT | {"train/a/../../../x.jpg": b"", "train//9.jpg": b""})
    assert len(BreedDataset.from_s3("s3://dogs/data", session=session)) == len(LAYOUT)
