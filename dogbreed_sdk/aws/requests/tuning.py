"""The request that creates a tuning job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sagemaker.core.parameter import (
    CategoricalParameter,
    ContinuousParameter,
    IntegerParameter,
    ParameterRange,
)
from sagemaker.core.shapes import (
    CategoricalParameterRange,
    ContinuousParameterRange,
    HyperParameterAlgorithmSpecification,
    HyperParameterTrainingJobDefinition,
    HyperParameterTuningJobConfig,
    HyperParameterTuningJobObjective,
    IntegerParameterRange,
    OutputDataConfig,
    ParameterRanges,
    ResourceLimits,
    StoppingCondition,
)

from dogbreed_sdk.aws.requests import training
from dogbreed_sdk.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Settings of a search.

    Attributes:
        strategy: Bayesian, Random, Grid or Hyperband.
        objective_metric: One of the metric definitions' names.
        objective_type: Minimize or Maximize.
        max_jobs: Total number of training jobs; None for a Grid search, which has one per combination.
        max_parallel_jobs: Number of training jobs that run at the same time.
        early_stopping: Whether SageMaker may stop trials that fall behind (its type ``Auto``).
        random_seed: Seed of the proposals.
    """

    strategy: str
    objective_metric: str
    objective_type: str
    max_jobs: int | None
    max_parallel_jobs: int
    early_stopping: bool
    random_seed: int


def tuning_job(
    name: str,
    *,
    settings: training.JobSettings,
    search: SearchSettings,
    program: str,
    ranges: Mapping[str, ParameterRange],
    hyperparameters: Mapping[str, object],
    channels: Mapping[str, str],
    metric_definitions: Sequence[Mapping[str, str]],
) -> dict[str, object]:
    """Arguments for ``sagemaker.core.resources.HyperParameterTuningJob.create``.

    Args:
        name: Name of the tuning job, at most 32 characters.
        settings: Settings that the trainer's jobs share.
        search: Strategy, objective and limits.
        program: Entry point inside the packed source, for example ``hpo.py``.
        ranges: Hyperparameter name -> SageMaker's parameter range.
        hyperparameters: Hyperparameters that all trials share.
        channels: Input channel name -> URI of a folder.
        metric_definitions: ``{"Name": …, "Regex": …}``; the objective must be among them.
    """
    return {
        "hyper_parameter_tuning_job_name": name,
        "hyper_parameter_tuning_job_config": HyperParameterTuningJobConfig(
            strategy=search.strategy,
            hyper_parameter_tuning_job_objective=HyperParameterTuningJobObjective(
                type=search.objective_type, metric_name=search.objective_metric
            ),
            resource_limits=_limits(search),
            parameter_ranges=parameter_ranges(ranges),
            training_job_early_stopping_type="Auto" if search.early_stopping else "Off",
            random_seed=search.random_seed,
        ),
        "training_job_definition": HyperParameterTrainingJobDefinition(
            algorithm_specification=HyperParameterAlgorithmSpecification(
                training_image=settings.image_uri,
                training_input_mode="File",
                metric_definitions=training.metrics(metric_definitions),
            ),
            role_arn=settings.role_arn,
            static_hyper_parameters=training.script_hyperparameters(
                hyperparameters, program=program, source_uri=settings.source_uri
            ),
            input_data_config=training.input_channels(channels),
            output_data_config=OutputDataConfig(s3_output_path=settings.output_uri),
            resource_config=training.resources(settings),
            stopping_condition=StoppingCondition(max_runtime_in_seconds=settings.max_runtime_seconds),
            environment=dict(settings.environment),
        ),
        "tags": training.tags(settings.tags),
    }


def parameter_ranges(ranges: Mapping[str, ParameterRange]) -> ParameterRanges:
    """SageMaker's three lists of ranges from one mapping.

    Categorical values are not JSON-encoded: the container accepts text that is not JSON as it is, and the results
    then show ``adamw`` rather than ``"adamw"``.

    Raises:
        ConfigurationError: There is nothing to search, or a value is not a parameter range.
    """
    if not ranges:
        raise ConfigurationError("A search needs at least one hyperparameter with a range.")
    continuous: list[ContinuousParameterRange] = []
    integer: list[IntegerParameterRange] = []
    categorical: list[CategoricalParameterRange] = []
    for name, parameter in ranges.items():
        if isinstance(parameter, CategoricalParameter):
            categorical.append(CategoricalParameterRange(name=name, values=parameter.values))
        elif isinstance(parameter, IntegerParameter):
            integer.append(IntegerParameterRange(**_bounds(name, parameter)))
        elif isinstance(parameter, ContinuousParameter):
            continuous.append(ContinuousParameterRange(**_bounds(name, parameter)))
        else:
            raise ConfigurationError(
                f"The search range of {name!r} is a {type(parameter).__name__}; use ContinuousParameter, "
                "IntegerParameter or CategoricalParameter."
            )
    return ParameterRanges(
        continuous_parameter_ranges=continuous,
        integer_parameter_ranges=integer,
        categorical_parameter_ranges=categorical,
    )


def _limits(search: SearchSettings) -> ResourceLimits:
    if search.max_jobs is None:
        return ResourceLimits(max_parallel_training_jobs=search.max_parallel_jobs)
    return ResourceLimits(
        max_number_of_training_jobs=search.max_jobs, max_parallel_training_jobs=search.max_parallel_jobs
    )


def _bounds(name: str, parameter: ParameterRange) -> dict[str, str]:
    return {
        "name": name,
        "min_value": str(parameter.min_value),
        "max_value": str(parameter.max_value),
        "scaling_type": str(parameter.scaling_type),
    }
