"""The members of the operations on tuning jobs."""

from __future__ import annotations

from dogbreed_sdk.local.support import training_jobs
from dogbreed_sdk.local.support.listing import PAGES, SORT_ORDER, TAGS, TIMES
from dogbreed_sdk.local.support.rows import WORKS, Table, works

_RANGE: Table = {
    "Name": WORKS,
    "MinValue": WORKS,
    "MaxValue": WORKS,
    "ScalingType": works(only=("Auto", "Linear", "Logarithmic", "ReverseLogarithmic")),
}
_RANGES: Table = {
    "IntegerParameterRanges": _RANGE,
    "ContinuousParameterRanges": _RANGE,
    "CategoricalParameterRanges": {"Name": WORKS, "Values": WORKS},
    "AutoParameters": {
        "Name": WORKS,
        "ValueHint": works("a positive number gets a range; other values stay as they are"),
    },
}
_INSTANCES: Table = {
    name: training_jobs.RESOURCES[name] for name in ("InstanceType", "InstanceCount", "VolumeSizeInGB")
}
_FLEXIBLE_RESOURCES: Table = {
    **_INSTANCES,
    "VolumeKmsKeyId": training_jobs.RESOURCES["VolumeKmsKeyId"],
    "AllocationStrategy": works("the first entry of InstanceConfigs is used", only=("Prioritized",)),
    "InstanceConfigs": _INSTANCES,
}
_OBJECTIVE: Table = {"Type": works(only=("Maximize", "Minimize")), "MetricName": WORKS}

_DEFINITION: Table = {
    "DefinitionName": WORKS,
    "TuningObjective": _OBJECTIVE,
    "HyperParameterRanges": _RANGES,
    "StaticHyperParameters": WORKS,
    "AlgorithmSpecification": training_jobs.ALGORITHM,
    "RoleArn": training_jobs.ROLE,
    "InputDataConfig": training_jobs.CHANNEL,
    "VpcConfig": training_jobs.VPC,
    "OutputDataConfig": training_jobs.OUTPUT,
    "ResourceConfig": training_jobs.RESOURCES,
    "HyperParameterTuningResourceConfig": _FLEXIBLE_RESOURCES,
    "StoppingCondition": training_jobs.STOPPING,
    "EnableNetworkIsolation": training_jobs.NETWORK_ISOLATION,
    "EnableInterContainerTrafficEncryption": training_jobs.TRAFFIC_ENCRYPTION,
    "EnableManagedSpotTraining": training_jobs.SPOT,
    "CheckpointConfig": training_jobs.CHECKPOINTS,
    "RetryStrategy": training_jobs.RETRIES,
    "Environment": WORKS,
}

OPERATIONS: Table = {
    "CreateHyperParameterTuningJob": {
        "HyperParameterTuningJobName": WORKS,
        "HyperParameterTuningJobConfig": {
            "Strategy": works(only=("Bayesian", "Random", "Hyperband", "Grid")),
            "StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": WORKS, "MaxResource": WORKS}},
            "HyperParameterTuningJobObjective": _OBJECTIVE,
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": WORKS,
                "MaxParallelTrainingJobs": WORKS,
                "MaxRuntimeInSeconds": WORKS,
            },
            "ParameterRanges": _RANGES,
            "TrainingJobEarlyStoppingType": works(only=("Off", "Auto")),
            "TuningJobCompletionCriteria": {
                "TargetObjectiveMetricValue": WORKS,
                "BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": WORKS},
                "ConvergenceDetected": {
                    "CompleteOnConvergence": works(
                        "by our own criterion: no improvement in 10 trials, and in a third of all",
                        only=("Disabled", "Enabled"),
                    )
                },
            },
            "RandomSeed": WORKS,
        },
        "TrainingJobDefinition": _DEFINITION,
        "TrainingJobDefinitions": _DEFINITION,
        "WarmStartConfig": {
            "ParentHyperParameterTuningJobs": {"HyperParameterTuningJobName": WORKS},
            "WarmStartType": works(only=("IdenticalDataAndAlgorithm", "TransferLearning")),
        },
        "Tags": TAGS,
        "Autotune": {"Mode": works("by our own choices: AWS's are not published", only=("Enabled",))},
    },
    "DescribeHyperParameterTuningJob": {"HyperParameterTuningJobName": WORKS},
    "ListHyperParameterTuningJobs": {
        **PAGES,
        **TIMES,
        "SortBy": works(only=("Name", "Status", "CreationTime")),
        "SortOrder": SORT_ORDER,
        "NameContains": WORKS,
        "StatusEquals": WORKS,
    },
    "ListTrainingJobsForHyperParameterTuningJob": {
        "HyperParameterTuningJobName": WORKS,
        **PAGES,
        "StatusEquals": WORKS,
        "SortBy": works(only=("Name", "CreationTime", "Status", "FinalObjectiveMetricValue")),
        "SortOrder": SORT_ORDER,
    },
    "StopHyperParameterTuningJob": {"HyperParameterTuningJobName": WORKS},
    "DeleteHyperParameterTuningJob": {"HyperParameterTuningJobName": WORKS},
}
