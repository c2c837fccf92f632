"""The server that is up for a folder: it is found, there is one at a time, and it keeps its port."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.running import (
    RunningServer,
    ServerIsUpError,
    find,
    serving,
    stop,
    using,
    wait_for_users,
)
from dogbreed_sdk.local.store import TRAINING_JOB, Store
from tests.ports import free_port
from tests.waiting import wait_for

UP = """
import sys, threading
from pathlib import Path
from dogbreed_sdk.local.running import serving
with serving(Path(sys.argv[1]), host="127.0.0.1", port=0, command="up") as server:
    print(server.url, flush=True)
    threading.Event().wait()
"""


def started(root: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, "-c", UP, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_server_is_found_and_ended_from_another_process(root: Path) -> None:
    assert find(root) is None
    process, url = started(root)
    try:
        found = find(root)
        assert found is not None
        assert (found.url, found.pid, found.command) == (url, process.pid, "up")
        refused = pytest.raises(ServerIsUpError, match=f"already up for {root}, at {url}")
        with refused as caught, serving(root, host="127.0.0.1", port=0, command="up"):
            pass
        assert caught.value.server == found
        stop(found)
        assert process.wait(60) is not None
        assert find(root) is None
    finally:
        ended(process)


def test_a_killed_server_is_not_taken_for_one_that_is_up(root: Path) -> None:
    ended(started(root)[0])
    assert find(root) is None
    with serving(root, host="127.0.0.1", port=None, command="up") as server:
        assert find(root) == server


def test_an_upload_that_a_killed_server_was_receiving_leaves_nothing(root: Path) -> None:
    process, url = started(root)
    s3 = boto3.client("s3", endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
    s3.create_bucket(Bucket="dogs")
    s3.put_object(Bucket="dogs", Key="k", Body=b"old")
    s3.close()
    address = urlsplit(url)
    with socket.create_connection((str(address.hostname), int(address.port or 0))) as connection:
        connection.sendall(
            b"PUT /dogs/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n" + bytes(3000000)
        )
        wait_for(lambda: [path for path in (root / "s3/.incoming").iterdir() if path.stat().st_size])
        ended(process)
    assert (root / "s3/dogs/k").read_bytes() == b"old"
    with serving(root, host="127.0.0.1", port=0, command="up"):
        s3 = boto3.client("s3")
        s3.put_object(Bucket="dogs", Key="k", Body=b"new")
        assert s3.get_object(Bucket="dogs", Key="k")["Body"].read() == b"new"
        s3.close()
    assert list((root / "s3/.incoming").iterdir()) == []


def test_the_next_server_has_the_same_port_if_it_is_free(root: Path) -> None:
    def up(port: int | None = None) -> RunningServer:
        with serving(root, host="127.0.0.1", port=port, command="up") as server:
            return server

    first = up(free_port())
    assert up().url == first.url
    port = int(first.url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        assert up().url != first.url
        with pytest.raises(ConfigurationError, match="Cannot listen on"):
            up(port)


def test_the_process_calls_the_server_as_long_as_it_is_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    before = dict(os.environ)
    with serving(root, host="127.0.0.1", port=0, command="up") as server:
        assert os.environ["AWS_ENDPOINT_URL_S3"] == server.url
        assert "AWS_PROFILE" not in os.environ
        monkeypatch.setenv("SET_MEANWHILE", "1")
    assert dict(os.environ) == {**before, "SET_MEANWHILE": "1"}


SCRIPT = """
import os
from pathlib import Path
import boto3
print(Path(os.environ["SM_CHANNEL_TRAIN"], "sub/dog.txt").read_text())
boto3.client("s3").put_object(Bucket="dogs", Key="from-script", Body=b"woof")
print(boto3.client("sts").get_caller_identity()["Account"])
Path(os.environ["SM_MODEL_DIR"], "model.pth").write_text("weights")
"""


def packed(text: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        member = tarfile.TarInfo("train.py")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


def job_request(training_request: Callable[..., dict[str, Any]], name: str) -> dict[str, Any]:
    hyperparameters = {
        "sagemaker_program": json.dumps("train.py"),
        "sagemaker_submit_directory": json.dumps("s3://dogs/code/sourcedir.tar.gz"),
    }
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://dogs/data"}}
    return training_request(
        name,
        hyperparameters,
        InputDataConfig=[{"ChannelName": "train", "DataSource": source}],
        OutputDataConfig={"S3OutputPath": "s3://dogs/out"},
    )


def start_job(script: str, request: dict[str, Any]) -> None:
    """Starts a job through the server that this process calls."""
    session = boto3.Session()
    s3, sagemaker = session.client("s3"), session.client("sagemaker")
    s3.create_bucket(Bucket="dogs")
    s3.put_object(Bucket="dogs", Key="code/sourcedir.tar.gz", Body=packed(script))
    s3.put_object(Bucket="dogs", Key="data/sub/dog.txt", Body=b"rex")
    sagemaker.create_training_job(**request)
    s3.close()
    sagemaker.close()


def status(root: Path, name: str) -> str:
    store = Store(root)
    found = str(store.get(TRAINING_JOB, name).state.get("status"))
    store.close()
    return found


@pytest.mark.slow
def test_a_job_and_its_script_use_the_same_s3(root: Path, training_request: Callable[..., dict[str, Any]]) -> None:
    with serving(root, host="127.0.0.1", port=0, command="up"):
        start_job(SCRIPT, job_request(training_request, "job"))
        wait_for(lambda: status(root, "job") != "InProgress")
    assert status(root, "job") == "Completed"
    assert (root / "s3/dogs/from-script").read_bytes() == b"woof"
    with tarfile.open(root / "s3/dogs/out/job/output/model.tar.gz") as tar:
        assert tar.getnames() == ["model.pth"]


@pytest.mark.slow
def test_a_job_delivers_its_results_to_s3_after_the_server_has_ended(
    root: Path, tmp_path: Path, training_request: Callable[..., dict[str, Any]]
) -> None:
    script = f"""
import os, time
from pathlib import Path
Path({str(tmp_path / "begun")!r}).touch()
while not Path({str(tmp_path / "ended")!r}).exists():
    time.sleep(0.05)
Path(os.environ["SM_MODEL_DIR"], "model.pth").write_text("weights")
"""
    with serving(root, host="127.0.0.1", port=0, command="up"):
        start_job(script, job_request(training_request, "job"))
        wait_for((tmp_path / "begun").exists)
    (tmp_path / "ended").touch()
    wait_for(lambda: status(root, "job") != "InProgress")
    assert status(root, "job") == "Completed"
    assert (root / "s3/dogs/out/job/output/model.tar.gz").is_file()


def test_a_server_stays_up_as_long_as_another_program_uses_it(root: Path) -> None:
    reported: list[bool] = []
    with serving(root, host="127.0.0.1", port=0, command="run") as server:
        with using(root) as used:
            assert used == server
            waiting = threading.Thread(target=wait_for_users, args=(root, lambda: reported.append(True)))
            waiting.start()
            wait_for(lambda: reported)
            assert waiting.is_alive()
        waiting.join(60)
        assert not waiting.is_alive()
    with using(root) as used:
        assert used is None
