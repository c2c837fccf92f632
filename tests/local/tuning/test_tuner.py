"""Tuning jobs: what is proposed, what is believed, when it ends, and what a killed process loses (nothing)."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from dogbreed_sdk._util.cores import CORES_VARIABLE
from dogbreed_sdk._util.processes import is_alive, wait_for_end
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local import Store
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.states import RUNNING_STATUSES
from dogbreed_sdk.local.store import TRAINING_JOB, TUNING_JOB, Record, StoreError
from dogbreed_sdk.local.tuning import convergence, runner
from dogbreed_sdk.local.tuning.convergence import has_converged, jobs_without_improvement
from dogbreed_sdk.local.tuning.early_stopping import is_hopeless
from dogbreed_sdk.local.tuning.request import TuningRequest
from dogbreed_sdk.local.tuning.search import create_search, random_starts
from dogbreed_sdk.local.tuning.search_space import read_ranges
from dogbreed_sdk.local.tuning.trial import Trial
from dogbreed_sdk.local.tuning.tuner import Tuner
from tests.passing_time import PassingTime
from tests.waiting import wait_for

# Best at lr = 0.01 with "good".
SCRIPT = """
import argparse, math, time
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--kind", default="good")
parser.add_argument("--size", default="1")
parser.add_argument("--epochs", type=int, default=1)
options = parser.parse_args()
score = 1 - abs(math.log10(options.lr) + 2) / 4 - (options.kind != "good") / 2
for epoch in range(options.epochs):
    print(f"objective={score:.6f}", flush=True)
    time.sleep(0.1)
"""
# As slow as the tuner: an epoch ends when its value is known there.
IN_STEP = SCRIPT.replace(
    "    time.sleep(0.1)\n",
    "    seen = os.environ['SEEN'] + os.environ['TRAINING_JOB_NAME'] + '-' + str(epoch + 1)\n"
    "    while not os.path.exists(seen): time.sleep(0.02)\n",
).replace("import argparse, math, time", "import argparse, math, os, time")
RANGES = {
    "ContinuousParameterRanges": [{"Name": "lr", "MinValue": "0.0001", "MaxValue": "1.0"}],
    "CategoricalParameterRanges": [{"Name": "kind", "Values": ["bad", "good"]}],
}


class Tunings:
    """Runs tuning jobs as the API does, without HTTP in between."""

    def __init__(self, store: Store, script: Callable[[str], dict[str, str]], training_request: Any) -> None:
        self.store = store
        self._script = script
        self._training_request = training_request
        self._launch: Callable[[Store, str], None] = runner.start_tuning_job

    def start(
        self, text: str = SCRIPT, *, ranges: Any = None, jobs: int = 4, parallel: int = 2, **changes: Any
    ) -> None:
        static = {**self._script(text), **changes.pop("static", {})}
        definition = self._training_request("unused", None, StaticHyperParameters=static, TrainingJobName=None)
        definition["AlgorithmSpecification"]["MetricDefinitions"] = [
            {"Name": "score", "Regex": "objective=([-0-9.]+)"},
            {"Name": "other", "Regex": "other=([-0-9.]+)"},
        ]
        definition.update(changes.pop("definition", {}))
        limits = {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": parallel, **changes.pop("limits", {})}
        configuration = {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ParameterRanges": ranges or RANGES,
            "ResourceLimits": limits,
            **changes.pop("configuration", {}),
        }
        request = {
            "HyperParameterTuningJobName": "search",
            "HyperParameterTuningJobConfig": configuration,
            "TrainingJobDefinition": definition,
            **changes,
        }
        self.store.create(TUNING_JOB, "search", request, {"status": "InProgress", "trials": [], "process": None})
        self._launch(self.store, "search")

    def execute(self, store: type[Store] = Store, tuner: type[Tuner] = Tuner, **options: Any) -> Record:
        """Run a search of two trials, one after the other, in this process, on a store of this class."""
        self._launch = lambda _store, name: JobFolder.of(self.store.root, name).path.mkdir(parents=True)
        self.start(**{"jobs": 2, "parallel": 1, **options})
        opened = store(self.store.root)
        tuner(opened, "search").execute()
        opened.close()
        return self.get()

    def execute_in_step(self, seen: Path, **options: Any) -> Record:
        """Run a search whose trials wait after each epoch until the tuner has decided about them."""
        seen.mkdir()

        class Showing(Tuner):
            def _follow(self, trial: Trial) -> None:
                super()._follow(trial)
                for epoch in range(len(trial.values)):
                    (seen / f"{trial.name}-{epoch + 1}").touch()

        definition = {"Environment": {"SEEN": f"{seen}/"}}
        return self.execute(tuner=Showing, text=IN_STEP, definition=definition, **options)

    def get(self) -> Record:
        return self.store.get(TUNING_JOB, "search")

    def trials(self) -> list[Record]:
        return self.store.list(TRAINING_JOB)

    def until(self, condition: Callable[[], Any]) -> None:
        wait_for(condition, state=lambda: self.get().state)

    def ended(self) -> Record:
        self.until(lambda: self.get().state["status"] not in RUNNING_STATUSES)
        return self.get()

    def run(self, text: str = SCRIPT, **options: Any) -> Record:
        self.start(text, **options)
        return self.ended()


@pytest.fixture
def tunings(store: Store, script: Any, training_request: Any) -> Tunings:
    return Tunings(store, script, training_request)


class TestSearch:
    def test_it_runs_training_jobs_and_finds_the_best(self, tunings: Tunings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(CORES_VARIABLE, "2")
        record = tunings.run(jobs=5, parallel=2, static={"epochs": "2"})
        trials = tunings.trials()
        assert record.state["status"] == "Completed", record.state["failure"]
        assert [trial.name for trial in trials] == record.state["trials"]
        assert len(trials) == 5
        assert trials[0].name.startswith("search-001-")
        values = {trial.name: trial.state["metrics"]["score"]["value"] for trial in trials}
        assert record.state["best"] == max(values, key=lambda name: values[name])
        for trial in trials:
            assert trial.state["tuning_job"] == "search"
            assert trial.state["threads"] == 1
            assert trial.request["HyperParameters"].items() >= trial.state["tuned"].items()
            assert trial.request["HyperParameters"]["epochs"] == "2"
        edges = [(trial.state["started"], 1) for trial in trials] + [(trial.state["ended"], -1) for trial in trials]
        assert max(itertools.accumulate(change for _, change in sorted(edges))) == 2

    def test_a_grid_has_every_combination_once(self, tunings: Tunings) -> None:
        names = {"kind": ["good", "bad"], "size": ["1", "2"]}
        ranges = {"CategoricalParameterRanges": [{"Name": name, "Values": values} for name, values in names.items()]}
        record = tunings.run(ranges=ranges, configuration={"Strategy": "Grid"}, parallel=2)
        tuned = [(trial.state["tuned"]["kind"], trial.state["tuned"]["size"]) for trial in tunings.trials()]
        assert record.state["status"] == "Completed"
        assert sorted(tuned) == [("bad", "1"), ("bad", "2"), ("good", "1"), ("good", "2")]

    def test_a_search_ends_when_every_combination_was_tried(self, tunings: Tunings) -> None:
        ranges = {"CategoricalParameterRanges": [{"Name": "kind", "Values": ["good", "bad"]}]}
        record = tunings.run("print('objective=1')", ranges=ranges, jobs=6, configuration={"Strategy": "Random"})
        assert record.state["status"] == "Completed"
        assert sorted(trial.state["tuned"]["kind"] for trial in tunings.trials()) == ["bad", "good"]

    def test_the_last_value_counts(self, tunings: Tunings) -> None:
        text = (
            "import sys; good = 'good' in sys.argv; print('objective=0.9'); print(f'objective={0.5 if good else 0.1}')"
        )
        ranges = {"CategoricalParameterRanges": [{"Name": "kind", "Values": ["bad", "good"]}]}
        record = tunings.run(text, ranges=ranges, configuration={"Strategy": "Grid"}, jobs=2, parallel=1)
        best = tunings.store.get(TRAINING_JOB, record.state["best"])
        assert best.state["tuned"] == {"kind": "good"}

    @pytest.mark.parametrize("printing", ["'algo-2'", "host"])
    def test_the_objective_may_come_from_any_host(self, tunings: Tunings, printing: str) -> None:
        text = (
            f"import os\nhost = os.environ['SM_CURRENT_HOST']\nif host == {printing}:\n"
            "    for epoch in range(3): print(f'objective=0.{epoch + 1}', flush=True)"
        )
        resources = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5}
        record = tunings.run(text, jobs=1, parallel=1, definition={"ResourceConfig": resources})
        (trial,) = tunings.trials()
        assert record.state["status"] == "Completed", record.state["failure"]
        assert record.state["best"] == trial.name
        assert trial.state["metrics"]["score"]["value"] == 0.3

    def test_each_trial_has_checkpoints_of_its_own(self, tunings: Tunings, tmp_path: Path) -> None:
        tunings.run(jobs=2, definition={"CheckpointConfig": {"S3Uri": (tmp_path / "kept").as_uri()}})
        folders = {trial.request["CheckpointConfig"]["S3Uri"] for trial in tunings.trials()}
        assert folders == {(tmp_path / "kept" / trial.name).as_uri() for trial in tunings.trials()}

    def test_hyperband_ends_bad_trials_early(self, tunings: Tunings, tmp_path: Path) -> None:
        configuration = {
            "Strategy": "Hyperband",
            "StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}},
        }
        record = tunings.execute_in_step(tmp_path / "seen", jobs=6, configuration=configuration, static={"epochs": "9"})
        statuses = [trial.state["status"] for trial in tunings.trials()]
        assert record.state["status"] == "Completed"
        assert statuses.count("Stopped") >= 1
        assert tunings.store.get(TRAINING_JOB, record.state["best"]).state["status"] == "Completed"


class TestEnds:
    def test_when_all_trials_fail_the_first_failure_is_shown(self, tunings: Tunings) -> None:
        record = tunings.run("raise RuntimeError('out of dogs')", jobs=2)
        assert record.state["status"] == "Failed"
        assert record.state["failure"].startswith("All training jobs failed.")
        assert tunings.trials()[0].name in record.state["failure"]
        assert "RuntimeError: out of dogs" in record.state["failure"]

    def test_a_script_that_prints_no_metric(self, tunings: Tunings) -> None:
        record = tunings.run("print('nothing to see')", jobs=2)
        assert [trial.state["status"] for trial in tunings.trials()] == ["Completed", "Completed"]
        assert record.state["status"] == "Failed"
        assert "'score'" in record.state["failure"]
        assert "MetricDefinitions" in record.state["failure"]

    @pytest.mark.parametrize(
        ("printed", "said"),
        [
            ("nan", "it printed 'nan' for the objective metric 'score', which is not a finite number"),
            ("-inf", "it printed '-inf' for the objective metric 'score', which is not a finite number"),
            ("", "captured '' from its log, which is not a number"),
            ("n/a", "captured 'n/a' from its log, which is not a number"),
        ],
    )
    def test_an_objective_that_is_no_number_is_repeated(self, tunings: Tunings, printed: str, said: str) -> None:
        metrics = [{"Name": "score", "Regex": "objective=(\\S*)"}]
        image = {"TrainingImage": "local/image", "TrainingInputMode": "File", "MetricDefinitions": metrics}
        definition = {"AlgorithmSpecification": image}
        record = tunings.run(f"print('objective={printed}')", jobs=1, definition=definition)
        assert record.state["status"] == "Failed"
        assert said in record.state["failure"]

    def test_a_long_failure_of_the_first_trial_keeps_its_type(self, tunings: Tunings) -> None:
        record = tunings.run("raise RuntimeError('out of dogs' + 'x' * 3000)", jobs=1)
        assert "RuntimeError: out of dogs" in record.state["failure"]
        assert len(record.state["failure"]) <= 1024

    def test_one_good_trial_is_enough(self, tunings: Tunings) -> None:
        text = "import sys\nif 'bad' in sys.argv: sys.exit(1)\nprint('objective=0.5')"
        ranges = {"CategoricalParameterRanges": [{"Name": "kind", "Values": ["bad", "good"]}]}
        record = tunings.run(text, ranges=ranges, configuration={"Strategy": "Grid"}, jobs=2)
        assert record.state["status"] == "Completed"
        assert tunings.store.get(TRAINING_JOB, record.state["best"]).state["tuned"] == {"kind": "good"}

    def test_a_target_that_is_reached_ends_the_search(self, tunings: Tunings) -> None:
        criteria = {"TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 0.01}}
        record = tunings.run(jobs=30, parallel=1, configuration=criteria)
        assert record.state["status"] == "Completed"
        assert len(tunings.trials()) < 10

    def test_a_search_that_has_converged_ends(self, tunings: Tunings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(convergence, "FEWEST_TRIALS", 1)
        criteria = {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}
        settings = {"TuningJobCompletionCriteria": criteria}
        record = tunings.execute(Store, text="print('objective=0.5')", jobs=9, configuration=settings)
        assert record.state["status"] == "Completed"
        assert len(tunings.trials()) == 2
        assert record.created < (record.state["converged"] or 0) <= (record.state["ended"] or 0)

    def test_stopping_stops_the_trials(self, tunings: Tunings) -> None:
        tunings.start(jobs=10, static={"epochs": "600"})
        tunings.until(lambda: [trial.state["secondary"] for trial in tunings.trials()] == ["Training"] * 2)
        runner.request_stop(tunings.store, "search")
        record = tunings.ended()
        assert record.state["status"] == "Stopped"
        assert [trial.state["status"] for trial in tunings.trials()] == ["Stopped", "Stopped"]

    def test_an_expression_that_never_ends_holds_up_no_end(self, tunings: Tunings) -> None:
        text = "import time\nprint('objective=0.5')\nprint('a' * 40 + '!', flush=True)\ntime.sleep(60)"
        metrics = [{"Name": "score", "Regex": r"^(?:(?:a+)+|objective=(.*))$"}]
        algorithm = {"TrainingImage": "local/image", "TrainingInputMode": "File", "MetricDefinitions": metrics}
        tunings.start(text, jobs=1, definition={"AlgorithmSpecification": algorithm})
        tunings.until(lambda: any(trial.state.get("metrics") for trial in tunings.trials()))
        runner.request_stop(tunings.store, "search")
        record = tunings.ended()
        assert record.state["status"] == "Stopped"
        (trial,) = tunings.trials()
        assert trial.state["metrics"]["score"]["value"] == 0.5
        assert record.state["best"] == trial.name

    def test_the_maximum_runtime_holds(self, tunings: Tunings, passing_time: PassingTime) -> None:
        definition = {"StoppingCondition": {"MaxRuntimeInSeconds": 86_400}}
        limits = {"MaxRuntimeInSeconds": 3600}
        tunings.start(jobs=10, static={"epochs": "6000"}, definition=definition, limits=limits)
        tunings.until(lambda: [trial.state["secondary"] for trial in tunings.trials()] == ["Training"] * 2)
        passing_time.move(3600)
        record = tunings.ended()
        assert record.state["status"] == "Stopped"
        trials = tunings.trials()
        assert [trial.state["status"] for trial in trials] == ["Stopped", "Stopped"]
        assert not any(is_alive(trial.state["scripts"][0]) for trial in trials)

    def test_a_killed_tuner_loses_nothing(self, tunings: Tunings, tmp_path: Path) -> None:
        third_waits = (
            "import os\n"
            f"while '-003-' in os.environ['TRAINING_JOB_NAME'] and not os.path.exists({str(tmp_path / 'go')!r}):\n"
            "    time.sleep(0.02)"
        )
        tunings.start(SCRIPT + third_waits, jobs=6, static={"epochs": "4"})
        tunings.until(lambda: [trial.state["secondary"] for trial in tunings.trials()[2:3]] == ["Training"])
        process = tunings.get().state["process"]
        running = [trial.name for trial in tunings.trials() if trial.state.get("started")]
        assert running
        os.kill(process["pid"], signal.SIGKILL)
        assert wait_for_end(process, timeout=60)
        (tmp_path / "go").touch()
        # The trials do not need it.
        tunings.until(lambda: all(tunings.store.get(TRAINING_JOB, name).state.get("ended") for name in running))
        assert tunings.get().state["status"] == "InProgress"
        for _ in range(3):
            runner.reconcile(tunings.store, "search")
        record = tunings.ended()
        trials = tunings.trials()
        assert record.state["status"] == "Completed", record.state["failure"]
        assert record.state["restarts"] == 1
        assert [trial.name[:11] for trial in trials] == [f"search-00{n}-" for n in range(1, 7)]
        assert [trial.name for trial in trials] == record.state["trials"]
        assert all(trial.state["status"] == "Completed" for trial in trials)
        values = {trial.name: trial.state["metrics"]["score"]["value"] for trial in trials}
        assert record.state["best"] == max(values, key=lambda name: values[name])

    def test_a_trial_whose_tuner_was_killed_before_its_start_is_started(self, tunings: Tunings) -> None:
        tunings.start(jobs=3, parallel=1, limits={"MaxRuntimeInSeconds": 60})
        tunings.ended()
        first = tunings.trials()[0]
        tunings.store.delete(TRAINING_JOB, first.name)
        fresh = {"status": "InProgress", "tuned": first.state["tuned"], "tuning_job": "search"}
        request = {**first.request, "TrainingJobName": "search-004-deadbeef"}
        tunings.store.create(TRAINING_JOB, "search-004-deadbeef", request, fresh)
        dead = {"pid": os.getpid(), "created": 1.0}
        trials = [trial.name for trial in tunings.trials()]
        again = {"status": "InProgress", "process": dead, "trials": trials}
        tunings.store.update(TUNING_JOB, "search", lambda state: state.update(again))
        runner.reconcile(tunings.store, "search")
        record = tunings.ended()
        assert record.state["trials"] == trials
        assert tunings.store.get(TRAINING_JOB, "search-004-deadbeef").state["status"] == "Completed"

    def test_a_busy_store_ends_no_search(self, tunings: Tunings) -> None:
        calls = itertools.count()

        class BusyStore(Store):
            def update(self, *arguments: Any) -> Record:
                if next(calls) % 3 == 1:
                    raise StoreError("database is locked")
                return super().update(*arguments)

        record = tunings.execute(BusyStore)
        assert record.state["status"] == "Completed", record.state["failure"]
        assert [trial.state["status"] for trial in tunings.trials()] == ["Completed"] * 2
        assert [trial.name for trial in tunings.trials()] == record.state["trials"]
        assert record.state["best"] in record.state["trials"]

    def test_a_trial_deleted_before_its_result_was_read_counts_as_failed(self, tunings: Tunings) -> None:
        class DeletingStore(Store):
            def get(self, kind: str, name: str) -> Record:
                record = super().get(kind, name)
                if name.startswith("search-001-") and record.state["status"] == "Completed":
                    self.delete(kind, name)
                return super().get(kind, name)

        record = tunings.execute(DeletingStore)
        assert record.state["status"] == "Completed", record.state["failure"]
        (second,) = tunings.trials()
        assert record.state["best"] == second.name

    def test_a_search_that_has_ended_does_not_go_on(self, tunings: Tunings) -> None:
        before = tunings.run(jobs=1)
        tunings.store.update(TUNING_JOB, "search", lambda state: state.update(best=None))
        changed = tunings.get()
        command = [
            sys.executable,
            "-m",
            "dogbreed_sdk.local.tuning.supervisor",
            str(tunings.store.root),
            "search",
        ]
        assert subprocess.run(command, check=False).returncode == 0
        assert tunings.get() == changed
        assert before.state["status"] == "Completed"

    def test_a_tuner_that_dies_again_and_again_is_given_up(self, tunings: Tunings) -> None:
        request = {"HyperParameterTuningJobName": "search"}
        dead = {"pid": os.getpid(), "created": 1.0}
        state = {"status": "InProgress", "process": dead, "restarts": 5}
        tunings.store.create(TUNING_JOB, "search", request, state)
        runner.reconcile(tunings.store, "search")
        record = tunings.get()
        assert record.state["status"] == "Failed"
        assert str(JobFolder.of(tunings.store.root, "search").supervisor_log) in record.state["failure"]


def configuration(strategy: str, **changes: Any) -> dict[str, Any]:
    return {"Strategy": strategy, "ResourceLimits": {"MaxNumberOfTrainingJobs": 12}, **changes}


class TestProposals:
    @pytest.mark.parametrize("strategy", ["Bayesian", "Random", "Hyperband"])
    def test_the_same_seed_proposes_the_same(self, strategy: str) -> None:
        def proposals(seed: int) -> list[Any]:
            search = create_search(configuration(strategy, RandomSeed=seed), RANGES, "Maximize")
            return [search.propose() for _ in range(4)]

        assert proposals(1) == proposals(1)
        assert proposals(1) != proposals(2)

    def test_bayesian_search_learns_where_the_best_lies(self) -> None:
        def typical(strategy: str, seed: int) -> float:
            settings = {"Strategy": strategy, "RandomSeed": seed, "ResourceLimits": {"MaxNumberOfTrainingJobs": 40}}
            ranges = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "-10", "MaxValue": "10"}]}
            search = create_search(settings, ranges, "Minimize")
            values = []
            for _ in range(40):
                number, tuned = search.propose() or (0, {})
                values.append((float(tuned["x"]) - 3) ** 2)
                search.tell(number, values[-1], stopped_early=False)
            return median(values[10:])

        bayesian, random = ([typical(strategy, seed) for seed in range(5)] for strategy in ("Bayesian", "Random"))
        assert sum(bayesian) < sum(random) / 2

    def test_a_resumed_search_knows_what_was_tried(self) -> None:
        ranges = {"CategoricalParameterRanges": [{"Name": "kind", "Values": ["a", "b", "c"]}]}
        search = create_search(configuration("Grid"), ranges, "Maximize")
        search.resume({"kind": "b"})
        assert [search.propose(), search.propose(), search.propose()] == [(0, {"kind": "a"}), (2, {"kind": "c"}), None]

    def test_bayesian_search_learns_from_parents(self) -> None:
        def distances(known: list[float], seed: int) -> list[float]:
            ranges = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "-10", "MaxValue": "10"}]}
            search = create_search(configuration("Bayesian", RandomSeed=seed), ranges, "Minimize")
            for x in known:
                search.learn({"x": str(x)}, (x - 3) ** 2, repeats=True)
            return [abs(float((search.propose() or (0, {}))[1]["x"]) - 3) for _ in range(3)]

        parents = [x / 2 for x in range(-40, 41)]  # half of them are outside the new range, and are left out
        warm, cold = ([median(distances(known, seed)) for seed in range(5)] for known in (parents, []))
        assert max(warm) < 2
        assert sum(warm) < sum(cold) / 2

    def test_a_search_learns_from_what_it_can_use(self) -> None:
        search = create_search(configuration("Bayesian"), RANGES, "Maximize")
        search.learn({"lr": "0.1", "kind": "unheard-of"}, 0.5, repeats=True)
        search.learn({"lr": "much", "kind": "good"}, 0.5, repeats=True)
        search.learn({"lr": "5"}, 0.5, repeats=True)
        search.learn({}, 0.5, repeats=True)
        assert search.propose() is not None

    @pytest.mark.parametrize("strategy", ["Bayesian", "Random", "Hyperband"])
    def test_no_combination_of_values_is_proposed_twice(self, strategy: str) -> None:
        ranges = {
            "CategoricalParameterRanges": [{"Name": "kind", "Values": ["a", "b"]}],
            "IntegerParameterRanges": [{"Name": "size", "MinValue": "1", "MaxValue": "3"}],
        }
        search = create_search(configuration(strategy), ranges, "Maximize")
        search.resume({"kind": "b", "size": "2"})
        proposed = []
        while (proposal := search.propose()) is not None:
            search.tell(proposal[0], 0.5, stopped_early=False)
            proposed.append((proposal[1]["kind"], proposal[1]["size"]))
        assert sorted(proposed) == [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("b", "3")]

    def test_random_starts_leave_room_to_learn(self) -> None:
        assert [random_starts(jobs) for jobs in (2, 6, 12, 100)] == [2, 2, 4, 10]


class TestCompletion:
    @pytest.mark.parametrize(
        ("values", "maximize", "expected"),
        [
            ([], True, 0),
            ([0.5], True, 0),
            ([0.5, 0.6, 0.601, 0.602], True, 2),
            ([0.5, 0.504, 0.5051], True, 0),  # together more than 1%
            ([0.5, 0.6, 0.4], False, 0),
            ([0.0, 0.001], True, 0),
            ([-1.0, -1.5, -0.995], True, 2),
        ],
    )
    def test_jobs_without_improvement(self, values: list[float], maximize: bool, expected: int) -> None:
        assert jobs_without_improvement(values, maximize=maximize) == expected

    def test_a_search_converges_after_ten_trials_and_a_third_of_all(self) -> None:
        assert not has_converged([0.5] * 10, maximize=True)
        assert has_converged([0.5] * 11, maximize=True)
        rising = [float(number) for number in range(1, 41)]
        assert not has_converged([*rising, *[1.0] * 15], maximize=True)
        assert has_converged([*rising, *[1.0] * 20], maximize=True)

    @pytest.mark.parametrize(
        ("criteria", "enough"),
        [
            ({}, False),
            ({"TargetObjectiveMetricValue": 0.6}, False),
            ({"TargetObjectiveMetricValue": 0.5}, True),
            ({"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 12}}, False),
            ({"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 11}}, True),
            ({"ConvergenceDetected": {"CompleteOnConvergence": "Disabled"}}, False),
            ({"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}, True),
        ],
    )
    def test_criteria(self, criteria: dict[str, Any], enough: bool) -> None:
        objective = {"Type": "Maximize", "MetricName": "score"}
        settings = configuration(
            "Random",
            HyperParameterTuningJobObjective=objective,
            ParameterRanges=RANGES,
            TuningJobCompletionCriteria=criteria,
        )
        definition = {"AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"}}
        request = TuningRequest.read(
            {
                "HyperParameterTuningJobName": "search",
                "HyperParameterTuningJobConfig": settings,
                "TrainingJobDefinition": definition,
            }
        )
        assert request.is_good_enough([0.5] * 12) is enough
        assert not request.is_good_enough([])


def continuous(low: str, high: str, scaling: str = "Auto") -> dict[str, Any]:
    entry = {"Name": "x", "MinValue": low, "MaxValue": high, "ScalingType": scaling}
    return {"ContinuousParameterRanges": [entry]}


class TestRanges:
    @pytest.mark.parametrize(
        ("low", "high", "scaling", "logarithmic"),
        [
            ("0.001", "0.1", "Auto", True),
            ("0.0", "0.5", "Auto", False),
            ("16", "128", "Auto", False),
            ("0.1", "0.2", "Logarithmic", True),
            ("0.001", "1", "Linear", False),
        ],
    )
    def test_scaling(self, low: str, high: str, scaling: str, logarithmic: bool) -> None:
        assert read_ranges(continuous(low, high, scaling))[0].logarithmic == logarithmic

    def test_reverse_logarithmic_searches_near_one_by_magnitude(self) -> None:
        settings = configuration("Random")
        search = create_search(settings, continuous("0.9", "0.9999", "ReverseLogarithmic"), "Maximize")
        values = sorted(float((search.propose() or (0, {}))[1]["x"]) for _ in range(200))
        assert values[0] >= 0.9
        assert values[-1] <= 0.9999
        assert 0.99 < values[100] < 0.998

    def test_integers_are_integers(self) -> None:
        ranges = {"IntegerParameterRanges": [{"Name": "n", "MinValue": "1", "MaxValue": "4"}]}
        search = create_search(configuration("Random"), ranges, "Maximize")
        assert {(search.propose() or (0, {}))[1]["n"] for _ in range(4)} == {"1", "2", "3", "4"}

    @pytest.mark.parametrize(
        ("ranges", "message"),
        [
            (continuous("2", "1"), "is empty"),
            (continuous("0", "1", "Logarithmic"), "above 0"),
            (continuous("0.5", "1", "ReverseLogarithmic"), r"\[0, 1\)"),
            ({}, "at least one range"),
        ],
    )
    def test_ranges_that_cannot_be_searched(self, ranges: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            read_ranges(ranges)

    @pytest.mark.parametrize("scaling", ["Linear", "Logarithmic", "ReverseLogarithmic"])
    def test_a_value_survives_the_wire(self, scaling: str) -> None:
        (entry,) = read_ranges(continuous("0.1", "0.9", scaling))
        for value in (entry.low, 0.5, entry.high):
            assert entry.from_wire(entry.to_wire(value)) == pytest.approx(value)
            assert entry.low <= entry.from_wire(entry.to_wire(value)) <= entry.high


class TestMedianRule:
    FINISHED = ((0.2, 0.4), (0.4, 0.6), (0.6, 0.8))  # running averages at epoch 2: 0.3, 0.5, 0.7

    def test_a_trial_below_the_median_of_the_averages_is_hopeless(self) -> None:
        assert is_hopeless((0.9, 0.49), self.FINISHED, maximize=True)
        assert not is_hopeless((0.1, 0.51), self.FINISHED, maximize=True)

    def test_when_less_is_better_it_is_the_other_way_round(self) -> None:
        assert is_hopeless((0.1, 0.51), self.FINISHED, maximize=False)
        assert not is_hopeless((0.9, 0.49), self.FINISHED, maximize=False)

    def test_few_trials_are_no_evidence(self) -> None:
        assert not is_hopeless((0.0, 0.0), self.FINISHED[:2], maximize=True)
        assert not is_hopeless((0.0, 0.0, 0.0), self.FINISHED, maximize=True)
        assert not is_hopeless((), self.FINISHED, maximize=True)

    def test_it_ends_trials(self, tunings: Tunings, tmp_path: Path) -> None:
        ranges = {"CategoricalParameterRanges": [{"Name": "lr", "Values": ["0.01", "0.02", "0.03", "1.0"]}]}
        settings = {"Strategy": "Grid", "TrainingJobEarlyStoppingType": "Auto"}
        tunings.execute_in_step(
            tmp_path / "seen", ranges=ranges, configuration=settings, jobs=4, static={"epochs": "6"}
        )
        trials = tunings.trials()
        assert [trial.state["status"] for trial in trials] == ["Completed", "Completed", "Completed", "Stopped"]
        assert trials[-1].state["stopped_early"]
