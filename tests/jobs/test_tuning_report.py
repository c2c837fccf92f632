"""The report on a search: trials best first, what mattered, what to search next, and no number without evidence."""

from __future__ import annotations

import json
import shlex
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.client import BaseClient

from dogbreed_sdk import ConfigurationError, DebugReport, RecordingError, Session, TuningJob
from dogbreed_sdk.cli import main
from dogbreed_sdk.cli.trainer_options import search as read_search
from dogbreed_sdk.jobs.tuning_report.facts import place
from dogbreed_sdk.jobs.tuning_report.reasons import with_reason
from dogbreed_sdk.jobs.tuning_report.report import TuningReport
from dogbreed_sdk.local.tuning.search_space import Range, read_ranges
from tests.jobs import searches

pytestmark = pytest.mark.extras

# Best at lr = 0.01; trials of the kind "bad" fail.
SCRIPT = """
import argparse, math
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--kind")
options = parser.parse_args()
if options.kind == "bad":
    raise RuntimeError("out of dogs")
print(f"score={1 - abs(math.log10(options.lr) + 2) / 4:.6f}")
"""


def next_of(report: TuningReport) -> dict[str, Any]:
    return {entry.name: entry for entry in report.next_search.ranges}


class TestRanking:
    def test_trials_stand_best_first_and_those_without_an_objective_last(self) -> None:
        made = [searches.trial(1, 0.7, lr=0.1), searches.trial(2, None, "Failed"), searches.trial(3, 0.9, lr=0.2)]
        report = TuningReport.of(searches.described(), made)
        assert [trial.name for trial in report.ranked] == ["dogs-003", "dogs-001", "dogs-002"]
        config = {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "valid:loss"}}
        report = TuningReport.of(searches.described(config=config), made)
        assert [trial.name for trial in report.ranked] == ["dogs-001", "dogs-003", "dogs-002"]

    def test_the_objective_of_a_failed_trial_does_not_count(self) -> None:
        made = [searches.trial(1, 0.7, lr=0.1), searches.trial(2, 0.99, "Failed", lr=0.1)]
        assert TuningReport.of(searches.described(), made).best == made[0]

    def test_the_best_so_far_follows_the_order_of_the_ends(self) -> None:
        made = [searches.trial(3, 0.7, lr=0.1), searches.trial(1, 0.5, lr=0.1), searches.trial(2, 0.6, lr=0.1)]
        found = TuningReport.of(searches.described(), made).improvements()
        assert [(number, trial.objective) for number, trial in found] == [(1, 0.5), (2, 0.6), (3, 0.7)]


class TestReasons:
    @pytest.mark.parametrize(
        ("config", "secondary", "reason"),
        [
            ({}, "Stopped", "fell behind the median"),
            ({"Strategy": "Hyperband"}, "Stopped", "Hyperband stopped it"),
            ({}, "MaxRuntimeExceeded", "reached its time limit"),
            ({"TrainingJobEarlyStoppingType": "Off"}, "Stopped", "stopped from outside"),
        ],
    )
    def test_a_stopped_trial_has_the_reason_of_its_stop(self, config: Any, secondary: str, reason: str) -> None:
        stopped = searches.trial(1, 0.5, "Stopped")
        found = with_reason(stopped, searches.described(config=config), lambda _: {"SecondaryStatus": secondary})
        assert reason in found.reason

    def test_trials_that_end_with_a_stopped_search_were_stopped_with_it(self) -> None:
        stopped = searches.trial(1, 0.5, "Stopped")
        end = searches.BEGIN + timedelta(minutes=1, seconds=5)
        search = searches.described(HyperParameterTuningJobStatus="Stopped", HyperParameterTuningEndTime=end)
        assert with_reason(stopped, search, lambda _: {}).reason == "The search was stopped."

    def test_a_failed_trial_has_its_cause_and_a_completed_one_without_objective_says_so(self) -> None:
        failed = replace(searches.trial(1, None, "Failed"), failure="AlgorithmError: RuntimeError: out of dogs")
        assert "out of dogs" in with_reason(failed, searches.described(), lambda _: {}).reason
        silent = with_reason(searches.trial(1, None), searches.described(), lambda _: {})
        assert silent.reason == "It reported no valid:accuracy."


class TestWhatMattered:
    def test_the_hyperparameter_that_matters_leads_and_the_other_may_be_chance(self) -> None:
        found = searches.report(40).importance
        assert next(iter(found.shares)) in ("lr", "batch-size")
        assert sum(found.shares.values()) == pytest.approx(1)
        assert found.is_certain("lr")
        assert found.is_certain("batch-size")
        assert not found.is_certain("weight-decay")
        assert found.shares["weight-decay"] < found.shares["lr"]

    def test_too_few_trials_get_a_sentence_and_no_number(self) -> None:
        found = searches.report(12).importance
        assert found.shares == {}
        assert found.reason.startswith("Too few trials to say what mattered: 12 with an objective")
        text = searches.report(12).to_text()
        assert str(searches.report(12)) == text
        assert found.reason in " ".join(text.split())
        assert "%" not in text.partition("What mattered")[2].partition("What to search next")[0]

    def test_chance_alone_is_rarely_taken_for_an_effect(self) -> None:
        generator = np.random.default_rng(0)
        wrong = 0
        for _ in range(60):
            made = [replace(each, objective=float(generator.normal())) for each in searches.trials(12)]
            found = TuningReport.of(searches.described(), made).importance.chances
            wrong += sum(chance <= 0.1 for chance in found.values())
        assert wrong / (60 * 3) < 0.17  # 0.1, with the noise of 180 questions

    def test_an_interaction_is_reported_only_where_there_is_one(self) -> None:
        [found] = searches.report(60, best_lr=0.004, together=True).interactions
        assert found.names == ("lr", "batch-size")
        assert "batch-size=32" in found.description
        assert searches.report(60).interactions == []
        assert searches.report(12, together=True).interactions == []


class TestNextSearch:
    def test_a_range_is_narrowed_around_an_inner_optimum(self) -> None:
        found = next_of(searches.report(30, best_lr=0.004))
        lr = found["lr"]
        assert lr.change == "narrowed"
        assert lr.range.low < 0.004 < lr.range.high
        assert lr.range.low > 0.0002
        assert lr.range.high < 0.08
        assert found["weight-decay"].change == "kept"
        assert (found["weight-decay"].range.low, found["weight-decay"].range.high) == (0.001, 1.0)

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_a_range_is_extended_where_the_best_lies_at_its_end(self, seed: int) -> None:
        high = next_of(searches.report(24, best_lr=0.5, seed=seed))["lr"]
        low = next_of(searches.report(24, best_lr=2e-5, seed=seed))["lr"]
        assert (high.change, low.change) == ("extended", "extended")
        assert high.range.high == pytest.approx(1.0)
        assert low.range.low == pytest.approx(1e-5)

    def test_an_extended_range_stays_within_what_the_script_accepts(self) -> None:
        ranges = {"ContinuousParameterRanges": [{"Name": "dropout", "MinValue": "0.0", "MaxValue": "0.8"}]}
        shares = np.linspace(0, 0.8, 12).tolist()
        made = [searches.trial(index, share, dropout=share) for index, share in enumerate(shares)]
        [entry] = TuningReport.of(searches.described(config={"ParameterRanges": ranges}), made).next_search.ranges
        assert entry.change == "extended"
        assert entry.range is not None
        assert 0.8 < entry.range.high < 1

    @pytest.mark.parametrize(
        ("kind", "low", "high", "scaling", "upward"),
        [
            ("Continuous", 0.9, 0.99, "ReverseLogarithmic", True),
            ("Continuous", 0.9, 0.99, "ReverseLogarithmic", False),
            ("Integer", 1, 64, "Logarithmic", False),
            ("Integer", 2, 9, "Linear", True),
            ("Continuous", -1.0, 1.0, "Linear", False),
        ],
    )
    def test_an_extended_range_of_any_scale_is_one_that_sagemaker_accepts(
        self, kind: str, low: float, high: float, scaling: str, upward: bool
    ) -> None:
        wire = {"Name": "a", "MinValue": str(low), "MaxValue": str(high), "ScalingType": scaling}
        values = [low + (high - low) * share for share in np.linspace(0, 1, 15).tolist()]
        values = [round(value) for value in values] if kind == "Integer" else values
        made = [searches.trial(n, value if upward else -value, a=value) for n, value in enumerate(values)]
        config = {"ParameterRanges": {f"{kind}ParameterRanges": [wire]}}
        report = TuningReport.of(searches.described(config=config), made)
        [found] = read_ranges(report.to_dict()["next_search"]["ranges"])
        ends = (1 - found.high, 1 - found.low) if found.reverse else (found.low, found.high)
        best = high if upward else low
        assert ends[0] <= best <= ends[1]
        if (kind, low) != ("Integer", 1):  # nothing lies below
            assert report.next_search.ranges[0].change == "extended"
            assert ends[1] > high if upward else ends[0] < low

    def test_winners_among_categories_are_kept_and_a_single_one_is_fixed(self) -> None:
        report = searches.report(40, best_sizes=(64,))
        size = next_of(report)["batch-size"]
        assert (size.change, size.value) == ("fixed", "64")
        document = report.to_dict()["next_search"]
        assert document["fixed"] == {"batch-size": "64"}
        assert "--batch-size 64" in document["command"]
        assert "CategoricalParameterRanges" not in document["ranges"]

    def test_too_few_trials_propose_nothing(self) -> None:
        report = searches.report(5)
        assert report.next_search.ranges == ()
        assert "takes 6" in report.next_search.reason

    def test_the_command_is_one_that_the_command_line_understands(self) -> None:
        report = searches.report(30)
        words = shlex.split(report.to_dict()["next_search"]["command"])
        ranges = read_search([words[index + 1] for index, word in enumerate(words) if word == "--search"])
        assert ranges is not None
        lr = next_of(report)["lr"].range
        assert (ranges["lr"].min_value, ranges["lr"].max_value) == (lr.low, lr.high)
        assert ranges["lr"].scaling_type == "Logarithmic"
        assert words[words.index("--epochs") + 1] == "12"
        assert words[words.index("--warm-start") + 1] == "dogs"

    def test_the_python_form_is_what_tune_takes(self) -> None:
        from sagemaker.core import parameter  # noqa: PLC0415 - a second, for this test alone

        written = searches.report(30).to_dict()["next_search"]["python"]
        names: dict[str, Any] = dict(vars(parameter))
        exec(written, names)
        assert set(names["search"]) == {"lr", "weight-decay", "batch-size"}
        assert names["search"]["lr"].scaling_type == "Logarithmic"

    def test_scripts_of_other_authors_get_ranges_and_no_command(self) -> None:
        definition = {"StaticHyperParameters": {"sagemaker_program": '"train.py"'}}
        made = TuningReport.of(searches.described(TrainingJobDefinition=definition), searches.trials(30))
        found = made.to_dict()["next_search"]
        assert found["command"] is None
        assert {entry["Name"] for entry in found["ranges"]["ContinuousParameterRanges"]} == {"lr", "weight-decay"}


class TestForms:
    def test_ranges_that_sagemaker_does_not_report_are_those_of_the_values(self) -> None:
        report = TuningReport.of(searches.described(config={"ParameterRanges": {}}), searches.trials(30))
        lr = report.facts.range("lr")
        assert report.facts.inferred == {"lr", "weight-decay", "batch-size"}
        assert lr is not None
        assert lr.logarithmic

    def test_the_search_with_several_definitions_compares_the_trials_of_the_best(self) -> None:
        several = [
            {"DefinitionName": name, "TuningObjective": {"Type": "Maximize", "MetricName": "valid:accuracy"},
             "HyperParameterRanges": searches.RANGES, "StaticHyperParameters": {}}
            for name in ("one", "two")
        ]  # fmt: skip
        search = searches.described(TrainingJobDefinitions=several, TrainingJobDefinition=None)
        search["HyperParameterTuningJobConfig"].pop("HyperParameterTuningJobObjective")
        turns = enumerate(searches.trials(40))
        made = [replace(each, definition="two" if number % 2 else "one") for number, each in turns]
        report = TuningReport.of(search, made)
        assert report.best is not None
        assert {trial.definition for trial in report.compared} == {report.best.definition}
        assert report.facts.maximize
        assert report.importance.trials == 20

    def test_a_value_on_a_reverse_scale_has_its_place(self) -> None:
        momentum = Range("momentum", "continuous", 0.001, 0.1, logarithmic=True, reverse=True)
        assert place(momentum, 0.9) == pytest.approx(0)
        assert place(momentum, 0.99) == pytest.approx(0.5)
        assert place(momentum, 0.999) == pytest.approx(1)

    @pytest.mark.parametrize("width", [40, 80, 120])
    def test_the_summary_keeps_to_its_width_but_for_the_command(self, width: int) -> None:
        lines = searches.report(30).to_text(width=width).split("\n")
        assert max(len(line) for line in lines if "dogbreed tune" not in line) <= width

    @pytest.mark.parametrize(("limit", "said"), [(1, "1 of 1 trial ended"), (6, "1 of 6 trials ended")])
    def test_one_trial_is_counted_as_one(self, limit: int, said: str) -> None:
        config = {"ResourceLimits": {"MaxNumberOfTrainingJobs": limit, "MaxParallelTrainingJobs": 1}}
        report = TuningReport.of(searches.described(config=config), [searches.trial(1, 0.7, lr=0.1)])
        assert said in report.to_text()
        assert repr(report).endswith(" 1 trial)")

    def test_an_empty_search_has_every_form(self, tmp_path: Path) -> None:
        report = TuningReport.of(searches.described(HyperParameterTuningJobStatus="InProgress"), [])
        assert "No trial has reported valid:accuracy yet." in report.to_text()
        assert report.to_dict()["best"] is None
        assert report._repr_html_()
        assert report.to_html(tmp_path).stat().st_size < 200_000

    def test_the_page_holds_nothing_of_the_data_unescaped(self, tmp_path: Path) -> None:
        made = [replace(searches.trial(1, None, "Failed", lr=0.1), reason="<img src=x onerror=alert(1)>")]
        page = TuningReport.of(searches.described(), made).to_html(tmp_path).read_text()
        assert "<img" not in page


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TuningJob]:
    """A search of eight trials with a stranger's script, of which those of one kind fail."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "train.py").write_text(SCRIPT)
    with tarfile.open(folder / "source.tar.gz", "w:gz") as tar:
        tar.add(folder / "train.py", "train.py")
    with Session.local(folder / "root") as session:
        session.client("sagemaker").create_hyper_parameter_tuning_job(
            HyperParameterTuningJobName="strangers",
            HyperParameterTuningJobConfig={
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 8, "MaxParallelTrainingJobs": 4},
                "ParameterRanges": {
                    "ContinuousParameterRanges": [{"Name": "lr", "MinValue": "0.0001", "MaxValue": "1.0"}],
                    "CategoricalParameterRanges": [{"Name": "kind", "Values": ["good", "fine", "bad"]}],
                },
            },
            TrainingJobDefinition={
                "RoleArn": "arn:aws:iam::000000000000:role/local",
                "AlgorithmSpecification": {
                    "TrainingImage": "local",
                    "TrainingInputMode": "File",
                    "MetricDefinitions": [{"Name": "score", "Regex": "score=([-0-9.]+)"}],
                },
                "OutputDataConfig": {"S3OutputPath": (folder / "output").as_uri()},
                "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
                "StoppingCondition": {"MaxRuntimeInSeconds": 60},
                "StaticHyperParameters": {
                    "sagemaker_program": json.dumps("train.py"),
                    "sagemaker_submit_directory": json.dumps((folder / "source.tar.gz").as_uri()),
                },
            },
        )
        job = TuningJob("strangers", session)
        yield job.wait(timeout=60, progress=lambda _: None)
        job.delete()


class TestRealSearch:
    def test_its_trials_stand_best_first_with_the_cause_of_failures(self, search: TuningJob) -> None:
        report = search.report()
        values = [trial.objective for trial in report.ranked if trial.objective is not None]
        assert values == sorted(values, reverse=True)
        assert report.best is not None
        assert report.best.name == search.best.job.name
        failed = [trial for trial in report.ranked if trial.status == "Failed"]
        assert failed
        assert all("RuntimeError: out of dogs" in trial.reason for trial in failed)
        assert report.ranked[-len(failed) :] == tuple(failed)

    def test_the_command_reports_on_it(
        self, search: TuningJob, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        root = str(search.session.root)
        page = tmp_path / "search.html"
        assert main(["report", "strangers", "--root", root, "--json", "--html", str(page)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["best"]["name"] == search.best.job.name
        assert document["html"] == str(page)
        assert page.read_bytes().startswith(b"<!doctype html>")
        assert main(["report", "strangers", "--root", root]) == 0
        out = capsys.readouterr().out
        assert out.startswith("+ The best score is ")
        assert "RuntimeError: out of dogs" in out

    def test_it_is_read_by_list_and_describe_calls_alone(
        self, search: TuningJob, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        called: set[str] = set()
        call = BaseClient._make_api_call

        def noting(client: BaseClient, operation: str, arguments: Any) -> Any:
            called.add(operation)
            return call(client, operation, arguments)

        monkeypatch.setattr(BaseClient, "_make_api_call", noting)
        search.report().to_text()
        assert called
        assert called <= {
            "DescribeHyperParameterTuningJob",
            "DescribeTrainingJob",
            "ListTrainingJobsForHyperParameterTuningJob",
        }

    def test_as_a_recording_it_is_refused_with_the_way_to_its_report(self, search: TuningJob) -> None:
        with pytest.raises(RecordingError, match="dogbreed report strangers"):
            DebugReport.load("strangers", session=search.session)


class TestPlot:
    def test_there_is_one_axes_per_hyperparameter_on_the_scale_of_its_range(self) -> None:
        pytest.importorskip("matplotlib")
        report = TuningReport.of(searches.described(), searches.trials(12))
        figure = report.plot()
        axes = {each.get_xlabel(): each for each in figure.axes}
        assert sorted(axes) == ["batch-size", "lr", "weight-decay"]
        assert [axes[name].get_xscale() for name in ("lr", "batch-size")] == ["log", "linear"]
        trials, best = axes["lr"].lines
        assert sorted(map(float, trials.get_ydata())) == sorted(float(trial.objective or 0) for trial in report.trials)
        assert report.best is not None
        assert float(best.get_xdata()[0]) == report.best.hyperparameters["lr"]
        assert [tick.get_text() for tick in axes["batch-size"].get_xticklabels()] == ["32", "64", "128"]

    def test_trials_without_an_objective_are_left_out(self) -> None:
        pytest.importorskip("matplotlib")
        made = [searches.trial(1, 0.7, lr=0.01), searches.trial(2, None, "Failed", lr=0.1)]
        figure = TuningReport.of(searches.described(), made).plot()
        assert [len(each.lines[0].get_xdata()) for each in figure.axes] == [1]
        with pytest.raises(ConfigurationError, match="none has reported valid:accuracy yet"):
            TuningReport.of(searches.described(), made[1:]).plot()
