"""Wherever a recording lies and whichever of its folders is named, it is found; where there is none, it is said why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from dogbreed_sdk import DebugReport, Session, TrainingJob, TransformJob, TuningJob
from dogbreed_sdk.debugging.sources import s3_cache
from dogbreed_sdk.debugging.sources.layout import Parts
from dogbreed_sdk.debugging.sources.locate import locate
from dogbreed_sdk.errors import ConfigurationError, RecordingError


@pytest.fixture
def trial_folder(tmp_path: Path) -> Path:
    """A trial in smdebug's layout, as small as one can be."""
    return make_trial(tmp_path / "job" / "debug-output")


def make_trial(folder: Path) -> Path:
    for name in ("collections/000000000", "index/000000000", "events/000000000000"):
        (folder / name).mkdir(parents=True)
    collections = {"collections": {}, "_meta": {"num_workers": 1}}
    (folder / "collections" / "000000000" / "worker_0_collections.json").write_text(json.dumps(collections))
    return folder


def make_profile(folder: Path) -> Path:
    (folder / "system" / "incremental").mkdir(parents=True)
    return folder


def make_report(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "OverallSystemUsage.json").write_text('{"RuleTriggered": 0, "Violations": 0, "Details": {}}')
    return folder


class FakeJob(TrainingJob):
    """A job whose description is made up; it never asks a service."""

    def __init__(self, name: str, session: Session, described: dict[str, Any]) -> None:
        super().__init__(name, session)
        self._described = {"TrainingJobStatus": "Completed", **described}

    def describe(self) -> dict[str, Any]:
        return self._described


class TestLocalFolders:
    def test_the_root_of_a_job(self, trial_folder: Path) -> None:
        root = trial_folder.parent
        profile = make_profile(root / "profiler-output")
        (root / "rule-output").mkdir()
        (root / "rule-output" / "rules.json").write_text("{}")
        found = locate(root).parts
        assert found == Parts(trial=trial_folder, profile=profile, rules=root / "rule-output" / "rules.json")

    def test_the_trial_itself_as_text_path_or_uri(self, trial_folder: Path) -> None:
        for source in (trial_folder, str(trial_folder), trial_folder.as_uri()):
            assert locate(source).parts == Parts(trial=trial_folder)

    def test_only_a_profile(self, tmp_path: Path) -> None:
        profile = make_profile(tmp_path / "job" / "profiler-output")
        assert locate(tmp_path / "job").parts == locate(profile).parts == Parts(profile=profile)

    def test_the_newest_of_awss_reports_nested_in_rule_output(self, tmp_path: Path) -> None:
        for number in (1, 2):
            make_report(tmp_path / f"job/rule-output/ProfilerReport-{number}/profiler-output/profiler-reports")
        newest = tmp_path / "job/rule-output/ProfilerReport-2/profiler-output/profiler-reports"
        assert locate(tmp_path).parts == Parts(report=newest)
        assert locate(newest).parts == Parts(report=newest)

    def test_a_copy_of_a_bucket_with_one_job_in_it(self, trial_folder: Path, tmp_path: Path) -> None:
        assert locate(tmp_path).parts == Parts(trial=trial_folder)

    def test_a_folder_of_several_jobs_is_refused_with_their_names(self, trial_folder: Path, tmp_path: Path) -> None:
        make_profile(tmp_path / "other" / "profiler-output")
        with pytest.raises(RecordingError, match=r"contains 2 recordings: job, other\. Pass one"):
            locate(tmp_path)

    def test_no_recording_says_what_was_looked_for(self, tmp_path: Path) -> None:
        (tmp_path / "pictures").mkdir()
        with pytest.raises(
            RecordingError, match=r"contains no recording\. Looked in it .*debug-output.*system, framework"
        ):
            locate(tmp_path)

    def test_a_file_and_a_missing_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(RecordingError, match="is a file; pass the folder"):
            locate(tmp_path / "file")
        with pytest.raises(RecordingError, match="does not exist"):
            locate(str(tmp_path / "missing"))
        with pytest.raises(RecordingError, match=r"The folder of file:.* does not exist"):
            locate((tmp_path / "missing").as_uri())

    def test_folders_in_parts_of_their_own(self, tmp_path: Path) -> None:
        trial, profile = make_trial(tmp_path / "tensors"), make_profile(tmp_path / "samples")
        assert DebugReport.load_folders(trial=trial, profile=profile)._recording.parts == Parts(trial, profile)
        with pytest.raises(RecordingError, match="contain no recording"):
            DebugReport.load_folders(trial=tmp_path / "neither", profile=tmp_path / "nor")


class TestJobs:
    def test_a_job_is_read_from_its_checkpoints(self, session: Session, trial_folder: Path) -> None:
        described = {"CheckpointConfig": {"S3Uri": trial_folder.parent.as_uri()}}
        found = locate(FakeJob("job", session, described))
        assert (found.source, found.parts, found.is_running) == ("job", Parts(trial=trial_folder), False)

    def test_the_managed_services_outputs_come_first_and_the_rest_is_added(
        self, session: Session, trial_folder: Path, tmp_path: Path
    ) -> None:
        managed = make_trial(tmp_path / "debugger" / "job" / "debug-output")
        profile = make_profile(tmp_path / "profiler" / "job" / "profiler-output")
        described = {
            "DebugHookConfig": {"S3OutputPath": (tmp_path / "debugger").as_uri()},
            "ProfilerConfig": {"S3OutputPath": (tmp_path / "profiler").as_uri() + "/"},
            "CheckpointConfig": {"S3Uri": trial_folder.parent.as_uri()},
            "TrainingJobStatus": "InProgress",
        }
        found = locate(FakeJob("job", session, described))
        assert found.parts == Parts(trial=managed, profile=profile)
        assert found.is_running

    @pytest.mark.parametrize(
        ("described", "reason"),
        [
            (
                {"HyperParameters": {"sagemaker_program": '"hpo.py"'}},
                "trial of a tuning job, and trials record nothing",
            ),
            ({"HyperParameters": {"sagemaker_program": '"extract_features.py"'}}, "computed features"),
            ({"HyperParameters": {"recorder": '"off"'}}, "its hyperparameter recorder was off"),
            ({}, "neither checkpoints .* nor Debugger's outputs"),
            ({"CheckpointConfig": {}, "TrainingJobStatus": "InProgress"}, "has recorded nothing yet"),
            ({"CheckpointConfig": {}, "TrainingJobStatus": "Failed", "FailureReason": "No data."}, "before: No data."),
        ],
    )
    def test_a_job_that_recorded_nothing_says_why(
        self, session: Session, tmp_path: Path, described: dict[str, Any], reason: str
    ) -> None:
        if "CheckpointConfig" in described:
            described = {**described, "CheckpointConfig": {"S3Uri": (tmp_path / "empty").as_uri()}}
        with pytest.raises(RecordingError, match=reason):
            locate(FakeJob("job", session, described))

    def test_a_search_has_no_recording_of_its_own(self, session: Session) -> None:
        with pytest.raises(RecordingError, match="is a tuning job, whose trials record nothing"):
            locate(TuningJob("search", session))  # type: ignore[arg-type]

    def test_a_transform_job_is_said_to_be_one(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(TransformJob, "describe", lambda _job: {})
        with pytest.raises(RecordingError, match=r"^batch is a transform job.*pass the training job"):
            locate("batch", session)

    def test_a_name_that_is_neither_folder_nor_job(self, session: Session) -> None:
        with pytest.raises(RecordingError, match=r"Neither a folder nor a job nobody was found: .* 'dogbreed jobs'"):
            locate("nobody", session)

    def test_the_error_is_the_sdks_own(self) -> None:
        with pytest.raises(RecordingError, match="The folder a/b does not exist"):
            DebugReport.load("a/b")


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


@pytest.fixture
def bucket(s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A bucket on S3, empty, and copies that are kept below the test's folder."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    s3.create_bucket(Bucket="bucket")
    yield s3
    left = [{"Key": entry["Key"]} for entry in s3.list_objects_v2(Bucket="bucket").get("Contents", ())]
    if left:
        s3.delete_objects(Bucket="bucket", Delete={"Objects": left})
    s3.delete_bucket(Bucket="bucket")


@pytest.fixture(scope="module")
def shared_account(s3: Any) -> Session:
    return Session.aws(region="us-east-1", bucket="bucket")


@pytest.fixture
def account(shared_account: Session, bucket: Any) -> Session:
    """A session that has the bucket; its clients, which take long to make, serve all tests."""
    return shared_account


def upload(client: Any, folder: Path, prefix: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "bucket", f"{prefix}/{path.relative_to(folder).as_posix()}")


class TestS3:
    def test_a_recording_is_fetched_without_what_is_no_part_of_it(
        self, bucket: Any, account: Session, trial_folder: Path
    ) -> None:
        upload(bucket, trial_folder.parent, "jobs/one")
        bucket.put_object(Bucket="bucket", Key="jobs/one/output/model.tar.gz", Body=b"x" * 1000)
        found = locate("s3://bucket/jobs/one", account)
        assert found.source == "s3://bucket/jobs/one"
        assert found.parts.trial is not None
        assert found.parts.trial.name == "debug-output"
        assert not list(s3_cache.cache_root().rglob("model.tar.gz"))

    def test_a_second_look_fetches_only_what_is_new(
        self, bucket: Any, account: Session, trial_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (trial_folder / "events" / "000000000000" / "0_worker_0.tfevents").write_bytes(b"12345")
        upload(bucket, trial_folder.parent, "job")
        locate("s3://bucket/job", account)
        bucket.put_object(Bucket="bucket", Key="job/debug-output/events/000000000001/1.tfevents", Body=b"123")
        fetched: list[str] = []
        download = account.storage.download_file
        monkeypatch.setattr(
            account.storage, "download_file", lambda uri, path: (fetched.append(uri), download(uri, path))[1]
        )
        parts = locate("s3://bucket/job", account).parts
        assert [uri.rpartition("/")[2] for uri in fetched] == ["1.tfevents"]
        assert parts.trial is not None
        assert (parts.trial / "events" / "000000000001" / "1.tfevents").read_bytes() == b"123"

    def test_a_file_that_was_rewritten_with_as_many_bytes_is_fetched_anew(
        self, bucket: Any, account: Session, trial_folder: Path
    ) -> None:
        upload(bucket, trial_folder.parent, "job")
        key = "job/debug-output/events/000000000000/0.tfevents"
        for content in (b"11111", b"22222"):
            bucket.put_object(Bucket="bucket", Key=key, Body=content)
            parts = locate("s3://bucket/job", account).parts
            assert parts.trial is not None
            assert (parts.trial / "events" / "000000000000" / "0.tfevents").read_bytes() == content

    def test_what_was_deleted_is_no_longer_read(self, bucket: Any, account: Session, trial_folder: Path) -> None:
        upload(bucket, trial_folder.parent, "job")
        key = "job/profiler-output/framework/000000000001/1.json"
        bucket.put_object(Bucket="bucket", Key=key, Body=b"{}")
        assert locate("s3://bucket/job", account).parts.profile is not None
        bucket.delete_object(Bucket="bucket", Key=key)
        found = locate("s3://bucket/job", account).parts
        assert (found.trial is not None, found.profile) == (True, None)

    @pytest.mark.parametrize(
        ("key", "said"),
        [
            ("debug-output/events/" + "x" * 300, "x was left out: File name too long"),
            ("debug-output/collections", "debug-output/collections is a file and a folder"),
        ],
    )
    def test_a_key_that_no_disk_takes_is_left_out_and_said(
        self, bucket: Any, account: Session, trial_folder: Path, key: str, said: str
    ) -> None:
        upload(bucket, trial_folder.parent, "job")
        bucket.put_object(Bucket="bucket", Key=f"job/{key}", Body=b"x")
        for _ in range(2):
            found = locate("s3://bucket/job", account)
            assert found.parts.trial is not None
            assert [said in problem for problem in found.problems] == [True]

    def test_unfinished_files_are_not_asked_for(self, bucket: Any, account: Session, trial_folder: Path) -> None:
        upload(bucket, trial_folder.parent, "job")
        for name in ("1.tfevents.tmp", ".2.tfevents.7.partial", ".3.tfevents"):
            bucket.put_object(Bucket="bucket", Key=f"job/debug-output/events/000000000001/{name}", Body=b"x")
        assert locate("s3://bucket/job", account).problems == ()
        assert not list(s3_cache.cache_root().rglob("*tfevents*"))

    def test_a_file_that_goes_between_listing_and_fetching_is_left_out(
        self, bucket: Any, account: Session, trial_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload(bucket, trial_folder.parent, "job")
        for name in ("1.tfevents", "2.tfevents"):
            bucket.put_object(Bucket="bucket", Key=f"job/debug-output/events/000000000001/{name}", Body=b"x")
        download = account.storage.download_file

        def gone(uri: str, path: Path) -> None:
            if uri.endswith("1.tfevents"):
                bucket.delete_object(Bucket="bucket", Key="job/debug-output/events/000000000001/1.tfevents")
            download(uri, path)

        monkeypatch.setattr(account.storage, "download_file", gone)
        [problem] = locate("s3://bucket/job", account).problems
        assert "1.tfevents was left out: it was deleted before it was downloaded" in problem
        assert list(s3_cache.cache_root().rglob("2.tfevents"))

    def test_a_spoiled_ledger_costs_a_second_fetch(self, bucket: Any, account: Session, trial_folder: Path) -> None:
        upload(bucket, trial_folder.parent, "job")
        locate("s3://bucket/job", account)
        [ledger] = s3_cache.cache_root().rglob(".fetched.json")
        for content in ("{", "[]", '{"a": [1]}'):
            ledger.write_text(content)
            assert locate("s3://bucket/job", account).parts.trial is not None

    def test_a_whole_bucket_is_not_listed_to_its_end(
        self, bucket: Any, account: Session, trial_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload(bucket, trial_folder.parent, "a")
        for number in range(30):
            bucket.put_object(Bucket="bucket", Key=f"z/{number}", Body=b"")
        seen: list[str] = []
        files = account.storage.files
        monkeypatch.setattr(
            account.storage, "files", lambda uri: (seen.append(file.name) or file for file in files(uri))
        )
        monkeypatch.setattr(s3_cache, "MAX_LISTED", 10)
        [problem] = locate("s3://bucket", account).problems
        assert "s3://bucket contains more than 10 files" in problem
        assert len(seen) == 11

    def test_keys_that_lead_elsewhere_are_left_alone(self, bucket: Any, account: Session, trial_folder: Path) -> None:
        upload(bucket, trial_folder.parent, "job")
        bucket.put_object(Bucket="bucket", Key="job/debug-output/../../../escaped/run.json", Body=b"{}")
        locate("s3://bucket/job", account)
        assert not list(s3_cache.cache_root().parent.parent.rglob("escaped"))

    def test_more_than_is_kept_is_left_out_and_said(
        self, bucket: Any, account: Session, trial_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for step in range(3):
            (trial_folder / "events" / "000000000000" / f"{step}.tfevents").write_bytes(b"x" * 1000)
        upload(bucket, trial_folder.parent, "job")
        monkeypatch.setattr(s3_cache, "MAX_BYTES", 2500)
        found = locate("s3://bucket/job", account)
        assert len(found.problems) == 1
        assert "1 of them were left out" in found.problems[0]
        assert found.parts.trial is not None
        assert (found.parts.trial / "collections").is_dir()

    def test_nothing_there(self, account: Session) -> None:
        with pytest.raises(RecordingError, match="s3://bucket/none contains no recording"):
            locate("s3://bucket/none", account)

    def test_what_a_feature_pass_cost_is_fetched_without_the_features(
        self, bucket: Any, account: Session, tmp_path: Path
    ) -> None:
        (tmp_path / "features" / "profiler-output" / "framework").mkdir(parents=True)
        (tmp_path / "features" / "profiler-output" / "profile_algo-1.json").write_text('{"format": 1}')
        (tmp_path / "features" / "profiler-output" / "framework" / "note.json").write_text("[]")
        (tmp_path / "features" / "train.npy").write_bytes(bytes(1000))
        (tmp_path / "features" / "feature_pass.json").write_text('{"pictures": 72, "seconds": 8.0}')
        upload(bucket, tmp_path / "features", "features/lite0")
        job = FakeJob("job", account, {"CheckpointConfig": {"S3Uri": "s3://bucket/features/lite0"}})
        report = DebugReport.load(job)
        assert report.feature_pass is not None
        assert report.feature_pass.pictures_per_second == 9.0
        assert report.headline().startswith("The features were computed: 72 pictures in 8 s, 9 pictures/s.")
        assert not list(s3_cache.cache_root().rglob("train.npy"))

    def test_a_job_on_aws(self, bucket: Any, account: Session, trial_folder: Path) -> None:
        upload(bucket, trial_folder.parent, "checkpoints/job")
        job = FakeJob("job", account, {"CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints/job"}})
        assert locate(job).parts.trial is not None


def test_a_recording_of_smdebug_is_read_from_s3_as_from_disk(
    bucket: Any, account: Session, fixtures_folder: Path, tmp_path: Path
) -> None:
    source = fixtures_folder / "smdebug-trials" / "healthy"
    copy = tmp_path / "few"
    shutil.copytree(source, copy, ignore=lambda _, names: [name for name in names if name.startswith("00000000005")])
    upload(bucket, copy, "trial")
    here, there = DebugReport.load(copy).trial, DebugReport.load("s3://bucket/trial", session=account).trial
    assert here is not None
    assert there is not None
    assert here.tensor_names() == there.tensor_names()
    name = "CrossEntropyLoss_output_0"
    assert here.tensor(name).series().values.tolist() == there.tensor(name).series().values.tolist()


@pytest.mark.parametrize("odd", [None, 5, ["folder"]])
def test_what_names_no_recording(odd: Any) -> None:
    with pytest.raises(RecordingError, match=r"is not a recording\. Pass a folder"):
        DebugReport.load(odd)


def test_a_jobs_name_without_a_session_or_region_asks_for_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> None:
        raise ConfigurationError("No AWS region is set.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dogbreed_sdk.session.Session.default", nowhere)
    with pytest.raises(RecordingError, match=r"(?s)No AWS region is set.*session=Session.local\(folder\)"):
        DebugReport.load("some-job")
