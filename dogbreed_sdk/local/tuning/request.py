"""A tuning job's request: what to search, when the search ends, and the requests of its training jobs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.jobs.metrics import MetricReader
from dogbreed_sdk.local.store import Request
from dogbreed_sdk.local.tuning import resolution
from dogbreed_sdk.local.tuning.convergence import has_converged, jobs_without_improvement

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        HyperParameterTrainingJobDefinitionUnionTypeDef,
        HyperParameterTuningJobConfigUnionTypeDef,
        ParameterRangesUnionTypeDef,
    )


# Members of a training job definition that go into CreateTrainingJob as they are.
_SHARED_MEMBERS = (
    "RoleArn",
    "AlgorithmSpecification",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "RetryStrategy",
    "Environment",
)


@dataclass(frozen=True)
class Definition:
    """One training job definition of a tuning job.

    Attributes:
        name: DefinitionName, which distinguishes several definitions.
        members: The definition, with what SageMaker adds to it.
        ranges: The ParameterRanges of its search.
        metric: The objective metric's name.
    """

    name: str | None
    members: HyperParameterTrainingJobDefinitionUnionTypeDef
    ranges: ParameterRangesUnionTypeDef
    metric: str

    def objective_reader(self) -> MetricReader:
        """A reader for the objective metric alone.

        Raises:
            ConfigurationError: It is not in MetricDefinitions, or its expression is not valid.
        """
        definitions = self.members["AlgorithmSpecification"].get("MetricDefinitions", ())
        reader = MetricReader.of(definitions).only(self.metric)
        if not reader.patterns:
            names = ", ".join(entry["Name"] for entry in definitions) or "none"
            raise ConfigurationError(f"The objective metric {self.metric!r} is not in MetricDefinitions ({names}).")
        return reader

    def training_request(self, trial: str, tuned: Mapping[str, str]) -> Request:
        """The CreateTrainingJob request of a trial.

        Each trial has its own folder for checkpoints below the definition's, so that no trial resumes another.
        """
        given: Request = {**self.members}
        request = {name: given[name] for name in _SHARED_MEMBERS if name in given}
        checkpoints = self.members.get("CheckpointConfig")
        if checkpoints:
            request["CheckpointConfig"] = {**checkpoints, "S3Uri": f"{checkpoints['S3Uri'].rstrip('/')}/{trial}"}
        static = self.members.get("StaticHyperParameters", {})
        return {**request, "TrainingJobName": trial, "HyperParameters": {**static, **tuned}}


@dataclass(frozen=True)
class TuningRequest:
    """The parts of a CreateHyperParameterTuningJob request that the tuner uses.

    Attributes:
        name: The tuning job's name.
        configuration: HyperParameterTuningJobConfig.
        definitions: The training job definitions, at least one.
        objective_type: Maximize or Minimize, for all of them.
    """

    name: str
    configuration: HyperParameterTuningJobConfigUnionTypeDef
    definitions: tuple[Definition, ...]
    objective_type: str

    @classmethod
    def read(cls, request: Request) -> TuningRequest:
        """Read a request that the API has checked."""
        resolved = resolution.resolve(request)
        configuration = resolved["HyperParameterTuningJobConfig"]
        definitions = resolution.definitions_of(resolved)
        return cls(
            name=request["HyperParameterTuningJobName"],
            configuration=cast("HyperParameterTuningJobConfigUnionTypeDef", configuration),
            definitions=tuple(
                Definition(
                    name=definition.get("DefinitionName"),
                    members=cast("HyperParameterTrainingJobDefinitionUnionTypeDef", definition),
                    ranges=cast("ParameterRangesUnionTypeDef", resolution.ranges_of(definition, configuration)),
                    metric=resolution.objective_of(definition, configuration)["MetricName"],
                )
                for definition in definitions
            ),
            objective_type=resolution.objective_of(definitions[0], configuration)["Type"],
        )

    @property
    def maximize(self) -> bool:
        """Whether larger objective values are better."""
        return self.objective_type == "Maximize"

    @property
    def maximum_jobs(self) -> int | None:
        """How many training jobs the search may have; None for a request without a number, whose ranges decide."""
        return self.configuration["ResourceLimits"].get("MaxNumberOfTrainingJobs")

    @property
    def parallel_jobs(self) -> int:
        """How many of them may run at once."""
        return int(self.configuration["ResourceLimits"]["MaxParallelTrainingJobs"])

    @property
    def maximum_seconds(self) -> float:
        """How long the search may take."""
        return float(self.configuration["ResourceLimits"].get("MaxRuntimeInSeconds", "inf"))

    @property
    def stops_early(self) -> bool:
        """Whether hopeless trials are stopped early; `early_stopping` decides which are."""
        return self.configuration.get("TrainingJobEarlyStoppingType") == "Auto"

    def is_good_enough(self, values: Sequence[float]) -> bool:
        """Whether TuningJobCompletionCriteria end the search, given the finished trials' objective values in order."""
        criteria = self.configuration.get("TuningJobCompletionCriteria") or {}
        if not values:
            return False
        better = max if self.maximize else min
        best = better(values)
        target = criteria.get("TargetObjectiveMetricValue")
        if target is not None and better(best, target) == best:
            return True
        patience = (criteria.get("BestObjectiveNotImproving") or {}).get("MaxNumberOfTrainingJobsNotImproving")
        if patience is not None and jobs_without_improvement(values, maximize=self.maximize) >= patience:
            return True
        ends = (criteria.get("ConvergenceDetected") or {}).get("CompleteOnConvergence") == "Enabled"
        return ends and has_converged(values, maximize=self.maximize)

    def trial_name(self, number: int) -> str:
        """A name in AWS's form for the training job of that number, counted from 1."""
        return f"{self.name}-{number:03d}-{secrets.token_hex(4)}"
