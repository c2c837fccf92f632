"""The request that creates a training job, as boto3 takes it; and what it shares with the trials of a tuning job.

Not as `sagemaker.core` takes it, whose calls drop members that are zero (a random seed, a target of 0.0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, TypedDict, cast

from dogbreed_sdk import container
from dogbreed_sdk.aws.requests import instances
from dogbreed_sdk.aws.requests.tags import tag_list

if TYPE_CHECKING:
    from types_boto3_sagemaker.literals import TrainingInstanceTypeType
    from types_boto3_sagemaker.type_defs import (
        ChannelTypeDef,
        CheckpointConfigTypeDef,
        CreateTrainingJobRequestTypeDef,
        MetricDefinitionTypeDef,
        OutputDataConfigTypeDef,
        ResourceConfigTypeDef,
        RetryStrategyTypeDef,
        StoppingConditionTypeDef,
        VpcConfigTypeDef,
    )
    from typing_extensions import NotRequired

    from dogbreed_sdk.aws.requests.debugging import DebuggingMembers
    from dogbreed_sdk.aws.vpc import Vpc

    class _Algorithm(TypedDict):
        TrainingImage: str
        TrainingInputMode: InputMode
        MetricDefinitions: NotRequired[Sequence[MetricDefinitionTypeDef]]

    class Definition(TypedDict):
        """The members that training jobs and the training job definition of a tuning job have in common."""

        AlgorithmSpecification: _Algorithm
        RoleArn: str
        InputDataConfig: Sequence[ChannelTypeDef]
        OutputDataConfig: OutputDataConfigTypeDef
        ResourceConfig: ResourceConfigTypeDef
        StoppingCondition: StoppingConditionTypeDef
        VpcConfig: NotRequired[VpcConfigTypeDef]
        EnableNetworkIsolation: NotRequired[bool]
        EnableInterContainerTrafficEncryption: NotRequired[bool]
        EnableManagedSpotTraining: NotRequired[bool]
        CheckpointConfig: NotRequired[CheckpointConfigTypeDef]
        RetryStrategy: NotRequired[RetryStrategyTypeDef]
        Environment: NotRequired[Mapping[str, str]]


InputMode = Literal["File", "FastFile"]

PICTURES_CHANNEL: Final = "training"


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """What all jobs of one trainer have in common.

    Attributes:
        image_uri: Container image that runs the scripts.
        role_arn: Role that the job assumes.
        source_uri: Packed training scripts, a .tar.gz.
        output_uri: Folder in which SageMaker creates one folder per job.
        instance_type: For example ``ml.m5.xlarge``.
        instance_count: Number of instances; from 2 on AWS's toolkit launches the script with torchrun on each.
        volume_size_gb: Size of the disk, in GB.
        max_runtime_seconds: A job that runs longer is stopped; the model it has saved by then is kept.
        max_wait_seconds: Makes the job run on spot capacity: the longest time for waiting and running together.
        max_pending_seconds: The longest time that the job may wait for on-demand capacity; None for SageMaker's limit.
        keep_alive_seconds: How long the instances are kept for the next job; 0 releases them.
        input_mode: How the script gets pictures: File copies them before it starts, FastFile streams each file when it
            is opened. Features and weights, which are few files, are always copied.
        retries: How often SageMaker restarts the job after an internal error of SageMaker.
        network_isolation: Whether containers are cut off from all networks.
        encrypt_traffic: Whether the traffic between instances is encrypted.
        kms_key: Key for the results and the disks; None for keys that AWS manages.
        vpc: Network of the containers; None for SageMaker's own.
        environment: Environment variables of the script.
        tags: Tags for cost reports and clean-up.
    """

    image_uri: str
    role_arn: str
    source_uri: str
    output_uri: str
    instance_type: str
    instance_count: int = 1
    volume_size_gb: int
    max_runtime_seconds: int
    max_wait_seconds: int | None = None
    max_pending_seconds: int | None = None
    keep_alive_seconds: int = 0
    input_mode: InputMode = "File"
    retries: int = 0
    network_isolation: bool = False
    encrypt_traffic: bool = False
    kms_key: str | None = None
    vpc: Vpc | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def on_one_instance(self) -> JobSettings:
        """The same settings for a job that several instances would not make faster."""
        return replace(self, instance_count=1)

    @property
    def restarts(self) -> bool:
        """Whether SageMaker may start the job again by itself, so that it needs checkpoints."""
        return self.max_wait_seconds is not None or self.retries > 0


def training_job(
    name: str,
    *,
    settings: JobSettings,
    program: str,
    hyperparameters: Mapping[str, object],
    channels: Mapping[str, str],
    checkpoint_uri: str,
    metric_definitions: Sequence[Mapping[str, str]],
    debugging: DebuggingMembers | None = None,
) -> CreateTrainingJobRequestTypeDef:
    """Members of a CreateTrainingJob request.

    Args:
        name: Name of the job, unique in the account and region.
        settings: Settings that the trainer's jobs share.
        program: Entry point inside the packed source, for example ``train_model.py``.
        hyperparameters: Python values by name; sent as JSON.
        channels: Input channel name -> URI of a folder.
        checkpoint_uri: Folder that the job's checkpoint folder is synchronized with.
        metric_definitions: ``{"Name": …, "Regex": …}`` of the metrics that SageMaker reads from the log.
        debugging: Members that enable the managed Debugger and Profiler.
    """
    shared = definition(
        settings, channels=channels, checkpoint_uri=checkpoint_uri, metric_definitions=metric_definitions
    )
    if settings.keep_alive_seconds:
        shared["ResourceConfig"]["KeepAlivePeriodInSeconds"] = settings.keep_alive_seconds
    request = {
        **shared,
        "TrainingJobName": name,
        "HyperParameters": script_hyperparameters(hyperparameters, program=program, settings=settings),
        "Tags": tag_list(settings.tags),
        **(debugging or {}),
    }
    return cast("CreateTrainingJobRequestTypeDef", request)


def definition(
    settings: JobSettings,
    *,
    channels: Mapping[str, str],
    checkpoint_uri: str | None,
    metric_definitions: Sequence[Mapping[str, str]],
) -> Definition:
    """The members that training jobs and the trials of tuning jobs have in common; arguments as for `training_job`."""
    algorithm: _Algorithm = {"TrainingImage": settings.image_uri, "TrainingInputMode": "File"}
    if metric_definitions:
        algorithm["MetricDefinitions"] = [
            {"Name": entry["Name"], "Regex": entry["Regex"]} for entry in metric_definitions
        ]
    output: OutputDataConfigTypeDef = {"S3OutputPath": settings.output_uri}
    if settings.kms_key is not None:
        output["KmsKeyId"] = settings.kms_key
    made: Definition = {
        "AlgorithmSpecification": algorithm,
        "RoleArn": settings.role_arn,
        "InputDataConfig": [_channel(name, uri, settings.input_mode) for name, uri in channels.items()],
        "OutputDataConfig": output,
        "ResourceConfig": _resources(settings),
        "StoppingCondition": _limits(settings),
    }
    if checkpoint_uri is not None:
        made["CheckpointConfig"] = {"S3Uri": checkpoint_uri}
    if settings.max_wait_seconds is not None:
        made["EnableManagedSpotTraining"] = True
    if settings.retries:
        made["RetryStrategy"] = {"MaximumRetryAttempts": settings.retries}
    if settings.environment:
        made["Environment"] = dict(settings.environment)
    _add_network(made, settings)
    return made


def script_hyperparameters(
    hyperparameters: Mapping[str, object], *, program: str, settings: JobSettings
) -> dict[str, str]:
    """Script mode's hyperparameters, JSON-encoded: the user's, and what AWS's toolkit needs to launch the program."""
    launching: dict[str, object] = {
        container.PROGRAM_HYPERPARAMETER: program,
        container.SUBMIT_DIRECTORY_HYPERPARAMETER: settings.source_uri,
    }
    if settings.instance_count > 1:
        launching[container.TORCH_DISTRIBUTED_HYPERPARAMETER] = True
        launching[container.INSTANCE_TYPE_HYPERPARAMETER] = settings.instance_type
    return {name: container.encode_hyperparameter(value) for name, value in {**hyperparameters, **launching}.items()}


def _channel(name: str, uri: str, input_mode: InputMode) -> ChannelTypeDef:
    """A channel that gives the whole folder at a URI to every instance."""
    channel: ChannelTypeDef = {
        "ChannelName": name,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                "S3Uri": uri,
                "S3DataDistributionType": "FullyReplicated",
            }
        },
    }
    if name == PICTURES_CHANNEL and input_mode != "File":
        channel["InputMode"] = input_mode
    return channel


def _resources(settings: JobSettings) -> ResourceConfigTypeDef:
    found: ResourceConfigTypeDef = {
        "InstanceType": cast("TrainingInstanceTypeType", settings.instance_type),
        "InstanceCount": settings.instance_count,
        "VolumeSizeInGB": settings.volume_size_gb,
    }
    # API reference, ResourceConfig: local disks are encrypted by the instance itself, and a key for them is refused.
    if settings.kms_key is not None and not instances.has_local_disks(settings.instance_type):
        found["VolumeKmsKeyId"] = settings.kms_key
    return found


def _limits(settings: JobSettings) -> StoppingConditionTypeDef:
    found: StoppingConditionTypeDef = {"MaxRuntimeInSeconds": settings.max_runtime_seconds}
    if settings.max_wait_seconds is not None:
        found["MaxWaitTimeInSeconds"] = settings.max_wait_seconds
    if settings.max_pending_seconds is not None:
        found["MaxPendingTimeInSeconds"] = settings.max_pending_seconds
    return found


def _add_network(made: Definition, settings: JobSettings) -> None:
    if settings.vpc is not None:
        made["VpcConfig"] = settings.vpc.as_request()
    if settings.network_isolation:
        made["EnableNetworkIsolation"] = True
    if settings.encrypt_traffic:
        made["EnableInterContainerTrafficEncryption"] = True
