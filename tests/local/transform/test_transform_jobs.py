"""Batch transform jobs from their request to their outcome: real supervisors and model servers, reached with boto3."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError, WaiterError

from dogbreed_sdk._util.processes import identify_self, is_alive
from dogbreed_sdk.local import LocalSageMaker, Store
from dogbreed_sdk.local.hosting.servers import MODEL_MARK
from dogbreed_sdk.local.store import TRAINING_JOB, TRANSFORM_JOB
from dogbreed_sdk.local.thread_ledger import ThreadLedger
from dogbreed_sdk.local.transform import runner
from tests.local.conftest import IMAGE, ROLE, ClientMaker
from tests.local.transform.conftest import create_request, pack_model
from tests.waiting import wait_for

GROUP = "/aws/sagemaker/TransformJobs"
LOADING = """
import pathlib, subprocess, sys, time
def model_fn(model_dir):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"], start_new_session=True)
    pathlib.Path(model_dir, "loading").touch()
    time.sleep(100)
"""


class Jobs:
    """Creates transform jobs of a model, and waits for what happens to them."""

    def __init__(self, sagemaker: Any, logs: Any, store: Store, folder: Path) -> None:
        self.sagemaker = sagemaker
        self.store = store
        self._logs = logs
        self.source, self.target = folder / "source", folder / "target"
        self._folder = folder

    def create_model(self, code: str | None = None, **environment: str) -> None:
        model = pack_model(self._folder / "model", *([code] if code else []))
        container = {"Image": IMAGE, "ModelDataUrl": model.as_uri(), "Environment": environment}
        self.sagemaker.create_model(ModelName="model", ExecutionRoleArn=ROLE, PrimaryContainer=container)

    def put(self, **contents: str) -> None:
        self.source.mkdir(exist_ok=True)
        for name, content in contents.items():
            (self.source / name).write_text(content)

    def create(self, name: str = "job", **members: Any) -> str:
        request = create_request(self.source, self.target, name, **{"ContentType": "t", **members})
        return str(self.sagemaker.create_transform_job(**request)["TransformJobArn"])

    def describe(self, name: str = "job") -> dict[str, Any]:
        return dict(self.sagemaker.describe_transform_job(TransformJobName=name))

    def ended(self, name: str = "job") -> dict[str, Any]:
        def description() -> dict[str, Any] | None:
            found = self.describe(name)
            return found if found["TransformJobStatus"] not in ("InProgress", "Stopping") else None

        return wait_for(description)

    def state(self, name: str = "job") -> dict[str, Any]:
        return dict(self.store.get(TRANSFORM_JOB, name).state)

    def until_serving(self) -> dict[str, Any]:
        """The state once the model server takes requests."""
        wait_for(lambda: self.state().get("server"))
        wait_for(lambda: self.log("data-log"))
        return self.state()

    def log(self, kind: str, name: str = "job") -> list[str]:
        """The container's log or the data log."""
        streams = self._logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
        names = [stream["logStreamName"] for stream in streams]
        read = self._logs.get_log_events
        return [
            event["message"]
            for name in names
            if name.endswith("/data-log") == (kind == "data-log")
            for event in read(logGroupName=GROUP, logStreamName=name, startFromHead=True)["events"]
        ]

    def left(self, name: str = "job") -> set[str]:
        """The folders that a job left in its own folder, and the processes that its model started."""
        folder = self.store.root / "transform-jobs" / name
        folders = {path.name for path in folder.iterdir() if path.is_dir()}
        return folders | {f"process {pid}" for pid in processes_of(folder)}

    @property
    def outputs(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.target.glob("**/*")}


def processes_of(folder: Path) -> set[int]:
    """The processes that run a model that was unpacked in a folder."""
    found = set()
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(MODEL_MARK, "").startswith(f"{folder}/")
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def jobs(sagemaker: Any, client: ClientMaker, store: Store, tmp_path: Path) -> Jobs:
    return Jobs(sagemaker, client("logs"), store, tmp_path)


class TestLife:
    def test_a_job_writes_an_output_for_each_object_and_ends(self, jobs: Jobs) -> None:
        jobs.create_model(GREETING="hello")
        jobs.put(**{"a.csv": "1,2\n3,4\n", "b.csv": "5,6\n"})
        settings = {"ContentType": "text/csv", "SplitType": "Line", "AssembleWith": "Line"}
        arn = jobs.create(BatchStrategy="SingleRecord", Environment={"GREETING": "good day"}, **settings)
        assert arn == "arn:aws:sagemaker:us-east-1:000000000000:transform-job/job"
        described = jobs.describe()
        assert described["TransformJobStatus"] == "InProgress"
        assert described["TransformInput"] == {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": jobs.source.as_uri()}},
            "ContentType": "text/csv",
            "CompressionType": "None",
            "SplitType": "Line",
        }
        assert described["TransformOutput"] == {
            "S3OutputPath": jobs.target.as_uri(),
            "AssembleWith": "Line",
            "KmsKeyId": "",
        }
        assert described["DataProcessing"] == {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
        # As on AWS, the model may be deleted meanwhile.
        jobs.sagemaker.delete_model(ModelName="model")
        jobs.sagemaker.get_waiter("transform_job_completed_or_stopped").wait(
            TransformJobName="job", WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200}
        )
        described = jobs.describe()
        assert described["TransformJobStatus"] == "Completed"
        assert described["CreationTime"] <= described["TransformStartTime"] <= described["TransformEndTime"]
        assert "FailureReason" not in described
        assert jobs.outputs == {"a.csv.out": "3.0\n7.0\n", "b.csv.out": "11.0\n"}
        assert jobs.log("container") == ["loaded with good day SINGLE_RECORD"]
        said = [line.partition(":[sagemaker logs]: ")[2] for line in jobs.log("data-log")]
        assert said == [
            "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=SINGLE_RECORD",
            "2 of 2 objects transformed",
        ]
        wait_for(lambda: not jobs.left())
        assert not is_alive(jobs.state()["server"])

    def test_objects_that_fail_fail_the_job_with_the_first_as_the_reason(self, jobs: Jobs) -> None:
        jobs.create_model()
        jobs.put(a="fine", b="refuse", c="fine")
        jobs.create(ExperimentConfig={"ExperimentName": "e"})
        with pytest.raises(WaiterError):
            jobs.sagemaker.get_waiter("transform_job_completed_or_stopped").wait(
                TransformJobName="job", WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200}
            )
        described = jobs.describe()
        assert described["TransformJobStatus"] == "Failed"
        assert described["FailureReason"] == (
            "ClientError: See job logs for more information. 1 of 3 objects failed; the first is "
            f"{jobs.source}/b: ClientError: 422: no dog in refuse"
        )
        assert jobs.outputs == {"a.out": "t fine", "c.out": "t fine"}
        assert any("ExperimentConfig has no effect" in line for line in jobs.log("data-log"))
        assert any(line.endswith(f"{jobs.source}/b: ClientError: 422") for line in jobs.log("data-log"))

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            ("raise ImportError('no module named dogs')", "AlgorithmError: The primary container did not pass"),
            (None, "ClientError: No S3 objects found under S3 URL"),
        ],
    )
    def test_what_can_not_start_says_why(self, jobs: Jobs, code: str | None, reason: str) -> None:
        jobs.create_model(code)
        if code:
            jobs.put(a="1")
        jobs.create()
        described = jobs.ended()
        assert described["TransformJobStatus"] == "Failed"
        assert described["FailureReason"].startswith(reason)
        assert ("no module named dogs" in described["FailureReason"]) == bool(code)
        wait_for(lambda: not jobs.left())

    def test_a_job_waits_until_a_core_is_free(self, jobs: Jobs) -> None:
        jobs.create_model()
        jobs.put(a="1")
        ledger = ThreadLedger(jobs.store.root)
        ledger.claim("job", process=identify_self(), wanted=ledger.cores)  # a training job of that name
        jobs.create()
        wait_for(lambda: any("free cores on this machine: job holds them." in line for line in jobs.log("data-log")))
        assert "TransformStartTime" not in jobs.describe()
        ledger.release("job")
        assert jobs.ended()["TransformJobStatus"] == "Completed"

    def test_a_manifest_names_the_objects(self, jobs: Jobs, tmp_path: Path) -> None:
        jobs.create_model()
        jobs.put(a="1", b="2", c="3")
        manifest = tmp_path / "manifest.json"
        manifest.write_text(json.dumps([{"prefix": tmp_path.as_uri() + "/"}, "source/a", "source/c"]))
        jobs.create(S3DataType="ManifestFile", S3Uri=manifest.as_uri())
        assert jobs.ended()["TransformJobStatus"] == "Completed"
        assert {path.relative_to(jobs.target).as_posix() for path in jobs.target.rglob("*.out")} == {
            "source/a.out",
            "source/c.out",
        }
        manifest.write_text("[]")
        jobs.create("other", S3DataType="ManifestFile", S3Uri=manifest.as_uri())
        assert "a manifest is a JSON list" in jobs.ended("other")["FailureReason"]

    def test_objects_on_s3_are_read_and_written_there(
        self, jobs: Jobs, local: LocalSageMaker, boto3_session: boto3.Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        s3 = boto3_session.client("s3", endpoint_url=local.endpoint_url)
        s3.create_bucket(Bucket="dogs")
        large = b"x" * (5 << 20)  # copied to the disk first
        for key, content in {"in/a #1?.txt": b"1", "in/sub/b.txt": b"2", "in/large": large, "in/sub/": b""}.items():
            s3.put_object(Bucket="dogs", Key=key, Body=content)
        for name, value in (
            ("AWS_ENDPOINT_URL_S3", local.endpoint_url),
            ("AWS_ACCESS_KEY_ID", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            monkeypatch.setenv(name, value)
        jobs.create_model()
        request = create_request(jobs.source, jobs.target, ContentType="t", S3Uri="s3://dogs/in", MaxPayloadInMB=6)
        request["TransformOutput"]["S3OutputPath"] = "s3://dogs/out/"
        jobs.sagemaker.create_transform_job(**request)
        described = jobs.ended()
        assert described["TransformJobStatus"] == "Completed", described
        outputs = {
            entry["Key"]: s3.get_object(Bucket="dogs", Key=entry["Key"])["Body"].read()
            for entry in s3.list_objects_v2(Bucket="dogs", Prefix="out/")["Contents"]
        }
        assert outputs == {"out/a #1?.txt.out": b"t 1", "out/sub/b.txt.out": b"t 2", "out/large.out": b"t " + large}


class TestStopping:
    def test_a_job_that_is_loading_its_model_stops(self, jobs: Jobs) -> None:
        jobs.create_model(LOADING)
        jobs.put(a="1")
        jobs.create()
        folder = jobs.store.root / "transform-jobs" / "job"
        wait_for(lambda: list(folder.glob("model-*/**/loading")))
        jobs.sagemaker.stop_transform_job(TransformJobName="job")
        described = jobs.ended()
        assert described["TransformJobStatus"] == "Stopped"
        assert "TransformEndTime" in described
        wait_for(lambda: not jobs.left())

    def test_a_job_that_is_transforming_keeps_what_is_complete(self, jobs: Jobs) -> None:
        jobs.create_model()
        jobs.put(a="1", b="slow\n" * 200)
        jobs.create(SplitType="Line", BatchStrategy="SingleRecord")
        jobs.until_serving()
        wait_for(lambda: jobs.outputs)
        jobs.sagemaker.stop_transform_job(TransformJobName="job")
        assert jobs.describe()["TransformJobStatus"] in ("Stopping", "Stopped")
        assert jobs.ended()["TransformJobStatus"] == "Stopped"
        assert jobs.outputs == {"a.out": "t 1"}
        wait_for(lambda: not jobs.left())
        with pytest.raises(ClientError, match="transform job is in status Stopped"):
            jobs.sagemaker.stop_transform_job(TransformJobName="job")

    def test_a_supervisor_that_is_asked_to_end_stops_its_job(self, jobs: Jobs) -> None:
        jobs.create_model()
        jobs.put(a="slow\n" * 200)
        jobs.create(SplitType="Line", BatchStrategy="SingleRecord")
        os.kill(jobs.until_serving()["process"]["pid"], signal.SIGTERM)
        assert jobs.ended()["TransformJobStatus"] == "Stopped"
        wait_for(lambda: not jobs.left())


class TestKilledProcesses:
    def test_a_job_whose_supervisor_was_killed_fails_and_leaves_nothing(self, jobs: Jobs) -> None:
        jobs.create_model()
        jobs.put(a="1", b="slow\n" * 200)
        jobs.create(SplitType="Line", BatchStrategy="SingleRecord")
        state = jobs.until_serving()
        wait_for(lambda: jobs.outputs)
        os.kill(state["process"]["pid"], signal.SIGKILL)
        (summary,) = wait_for(
            lambda: jobs.sagemaker.list_transform_jobs(StatusEquals="Failed")["TransformJobSummaries"]
        )
        assert summary["FailureReason"].startswith("InternalServerError: the process that supervised this job ended")
        assert jobs.outputs == {"a.out": "t 1"}
        assert jobs.left() == set()
        assert not is_alive(state["server"])

    def test_a_model_server_ends_with_its_supervisor_without_any_request(self, jobs: Jobs) -> None:
        jobs.create_model()
        jobs.put(a="slow\n" * 200)
        jobs.create(SplitType="Line", BatchStrategy="SingleRecord")
        state = jobs.until_serving()
        os.kill(state["process"]["pid"], signal.SIGKILL)
        wait_for(lambda: not is_alive(state["server"]))

    @pytest.mark.parametrize("cause", ["killed", "ended by its code"])
    def test_a_job_whose_model_server_ended_fails(self, jobs: Jobs, cause: str) -> None:
        jobs.create_model()
        jobs.put(a="1", b="exit" if cause != "killed" else "slow\n" * 200, c="1")
        jobs.create(SplitType="Line", BatchStrategy="SingleRecord")
        if cause == "killed":
            server = jobs.until_serving()["server"]
            wait_for(lambda: jobs.outputs)
            os.kill(server["pid"], signal.SIGKILL)
        described = jobs.ended()
        assert described["TransformJobStatus"] == "Failed"
        reason = described["FailureReason"]
        assert reason.startswith("AlgorithmError: See job logs for more information. The model server ended with 1")
        assert "loaded with" in reason
        assert jobs.outputs == {"a.out": "t 1"}
        wait_for(lambda: not jobs.left())

    def test_a_job_that_ran_when_its_folder_was_copied_has_failed_in_the_copy(self, jobs: Jobs, tmp_path: Path) -> None:
        jobs.create_model()
        jobs.put(a="slow\n" * 200)
        jobs.create(SplitType="Line", BatchStrategy="SingleRecord")
        server = jobs.until_serving()["server"]
        shutil.copytree(jobs.store.root, tmp_path / "copy")
        copy = Store(tmp_path / "copy")
        runner.reconcile(copy, "job")
        assert copy.get(TRANSFORM_JOB, "job").state["status"] == "Failed"
        copy.close()
        assert jobs.describe()["TransformJobStatus"] == "InProgress"
        assert is_alive(server)
        jobs.sagemaker.stop_transform_job(TransformJobName="job")
        assert jobs.ended()["TransformJobStatus"] == "Stopped"

    def test_a_job_whose_starter_was_killed_is_started_once(
        self, jobs: Jobs, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jobs.create_model()
        jobs.put(a="1")
        monkeypatch.setattr(runner.supervision, "start_job", lambda *_: None)
        jobs.create()
        monkeypatch.undo()
        assert jobs.describe()["TransformJobStatus"] == "InProgress"
        monkeypatch.setattr(runner.supervision, "_START_SECONDS", 0.0)
        assert jobs.ended()["TransformJobStatus"] == "Completed"
        assert jobs.state()["starts"] == 1
        runner.start_transform_job(store, "job")  # a second supervisor leaves the ended job as it is
        assert jobs.describe()["TransformJobStatus"] == "Completed"


class TestRequests:
    def test_names_are_unique_among_transform_jobs_only(self, jobs: Jobs) -> None:
        jobs.create_model()
        jobs.store.create(TRAINING_JOB, "job", {}, {"status": "Completed"})
        jobs.create()
        with pytest.raises(jobs.sagemaker.exceptions.ResourceInUse, match="a transform job with this name"):
            jobs.create("JOB")

    def test_what_does_not_exist_is_said_in_awss_words(self, jobs: Jobs) -> None:
        with pytest.raises(ClientError, match='Could not find model "arn:aws:sagemaker:us-east-1:000000000000:model/m'):
            jobs.create()
        for call in (jobs.sagemaker.describe_transform_job, jobs.sagemaker.stop_transform_job):
            with pytest.raises(jobs.sagemaker.exceptions.ResourceNotFound):
                call(TransformJobName="job")

    @pytest.mark.parametrize(
        ("members", "problem"),
        [
            ({"SplitType": "TFRecord"}, "TransformInput.SplitType 'TFRecord'"),
            ({"S3DataType": "AugmentedManifestFile"}, "S3DataType 'AugmentedManifestFile'"),
            ({"DataCaptureConfig": {"DestinationS3Uri": "s3://b/k"}}, "DataCaptureConfig"),
            ({"MaxPayloadInMB": 101}, "must be at most 100"),
            ({"DataProcessing": {"JoinSource": "Input"}}, "DataProcessing needs TransformInput's ContentType"),
        ],
    )
    def test_what_is_not_supported_is_refused(
        self, empty_sagemaker: Any, members: dict[str, Any], problem: str
    ) -> None:
        with pytest.raises(ClientError, match=problem) as caught:
            empty_sagemaker.create_transform_job(**create_request(Path("/in"), Path("/out"), **members))
        assert caught.value.response["Error"]["Code"] == "ValidationException"

    def test_a_job_has_tags(self, jobs: Jobs) -> None:
        jobs.create_model()
        arn = jobs.create(Tags=[{"Key": "k", "Value": "v"}])
        assert jobs.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "v"}]
