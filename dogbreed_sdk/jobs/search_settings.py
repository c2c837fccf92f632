"""The settings of a search: what a caller asks for, checked and completed before anything is created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from dogbreed_sdk._util.durations import Duration, duration_seconds
from dogbreed_sdk._util.polling import FINAL_STATUSES
from dogbreed_sdk.aws.requests.tuning import CompletionCriteria, Hyperband, Named, SearchSettings, WarmStart
from dogbreed_sdk.errors import ConfigurationError, JobError
from dogbreed_sdk.jobs.search_ranges import check_objective, check_strategy, job_limit, outermost
from dogbreed_sdk.jobs.tuning_job import TuningJob

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import HyperParameterTrainingJobDefinitionOutputTypeDef

    from dogbreed_sdk.aws.requests.ranges import ParameterRange
    from dogbreed_sdk.jobs.infrastructure import Infrastructure
    from dogbreed_sdk.session import Session

# API reference, ResourceLimits: two minutes to half a year.
_SHORTEST_SEARCH_SECONDS = 120
_LONGEST_SEARCH_SECONDS = 15_768_000


def search_settings(
    ranges: Mapping[str, ParameterRange],
    *,
    strategy: str,
    objective: str,
    objective_type: Literal["Minimize", "Maximize"] | None,
    max_jobs: int | None,
    max_parallel_jobs: int,
    max_search_time: Duration | None,
    early_stopping: bool,
    search_seed: int,
    hyperband: Hyperband | None,
    completion: CompletionCriteria | None,
    warm_start: WarmStart | Named | str | Sequence[Named | str] | None,
) -> tuple[SearchSettings, str]:
    """The settings of a search, and a notice if it has fewer trials than requested.

    Args: those of `BreedTrainer.tune`; ranges by canonical name.

    Raises:
        ConfigurationError: A value is invalid, or two of them exclude each other.
    """
    strategy = check_strategy(strategy)
    limit, notice = job_limit(ranges, strategy, max_jobs)
    if max_parallel_jobs < 1 or search_seed < 0:
        raise ConfigurationError("max_parallel_jobs must be at least 1, and search_seed at least 0.")
    if strategy == "Hyperband" and early_stopping:
        raise ConfigurationError(
            "The Hyperband strategy stops trials that fall behind by itself, and excludes early_stopping: omit it."
        )
    if hyperband is not None and strategy != "Hyperband":
        raise ConfigurationError(f"hyperband is for strategy='Hyperband', and the strategy is {strategy}.")
    metric = check_objective(objective)
    settings = SearchSettings(
        strategy=strategy,
        objective_metric=metric,
        objective_type=objective_type or ("Minimize" if metric.endswith("loss") else "Maximize"),
        max_jobs=limit,
        max_parallel_jobs=min(max_parallel_jobs, limit or max_parallel_jobs),
        max_runtime_seconds=_search_seconds(max_search_time),
        early_stopping=early_stopping,
        random_seed=search_seed,
        hyperband=(hyperband or Hyperband()) if strategy == "Hyperband" else None,
        completion=completion,
        warm_start=_warm_start(warm_start),
    )
    return settings, notice


def with_epochs(
    hyperband: Hyperband, hyperparameters: Mapping[str, object], ranges: Mapping[str, ParameterRange]
) -> Hyperband:
    """Hyperband's limits with the most epochs that a trial can have.

    SageMaker would look for a hyperparameter epochs, which it does not find where epochs are searched.

    Args:
        hyperband: What the caller asks for.
        hyperparameters: Those that all trials share.
        ranges: Those that are searched.

    Raises:
        ConfigurationError: A trial has fewer epochs than it should get before it may be stopped, or than the best
            trials should have.
    """
    searched = ranges.get("epochs")
    values = [hyperparameters["epochs"]] if searched is None else outermost("epochs", searched)
    most = max(int(str(value)) for value in values)
    if max(hyperband.min_epochs, hyperband.max_epochs or 1) > most:
        raise ConfigurationError(
            f"Hyperband: min_epochs is {hyperband.min_epochs} and max_epochs {hyperband.max_epochs}, and a trial has "
            f"at most {most} epochs. Decrease them, or increase the hyperparameter epochs."
        )
    return Hyperband(min_epochs=hyperband.min_epochs, max_epochs=hyperband.max_epochs or most)


def check_parents(search: SearchSettings, infrastructure: Infrastructure, session: Session) -> None:
    """Checks that the parents of a warm start exist, have ended, and go with the new search.

    Raises:
        JobError: One does not exist, or is still running.
        ConfigurationError: Its objective differs, or a setting that must be the same.
    """
    for name in search.warm_start.names if search.warm_start else ():
        described = TuningJob(name, session).describe()
        status = described["HyperParameterTuningJobStatus"]
        if status not in FINAL_STATUSES:
            raise JobError(
                f"Tuning job {name} is {status}; wait until it ends, or stop it, before a warm start from it."
            )
        objective = described["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective")
        ours = (search.objective_type, search.objective_metric)
        if objective and (objective["Type"], objective["MetricName"]) != ours:
            raise ConfigurationError(
                f"The search is to {ours[0].lower()} {ours[1]}, and tuning job {name} is to "
                f"{objective['Type'].lower()} {objective['MetricName']}: a warm start needs the same objective."
            )
        different = _different_settings(infrastructure, described.get("TrainingJobDefinition"))
        if different:
            raise ConfigurationError(
                f"Tuning job {name} was started with another {' and '.join(different)}: a warm start needs the same."
            )


def _different_settings(
    infrastructure: Infrastructure, parent: HyperParameterTrainingJobDefinitionOutputTypeDef | None
) -> list[str]:
    """The settings that SageMaker wants to be the same, and that differ.

    Source: its refusal, which lists the members of a training job definition that may be changed.
    """
    if parent is None:
        return []
    retry = parent.get("RetryStrategy")
    options = infrastructure.options
    pairs = {
        "environment": (dict(infrastructure.environment), parent.get("Environment") or {}),
        "retries": (options.retries, retry["MaximumRetryAttempts"] if retry else 0),
        "network_isolation": (options.network_isolation, parent.get("EnableNetworkIsolation", False)),
        "encrypt_traffic": (options.encrypt_traffic, parent.get("EnableInterContainerTrafficEncryption", False)),
    }
    return [name for name, (ours, theirs) in pairs.items() if ours != theirs]


def _search_seconds(given: Duration | None) -> int | None:
    if given is None:
        return None
    return duration_seconds(given, name="max_search_time", least=_SHORTEST_SEARCH_SECONDS, most=_LONGEST_SEARCH_SECONDS)


def _warm_start(given: WarmStart | Named | str | Sequence[Named | str] | None) -> WarmStart | None:
    if given is None or isinstance(given, WarmStart):
        return given
    return WarmStart(given)
