"""A root folder that is moved, copied or packed: what is in it works where it is, and what runs is left alone."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from dogbreed_sdk._util.processes import identify, is_alive, is_of_copy, wait_for_end
from dogbreed_sdk.container import path_to_uri, uri_to_path
from dogbreed_sdk.local import LocalSageMaker, Store
from dogbreed_sdk.local.root_paths import RootPaths
from dogbreed_sdk.local.store import ENDPOINT, MODEL, TRAINING_JOB, TUNING_JOB, Filters
from dogbreed_sdk.local.thread_ledger import ThreadLedger
from dogbreed_sdk.local.tuning import runner
from tests.local.conftest import ROLE, checked_client
from tests.model_servers import server_of
from tests.waiting import wait_for

MODEL_CODE = "def model_fn(folder): return 1\ndef predict_fn(data, model): return 'answered'\n"
MAKE_MODEL = f"""
import os
os.mkdir(os.environ["SM_MODEL_DIR"] + "/code")
open(os.environ["SM_MODEL_DIR"] + "/code/inference.py", "w").write({MODEL_CODE!r})
"""


@pytest.fixture
def opened(boto3_session: boto3.Session) -> Iterator[Callable[[Path], Any]]:
    """Opens roots, each by a server of its own; gives the client."""
    servers: list[LocalSageMaker] = []

    def open_root(root: Path, service: str = "sagemaker") -> Any:
        servers.append(LocalSageMaker(root).start())
        return checked_client(boto3_session, service, "us-east-1", servers[-1].endpoint_url)

    yield open_root
    for server in servers:
        server.stop()


def output(root: Path) -> dict[str, str]:
    return {"S3OutputPath": path_to_uri(root / "bucket/jobs")}


def ended(sagemaker: Any, name: str) -> dict[str, Any]:
    def description() -> dict[str, Any] | None:
        answer: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
        return answer if answer["TrainingJobStatus"] not in ("InProgress", "Stopping") else None

    return wait_for(description)


def deploy(sagemaker: Any, name: str, uri: str) -> None:
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "i", "ModelDataUrl": uri})
    variant = {"VariantName": "v", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    status = lambda: sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]  # noqa: E731
    assert wait_for(lambda: status() if status() != "Creating" else None) == "InService"


def test_a_moved_and_a_copied_root_serve_their_old_jobs_and_leave_each_others_servers_alone(
    opened: Callable[..., Any],
    tmp_path: Path,
    script: Callable[[str], dict[str, str]],
    training_request: Callable[..., dict[str, Any]],
) -> None:
    first, moved, copied = tmp_path / "first root", tmp_path / "moved", tmp_path / "copied"
    sagemaker = opened(first)
    sagemaker.create_training_job(**training_request("dogs", script(MAKE_MODEL), OutputDataConfig=output(first)))
    assert ended(sagemaker, "dogs")["TrainingJobStatus"] == "Completed"
    first.rename(moved)

    sagemaker = opened(moved)
    described = sagemaker.describe_training_job(TrainingJobName="dogs")
    uri = described["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == path_to_uri(moved / "bucket/jobs/dogs/output/model.tar.gz")
    assert described["OutputDataConfig"]["S3OutputPath"] == path_to_uri(moved / "bucket/jobs")
    deploy(sagemaker, "dogs", uri)
    store = Store(moved)
    server = server_of(store, "dogs")

    shutil.copytree(moved, copied)
    copy, runtime = opened(copied), opened(copied, "sagemaker-runtime")
    answer = runtime.invoke_endpoint(EndpointName="dogs", ContentType="application/json", Body=b"[1]")
    assert json.loads(answer["Body"].read()) == "answered"
    copied_store = Store(copied)
    own = server_of(copied_store, "dogs")
    assert own["pid"] != server["pid"]
    copy.delete_endpoint(EndpointName="dogs")
    assert wait_for_end(own, timeout=60)
    assert is_alive(server), "the copy ended the model server of the original"
    assert uri_to_path(copy.describe_training_job(TrainingJobName="dogs")["ModelArtifacts"]["S3ModelArtifacts"]) == (
        copied / "bucket/jobs/dogs/output/model.tar.gz"
    )
    sagemaker.delete_endpoint(EndpointName="dogs")
    assert wait_for_end(server, timeout=60)
    store.close()
    copied_store.close()


def test_a_job_that_ran_when_its_root_was_copied_has_failed_in_the_copy_and_ends_in_the_original(
    opened: Callable[..., Any],
    tmp_path: Path,
    script: Callable[[str], dict[str, str]],
    training_request: Callable[..., dict[str, Any]],
) -> None:
    root, copied = tmp_path / "root", tmp_path / "copied"
    sagemaker, store = opened(root), Store(root)
    text = "import os, time\nprint('ready', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.05)"
    sagemaker.create_training_job(**training_request("dogs", script(text), OutputDataConfig=output(root)))
    wait_for(lambda: store.get(TRAINING_JOB, "dogs").state.get("secondary") == "Training")
    running = store.get(TRAINING_JOB, "dogs").state
    # A search that runs in the original must not be continued in the copy.
    store.create(TUNING_JOB, "search", {}, {"status": "InProgress", "process": running["process"]})
    shutil.copytree(root, copied, symlinks=True)

    copy = opened(copied)
    described = copy.describe_training_job(TrainingJobName="dogs")
    assert described["TrainingJobStatus"] == "Failed"
    assert "this folder of local SageMaker is a copy" in described["FailureReason"]
    copied_store = Store(copied)
    runner.reconcile(copied_store, "search")
    search = copied_store.get(TUNING_JOB, "search").state
    assert (search["status"], "is a copy" in search["failure"]) == ("Failed", True)
    claims = ThreadLedger(copied, cores=1)
    assert claims.claim("new", process=identify(os.getpid(), root=copied) or {}, wanted=1) == 1
    copied_store.close()

    assert is_alive(running["scripts"][0])
    (root / "jobs/dogs/ml/code/go").touch()
    assert ended(sagemaker, "dogs")["TrainingJobStatus"] == "Completed"
    store.close()


def test_a_process_is_known_to_a_renamed_folder_and_not_to_a_copy(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    process = identify(os.getpid(), root=root)
    copied = shutil.copytree(root, tmp_path / "copied")
    assert is_alive(process, root=root)
    assert is_of_copy(process, copied)
    assert not is_alive(process, root=copied)
    renamed = root.rename(tmp_path / "renamed")
    assert is_alive(process, root=renamed)
    assert not is_alive(process, root=root)
    assert process is not None
    of_earlier_boot = {**process, "start": "boot:1", "root": [process["root"][0] + 1, process["root"][1]]}
    assert not is_of_copy(of_earlier_boot, renamed), "devices are numbered anew when a machine starts"


@pytest.mark.parametrize("name", ["root", "the root", "h\u00fctte", 'quoted "root"', "root%20x"])
def test_what_lies_below_the_root_is_stored_without_it(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    paths, other = RootPaths(root), RootPaths(Path("/elsewhere"))
    value = {
        "uri": path_to_uri(root / "bucket/d\u00f6gs"),
        "path": str(root / "jobs"),
        "wire": json.dumps(json.dumps(path_to_uri(root))),
        "said": f"see {root}/log, or {path_to_uri(root)}/log",
    }
    stored = paths.relative(json.dumps(value))
    assert str(root) not in stored
    assert path_to_uri(root) not in stored
    assert json.loads(paths.absolute(stored)) == value
    moved = json.loads(other.absolute(stored))
    assert moved["uri"] == path_to_uri(Path("/elsewhere/bucket/d\u00f6gs"))
    assert moved["path"] == "/elsewhere/jobs"
    assert json.loads(json.loads(moved["wire"])) == "file:///elsewhere"
    assert moved["said"] == "see /elsewhere/log, or file:///elsewhere/log"


def test_what_lies_elsewhere_is_stored_as_it_is(tmp_path: Path) -> None:
    root = tmp_path / "root"
    beside = [f"{root}-2/x", path_to_uri(tmp_path / "root2"), f"s3://bucket{root}/x", f"/mnt{root}/x", "\u2302/x"]
    paths = RootPaths(root)
    document = json.dumps(beside)
    assert paths.relative(document) == document
    assert json.loads(paths.absolute(document)) == beside


def test_a_database_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    root = tmp_path / "root"
    Store(root).close()
    connection = sqlite3.connect(root / "sagemaker.db")
    connection.executescript(
        "DROP TABLE records; CREATE TABLE records (sequence INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, "
        "name TEXT NOT NULL, arn TEXT NOT NULL, request TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL, "
        "modified REAL NOT NULL); PRAGMA user_version = 1"
    )
    request = json.dumps({"uri": path_to_uri(root / "bucket")})
    container = {"Image": "i", "ModelDataUrl": path_to_uri(root / "bucket/model.tar.gz")}
    serving = {"config": "c", "model": "m", "container": container}
    old = {"variant": "Main", "variant_request": {"VariantName": "Main"}, **serving}
    rows = [
        (TRAINING_JOB, "t", "arn/t", request, json.dumps({"status": "Failed", "tuning_job": "s"}), 1.0, 2.0),
        (ENDPOINT, "e", "arn/e", "{}", json.dumps({"status": "Updating", **old, "previous": old}), 1.0, 2.0),
    ]
    connection.executemany(
        "INSERT INTO records (kind, name, arn, request, state, created, modified) VALUES (?, ?, ?, ?, ?, ?, ?)", rows
    )
    connection.commit()
    connection.close()
    store = Store(root)
    record = store.get(TRAINING_JOB, "t")
    assert (record.created, record.modified, record.state["status"]) == (1.0, 2.0, "Failed")
    assert record.age > 1e9
    assert store.names(TRAINING_JOB, Filters(status="Failed", parent="s")) == ["t"]
    served = {"variant": {"VariantName": "Main"}, "model": "m", "container": container}
    serving = {"config": "c", "variants": [served]}
    assert store.get(ENDPOINT, "e").state == {"status": "Updating", "serving": serving, "previous": serving}
    store.close()
    again = Store(root.rename(tmp_path / "moved"))
    assert again.get(TRAINING_JOB, "t").request["uri"] == path_to_uri(tmp_path / "moved/bucket")
    model = again.get(ENDPOINT, "e").state["serving"]["variants"][0]["container"]["ModelDataUrl"]
    assert model == path_to_uri(tmp_path / "moved/bucket/model.tar.gz")
    again.create(MODEL, "m", {}, {})
    again.close()
