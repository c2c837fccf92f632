"""A report says first what is wrong, evaluates once, shows what it could not read, and fits a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dogbreed_sdk import ConfigurationError, DebugReport
from dogbreed_sdk.debugging.html.document import document
from dogbreed_sdk.debugging.insights import Insight
from dogbreed_sdk.debugging.sources.layout import Parts, Recording
from dogbreed_sdk.debugging.verdict import verdict
from dogbreed_sdk.errors import RecordingError
from tests.debugging import made_up
from training_scripts.recording.profile.profile import Profile, Statistics
from training_scripts.recording.profile.summary import phase_statistics
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial
from training_scripts.rules.evidence.learning_curves import curves, smoothed, train_position
from training_scripts.rules.findings import ERROR, ISSUES_FOUND, NO_ISSUES_FOUND, NOT_EVALUATED, Finding, RuleResult

SCRIPT_ERROR = (
    'ExecuteUserScriptError:\nExitCode 1\nErrorMessage "{}\nValueError: lr is negative"\nCommand "python x.py"'
)


@pytest.fixture(scope="module")
def report() -> DebugReport:
    return DebugReport("made-up-job", trial=made_up.trial(), profile=made_up.profile())


def status(report: DebugReport, name: str) -> str:
    return next(result.status for result in report.rules if result.name == name)


class TestWhatItHolds:
    def test_everything_is_read_and_evaluated_once(self, report: DebugReport) -> None:
        assert report.trial is report.trial
        assert report.rules is report.rules
        assert report.curves is report.curves

    def test_the_document_has_its_keys_and_is_json(self, report: DebugReport) -> None:
        document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
        assert set(document) == {
            "source",
            "status",
            "verdict",
            "rules",
            "managed_rules",
            "insights",
            "profile",
            "feature_pass",
            "notes",
            "problems",
        }
        assert document["status"] == "Ended"
        judged = verdict(report)
        assert document["verdict"] == {
            "level": "problem",
            "headline": judged.headline,
            "cause": judged.cause,
            "alternatives": list(judged.alternatives),
        }
        assert {"name", "status", "steps", "message", "advice", "parameters"} <= set(document["rules"][0])
        assert {"usage", "steps", "operators", "timeline", "phases", "facts", "nodes"} <= set(document["profile"])
        assert document["profile"]["usage"][0]["max"] >= document["profile"]["usage"][0]["min"]

    def test_a_profile_is_statistics_without_samples(self) -> None:
        made = made_up.profile()
        phases = phase_statistics(made.phases, ())
        whole = replace(made, phase_statistics=phases, nodes=("algo-1",), problems=("gap",))
        content = DebugReport("job", profile=whole, rules=[]).to_dict()["profile"]
        assert len(json.dumps(content, allow_nan=False)) < 20_000
        assert (content["nodes"], content["problems"]) == (["algo-1"], ["gap"])
        assert content["timeline"]["job_seconds"] == 300
        assert content["timeline"]["initialization_seconds"] == 40
        by_name = {entry["what"]: entry for entry in content["phases"]}
        assert by_name["DataLoaderIter"]["count"] == 300
        assert by_name["DataLoaderIter"]["total"] == pytest.approx(made.phases["DataLoaderIter"].seconds.sum())
        assert content["steps"][0]["max"] > content["steps"][0]["p99"] > content["steps"][0]["min"]

    def test_a_long_list_of_steps_has_its_beginning_its_end_and_its_length(self) -> None:
        report = DebugReport("job", trial=made_up.trial(epochs=1))
        finding = Finding("It overfits.", steps=tuple(range(0, 90_000, 3)))
        report.__dict__["rules"] = [RuleResult("Overfit", ISSUES_FOUND, "It overfits.", findings=(finding,))]
        [rule] = report.to_dict()["rules"]
        for entry in (rule, rule["findings"][0]):
            assert entry["steps"] == [*range(0, 297, 3), 89_997]
            assert entry["steps_in_all"] == 30_000

    def test_a_profile_has_histograms_of_durations_only(self, report: DebugReport) -> None:
        profile = report.to_dict()["profile"]
        assert not [entry for entry in profile["usage"] if "histogram" in entry or "edges" in entry]
        assert all(entry["histogram"] for entry in profile["steps"])

    def test_without_a_profile_it_is_null(self) -> None:
        assert DebugReport("job", trial=made_up.trial(epochs=1)).to_dict()["profile"] is None

    def test_single_rules_and_parameters_by_name(self) -> None:
        trial = made_up.trial()
        only = DebugReport("job", trial=trial, rules=["VanishingGradient"])
        assert [result.name for result in only.rules] == ["VanishingGradient"]
        assert only.rules[0].status == ISSUES_FOUND
        small = {"VanishingGradient": {"threshold": "1e-30"}}
        assert status(DebugReport("job", trial=trial, overrides=small), "VanishingGradient") != ISSUES_FOUND

    @pytest.mark.parametrize(
        "wrong",
        [{"rules": ["Vanishing"]}, {"parameters": "azure"}, {"overrides": {"Overfit": {"nothing": 1}}}],
        ids=["rule", "set", "parameter"],
    )
    def test_what_does_not_exist_is_a_wrong_setting(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ConfigurationError):
            _ = DebugReport("job", trial=MemoryTrial(), **wrong).rules  # type: ignore[arg-type]

    def test_a_run_to_compare_with_reaches_the_rule(self) -> None:
        alone = DebugReport("job", trial=made_up.trial(epochs=2))
        compared = DebugReport("job", trial=made_up.trial(epochs=2), compare_with=[made_up.trial(epochs=2)])
        assert status(alone, "SimilarAcrossRuns") == NOT_EVALUATED
        assert status(compared, "SimilarAcrossRuns") != NOT_EVALUATED

    def test_a_source_brings_answers_that_cannot_be_found_anew_with_our_advice(self) -> None:
        brought = RuleResult("LowGPUUtilization", ISSUES_FOUND, "AWS's report: triggered.", kind="profiling")
        ours = RuleResult("SomethingNew", ISSUES_FOUND, "AWS's report: triggered.", kind="profiling")
        report = DebugReport("report", profile=Profile(source="report", results=(brought, ours)))
        found = {result.name: result for result in report.rules}
        assert found["LowGPUUtilization"].message == brought.message
        assert found["LowGPUUtilization"].advice
        assert found["SomethingNew"].status == ISSUES_FOUND

    def test_what_the_job_itself_found_stands_where_nothing_else_is_left(self, tmp_path: Path) -> None:
        found = RuleResult("Overfit", ISSUES_FOUND, "It overfits.", findings=(Finding("It overfits.", steps=(3,)),))
        path = tmp_path / "rules.json"
        path.write_text(json.dumps({"rules": [found.to_dict(), {"name": 3}, "odd"]}))
        report = DebugReport("job", recording=Recording("job", Parts(rules=path)))
        assert status(report, "Overfit") == ISSUES_FOUND
        assert next(result.steps for result in report.rules if result.name == "Overfit") == (3,)

    @pytest.mark.parametrize("content", ["{", "[1]", "[" * 100_000])
    def test_spoiled_answers_of_the_job_are_no_obstacle(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "rules.json"
        path.write_text(content)
        report = DebugReport("job", recording=Recording("job", Parts(rules=path)))
        assert status(report, "Overfit") == NOT_EVALUATED

    def test_a_part_that_cannot_be_read_is_a_problem_or_the_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(path: Path) -> None:
            raise OSError(f"{path} is gone")

        monkeypatch.setattr("dogbreed_sdk.debugging.content._trial", broken)
        (tmp_path / "system" / "incremental").mkdir(parents=True)
        both = Recording("job", Parts(trial=tmp_path, profile=tmp_path))
        assert any("is gone" in problem for problem in DebugReport("job", recording=both).problems)
        with pytest.raises(RecordingError, match=r"job cannot be read: .* is gone"):
            _ = DebugReport("job", recording=Recording("job", Parts(trial=tmp_path))).trial


class TestWhoseItIs:
    def report(self, job: str, asked: str = "first") -> DebugReport:
        trial = made_up.trial(epochs=1)
        trial.run["job"] = job
        recording = Recording(asked, Parts(), job={"TrainingJobStatus": "Completed"})
        return DebugReport(asked, trial=trial, recording=recording)

    def test_a_job_that_went_on_with_anothers_recording_is_named(self) -> None:
        report = self.report("second")
        assert report.recorded_by == "second"
        assert "first, recorded by second" in report.to_text()
        assert "first, recorded by second" in report._repr_html_()
        assert "recorded by second" in document(report).decode()
        assert any("second recorded this, not first" in problem for problem in report.to_dict()["problems"])

    @pytest.mark.parametrize("job", ["first", "", None, 3, ["x"]])
    def test_ones_own_and_unknown_recordings_are_nobody_elses(self, job: Any) -> None:
        assert self.report(job).recorded_by == ""

    def test_a_folder_belongs_to_no_job(self) -> None:
        trial = made_up.trial(epochs=1)
        trial.run["job"] = "second"
        assert DebugReport("folder", trial=trial).recorded_by == ""


class TestWhetherItRuns:
    @pytest.mark.parametrize(
        ("ended", "begin", "runs"), [(True, None, False), (False, None, True), (False, 0.0, False)]
    )
    def test_by_its_end_and_by_what_came_last(self, ended: bool, begin: float | None, runs: bool) -> None:
        trial = made_up.trial(epochs=1, begin=time.time() if begin is None else begin)
        trial.ended = ended
        report = DebugReport("folder", trial=trial)
        assert report.is_running is runs
        assert report.status == ("Running" if runs else "Ended" if ended else "Unknown")

    @pytest.mark.parametrize(("status", "runs"), [("InProgress", True), ("Stopped", False)])
    def test_by_the_jobs_status(self, status: str, runs: bool) -> None:
        recording = Recording("job", Parts(), job={"TrainingJobStatus": status})
        trial = made_up.trial(epochs=1, begin=0.0)
        trial.ended = False
        report = DebugReport("job", trial=trial, recording=recording)
        assert (report.is_running, report.status) == (runs, status)


class TestVerdict:
    def test_problems_of_training_come_before_the_machines(self, report: DebugReport) -> None:
        judged = verdict(report)
        assert judged.level == "problem"
        assert judged.headline == "2 problems: DeadRelu and VanishingGradient."
        assert judged.cause != "dead-relus"  # the run has learned most of what it could before
        assert judged.points[0].title == "DeadRelu"
        assert judged.points[0].advice

    def test_only_the_machine(self) -> None:
        brought = RuleResult("LowGPUUtilization", ISSUES_FOUND, "Low.", kind="profiling")
        judged = verdict(DebugReport("report", profile=Profile(source="report", results=(brought,))))
        assert (judged.level, judged.headline) == ("slow", "The machine is not used well: LowGPUUtilization.")

    def quiet(self, *, ended: bool, **more: Any) -> DebugReport:
        trial = made_up.trial(epochs=12, turns=99, begin=1_000_000_000.0)
        trial.ended = ended
        return DebugReport("job", trial=trial, rules=["LossNotDecreasing"], **more)

    def test_a_run_that_was_killed_is_not_well(self) -> None:
        ended, killed = verdict(self.quiet(ended=True)), verdict(self.quiet(ended=False))
        assert "no end" not in ended.headline
        assert "All is well" not in killed.headline
        assert "The recording has no end" in killed.headline
        assert killed.level != "well"
        assert "The recording has no end" in self.quiet(ended=False).to_text().replace("\n ", "")

    @pytest.mark.parametrize("status", ["Completed", "Failed", "InProgress"])
    def test_a_job_whose_status_tells_of_its_end_or_that_runs(self, status: str) -> None:
        recording = Recording("job", Parts(), job={"TrainingJobStatus": status})
        assert "no end" not in verdict(self.quiet(ended=False, recording=recording)).headline

    def test_rules_that_failed_themselves_are_not_well_either(self) -> None:
        report = self.quiet(ended=True)
        report.__dict__["rules"] = [*report.rules, RuleResult("Mine", ERROR, "The rule failed: ValueError")]
        judged = verdict(report)
        assert "1 rule failed and reported nothing: Mine." in judged.headline
        assert judged.level != "well"
        assert "All is well" not in judged.headline

    def insight(self, severity: str, **more: Any) -> Insight:
        settings = {"title": "The learning rate is too large.", "explanation": "Why.", "next_step": "Set lr=0.002."}
        return Insight(
            **{"topic": "lr", "evidence": (), "confidence": "high", "severity": severity, **settings, **more}
        )

    def test_an_insight_that_explains_the_problem_goes_before_the_rules_and_their_advice(self) -> None:
        rules = [
            RuleResult("WeightUpdateRatio", ISSUES_FOUND, "Too large.", "Lower lr (by 10)."),
            RuleResult("ClassImbalance", ISSUES_FOUND, "Unequal.", "Balance the classes."),
        ]
        report = DebugReport("job", trial=made_up.trial(epochs=3))
        insight = self.insight("problem", hyperparameters={"lr": 0.002}, cause="learning-rate-too-high")
        report.__dict__.update(rules=rules, _insights=[insight])
        judged = verdict(report)
        assert (judged.level, judged.headline) == ("problem", "The learning rate is too large.")
        assert [(point.title, point.advice) for point in judged.points] == [
            ("", "Set lr=0.002."),
            ("WeightUpdateRatio", ""),
            ("ClassImbalance", "Balance the classes."),
        ]
        assert report.to_text().splitlines()[1:3] == ["! The learning rate is too large.", "  -> Set lr=0.002."]
        assert str(report) == report.to_text()
        for shown in (report._repr_html_(), document(report).decode()):
            assert shown.index("Set lr=0.002.") < shown.index("WeightUpdateRatio")

    def test_all_is_well_only_where_nothing_is_worth_a_try(self) -> None:
        well, hinted = self.quiet(ended=True), self.quiet(ended=True)
        well.__dict__["_insights"] = [self.insight("info")]
        hinted.__dict__["_insights"] = [self.insight("hint")]
        assert verdict(well).headline == "All is well: no rule found a problem (1 evaluated)."
        assert verdict(hinted).headline == "No rule found a problem (1 evaluated); worth a look: 1 hint."
        assert [point.advice for point in verdict(hinted).points] == ["Set lr=0.002."]

    def test_training_without_a_loss_is_not_called_well(self) -> None:
        found = RuleResult("StepOutlier", NO_ISSUES_FOUND, "Nothing.", kind="profiling")
        judged = verdict(DebugReport("job", profile=Profile(results=(found,)), rules=None))
        assert judged.level == "unknown"
        assert "Training could not be evaluated: no loss was recorded." in judged.headline

    @pytest.mark.parametrize("steps", [40, 4000])
    def test_the_first_loss_is_that_of_the_first_step_however_long_the_run(self, steps: int) -> None:
        trial = MemoryTrial(ended=True)
        values = [2.5, *(1.0 / (step + 1) for step in range(1, steps))]
        trial.add_step(0, TRAIN, global_step=0)
        trial.add_numbers(made_up.LOSS, range(steps), values, TRAIN, collection="losses")
        report = DebugReport("job", trial=trial)
        assert verdict(report).numbers[0][2] == "smoothed; 2.5 at step 0"
        assert "Training loss went from 2.5 at step 0 to" in document(report).decode()

    def test_epochs_without_an_evaluation_are_counted(self) -> None:
        trial = MemoryTrial(ended=True)
        trial.run["steps_per_epoch"] = 5
        trial.add_numbers(made_up.LOSS, range(20), [1 / (step + 1) for step in range(20)], TRAIN, collection="losses")
        trial.add_numbers(made_up.LOSS, [0, 1], [0.5, 0.3], EVAL, collection="losses")
        for step in range(20):
            trial.add_step(step, TRAIN, global_step=step + step // 10)
        for step in range(2):
            trial.add_step(step, EVAL, global_step=11 * step + 10)
        assert ("Training steps", "20", "4 epochs") in verdict(DebugReport("job", trial=trial)).numbers

    def test_a_job_that_a_rule_ended_says_so_everywhere(self) -> None:
        report = DebugReport("job", trial=made_up.trial(epochs=1))
        report.__dict__["stored"] = {"stopped": {"rule": "ExplodingTensor", "epoch": 2, "reason": "The loss is NaN."}}
        said = "A rule ended the job after epoch 2: ExplodingTensor. The loss is NaN."
        assert said in report.to_text(width=120)
        assert said in report._repr_html_()

    @pytest.mark.parametrize(
        ("reason", "cause"),
        [
            (
                f"AlgorithmError: The script was ended by SIGKILL. {SCRIPT_ERROR.format('…och 7/20 train:loss=0.1')}",
                "The script was ended by SIGKILL.",
            ),
            (f"AlgorithmError: {SCRIPT_ERROR.format('epoch 1')}", "ValueError: lr is negative."),
            ("ClientError: No such bucket", "No such bucket."),
        ],
    )
    def test_a_job_that_failed_says_why_without_its_log(self, reason: str, cause: str) -> None:
        job = {"TrainingJobStatus": "Failed", "FailureReason": reason}
        report = DebugReport("job", trial=made_up.trial(epochs=1), recording=Recording("job", Parts(), job=job))
        said = f"SageMaker says: {cause} The log has more: dogbreed logs job."
        assert said in report.to_text(width=200)
        assert said in document(report).decode()

    def test_nothing_to_judge_is_not_well(self) -> None:
        assert verdict(DebugReport("nothing", trial=MemoryTrial(ended=True), rules=["Overfit"])).level == "unknown"

    def test_the_numbers_that_matter(self, report: DebugReport) -> None:
        names = [name for name, _, _ in verdict(report).numbers]
        assert names[:4] == ["Highest validation accuracy", "Lowest validation loss", "Training loss", "Training steps"]
        assert "Duration" in names


class TestSummary:
    def test_accuracy_and_verdict_are_first_and_the_page_last(self, report: DebugReport) -> None:
        lines = report.to_text().splitlines()
        assert lines[0].startswith("Highest validation accuracy: ")
        assert lines[1].startswith("! ")
        assert "DeadRelu" in lines[1]
        assert lines[-1].endswith("dogbreed report made-up-job --html report.html")
        assert any("Issue found" in line and "[steps " in line for line in lines)
        assert any("-> " in line for line in lines)

    @pytest.mark.parametrize("width", [40, 80, 120])
    def test_it_fits_the_terminal(self, report: DebugReport, width: int) -> None:
        assert max(map(len, report.to_text(width=width).splitlines()[:-1])) <= width

    def test_names_from_disk_cannot_command_a_terminal(self) -> None:
        finding = Finding("\x1b[2Jgradient\nnext")
        brought = RuleResult("Odd", ISSUES_FOUND, "", findings=(finding,), kind="profiling")
        named = RuleResult("Na\x1b[2Jme\u202e", ISSUES_FOUND, "m", kind="profiling")
        report = DebugReport("a\x1b[31mb", profile=Profile(results=(brought, named)))
        for text in (report.to_text(), report.to_text(width=40), report.headline()):
            assert not {"\x1b", "\u202e"} & set(text)

    def test_rules_that_could_not_judge_take_one_line(self) -> None:
        report = DebugReport("job", trial=made_up.trial(epochs=1))
        why = "No GPU: nothing to say. Use one."
        names = ("LowGPUUtilization", "BatchSize")
        report.__dict__["rules"] = [RuleResult(name, NOT_EVALUATED, why) for name in names]
        report.__dict__["rules"].append(RuleResult("DeadRelu", NOT_EVALUATED, "No ReLUs were recorded."))
        lines = report.to_text(width=120).splitlines()
        [line] = [line for line in lines if "Not evaluated" in line]
        assert line.endswith("3 rules, for the reasons in --html and --json: LowGPUUtilization, BatchSize, DeadRelu")

    def test_what_could_not_be_read_is_shown(self) -> None:
        trial = made_up.trial(epochs=1)
        trial.problems.append("Event file 7 is truncated.")
        assert "Event file 7 is truncated." in DebugReport("job", trial=trial).to_text()


class TestCurves:
    def test_validation_by_epoch_with_its_best(self) -> None:
        loss = curves(made_up.trial(epochs=12, steps=25, turns=5))["loss"]
        assert loss.numbers.tolist() == list(range(1, 13))
        assert loss.positions.tolist() == [25 * epoch - 1 for epoch in range(1, 13)]
        assert loss.best == int(np.argmin(loss.valid))

    def test_accuracy_counts_the_last_batch_by_its_size(self) -> None:
        trial = MemoryTrial(run={"sizes": {"valid": 10}, "batch_size": 8})
        trial.add_step(0, TRAIN, global_step=0)
        for step, right in enumerate((0.5, 1.0)):
            trial.add_step(step, EVAL, global_step=step + 1)
            trial.add("accuracy", step, EVAL, right, collection="metrics")
        assert curves(trial)["accuracy"].valid.tolist() == [pytest.approx(0.6)]

    def test_smoothing_keeps_level_trend_and_gaps(self) -> None:
        assert smoothed(np.full(9, 2.5)) == pytest.approx(2.5)
        ramp = np.arange(200.0)
        assert smoothed(ramp)[20:-20] == pytest.approx(ramp[20:-20])
        holed = np.array([1.0, np.nan, 1.0, np.inf, 1.0])
        assert np.isfinite(smoothed(holed)).tolist() == [True, False, True, False, True]

    def test_a_huge_value_spoils_no_more_of_the_smoothed_curve_than_its_neighbors(self) -> None:
        values = np.ones(200)
        values[20] = 1e30
        assert smoothed(values)[np.r_[:10, 40:200]] == pytest.approx(1.0)

    def test_a_curve_that_breaks_off_is_none_the_worse(self) -> None:
        assert curves(MemoryTrial()) == {}
        trial = MemoryTrial()
        trial.add_step(0, TRAIN, global_step=0)
        trial.add("loss_output_0", 0, TRAIN, float("nan"), collection="losses")
        assert curves(trial)["loss"].best is None

    def test_steps_of_an_evaluation_lie_where_training_was_then(self) -> None:
        trial = made_up.trial(epochs=3, steps=10)
        assert train_position(trial, EVAL, np.array([0, 2])).tolist() == [9, 29]
        assert np.isnan(train_position(trial, "PREDICT", np.array([0]))).all()


def test_a_report_imports_no_numpy_before_it_is_needed() -> None:
    code = (
        "import sys, dogbreed_sdk; dogbreed_sdk.DebugReport; import dogbreed_sdk.cli.parser;"
        "assert not {'numpy', 'torch', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class TestRealRecordings:
    @pytest.mark.parametrize("name", ["healthy", "healthy_reductions"])
    def test_a_healthy_run_is_well(self, fixtures_folder: Path, name: str) -> None:
        report = DebugReport.load(fixtures_folder / "smdebug-trials" / name)
        assert not [result.name for result in report.rules if result.status == ISSUES_FOUND]
        assert verdict(report).level in ("well", "hint")

    def test_vanishing_gradients_are_found(self, fixtures_folder: Path) -> None:
        report = DebugReport.load(fixtures_folder / "smdebug-trials" / "vanishing")
        assert status(report, "VanishingGradient") == ISSUES_FOUND

    def test_awss_profiler_report_is_shown_as_it_says(self, fixtures_folder: Path) -> None:
        report = DebugReport.load(fixtures_folder / "aws-profiler-report")
        assert status(report, "LowGPUUtilization") == ISSUES_FOUND
        assert status(report, "CPUBottleneck") != ISSUES_FOUND
        usage = {entry.what: entry for entry in report.profile.usage} if report.profile else {}
        assert isinstance(usage["GPU"], Statistics)
        assert (usage["GPU"].maximum, usage["GPU"].p50) == (91.0, 7.0)
        assert verdict(report).level == "slow"
