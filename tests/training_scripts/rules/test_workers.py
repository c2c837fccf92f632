"""Rules name the worker of a distributed run in which a problem began."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training_scripts import rules
from training_scripts.recording.trial import layout
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.recording.trial.records import Step
from training_scripts.recording.trial.writer import TrialWriter
from training_scripts.rules.findings import RuleResult

NAN = float("nan")
WEIGHT = layout.reduction_name("nonfinite_fraction", "weight")


def recorded(folder: Path, losses: Sequence[Sequence[float]], *, weights_from: int) -> FileTrial:
    """Each worker's losses; the first worker also recorded weights, which are NaN from a step on."""
    for rank, mine in enumerate(losses):
        writer = TrialWriter(folder, worker=layout.worker_name(rank), workers=len(losses))
        writer.describe({"recorder": "loop"}, {"losses": [layout.LOSS], "weights": ["weight"]}, {})
        steps = [Step("TRAIN", step, step, 0.0, [(layout.LOSS, loss)]) for step, loss in enumerate(mine)]
        if rank == 0:
            for step in steps:
                step.numbers.append((WEIGHT, float(step.mode_step >= weights_from)))
        writer.write(steps, seconds=0.0)
        writer.end()
    return FileTrial(folder)


def exploding(trial: FileTrial, parameters: str = "default") -> RuleResult:
    (result,) = rules.evaluate(trial=trial, parameters=parameters, only=["ExplodingTensor"])
    return result


def test_a_nan_that_began_in_one_worker_is_named_with_it(tmp_path: Path) -> None:
    fine = [1.0 - 0.01 * step for step in range(30)]
    losses = [fine[:21] + 9 * [NAN], fine[:20] + 10 * [NAN]]
    result = exploding(recorded(tmp_path, losses, weights_from=21))
    together, *each = result.findings
    assert together.message.startswith("2 tensors contain NaN or infinity, first at step 20 in worker 1:")
    assert (together.workers, together.steps[0]) == (("worker 1",), 20)
    messages = {finding.tensor: finding.message for finding in each}
    assert messages[layout.LOSS] == (
        f"{layout.LOSS} (TRAIN) contains NaN or infinity at 10 recorded steps, first at step 20 in worker 1."
    )
    assert messages["weight"] == "weight (TRAIN) contains NaN or infinity at 9 recorded steps, first at step 21."
    assert "check the batch of step 20 in worker 1" in result.advice
    assert result.to_dict()["findings"][0]["workers"] == ["worker 1"]


def test_a_nan_in_all_workers_is_nobodys(tmp_path: Path) -> None:
    result = exploding(recorded(tmp_path, [[1.0, NAN], [1.0, NAN]], weights_from=2), "aws")
    assert [finding.workers for finding in result.findings] == [()]
    assert "worker" not in result.findings[0].message


def test_of_many_workers_some_are_named(tmp_path: Path) -> None:
    losses = [[1.0, NAN]] * 5 + [[1.0, 1.0]]
    (finding,) = exploding(recorded(tmp_path, losses, weights_from=2)).findings
    assert "first at step 1 in worker 0, worker 1, worker 2 and 2 more" in finding.message
