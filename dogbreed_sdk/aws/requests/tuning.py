"""The request that creates a tuning job, as boto3 takes it; and what a caller may choose of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from dogbreed_sdk.aws.requests import training
from dogbreed_sdk.aws.requests.names import MAX_TUNING_NAME_LENGTH, check_name
from dogbreed_sdk.aws.requests.ranges import CategoricalParameter, ContinuousParameter, IntegerParameter, is_a
from dogbreed_sdk.aws.requests.tags import tag_list
from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from types_boto3_sagemaker.literals import (
        HyperParameterScalingTypeType,
        HyperParameterTuningJobObjectiveTypeType,
        HyperParameterTuningJobStrategyTypeType,
        HyperParameterTuningJobWarmStartTypeType,
    )
    from types_boto3_sagemaker.type_defs import (
        CategoricalParameterRangeTypeDef,
        ContinuousParameterRangeTypeDef,
        CreateHyperParameterTuningJobRequestTypeDef,
        HyperbandStrategyConfigTypeDef,
        HyperParameterTrainingJobDefinitionTypeDef,
        HyperParameterTuningJobConfigTypeDef,
        IntegerParameterRangeTypeDef,
        ParameterRangesTypeDef,
        ResourceLimitsTypeDef,
        TuningJobCompletionCriteriaTypeDef,
    )

    from dogbreed_sdk.aws.requests.ranges import ParameterRange

# API reference, HyperParameterTuningJobWarmStartConfig and MaxNumberOfTrainingJobsNotImproving.
_MOST_PARENTS = 5
_LEAST_PATIENCE = 3
# API reference, HyperbandStrategyConfig.
_MOST_EPOCHS = 20_000


class Named(Protocol):
    """A job, of which only the name counts."""

    name: str


@dataclass(frozen=True)
class WarmStart:
    """Earlier tuning jobs whose results a new one learns from.

    Attributes:
        parents: 1 to 5 ended tuning jobs, or their names.
        kind: ``"identical"``: the same data and scripts, so that the parents' trials count as the new job's own and
            are not repeated (SageMaker's IdenticalDataAndAlgorithm); ``"transfer"``: other data, pictures or scripts,
            where the parents only suggest where to look first (TransferLearning).

    Raises:
        ConfigurationError: There are too many parents or none, or the kind is unknown.

    Examples:
        >>> WarmStart([tuning, "dogs-of-last-week"], kind="transfer").names
        ('dogs-...', 'dogs-of-last-week')
    """

    parents: Sequence[str | Named] | str | Named
    kind: Literal["identical", "transfer"] = "identical"

    def __post_init__(self) -> None:
        given = self.parents if isinstance(self.parents, Sequence) and not isinstance(self.parents, str) else None
        listed = [cast("str | Named", self.parents)] if given is None else list(given)
        names = tuple(each if isinstance(each, str) else each.name for each in listed)
        if not 1 <= len(names) <= _MOST_PARENTS or len(set(names)) < len(names):
            raise ConfigurationError(
                f"A warm start takes 1 to {_MOST_PARENTS} different tuning jobs, not {', '.join(names) or 'none'}."
            )
        for name in names:
            check_name(name, what="tuning job", max_length=MAX_TUNING_NAME_LENGTH)
        if self.kind not in ("identical", "transfer"):
            raise ConfigurationError(f"The kind of a warm start is {self.kind!r}; use 'identical' or 'transfer'.")
        object.__setattr__(self, "parents", names)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parents."""
        return cast("tuple[str, ...]", self.parents)


@dataclass(frozen=True, kw_only=True)
class Hyperband:
    """How the Hyperband strategy shares epochs among trials; it stops trials that fall behind by itself.

    Attributes:
        min_epochs: Epochs that each trial gets before it may be stopped, 1 or more.
        max_epochs: Epochs of the best trials, up to 20,000; None for the hyperparameter epochs.

    Raises:
        ConfigurationError: A number is out of its bounds.

    Examples:
        >>> hyperband = Hyperband(min_epochs=2, max_epochs=20)
        >>> plan = trainer.plan(
        ...     dataset, hyperparameters={"epochs": 20}, strategy="Hyperband", hyperband=hyperband, region="us-east-1"
        ... )
        >>> plan.requests[1].parameters["HyperParameterTuningJobConfig"]["StrategyConfig"]
        {'HyperbandStrategyConfig': {'MinResource': 2, 'MaxResource': 20}}
    """

    min_epochs: int = 1
    max_epochs: int | None = None

    def __post_init__(self) -> None:
        most = _MOST_EPOCHS if self.max_epochs is None else self.max_epochs
        if not 1 <= self.min_epochs <= most <= _MOST_EPOCHS:
            raise ConfigurationError(
                f"Hyperband: min_epochs is {self.min_epochs} and max_epochs {self.max_epochs}; they must be 1 to "
                f"{_MOST_EPOCHS:,}, and min_epochs not above max_epochs."
            )


@dataclass(frozen=True, kw_only=True)
class CompletionCriteria:
    """What ends a search before all its trials have run; the first that is met counts.

    Attributes:
        target: A value of the objective metric that is good enough.
        trials_without_improvement: Number of trials, 3 or more, after which a search ends if none of them improved the
            best objective by more than 1%.
        convergence: Whether the search ends when SageMaker finds that it has converged.

    Raises:
        ConfigurationError: No criterion is given, or a number is out of its bounds.

    Examples:
        >>> CompletionCriteria(target=0.2, trials_without_improvement=5)
        CompletionCriteria(target=0.2, trials_without_improvement=5, convergence=False)
    """

    target: float | None = None
    trials_without_improvement: int | None = None
    convergence: bool = False

    def __post_init__(self) -> None:
        if self.target is None and self.trials_without_improvement is None and not self.convergence:
            raise ConfigurationError(
                "CompletionCriteria has no criterion; pass target, trials_without_improvement or convergence."
            )
        if self.target is not None and not math.isfinite(self.target):
            raise ConfigurationError(f"The target of a search is {self.target}; it must be a finite number.")
        patience = self.trials_without_improvement
        if patience is not None and patience < _LEAST_PATIENCE:
            raise ConfigurationError(
                f"trials_without_improvement is {patience}; SageMaker accepts {_LEAST_PATIENCE} or more."
            )


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Settings of a search.

    Attributes:
        strategy: Bayesian, Random, Grid or Hyperband.
        objective_metric: One of the metric definitions' names.
        objective_type: Minimize or Maximize.
        max_jobs: Total number of training jobs; None for a Grid search, which has one per combination.
        max_parallel_jobs: Number of training jobs that run at the same time.
        max_runtime_seconds: The search is stopped after this time; None for no limit.
        early_stopping: Whether SageMaker may stop trials that fall behind (its type ``Auto``).
        random_seed: Seed of the proposals, 0 or more.
        hyperband: The epochs of the Hyperband strategy, with max_epochs; None with other strategies.
        completion: What ends the search early, or None.
        warm_start: Tuning jobs to learn from, or None.
    """

    strategy: str
    objective_metric: str
    objective_type: str
    max_jobs: int | None
    max_parallel_jobs: int
    max_runtime_seconds: int | None = None
    early_stopping: bool
    random_seed: int
    hyperband: Hyperband | None = None
    completion: CompletionCriteria | None = None
    warm_start: WarmStart | None = None


def tuning_job(
    name: str,
    *,
    settings: training.JobSettings,
    search: SearchSettings,
    program: str,
    ranges: Mapping[str, ParameterRange],
    hyperparameters: Mapping[str, object],
    channels: Mapping[str, str],
    checkpoint_uri: str | None,
    metric_definitions: Sequence[Mapping[str, str]],
) -> CreateHyperParameterTuningJobRequestTypeDef:
    """Members of a CreateHyperParameterTuningJob request.

    Args:
        name: Name of the tuning job, at most 32 characters.
        settings: Settings that the trainer's jobs share. A tuning job reuses the instances of its trials by itself,
            and does not take keep_alive_seconds (API reference, HyperParameterTuningResourceConfig).
        search: Strategy, objective and limits.
        program: Entry point inside the packed source, for example ``hpo.py``.
        ranges: Hyperparameter name -> SageMaker's parameter range.
        hyperparameters: Hyperparameters that all trials share.
        channels: Input channel name -> URI of a folder.
        checkpoint_uri: Folder for the checkpoints of all trials, each of which uses a sub-folder with its name; or
            None.
        metric_definitions: ``{"Name": …, "Regex": …}``; the objective must be among them.
    """
    trials = {
        **training.definition(
            settings, channels=channels, checkpoint_uri=checkpoint_uri, metric_definitions=metric_definitions
        ),
        "StaticHyperParameters": training.script_hyperparameters(hyperparameters, program=program, settings=settings),
    }
    request: CreateHyperParameterTuningJobRequestTypeDef = {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": _configuration(search, ranges),
        "TrainingJobDefinition": cast("HyperParameterTrainingJobDefinitionTypeDef", trials),
        "Tags": tag_list(settings.tags),
    }
    if search.warm_start is not None:
        identical = search.warm_start.kind == "identical"
        kind: HyperParameterTuningJobWarmStartTypeType = (
            "IdenticalDataAndAlgorithm" if identical else "TransferLearning"
        )
        request["WarmStartConfig"] = {
            "ParentHyperParameterTuningJobs": [
                {"HyperParameterTuningJobName": parent} for parent in search.warm_start.names
            ],
            "WarmStartType": kind,
        }
    return request


def parameter_ranges(ranges: Mapping[str, ParameterRange]) -> ParameterRangesTypeDef:
    """SageMaker's three lists of ranges from one mapping.

    Categorical values are not JSON-encoded: the container accepts text that is not JSON as it is, and the results
    then show ``adamw`` rather than ``"adamw"``.

    Raises:
        ConfigurationError: There is nothing to search, or a value is not a parameter range.
    """
    if not ranges:
        raise ConfigurationError("A search needs at least one hyperparameter with a range.")
    found: ParameterRangesTypeDef = {}
    continuous: list[ContinuousParameterRangeTypeDef] = []
    integer: list[IntegerParameterRangeTypeDef] = []
    categorical: list[CategoricalParameterRangeTypeDef] = []
    parameter: Any
    for name, parameter in ranges.items():
        if is_a(CategoricalParameter, parameter):
            categorical.append({"Name": name, "Values": [str(value) for value in parameter.values]})
        elif is_a(IntegerParameter, parameter):
            integer.append(_bounds(name, parameter))
        elif is_a(ContinuousParameter, parameter):
            continuous.append(_bounds(name, parameter))
        else:
            raise ConfigurationError(
                f"The search range of {name!r} is a {type(parameter).__name__}; use ContinuousParameter, "
                "IntegerParameter or CategoricalParameter."
            )
    if continuous:
        found["ContinuousParameterRanges"] = continuous
    if integer:
        found["IntegerParameterRanges"] = integer
    if categorical:
        found["CategoricalParameterRanges"] = categorical
    return found


def _configuration(
    search: SearchSettings, ranges: Mapping[str, ParameterRange]
) -> HyperParameterTuningJobConfigTypeDef:
    made: HyperParameterTuningJobConfigTypeDef = {
        "Strategy": cast("HyperParameterTuningJobStrategyTypeType", search.strategy),
        "HyperParameterTuningJobObjective": {
            "Type": cast("HyperParameterTuningJobObjectiveTypeType", search.objective_type),
            "MetricName": search.objective_metric,
        },
        "ResourceLimits": _limits(search),
        "ParameterRanges": parameter_ranges(ranges),
        "TrainingJobEarlyStoppingType": "Auto" if search.early_stopping else "Off",
        "RandomSeed": search.random_seed,
    }
    if search.hyperband is not None:
        epochs: HyperbandStrategyConfigTypeDef = {"MinResource": search.hyperband.min_epochs}
        if search.hyperband.max_epochs is not None:
            epochs["MaxResource"] = search.hyperband.max_epochs
        made["StrategyConfig"] = {"HyperbandStrategyConfig": epochs}
    if search.completion is not None:
        made["TuningJobCompletionCriteria"] = _criteria(search.completion)
    return made


def _criteria(completion: CompletionCriteria) -> TuningJobCompletionCriteriaTypeDef:
    made: TuningJobCompletionCriteriaTypeDef = {}
    if completion.target is not None:
        made["TargetObjectiveMetricValue"] = completion.target
    if completion.trials_without_improvement is not None:
        made["BestObjectiveNotImproving"] = {
            "MaxNumberOfTrainingJobsNotImproving": completion.trials_without_improvement
        }
    if completion.convergence:
        made["ConvergenceDetected"] = {"CompleteOnConvergence": "Enabled"}
    return made


def _limits(search: SearchSettings) -> ResourceLimitsTypeDef:
    limits: ResourceLimitsTypeDef = {"MaxParallelTrainingJobs": search.max_parallel_jobs}
    if search.max_jobs is not None:
        limits["MaxNumberOfTrainingJobs"] = search.max_jobs
    if search.max_runtime_seconds is not None:
        limits["MaxRuntimeInSeconds"] = search.max_runtime_seconds
    return limits


def _bounds(name: str, parameter: ContinuousParameter | IntegerParameter) -> ContinuousParameterRangeTypeDef:
    return {
        "Name": name,
        "MinValue": str(parameter.min_value),
        "MaxValue": str(parameter.max_value),
        "ScalingType": cast("HyperParameterScalingTypeType", str(parameter.scaling_type)),
    }
