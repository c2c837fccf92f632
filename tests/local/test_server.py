"""Starting and stopping the server, and several servers on one folder."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local import LocalSageMaker
from tests.waiting import wait_for

SERVE = """
import sys, time
from dogbreed_sdk.local import LocalSageMaker

with LocalSageMaker(sys.argv[1]) as local:
    print(local.endpoint_url, flush=True)
    time.sleep(120)
"""


def test_it_listens_on_a_free_loopback_port(root: Path) -> None:
    with LocalSageMaker(root) as first, LocalSageMaker(root) as second:
        assert first.endpoint_url.startswith("http://127.0.0.1:")
        assert first.endpoint_url != second.endpoint_url
        assert repr(first) == f"LocalSageMaker({str(root)!r}, {first.endpoint_url})"
    assert repr(first) == f"LocalSageMaker({str(root)!r}, stopped)"


def test_starting_and_stopping_twice_does_no_harm(root: Path) -> None:
    local = LocalSageMaker(root)
    assert local.start().endpoint_url == local.start().endpoint_url
    local.stop()
    local.stop()
    with pytest.raises(ConfigurationError, match="not running"):
        _ = local.endpoint_url
    with local:
        assert local.boto3_session().client("sagemaker").list_models()["Models"] == []


def test_a_port_that_is_taken_is_named(root: Path) -> None:
    with LocalSageMaker(root) as first:
        port = int(first.endpoint_url.rpartition(":")[2])
        said = rf"^Cannot listen on 127.0.0.1:{port}: Address already in use\. Choose another --port, or 0 for a free"
        with pytest.raises(ConfigurationError, match=said):
            LocalSageMaker(root, port=port).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "example.org"])
def test_it_listens_on_loopback_only(root: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match="loopback only"):
        LocalSageMaker(root, host=host)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="file/root"):
        LocalSageMaker(tmp_path / "file" / "root").start()


def test_servers_in_several_processes_see_the_same_state(root: Path, client: Any) -> None:
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(root)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        there, here = client("sagemaker", endpoint_url=process.stdout.readline().strip()), client("sagemaker")
        there.create_model(ModelName="m", PrimaryContainer={"Image": "i"})
        assert here.describe_model(ModelName="m")["PrimaryContainer"]["Image"] == "i"
        here.delete_model(ModelName="m")
        assert there.list_models()["Models"] == []
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_what_a_killed_server_had_accepted_is_there(root: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    boto3.client("sagemaker", endpoint_url=url, **keys).create_model(ModelName="m", PrimaryContainer={"Image": "i"})
    process.kill()
    process.wait()
    process.stdout.close()
    with LocalSageMaker(root) as local:
        assert [m["ModelName"] for m in local.boto3_session().client("sagemaker").list_models()["Models"]] == ["m"]


def test_answers_are_not_held_back_by_the_network(root: Path) -> None:
    with LocalSageMaker(root) as local:
        sagemaker = local.boto3_session().client("sagemaker")

        def usual_seconds() -> float:
            times = []
            for _ in range(20):
                begin = time.perf_counter()
                sagemaker.list_models()
                times.append(time.perf_counter() - begin)
            return statistics.median(times)

        usual_seconds()  # the first answers are acknowledged at once
        # With Nagle's algorithm each answer would wait 40 ms for an acknowledgment; a busy machine is quick sometimes.
        wait_for(lambda: usual_seconds() < 0.03)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting a tiny disk needs root on Linux")
def test_a_full_disk_is_told_and_ends_with_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with LocalSageMaker(disk / "root") as local:
            sagemaker = local.boto3_session().client("sagemaker")
            filler = disk / "filler"
            with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 1024)
            with pytest.raises(sagemaker.exceptions.ClientError, match="free space"):
                for number in range(200):
                    sagemaker.create_model(ModelName=f"m-{number}", PrimaryContainer={"Image": "i" * 200})
            kept = len(sagemaker.list_models(MaxResults=100)["Models"])
            filler.unlink()
            sagemaker.create_model(ModelName="after", PrimaryContainer={"Image": "i"})
            assert len(sagemaker.list_models(MaxResults=100)["Models"]) == kept + 1
        with (disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"x" * 1024)
        with pytest.raises(ConfigurationError, match="free space"):
            LocalSageMaker(disk / "other").start()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
