"""The managed Debugger's configuration on local SageMaker: our recorder obeys it, and the report reads its outputs."""

from __future__ import annotations

from pathlib import Path

from dogbreed_sdk import BreedDataset, BreedTrainer, Debugger, DebugReport, Session
from dogbreed_sdk.progress import no_progress
from tests.waiting import wait_for

STATUSES = "DebugRuleEvaluationStatuses"


def test_a_managed_job_records_where_the_service_says(session: Session, shapes: BreedDataset, tmp_path: Path) -> None:
    debugger = Debugger.managed(train_save_interval=2, profiler_rules=["ProfilerReport"])
    trainer = BreedTrainer(session, features="in-job", debugger=debugger)
    job = trainer.train(shapes, {"epochs": 6, "batch_size": 8}, progress=no_progress).wait(progress=no_progress)
    described = wait_for(lambda: None if "InProgress" in str(job.describe().get(STATUSES)) else job.describe())
    kept = {entry["RuleEvaluationStatus"] for entry in described[STATUSES]}
    assert kept <= {"NoIssuesFound", "Stopped"}  # Stopped: too short a run for a rule to judge
    [profiled] = described["ProfilerRuleEvaluationStatuses"]
    assert profiled["RuleEvaluationStatus"] == "NoIssuesFound"

    output = tmp_path / "root" / "bucket" / "jobs" / job.name
    assert (output / "debug-output/run.json").is_file()
    page = output / "rule-output/ProfilerReport/profiler-output/profiler-report.html"
    assert "OverallSystemUsage" in page.read_text(encoding="utf-8")
    assert not list((tmp_path / "root" / "bucket" / "checkpoints" / job.name).glob("debug-output/index/*"))

    report = DebugReport.load(job)
    assert report.trial is not None
    weights = report.trial.tensor(report.trial.tensor_names(collection="weights")[0])
    assert weights.steps("TRAIN")[:3] == [0, 2, 4]
    assert report.profile is not None
