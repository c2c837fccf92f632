"""Searches that nobody ran: as many trials as a test wants, with a known best place."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta, timezone
from typing import Any

from dogbreed_sdk.jobs.trial import Trial
from dogbreed_sdk.jobs.tuning_report.report import TuningReport

BEGIN = datetime(2026, 11, 1, tzinfo=timezone.utc)
RANGES = {
    "ContinuousParameterRanges": [
        {"Name": "lr", "MinValue": "0.0001", "MaxValue": "0.1", "ScalingType": "Logarithmic"},
        {"Name": "weight-decay", "MinValue": "0.001", "MaxValue": "1.0", "ScalingType": "Logarithmic"},
    ],
    "CategoricalParameterRanges": [{"Name": "batch-size", "Values": ["32", "64", "128"]}],
}


def described(**changes: Any) -> Any:
    """DescribeHyperParameterTuningJob's answer about a search of this SDK's script."""
    config = {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "valid:accuracy"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 30, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": RANGES,
        "TrainingJobEarlyStoppingType": "Auto",
        **changes.pop("config", {}),
    }
    definition = {"StaticHyperParameters": {"sagemaker_program": '"training_scripts/hpo.py"', "epochs": "12"}}
    return {
        "HyperParameterTuningJobName": "dogs",
        "HyperParameterTuningJobStatus": "Completed",
        "HyperParameterTuningJobConfig": config,
        "TrainingJobDefinition": definition,
        "CreationTime": BEGIN,
        **changes,
    }


def trial(number: int, objective: float | None, /, status: str = "Completed", **values: object) -> Trial:
    """A trial that ended a minute after the one before it."""
    ended = BEGIN + timedelta(minutes=number)
    return Trial(f"dogs-{number:03d}", values, objective, status, 50.0, started=BEGIN, ended=ended)


def trials(
    count: int,
    *,
    best_lr: float = 0.004,
    best_sizes: tuple[int, ...] = (64, 128),
    together: bool = False,
    seed: int = 1,
) -> list[Trial]:
    """Random trials whose accuracy depends on lr and batch-size, with a little noise, and not on weight-decay.

    Args:
        count: How many.
        best_lr: The learning rate with the best accuracy.
        best_sizes: The batch sizes that cost no accuracy.
        together: Whether the best learning rate grows tenfold from batch size 32 to 128.
        seed: Of everything random.
    """
    chance = random.Random(seed)
    made = []
    for number in range(1, count + 1):
        lr, decay, size = 10 ** chance.uniform(-4, -1), 10 ** chance.uniform(-3, 0), chance.choice((32, 64, 128))
        best = best_lr * (10 ** math.log2(size / 64) if together else 1)
        accuracy = 0.92 - 0.06 * abs(math.log10(lr / best)) ** 1.5 - (0 if size in best_sizes or together else 0.1)
        values = {"lr": lr, "weight-decay": decay, "batch-size": size}
        made.append(trial(number, accuracy + chance.gauss(0, 0.004), **values))
    return made


def report(count: int, **options: Any) -> TuningReport:
    """The report on such trials."""
    return TuningReport.of(described(), trials(count, **options), seconds=733.0)
