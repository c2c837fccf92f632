"""Jobs in a notebook: status, settings, results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from dogbreed_sdk._util.formatting import clipped, number, seconds
from dogbreed_sdk._util.polling import FINAL_STATUSES
from dogbreed_sdk.jobs.job import script_hyperparameters
from dogbreed_sdk.jobs.training_progress import job_seconds
from dogbreed_sdk.pages import cards
from dogbreed_sdk.pages.markup import element
from training_scripts._util.number_text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from types_boto3_sagemaker.type_defs import (
        DescribeHyperParameterTuningJobResponseTypeDef,
        DescribeTrainingJobResponseTypeDef,
    )

    from dogbreed_sdk.errors import DogBreedError

_TRIALS = 10


class TrialResult(Protocol):
    """What a card shows of a trial."""

    @property
    def name(self) -> str:
        """Name of the training job."""

    @property
    def objective(self) -> float | None:
        """Final value of the objective metric, if there is one."""

    @property
    def hyperparameters(self) -> Mapping[str, object]:
        """The values that the search chose, by name."""

    @property
    def status(self) -> str:
        """The training job's status."""


def training_job_card(name: str, described: DescribeTrainingJobResponseTypeDef, *, is_local: bool) -> str:
    """The card of a training job.

    Args:
        name: Its name.
        described: SageMaker's description.
        is_local: Whether the machine is this one.
    """
    status = described["TrainingJobStatus"]
    metrics = {entry["MetricName"]: number(entry["Value"]) for entry in described.get("FinalMetricDataList", [])}
    resources = described.get("ResourceConfig", {})
    machines = f"{resources.get('InstanceCount', 1)} x {resources.get('InstanceType', '?')}"
    model = described.get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
    rows = {
        "results": _listed(metrics),
        "hyperparameters": _listed(_not_default(script_hyperparameters(described.get("HyperParameters", {})))),
        "machine": "" if is_local else machines,
        "model": model if status == "Completed" else "",
        "failure": clipped(described.get("FailureReason", ""), 600),
    }
    calls = "job.deploy(), job.logs()" if status == "Completed" else "job.failure(), job.logs()"
    shown = cards.facts([(what, value) for what, value in rows.items() if value])
    return cards.card(
        f"Training job {name}",
        shown,
        element("div", element("code", calls if status in FINAL_STATUSES else "job.wait(), job.stop()")),
        color=cards.status_color(status),
        note=f"{status}, {seconds(job_seconds(described))}",
    )


def tuning_job_card(
    name: str, described: DescribeHyperParameterTuningJobResponseTypeDef, trials: Sequence[TrialResult]
) -> str:
    """The card of a search, with its best trials.

    Args:
        name: Its name.
        described: SageMaker's description.
        trials: Its training jobs.
    """
    status = described["HyperParameterTuningJobStatus"]
    objective = described.get("HyperParameterTuningJobConfig", {}).get("HyperParameterTuningJobObjective", {})
    highest = objective.get("Type") == "Maximize"
    ranked = sorted(trials, key=lambda trial: _rank(trial, highest=highest))
    searched = list(dict.fromkeys(key for trial in ranked for key in trial.hyperparameters))
    rows = [
        [
            element("span", trial.name.removeprefix(name).strip("-") or trial.name, title=trial.name),
            "—" if trial.objective is None else number(trial.objective),
            *(_value(trial.hyperparameters.get(key, "")) for key in searched),
            trial.status,
        ]
        for trial in ranked[:_TRIALS]
    ]
    metric = objective.get("MetricName", "objective")
    table = cards.table(["trial", metric, *searched, "status"], rows, numeric=[1]) if rows else None
    more = f"; the best {_TRIALS} are shown" if len(ranked) > _TRIALS else ""
    return cards.card(
        f"Tuning job {name}",
        table,
        element("div", element("code", "tuning.best.hyperparameters, tuning.dataframe(), tuning.deploy()")),
        color=cards.status_color(status),
        note=f"{status}, {counted(len(ranked), 'trial')}{more}",
    )


def _rank(trial: TrialResult, *, highest: bool) -> tuple[bool, float]:
    """Order of trials, best first, those without a result last."""
    value = trial.objective
    return (value is None, 0.0 if value is None else -value if highest else value)


def _not_default(values: Mapping[str, object]) -> dict[str, object]:
    """The hyperparameters that differ from train_model's defaults, and those that it does not have."""
    from training_scripts.training.hyperparameters import table  # noqa: PLC0415

    usual = {parameter.name: parameter.default for parameter in table()}
    return {name: value for name, value in values.items() if value not in (usual.get(name, ""), "")}


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in values.items())


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else clipped(value, 60)


def unread_card(title: str, error: DogBreedError) -> str:
    """The card of a job that cannot be read: no error in place of a notebook's value."""
    return cards.card(title, note=clipped(error, 600), color=cards.GRAY)
