"""A tuning job's request: what to search, when the search ends, and the requests of its training jobs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.jobs.metrics import MetricReader
from dogbreed_sdk.local.store import Request

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        CreateHyperParameterTuningJobRequestTypeDef,
        HyperParameterTrainingJobDefinitionUnionTypeDef,
        HyperParameterTuningJobConfigUnionTypeDef,
        HyperParameterTuningResourceConfigUnionTypeDef,
        ParameterRangesUnionTypeDef,
    )


# Members of a training job definition that go into CreateTrainingJob as they are.
_SHARED_MEMBERS = (
    "RoleArn",
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
class TuningRequest:
    """The parts of a CreateHyperParameterTuningJob request that the tuner uses.

    Attributes:
        name: The tuning job's name.
        configuration: HyperParameterTuningJobConfig.
        definition: The training job definition.
        ranges: The ParameterRanges.
        metric: The objective metric's name.
        objective_type: Maximize or Minimize.
    """

    name: str
    configuration: HyperParameterTuningJobConfigUnionTypeDef
    definition: HyperParameterTrainingJobDefinitionUnionTypeDef
    ranges: ParameterRangesUnionTypeDef
    metric: str
    objective_type: str

    @classmethod
    def read(cls, request: CreateHyperParameterTuningJobRequestTypeDef) -> TuningRequest:
        """Read a request that the API has checked."""
        configuration = request["HyperParameterTuningJobConfig"]
        definition = request.get("TrainingJobDefinition") or request["TrainingJobDefinitions"][0]
        objective = definition.get("TuningObjective") or configuration["HyperParameterTuningJobObjective"]
        return cls(
            name=request["HyperParameterTuningJobName"],
            configuration=configuration,
            definition=definition,
            ranges=definition.get("HyperParameterRanges") or configuration["ParameterRanges"],
            metric=objective["MetricName"],
            objective_type=objective["Type"],
        )

    @property
    def maximize(self) -> bool:
        """Whether larger objective values are better."""
        return self.objective_type == "Maximize"

    @property
    def maximum_jobs(self) -> int | None:
        """How many training jobs the search may have; None for a grid, which ends by itself."""
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

    def objective_reader(self) -> MetricReader:
        """A reader for the objective metric alone.

        Raises:
            ConfigurationError: It is not in MetricDefinitions, or its expression is not valid.
        """
        definitions = self.definition["AlgorithmSpecification"].get("MetricDefinitions", ())
        reader = MetricReader.of(definitions).only(self.metric)
        if not reader.patterns:
            names = ", ".join(entry["Name"] for entry in definitions) or "none"
            raise ConfigurationError(f"The objective metric {self.metric!r} is not in MetricDefinitions ({names}).")
        return reader

    def is_good_enough(self, values: list[float]) -> bool:
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
        return patience is not None and len(values) - 1 - values.index(best) >= patience

    def trial_name(self, number: int) -> str:
        """A name in AWS's form for the training job of that number, counted from 1."""
        return f"{self.name}-{number:03d}-{secrets.token_hex(4)}"

    def training_request(self, trial: str, tuned: Mapping[str, str]) -> Request:
        """The CreateTrainingJob request of a trial.

        Each trial has its own folder for checkpoints below the definition's, so that no trial resumes another.
        """
        definition = self.definition
        given: Request = {**definition}
        request = {name: given[name] for name in _SHARED_MEMBERS if name in given}
        resources = definition.get("ResourceConfig") or _resources(definition.get("HyperParameterTuningResourceConfig"))
        checkpoints = definition.get("CheckpointConfig")
        if checkpoints:
            request["CheckpointConfig"] = {**checkpoints, "S3Uri": f"{checkpoints['S3Uri'].rstrip('/')}/{trial}"}
        return {
            **request,
            "TrainingJobName": trial,
            "ResourceConfig": resources,
            "AlgorithmSpecification": definition["AlgorithmSpecification"],
            "HyperParameters": {**definition.get("StaticHyperParameters", {}), **tuned},
        }


def _resources(configuration: HyperParameterTuningResourceConfigUnionTypeDef | None) -> Request:
    chosen: Request = {**(configuration or {})}
    instances = chosen.get("InstanceConfigs") or [{}]
    return {
        "InstanceType": chosen.get("InstanceType") or instances[0].get("InstanceType", "ml.m5.large"),
        "InstanceCount": chosen.get("InstanceCount") or instances[0].get("InstanceCount", 1),
        "VolumeSizeInGB": chosen.get("VolumeSizeInGB") or instances[0].get("VolumeSizeInGB", 1),
    }
