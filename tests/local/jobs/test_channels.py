"""Channels and checkpoints: how data of S3 and of this machine comes into a job's container, and out of it."""

from __future__ import annotations

import gzip
import json
import struct
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk._util.log_file import LogFollower
from dogbreed_sdk.local import LocalSageMaker
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs.channels import Channel, objects_of
from dogbreed_sdk.local.jobs.hosts import Host
from tests.local.jobs.test_program import Runner
from tests.waiting import wait_for

BUCKET = "dogs"
KEYS = [f"train/{breed}/{number}.jpg" for breed in ("collie", "poodle") for number in range(3)]
# Prints the files of all channels, and their content.
LOOK = """
import json, os, pathlib
data = pathlib.Path(os.environ["SM_INPUT_DIR"], "data")
found = {path.relative_to(data).as_posix(): path.read_text() for path in data.rglob("*") if path.is_file()}
print(json.dumps(found, sort_keys=True))
"""


FILE_SYSTEM = {
    "FileSystemId": "fs-12345678901",
    "FileSystemType": "EFS",
    "FileSystemAccessMode": "ro",
    "DirectoryPath": "/a",
}
# Prints two epochs of three channels.
READ_EPOCHS = """
import os
for epoch in range(2):
    for name in ("plain", "packed", "mixed"):
        print(open(f"{os.environ['SM_INPUT_DIR']}/data/{name}_{epoch}", "rb").read())
"""


@pytest.fixture
def s3(local: LocalSageMaker, client: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """S3 as jobs reach it; a bucket with six pictures."""
    for name, value in {
        "AWS_ENDPOINT_URL_S3": local.endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    made = boto3.client("s3")
    made.create_bucket(Bucket=BUCKET)
    for key in KEYS:
        made.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    return made


@pytest.fixture
def jobs(sagemaker: Any, training_request: Any, ended: Any, root: Path) -> Runner:
    return Runner(sagemaker, training_request, ended, root)


def channel(
    name: str, uri: str, kind: str = "S3Prefix", *, source: dict[str, Any] | None = None, **members: Any
) -> Any:
    place = {"S3DataType": kind, "S3Uri": uri, **(source or {})}
    return {"ChannelName": name, "DataSource": {"S3DataSource": place}, **members}


def pictures(folder: Path) -> Path:
    for key in KEYS:
        path = folder / key.removeprefix("train/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(key)
    return folder


def test_objects_files_and_manifests_become_files(jobs: Runner, s3: Any, script: Any, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures")
    remote = [{"prefix": f"s3://{BUCKET}/train/"}, "collie/1.jpg", "poodle/0.jpg"]
    s3.put_object(Bucket=BUCKET, Key="some.manifest", Body=json.dumps(remote))
    (tmp_path / "local.manifest").write_text(json.dumps([{"prefix": folder.as_uri() + "/"}, "poodle/2.jpg"]))
    log = jobs.completed(
        "channels",
        script(LOOK + "print(open(os.environ['SM_INPUT_CONFIG_DIR'] + '/inputdataconfig.json').read())"),
        InputDataConfig=[
            channel("prefix", f"s3://{BUCKET}/train/collie", InputMode="FastFile", ContentType="image/jpeg"),
            channel("start", f"s3://{BUCKET}/train/collie/2"),
            channel("manifest", f"s3://{BUCKET}/some.manifest", "ManifestFile"),
            channel("local", (tmp_path / "local.manifest").as_uri(), "ManifestFile"),
        ],
    )
    (found,) = [line for line in log if line.startswith('{"')]
    assert json.loads(found) == {
        **{f"prefix/{number}.jpg": f"train/collie/{number}.jpg" for number in range(3)},
        "start/2.jpg": "train/collie/2.jpg",
        **{f"manifest/{name}": f"train/{name}" for name in ("collie/1.jpg", "poodle/0.jpg")},
        "local/poodle/2.jpg": "train/poodle/2.jpg",
    }
    configuration = json.loads("".join(log[log.index(found) + 1 :]))
    usual = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    assert configuration == {
        **dict.fromkeys(("start", "manifest", "local"), usual),
        "prefix": {**usual, "TrainingInputMode": "FastFile", "ContentType": "image/jpeg"},
    }


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("place", ["s3", "files", "manifest"])
def test_hosts_share_the_objects_of_a_sharded_channel(tmp_path: Path, place: str) -> None:
    folder, kind = pictures(tmp_path / "pictures"), "S3Prefix"
    uri = f"s3://{BUCKET}/train" if place == "s3" else folder.as_uri()
    if place == "manifest":
        names = [key.removeprefix("train/") for key in KEYS]
        (tmp_path / "manifest").write_text(json.dumps([{"prefix": uri + "/"}, *names]))
        uri, kind = (tmp_path / "manifest").as_uri(), "ManifestFile"
    sharded = Channel("train", uri, kind, distribution="ShardedByS3Key")
    shares = [
        [item.name for item in objects_of(sharded, Host(JobFolder(tmp_path / "job"), index, 4))] for index in range(4)
    ]
    assert [len(share) for share in shares] == [2, 2, 1, 1]
    assert sorted(name for share in shares for name in share) == sorted(key.removeprefix("train/") for key in KEYS)


@pytest.mark.usefixtures("s3")
def test_each_host_of_a_job_reads_its_share(jobs: Runner, script: Any) -> None:
    sharded = {"S3DataDistributionType": "ShardedByS3Key"}
    jobs.completed(
        "sharded",
        script(LOOK),
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5},
        InputDataConfig=[channel("train", f"s3://{BUCKET}/train", source=sharded)],
    )
    folder = JobFolder.of(jobs.root, "sharded")
    logs = [list(LogFollower(folder.log_of(name)).read()) for name in ("algo-1", "algo-2")]
    shares = [json.loads(next(line for line in log if line.startswith("{"))) for log in logs]
    assert [len(share) for share in shares] == [3, 3]
    assert sorted(content for share in shares for content in share.values()) == KEYS


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("broken", '{"prefix": "s3://x"}', "is not a manifest"),
        ("numbers", '[{"prefix": "s3://x"}, 1]', "a key is not a text"),
        ("empty", '[{"prefix": "s3://x"}]', "no objects found"),
        ("escaping", '[{"prefix": "file:///"}, "../../../../etc/hosts"]', "leads out of the folder"),
    ],
)
def test_a_manifest_that_is_wrong_is_named(
    jobs: Runner, script: Any, tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    (tmp_path / "a.manifest").write_text(text)
    inputs = [channel("train", (tmp_path / "a.manifest").as_uri(), "ManifestFile")]
    assert complaint in jobs.run(name, script(""), InputDataConfig=inputs)["FailureReason"]


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        (channel("a", "s3://x/y", CompressionType="Gzip"), "CompressionType is for .* Pipe, and this one is File"),
        (channel("a", "s3://x/y", InputMode="FastFile", ShuffleConfig={"Seed": 1}), "ShuffleConfig is for"),
        (channel("a", "s3://x/y", RecordWrapperType="RecordIO"), "RecordWrapperType is for InputMode Pipe"),
        (channel("a", "s3://x/y", "AugmentedManifestFile"), "an augmented manifest, which needs InputMode Pipe"),
        (channel("a", "s3://x/y", source={"AttributeNames": ["b"]}), "AttributeNames are for S3DataType Augmented"),
        (
            channel("a", "s3://x/y", "AugmentedManifestFile", source={"AttributeNames": ["b"]}, InputMode="Pipe"),
            "set RecordWrapperType to RecordIO",
        ),
        ({"ChannelName": "a", "DataSource": {"FileSystemDataSource": FILE_SYSTEM}}, "does not support .*FileSystem"),
    ],
)  # fmt: skip
def test_what_a_channel_would_ignore_is_refused(
    empty_sagemaker: Any, training_request: Any, script: Any, members: dict[str, Any], complaint: str
) -> None:
    request = training_request("channels", script(""), InputDataConfig=[members])
    with pytest.raises(ClientError, match=f"ValidationException.*{complaint}"):
        empty_sagemaker.create_training_job(**request)


class TestPipes:
    def test_objects_are_streamed_epoch_by_epoch(self, jobs: Runner, s3: Any, script: Any, tmp_path: Path) -> None:
        for name, text in {"a.gz": b"first ", "b.gz": b"second "}.items():
            s3.put_object(Bucket=BUCKET, Key=f"packed/{name}", Body=gzip.compress(text) + gzip.compress(b"more "))
        log = jobs.completed(
            "pipes",
            script(READ_EPOCHS),
            AlgorithmSpecification={"TrainingImage": "i", "TrainingInputMode": "Pipe"},
            InputDataConfig=[
                channel("plain", pictures(tmp_path / "pictures").as_uri()),
                channel("packed", f"s3://{BUCKET}/packed", CompressionType="Gzip"),
                channel("mixed", f"s3://{BUCKET}/train", ShuffleConfig={"Seed": 7}),
                channel("never", f"s3://{BUCKET}/train"),
            ],
        )
        plain, packed = repr("".join(KEYS).encode()), repr(b"first more second more ")
        assert [log[0], log[1], log[3], log[4]] == [plain, packed, plain, packed]
        first, second = eval(log[2]), eval(log[5])
        assert sorted(first) == sorted(second) == sorted("".join(KEYS).encode())
        assert len({first, second, "".join(KEYS).encode()}) == 3

    def test_an_augmented_manifest_is_streamed_as_records(
        self, jobs: Runner, s3: Any, script: Any, tmp_path: Path
    ) -> None:
        lines = [{"source-ref": f"s3://{BUCKET}/{key}", "label": number} for number, key in enumerate(KEYS[:2])]
        s3.put_object(Bucket=BUCKET, Key="augmented", Body="\n".join(map(json.dumps, lines)))
        log = jobs.completed(
            "augmented",
            script("import os; print(open(os.environ['SM_CHANNEL_TRAIN'] + '_0', 'rb').read())"),
            InputDataConfig=[
                channel(
                    "train",
                    f"s3://{BUCKET}/augmented",
                    "AugmentedManifestFile",
                    source={"AttributeNames": ["source-ref", "label"]},
                    InputMode="Pipe",
                    RecordWrapperType="RecordIO",
                )
            ],
        )
        assert list(records(eval(log[-1]))) == [KEYS[0].encode(), b"0", KEYS[1].encode(), b"1"]


def records(stream: bytes) -> Iterator[bytes]:
    """Reads MXNet's RecordIO."""
    while stream:
        mark, length = struct.unpack_from("<II", stream)
        assert mark == 0xCED7230A
        yield stream[8 : 8 + length]
        stream = stream[8 + (length + 3) // 4 * 4 :]


class TestCheckpoints:
    def test_they_come_from_s3_and_go_there_while_the_job_runs(
        self, jobs: Runner, sagemaker: Any, training_request: Any, ended: Callable[[str], Any], s3: Any, script: Any
    ) -> None:
        s3.put_object(Bucket=BUCKET, Key="run/epoch-1", Body=b"one")
        s3.put_object(Bucket=BUCKET, Key="run-2/epoch-9", Body=b"of another job")
        text = """\
            import os, signal, sys, time
            folder = os.environ["SM_INPUT_DIR"] + "/../saved/"
            print(sorted(os.listdir(folder)), open(folder + "epoch-1").read(), flush=True)
            open(folder + "epoch-2", "w").write("two")
            def save(*_):
                open(folder + "last", "w").write("three")
                sys.exit(0)
            signal.signal(signal.SIGTERM, save)
            time.sleep(60)
            """
        sagemaker.create_training_job(
            **training_request(
                "saving",
                script(textwrap.dedent(text)),
                CheckpointConfig={"S3Uri": f"s3://{BUCKET}/run", "LocalPath": "/opt/ml/saved"},
            )
        )

        def keys() -> list[str]:
            return [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="run/")["Contents"]]

        wait_for(lambda: "run/epoch-2" in keys(), state=lambda: jobs.log("saving"))
        assert s3.get_object(Bucket=BUCKET, Key="run/epoch-2")["Body"].read() == b"two"
        sagemaker.stop_training_job(TrainingJobName="saving")
        assert ended("saving")["TrainingJobStatus"] == "Stopped"
        assert "['epoch-1'] one" in jobs.log("saving")
        assert keys() == ["run/epoch-1", "run/epoch-2", "run/last"]

    @pytest.mark.usefixtures("s3")
    def test_what_cannot_be_copied_is_reported(self, jobs: Runner, script: Any) -> None:
        text = "import os; open(os.environ['SM_CHECKPOINT_DIR'] + '/a', 'w').write('x')"
        answer = jobs.run("lost", script(text), CheckpointConfig={"S3Uri": "s3://nowhere-at-all/run"})
        assert answer["TrainingJobStatus"] == "Failed"
        assert "s3://nowhere-at-all/run" in answer["FailureReason"]

    def test_a_folder_outside_the_container_is_refused(
        self, empty_sagemaker: Any, training_request: Any, script: Any
    ) -> None:
        for path in ("/tmp/checkpoints", "/opt/ml", "/opt/ml/../x"):
            config = {"S3Uri": "s3://dogs/run", "LocalPath": path}
            with pytest.raises(ClientError, match=r"ValidationException.*LocalPath is "):
                empty_sagemaker.create_training_job(**training_request("a", script(""), CheckpointConfig=config))
