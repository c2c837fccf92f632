"""The command line about many jobs, jobs that are to go, and roots that are not there."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk.cli.program import main
from dogbreed_sdk.container import path_to_uri
from dogbreed_sdk.local import Store
from dogbreed_sdk.local.api.common import Context
from dogbreed_sdk.local.api.operations import perform
from dogbreed_sdk.local.store import TRAINING_JOB, TUNING_JOB, NotFound

pytestmark = pytest.mark.extras


class Root:
    """A root with jobs that need no training."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder)

    def add(self, name: str, status: str = "Completed", **state: Any) -> None:
        output = self.folder / "bucket/jobs" / name / "output/model.tar.gz"
        output.parent.mkdir(parents=True)
        output.write_bytes(bytes(1_500_000))
        for path in (self.folder / "jobs" / name / "log.jsonl", self.folder / "bucket/checkpoints" / name / "epoch-1"):
            path.parent.mkdir(parents=True)
            path.write_text("")
        request = {
            "TrainingJobName": name,
            "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": path_to_uri(self.folder / "bucket/jobs")},
            "CheckpointConfig": {"S3Uri": path_to_uri(self.folder / "bucket/checkpoints" / name)},
            "HyperParameters": {},
        }
        transition = {"status": status, "start": time.time(), "end": None, "message": "done"}
        full = {"status": status, "secondary": status, "transitions": [transition], **state}
        self.store.create(TRAINING_JOB, name, request, full)

    def add_search(self, name: str, *trials: str) -> None:
        configuration = {
            "Strategy": "Random",
            "ResourceLimits": {"MaxParallelTrainingJobs": 1},
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "m"},
        }
        request = {
            "HyperParameterTuningJobName": name,
            "HyperParameterTuningJobConfig": configuration,
            "TrainingJobDefinition": {"RoleArn": "arn:aws:iam::000000000000:role/local"},
        }
        self.store.create(TUNING_JOB, name, request, {"status": "Completed", "trials": list(trials)})
        for trial in trials:
            self.add(trial, tuning_job=name)

    def names(self) -> set[str]:
        return {record.name for kind in (TRAINING_JOB, TUNING_JOB) for record in self.store.list(kind)}

    def files(self) -> list[str]:
        found = [path for part in ("bucket", "jobs") for path in (self.folder / part).rglob("*") if path.is_file()]
        return sorted(path.relative_to(self.folder).as_posix() for path in found)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    made = Root(tmp_path / "root")
    yield made
    made.store.close()


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dogbreed(root: Root, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = main([*arguments, "--root", str(root.folder)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_a_list_that_is_cut_says_so_and_how_to_see_the_rest(root: Root, dogbreed: Run) -> None:
    for number in range(12):
        root.add(f"job-{number:02}")
    root.add_search("search")
    status, out, err = dogbreed("jobs", "--limit", "5", "--json")
    assert status == 0
    assert [row["name"] for row in json.loads(out)] == ["search", *(f"job-{number:02}" for number in range(11, 6, -1))]
    (line,) = err.splitlines()
    assert line.startswith("5 of 12 training jobs are listed; to list all: ")
    assert line.endswith(f"jobs --all --root {root.folder}")
    status, out, err = dogbreed("jobs", "--all", "--json")
    assert (len(json.loads(out)), err) == (13, "")
    assert dogbreed("jobs")[2] == ""


def test_a_job_is_deleted_with_its_files_and_nothing_else(root: Root, dogbreed: Run) -> None:
    for name in ("dogs", "dogs-2"):
        root.add(name)
    kept = [path for path in root.files() if "dogs-2" in path]
    assert len(kept) == 3
    status, out, _ = dogbreed("delete", "dogs", "--yes", "--json")
    assert status == 0
    assert json.loads(out) == {"deleted": "dogs", "was": "Completed", "files": 2, "bytes": 1_500_000}
    assert root.files() == kept
    assert root.names() == {"dogs-2"}


def test_a_search_is_deleted_with_its_trials(root: Root, dogbreed: Run) -> None:
    root.add("other")
    root.add_search("search", "search-1", "search-2")
    status, out, _ = dogbreed("delete", "search", "--yes")
    assert status == 0
    assert out == "deleted tuning job search and its 2 training jobs with 4 files (3 MB); it was Completed\n"
    assert root.names() == {"other"}
    assert len(root.files()) == 3


def test_one_of_a_kind_is_counted_as_one(root: Root, dogbreed: Run) -> None:
    root.add_search("search", "search-1")
    _, out, _ = dogbreed("delete", "search", "--yes")
    assert out == "deleted tuning job search and its 1 training job with 2 files (1.5 MB); it was Completed\n"


def test_a_deletion_is_asked_for(root: Root, dogbreed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    root.add("dogs")
    status, _, err = dogbreed("delete", "dogs")
    assert status == 2
    assert "Delete training job dogs with 2 files (1.5 MB)? To answer yes, add --yes." in err
    for answer, expected in (("n", 1), ("", 1), ("y", 0)):
        terminal = io.StringIO(f"{answer}\n")
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", terminal)
        monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
        assert dogbreed("delete", "dogs")[0] == expected
        assert root.names() == (set() if answer == "y" else {"dogs"})


def test_a_running_job_is_not_deleted(root: Root, dogbreed: Run) -> None:
    root.add("running", "InProgress")
    status, _, err = dogbreed("delete", "running", "--yes")
    assert status == 1
    assert "Training job running is InProgress; stop it" in err
    assert root.names() == {"running"}


def test_what_is_no_endpoint_and_no_job_is_said_to_be_neither(dogbreed: Run) -> None:
    status, _, err = dogbreed("delete", "nothing", "--yes")
    assert status == 1
    assert "The endpoint nothing does not exist" in err
    assert "There is no job of that name either." in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["jobs"], ["logs", "x"], ["stop", "x"], ["deploy", "x"], ["endpoints"], ["delete", "x"], ["report", "x"],
        ["classify", "x", "picture.jpg"], ["evaluate", "x", "."],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_command_that_only_looks_makes_no_root(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, other = tmp_path / "missing", tmp_path / "other"
    other.mkdir()
    for folder, why in ((missing, "does not exist"), (other, "contains none of its files")):
        assert main([*arguments, "--root", str(folder)]) == 2
        said = capsys.readouterr().err
        assert (
            f"error: The folder {folder} {why}, so there is no local SageMaker. The first training job creates it."
            in said
        )
        assert "For another folder add --root DIR" in said
    assert not missing.exists()
    assert not list(other.iterdir())


def test_a_deleted_search_leaves_its_namesake_no_trials(root: Root) -> None:
    root.add_search("search", "search-1")
    context, name = Context(root.store, "us-east-1"), {"HyperParameterTuningJobName": "search"}
    perform(context, "SageMaker.DeleteHyperParameterTuningJob", name)
    with pytest.raises(NotFound):
        root.store.get(TUNING_JOB, "search")
    assert root.names() == {"search-1"}, "AWS deletes no training jobs with it"
    root.add_search("search")
    assert perform(context, "SageMaker.ListTrainingJobsForHyperParameterTuningJob", name)["TrainingJobSummaries"] == []
