"""Several runs side by side: which is best, where they differ, and which change did what, with its uncertainty."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dogbreed_sdk import ConfigurationError, DebugReport
from dogbreed_sdk.cli import main
from dogbreed_sdk.debugging.comparison.comparison import Comparison
from dogbreed_sdk.debugging.comparison.runs import Result
from tests.debugging import made_up
from training_scripts.recording.trial.trial import MemoryTrial

pytestmark = pytest.mark.extras

SAMPLES, VALIDATED = 120, 60


def record(folder: Path, *, regression: bool = False, seed: int = 0, **parameters: Any) -> None:
    """A stranger's loop on made-up numbers, recorded with a few lines."""
    import torch  # noqa: PLC0415 - a second, for those tests that need runs
    from torch import nn  # noqa: PLC0415

    from dogbreed_sdk import Recorder  # noqa: PLC0415

    settings = {"lr": 0.1, "batch_size": 20, "epochs": 4, "seed": seed, **parameters}
    drawn = torch.Generator().manual_seed(1)
    inputs = torch.randn(SAMPLES + VALIDATED, 8, generator=drawn)
    scores = inputs @ torch.randn(8, 3, generator=drawn)
    answers = 2 * inputs[:, :1] if regression else (scores + torch.randn(scores.shape, generator=drawn)).argmax(1)
    torch.manual_seed(seed)
    model = nn.Linear(8, 1 if regression else 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=settings["lr"])
    criterion: nn.Module = nn.MSELoss() if regression else nn.CrossEntropyLoss()
    with Recorder(
        folder, model=model, optimizer=optimizer, hyperparameters=settings, profile=False, rules=False
    ) as run:
        for _ in range(settings["epochs"]):
            for chosen in torch.randperm(SAMPLES).split(settings["batch_size"]):
                outputs = model(inputs[chosen])
                loss = criterion(outputs, answers[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.step(loss, outputs=outputs, labels=None if regression else answers[chosen])
            with torch.no_grad():
                outputs = model(inputs[SAMPLES:])
                truth = answers[SAMPLES:]
                run.evaluate(criterion(outputs, truth), outputs=outputs, labels=None if regression else truth)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six runs of a stranger's loop."""
    folder = tmp_path_factory.mktemp("runs")
    record(folder / "base")
    record(folder / "again", seed=1)
    record(folder / "small-lr", lr=0.001)
    record(folder / "both", lr=0.03, batch_size=60, epochs=6)
    record(folder / "regression", regression=True)
    record(folder / "slow-regression", regression=True, lr=0.001)
    return folder


def loop(name: str, epochs: int = 4, facts: dict[str, Any] | None = None, **parameters: Any) -> DebugReport:
    """A made-up run of a stranger's loop, which planned no length."""
    made = made_up.trial(epochs=epochs, seed=epochs)
    made.run.update({"hyperparameters": {}, "epochs": None, "parameters": parameters, **(facts or {})})
    return DebugReport(name, trial=made)


def loops(*given: dict[str, object], facts: dict[str, Any] | None = None) -> Comparison:
    return Comparison([loop(name, facts=facts, **values) for name, values in zip("abcdef", given, strict=False)])


def repeated(losses: dict[float, tuple[float, ...]], *, same_seeds: bool) -> Comparison:
    """Runs of several learning rates and seeds with these losses, and accuracies that differ by chance alone."""
    reports = []
    for rate, values in losses.items():
        for seed, _ in enumerate(values):
            said = seed if same_seeds else seed + round(1e4 * rate)
            reports.append(loop(f"{rate}-{seed}", lr=rate, seed=said))
    found = Comparison(reports)
    flat = [value for values in losses.values() for value in values]
    for place, (run, value) in enumerate(zip(found.given, flat, strict=True)):
        run.results = {
            "accuracy": Result((0.96, 0.90, 0.93, 0.88, 0.90, 0.68)[place], 0.02, 1, "validation"),
            "loss": Result(value, 0.02, 1, "validation"),
        }
    return found


def compared(root: Path, *names: str) -> Comparison:
    return DebugReport.compare([root / name for name in names])


class TestRuns:
    def test_the_best_run_leads_and_only_parameters_that_differ_are_listed(self, root: Path) -> None:
        found = compared(root, "small-lr", "base")
        assert [run.name for run in found.runs] == ["base", "small-lr"]
        assert (found.measure, found.split) == ("accuracy", "validation")
        assert found.differing == ["lr"]
        document = found.to_dict()
        assert [run["rank"] for run in document["runs"]] == [1, 2]
        assert document["shared"]["batch_size"] == "20"
        assert document["runs"][0]["results"]["accuracy"]["value"] > document["runs"][1]["results"]["accuracy"]["value"]

    def test_runs_without_classes_are_ranked_by_their_loss_and_no_accuracy_is_mentioned(self, root: Path) -> None:
        found = compared(root, "slow-regression", "regression")
        assert [run.name for run in found.runs] == ["regression", "slow-regression"]
        assert (found.measure, found.split) == ("loss", "validation")
        assert "accuracy" not in found.to_text()
        assert "accuracy" not in json.dumps(found.to_dict())
        assert "accuracy" not in found._repr_html_()

    def test_runs_with_different_losses_are_not_ranked(self, root: Path) -> None:
        found = compared(root, "base", "regression")
        assert found.measure is None
        assert [run.name for run in found.runs] == ["base", "regression"]
        assert "different losses (loss over classes, loss without classes)" in " ".join(found.notes)
        assert found.effects == []
        assert found.to_text().startswith("? 2 runs without a common result.")

    def test_a_run_without_a_finite_loss_is_last_and_named(self) -> None:
        def trial(last: float) -> MemoryTrial:
            made = MemoryTrial(name="short", ended=True)
            for step in range(10):
                made.add_step(step, "TRAIN", global_step=step, time=made_up.BEGIN + step)
                made.add(made_up.LOSS, step, "TRAIN", last if step == 9 else 1 / (step + 1), collection="losses")
            return made

        values = {"diverged": math.nan, "good": 0.05, "better": 0.01}
        found = Comparison([DebugReport(name, trial=trial(value)) for name, value in values.items()])
        assert [run.name for run in found.runs] == ["better", "good", "diverged"]
        assert (found.measure, found.split) == ("loss", "training")
        assert "The training loss of diverged was not finite at the end." in found.notes
        assert json.dumps(found.to_dict(), allow_nan=False)

    def test_a_training_result_is_not_marked_best(self, tmp_path: Path) -> None:
        found = loops({"lr": 0.1}, {"lr": 0.2})
        for run, loss, split in zip(found.given, (0.1, 0.5), ("training", "validation"), strict=True):
            run.results = {"loss": Result(loss, 0.02, 1, split)}
        page = found.to_html(tmp_path / "runs.html").read_text("utf-8")
        marked = '<span class="unseen">best: </span>'
        assert page.count(marked) == 1 and f"{marked}0.5" in page, "the validation loss"

    def test_one_run_is_not_a_comparison(self, root: Path) -> None:
        with pytest.raises(ConfigurationError, match="at least two runs"):
            compared(root, "base")

    def test_curves_end_where_their_runs_do_on_every_axis(self, root: Path) -> None:
        runs = {run.name: run for run in compared(root, "base", "both").runs}
        assert [runs["base"].amount(axis) for axis in ("epoch", "samples", "step")] == [4, 4 * SAMPLES, 24]
        assert [runs["both"].amount(axis) for axis in ("epoch", "samples", "step")] == [6, 6 * SAMPLES, 12]

    def test_our_own_runs_compare_by_typed_hyperparameters_and_the_facts_of_their_data(self) -> None:
        trials = [made_up.trial(epochs=6), made_up.trial(epochs=6, seed=4)]
        given = [("0.010", "true", 800), (0.01, "false", 400)]
        for trial, (rate, full, size) in zip(trials, given, strict=True):
            trial.run.update(hyperparameters={"lr": rate, "full-tensors": full}, sizes={"train": size, "valid": 160})
        found = Comparison([DebugReport(name, trial=trial) for name, trial in zip("ab", trials, strict=True)])
        assert found.differing == ["full-tensors", "training samples"]
        # What only concerns recording is not a change of the training.
        assert [list(group.values) for group in found.settings] == [["training samples"]] * 2

    def test_a_run_that_has_not_ended_is_named(self) -> None:
        trials = [made_up.trial(epochs=6), made_up.trial(epochs=3)]
        trials[1].ended = False
        found = Comparison([DebugReport(name, trial=trial) for name, trial in zip("ab", trials, strict=True)])
        assert any(note.startswith("b is incomplete") for note in found.notes)


class TestEffects:
    def test_a_single_change_gets_the_effect_with_the_interval_of_the_same_samples(self, root: Path) -> None:
        found = compared(root, "base", "small-lr")
        [effect] = found.effects
        assert (effect.parameters, effect.source, effect.is_clear) == (("lr",), "samples", True)
        base, small = found.runs
        right = [run.samples("accuracy") for run in (base, small)]
        assert right[0] is not None
        assert right[1] is not None
        apart = right[0][0] - right[1][0]
        assert len(apart) == VALIDATED
        assert effect.difference == pytest.approx(apart.mean())
        assert effect.half == pytest.approx(1.96 * apart.std(ddof=1) / math.sqrt(VALIDATED), rel=1e-3)
        said = found.to_dict()["effects"][0]["text"]
        assert said.startswith("lr 0.001 → 0.1: validation accuracy ")
        assert "The luck of the seed is not in this interval." in said

    def test_several_changes_are_not_attributed_to_one(self, root: Path) -> None:
        found = compared(root, "base", "both")
        [effect] = found.effects
        assert not effect.is_single
        assert set(effect.parameters) == {"lr", "batch_size", "epochs"}
        said = found.to_dict()["effects"][0]["text"]
        assert "3 parameters changed: the effect cannot be attributed to one." in said

    def test_repeats_give_the_noise_and_the_intervals(self, root: Path) -> None:
        found = compared(root, "base", "again", "small-lr")
        values = [run.results["accuracy"].value for run in found.runs if run.name != "small-lr"]
        assert len(found.settings) == 2
        assert found.noise.freedom == 1
        assert found.noise.deviation == pytest.approx(np.std(values, ddof=1))
        [effect] = found.effects
        # A single repeat cannot give less than the validation samples do.
        assert effect.source == "samples"
        assert effect.difference == pytest.approx(np.mean(values) - found.runs[-1].results["accuracy"].value)
        assert effect.half > 1.96 * found.noise.deviation * math.sqrt(1.5)
        assert "Repeats of the same settings" in found.to_text()

    def test_several_repeats_give_the_intervals_by_student(self) -> None:
        def trial(rate: float, seed: int) -> MemoryTrial:
            made = made_up.trial(epochs=4, seed=seed)
            made.run.update(hyperparameters={"lr": rate, "seed": seed})
            return made

        runs = [(0.1, 1), (0.1, 2), (0.1, 3), (0.2, 4), (0.2, 5)]
        found = Comparison([DebugReport(f"run-{seed}", trial=trial(rate, seed)) for rate, seed in runs])
        values = {run.name: run.results["accuracy"].value for run in found.given}
        groups = [[values[f"run-{seed}"] for rate, seed in runs if rate == one] for one in (0.1, 0.2)]
        squares = sum(np.square(np.array(group) - np.mean(group)).sum() for group in groups)
        [effect] = found.effects
        assert (effect.source, found.noise.freedom) == ("repeats", 3)
        assert found.noise.deviation == pytest.approx(math.sqrt(squares / 3))
        assert effect.half == pytest.approx(3.182 * math.sqrt(squares / 3) * math.sqrt(1 / 3 + 1 / 2), rel=0.02)

    def test_runs_that_differ_in_their_seed_alone_have_no_effect(self, root: Path) -> None:
        found = compared(root, "base", "again")
        assert found.effects == []
        assert "The runs differ in nothing but chance." in found.to_text()

    def test_each_value_of_a_parameter_is_compared_with_the_best_one_and_intervals_widen(self) -> None:
        def trial(rate: float, loss: float) -> MemoryTrial:
            made = made_up.trial(epochs=4, turns=9, seed=int(1000 * rate))
            made.run.update(hyperparameters={"lr": rate})
            return made

        reports = [DebugReport(f"lr-{rate}", trial=trial(rate, rate)) for rate in (0.1, 0.2, 0.3, 0.4)]
        found = Comparison(reports)
        assert len(found.effects) == 3
        assert {effect.after.runs[0].name for effect in found.effects} == {found.runs[0].name}

    def test_a_parameter_that_only_one_run_recorded_is_not_a_change(self) -> None:
        found = loops({"lr": 0.1, "width": 8}, {"lr": 0.1})
        [effect] = found.effects
        assert (effect.unknown, effect.is_single) == (["width"], False)
        assert "width is not recorded for both: not attributed." in found.to_dict()["effects"][0]["text"]
        assert "within chance" not in found.to_text()

    def test_a_known_change_is_attributed_beside_a_run_that_did_not_record_the_parameter(self) -> None:
        found = loops({"width": 8}, {"width": 16}, {})
        attributed = [effect for effect in found.effects if effect.is_single]
        assert [effect.parameters for effect in attributed] == [("width",)]
        values = {effect.values["width"] for one in attributed for effect in (one.before, one.after)}
        assert values == {"8", "16"}

    def test_runs_of_different_length_differ_in_it(self) -> None:
        found = Comparison([loop("short", epochs=6), loop("long", epochs=8)])
        assert "epochs" in found.differing
        [effect] = found.effects
        values = {effect.before.runs[0].name: effect.before, effect.after.runs[0].name: effect.after}
        assert {name: setting.values for name, setting in values.items()} == {
            "short": {"epochs": "6"},
            "long": {"epochs": "8"},
        }

    def test_a_mistake_in_one_loop_is_not_attributed_to_a_hyperparameter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from dogbreed_sdk.pages.verdict import Verdict  # noqa: PLC0415

        causes = {"a": "", "b": "gradients-accumulate"}
        monkeypatch.setattr(
            "dogbreed_sdk.debugging.verdict.verdict",
            lambda report: Verdict("problem", "", (), (), causes[report.source]),
        )
        [effect] = loops({"lr": 0.1}, {"lr": 0.2}).effects
        assert (effect.parameters, effect.causes, effect.is_single) == (("lr",), ["gradients-accumulate"], False)
        [effect] = loops({"lr": 0.1}, {"lr": 0.1}).effects  # no repeats of each other
        assert (effect.parameters, effect.causes) == ((), ["gradients-accumulate"])
        causes["b"] = "learning-rate-too-high"  # follows from the value of lr
        [effect] = loops({"lr": 0.1}, {"lr": 0.2}).effects
        assert (effect.causes, effect.is_single) == ([], True)

    def test_a_clear_effect_on_the_loss_is_reported_where_accuracy_shows_none(self) -> None:
        found = repeated({0.003: (0.16, 0.21, 0.25), 0.001: (0.45, 0.58, 0.75)}, same_seeds=True)
        [effect] = found.effects
        assert not effect.is_clear
        loss = found.by_loss(effect)
        assert loss is not None
        assert (loss.source, loss.after.values) == ("pairs", {"lr": "0.003"})
        apart = np.array([0.29, 0.37, 0.50])
        assert loss.difference == pytest.approx(apart.mean(), abs=1e-3)
        assert loss.half == pytest.approx(4.303 * apart.std(ddof=1) / math.sqrt(3), rel=0.02)
        assert "loss is clearly" in found.to_dict()["effects"][0]["text"]
        assert "compared seed by seed" in found.to_text(width=1000)

    def test_repeats_with_other_seeds_are_not_paired(self) -> None:
        found = repeated({0.003: (0.16, 0.21, 0.25), 0.001: (0.45, 0.58, 0.75)}, same_seeds=False)
        loss = found.by_loss(found.effects[0])
        assert loss is not None
        assert loss.source == "repeats"

    def test_groups_of_repeats_are_told_apart(self) -> None:
        found = repeated({0.003: (0.16, 0.21, 0.25), 0.001: (0.45, 0.58, 0.75)}, same_seeds=True)
        said = found.to_dict()["noise"]["text"]
        listed = said.partition("(")[2].partition(")")[0].split("; ")
        assert sorted(map(len, (part.replace(" and ", ", ").split(", ") for part in listed))) == [3, 3]


class TestNames:
    def test_the_learning_rate_is_one_column_however_it_is_spelled(self) -> None:
        given: list[dict[str, object]] = [{"lr": 0.003}, {"learning rate": 0.003}, {"base_lr": "3e-3"}, {}]
        found = loops(*given, facts={"learning_rate": 0.003, "batch_size": 32})
        assert found.differing == []
        document = found.to_dict()
        assert document["shared"]["lr"] == "0.003"
        assert document["shared"]["batch size"] == "32"
        assert not {"learning rate", "base_lr", "learning_rate"} & document["shared"].keys()

    def test_a_name_with_another_meaning_keeps_its_column(self) -> None:
        given: list[dict[str, object]] = [{"step_size": 30, "lr": 0.003}, {"step_size": 10}]
        found = loops(*given, facts={"learning_rate": 0.003})
        assert found.differing == ["step_size"]
        assert found.to_dict()["shared"]["lr"] == "0.003"


class TestRules:
    def test_rules_stand_side_by_side_and_those_with_an_issue_lead(self) -> None:
        bad, good = made_up.trial(), made_up.trial(layers=0)
        found = Comparison([DebugReport("bad", trial=bad), DebugReport("good", trial=good)])
        statuses = found.to_dict()["rules"]
        issues = ["IssuesFound" in row.values() for row in statuses.values()]
        assert issues == sorted(issues, reverse=True)
        assert statuses["VanishingGradient"] == {"bad": "IssuesFound", "good": "NotEvaluated"}
        text = str(found)
        assert text == found.to_text()
        matrix = text.partition("Rules side by side")[2]
        assert "VanishingGradient" in matrix
        assert "issue" in matrix


class TestForms:
    def test_the_page_holds_nothing_of_the_runs_unescaped_and_needs_no_network(self, tmp_path: Path) -> None:
        trials = [made_up.trial(epochs=3), made_up.trial(epochs=3, seed=9)]
        trials[0].run.update(hyperparameters={}, parameters={"<script>alert(1)</script>": "<b>"})
        found = Comparison([DebugReport(f"<i>{name}", trial=trial) for name, trial in zip("ab", trials, strict=True)])
        page = found.to_html(tmp_path).read_text()
        assert "<i>a" not in page
        assert "<script>alert" not in page
        assert "http://www.w3.org" in page
        assert page.count("https://") == 0

    def test_a_diverged_run_makes_the_axis_of_the_loss_logarithmic(self) -> None:
        from dogbreed_sdk.debugging.comparison.page import _chart  # noqa: PLC0415

        def trial(growth: float) -> MemoryTrial:
            made = MemoryTrial(name="short", ended=True)
            for step in range(20):
                made.add_step(step, "TRAIN", global_step=step, time=made_up.BEGIN + step)
                made.add(made_up.LOSS, step, "TRAIN", growth**step / (step + 1), collection="losses")
            return made

        def is_log(*growths: float) -> object:
            found = Comparison([DebugReport(f"{rate}", trial=trial(rate)) for rate in growths])
            return _chart("loss", found.runs, 100)["log"]

        assert is_log(1.0, 3.0) is True
        assert is_log(1.0, 0.9) is False

    def test_a_page_whose_runs_all_ended_alike_leaves_out_their_status(self, tmp_path: Path) -> None:
        found = loops({"lr": 0.1}, {"lr": 0.2})
        page = found.to_html(tmp_path).read_text()
        assert ">Status" not in page
        head = page[page.index("Runs and their results") :].partition("</thead>")[0]
        assert head.index("Loss") < head.index("Verdict") < head.index("lr")
        found.given[0].report.trial.ended = False  # type: ignore[union-attr]
        page = Comparison([run.report for run in found.given]).to_html(tmp_path).read_text()
        assert ">Status" in page

    @pytest.mark.parametrize("width", [40, 100])
    def test_the_summary_keeps_to_its_width(self, root: Path, width: int) -> None:
        text = compared(root, "base", "again", "both", "small-lr").to_text(width=width)
        assert max(map(len, text.split("\n"))) <= width

    def test_the_command_compares_folders_and_uris(
        self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        page = tmp_path / "comparison.html"
        sources = [str(root / "base"), (root / "small-lr").as_uri()]
        assert main(["report", *sources, "--json", "--html", str(page)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert [run["name"] for run in document["runs"]] == ["base", "small-lr"]
        assert document["html"] == str(page)
        assert page.stat().st_size < 300_000
        assert main(["report", *sources]) == 0
        assert capsys.readouterr().out.startswith("+ base is the best of 2 runs")

    @pytest.mark.parametrize("option", ["--watch", "--numbers=x.csv", "--data=x", "--compare-with=x"])
    def test_options_for_one_run_are_refused_with_several(
        self, root: Path, option: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["report", str(root / "base"), str(root / "again"), option]) == 2
        assert "several are compared" in capsys.readouterr().err
