"""The managed Debugger's configuration on local SageMaker: our recorder obeys it, and the report reads its outputs."""

from __future__ import annotations

from pathlib import Path

from dogbreed_sdk import BreedDataset, BreedTrainer, Debugger, DebugReport, Session, defaults
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.debugging.managed_rules import _profiler_report
from tests.debugging import made_up
from training_scripts.recording.profile.reader import read_profile
from training_scripts.rules import NOT_EVALUATED


def test_a_profiler_report_reads_as_it_was_judged(tmp_path: Path) -> None:
    report = DebugReport("job", trial=made_up.trial(), profile=made_up.profile())
    _profiler_report(report, {}, tmp_path)
    statuses = {result.name: result.status for result in report.rules if result.kind == "profiling"}
    assert {result.name: result.status for result in read_profile(tmp_path).results} == statuses
    assert statuses["LoadBalancing"] == NOT_EVALUATED


def test_a_managed_job_records_where_the_service_says(session: Session, shapes: BreedDataset, tmp_path: Path) -> None:
    debugger = Debugger.managed(train_save_interval=2, profiler_rules=["ProfilerReport"])
    trainer = BreedTrainer(session, model=defaults.QUICK_BACKBONE, features="in-job", debugger=debugger)
    job = trainer.train(shapes, {"epochs": 6, "batch_size": 8}, progress=no_progress).wait(progress=no_progress)
    answers = job.rule_summary()  # wait() has waited for them
    kept = {rule.status for rule in answers if rule.kind == "debugging"}
    assert kept <= {"NoIssuesFound", "Stopped"}  # Stopped: too short a run for a rule to judge
    [profiled] = [rule for rule in answers if rule.kind == "profiling"]
    assert (profiled.name, profiled.status) == ("ProfilerReport", "NoIssuesFound")

    output = tmp_path / "root" / "bucket" / "jobs" / job.name
    assert (output / "debug-output/run.json").is_file()
    page = output / "rule-output/ProfilerReport/profiler-output/profiler-report.html"
    assert "OverallSystemUsage" in page.read_text(encoding="utf-8")
    assert not list((tmp_path / "root" / "bucket" / "checkpoints" / job.name).glob("debug-output/index/*"))

    report = DebugReport.load(job)
    assert report.managed_rules == answers
    assert report.to_dict()["managed_rules"] == [rule.to_dict() for rule in answers]
    assert "SageMaker Debugger's rules" in report.to_text()
    assert "  NoIssuesFound ProfilerReport" in report.to_text()
    assert report.trial is not None
    weights = report.trial.tensor(report.trial.tensor_names(collection="weights")[0])
    assert weights.steps("TRAIN")[:3] == [0, 2, 4]
    assert report.profile is not None
