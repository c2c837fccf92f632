"""The request that creates a training job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sagemaker.core.shapes import (
    AlgorithmSpecification,
    Channel,
    CheckpointConfig,
    DataSource,
    MetricDefinition,
    OutputDataConfig,
    ResourceConfig,
    S3DataSource,
    StoppingCondition,
)

from dogbreed_sdk import container


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """What all jobs of one trainer have in common.

    Attributes:
        image_uri: Container image that runs the scripts.
        role_arn: Role that the job assumes.
        source_uri: Packed training scripts, a .tar.gz.
        output_uri: Folder in which SageMaker creates one folder per job.
        instance_type: For example ``ml.m5.xlarge``.
        volume_size_gb: Size of the disk, in GB.
        max_runtime_seconds: A job that runs longer is stopped; the model it has saved by then is kept.
        environment: Environment variables of the script.
        tags: Tags for cost reports and clean-up.
    """

    image_uri: str
    role_arn: str
    source_uri: str
    output_uri: str
    instance_type: str
    volume_size_gb: int
    max_runtime_seconds: int
    environment: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def training_job(
    name: str,
    *,
    settings: JobSettings,
    program: str,
    hyperparameters: Mapping[str, object],
    channels: Mapping[str, str],
    checkpoint_uri: str | None,
    metric_definitions: Sequence[Mapping[str, str]],
) -> dict[str, object]:
    """Arguments for ``sagemaker.core.resources.TrainingJob.create``.

    Args:
        name: Name of the job, unique in the account and region.
        settings: Settings that the trainer's jobs share.
        program: Entry point inside the packed source, for example ``train_model.py``.
        hyperparameters: Python values by name; sent as JSON.
        channels: Input channel name -> URI of a folder.
        checkpoint_uri: Folder that the job's checkpoint folder is synchronized with, or None.
        metric_definitions: ``{"Name": …, "Regex": …}`` of the metrics that SageMaker reads from the log.
    """
    arguments: dict[str, object] = {
        "training_job_name": name,
        "role_arn": settings.role_arn,
        "algorithm_specification": AlgorithmSpecification(
            training_image=settings.image_uri,
            training_input_mode="File",
            metric_definitions=metrics(metric_definitions),
        ),
        "hyper_parameters": script_hyperparameters(hyperparameters, program=program, source_uri=settings.source_uri),
        "output_data_config": OutputDataConfig(s3_output_path=settings.output_uri),
        "resource_config": resources(settings),
        "stopping_condition": StoppingCondition(max_runtime_in_seconds=settings.max_runtime_seconds),
        "environment": dict(settings.environment),
        "tags": tags(settings.tags),
    }
    if channels:
        arguments["input_data_config"] = input_channels(channels)
    if checkpoint_uri is not None:
        arguments["checkpoint_config"] = CheckpointConfig(s3_uri=checkpoint_uri)
    return arguments


def script_hyperparameters(hyperparameters: Mapping[str, object], *, program: str, source_uri: str) -> dict[str, str]:
    """Script mode's hyperparameters, JSON-encoded: the user's, the program and the URI of its source."""
    return {
        **{name: container.encode_hyperparameter(value) for name, value in hyperparameters.items()},
        container.PROGRAM_HYPERPARAMETER: container.encode_hyperparameter(program),
        container.SUBMIT_DIRECTORY_HYPERPARAMETER: container.encode_hyperparameter(source_uri),
    }


def input_channels(channels: Mapping[str, str]) -> list[Channel]:
    """Channels that copy the whole folder at each URI to every instance."""
    return [
        Channel(
            channel_name=name,
            data_source=DataSource(
                s3_data_source=S3DataSource(
                    s3_data_type="S3Prefix", s3_uri=uri, s3_data_distribution_type="FullyReplicated"
                )
            ),
        )
        for name, uri in channels.items()
    ]


def resources(settings: JobSettings) -> ResourceConfig:
    """One instance: training a head on stored features is far too small to distribute."""
    return ResourceConfig(
        instance_type=settings.instance_type, instance_count=1, volume_size_in_gb=settings.volume_size_gb
    )


def metrics(definitions: Sequence[Mapping[str, str]]) -> list[MetricDefinition]:
    """Metric definitions as sagemaker.core shapes."""
    return [MetricDefinition(name=entry["Name"], regex=entry["Regex"]) for entry in definitions]


def tags(pairs: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as plain values: `sagemaker.core` has two classes Tag, and its calls accept different ones."""
    return [{"key": key, "value": value} for key, value in pairs.items()]
