"""Prepares a container's /opt/ml: configuration files, channels and the script's source."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypedDict

from dogbreed_sdk import container
from dogbreed_sdk._util.log_file import Report
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.container_view import OPT_ML
from dogbreed_sdk.local.jobs import debugger_outputs
from dogbreed_sdk.local.jobs.channels import channels_of, stage_channel
from dogbreed_sdk.local.jobs.checkpoints import stage_checkpoints
from dogbreed_sdk.local.jobs.hosts import Host
from dogbreed_sdk.local.jobs.network import INTERFACE
from dogbreed_sdk.local.jobs.pipes import stage_pipe
from dogbreed_sdk.local.s3.transfer import download_object
from dogbreed_sdk.local.unpacking import unpack
from training_scripts._util.atomic import write_json_atomically

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef


INSTANCE_GROUP = "homogeneousCluster"


class InstanceGroup(TypedDict):
    """A member of resourceconfig.json."""

    instance_group_name: str
    instance_type: str
    hosts: list[str]


class ResourceConfiguration(TypedDict):
    """The content of resourceconfig.json."""

    current_host: str
    current_instance_type: str
    current_group_name: str
    hosts: list[str]
    instance_groups: list[InstanceGroup]
    network_interface_name: str


def stage(host: Host, request: CreateTrainingJobRequestTypeDef, report: Report) -> str:
    """Prepare the container folder of one host of a training job.

    Args:
        host: The host.
        request: The CreateTrainingJob request.
        report: Called with lines for the host's log.

    Returns:
        The script, relative to the code folder; empty if the job has a ContainerEntrypoint.

    Raises:
        ConfigurationError: A channel, the source or the entry point is missing or unusable.
    """
    base = host.container
    for name in ("input/config", "input/data", "code", "model", "output/data", "output/intermediate"):
        (base / name).mkdir(parents=True, exist_ok=True)
    _write_configuration(base / "input/config", host, request)
    for channel in channels_of(request):
        if channel.mode == "Pipe":
            stage_pipe(channel, host)
        else:
            stage_channel(channel, host, report)
    stage_checkpoints(host, request, report)
    debugger_outputs.stage(host, request, report)
    if request["AlgorithmSpecification"].get("ContainerEntrypoint"):
        return ""  # nothing in the container reads the hyperparameters that name a source
    return _stage_source(base, request.get("HyperParameters", {}))


def _write_configuration(folder: Path, host: Host, request: CreateTrainingJobRequestTypeDef) -> None:
    channels = {channel.name: channel.configuration for channel in channels_of(request)}
    files = {
        "hyperparameters.json": request.get("HyperParameters", {}),
        "inputdataconfig.json": channels,
        "resourceconfig.json": resource_configuration(host, request),
    }
    for name, content in files.items():
        write_json_atomically(folder / name, content, durable=False)


def resource_configuration(host: Host, request: CreateTrainingJobRequestTypeDef) -> ResourceConfiguration:
    """The content of a host's resourceconfig.json."""
    resources = request.get("ResourceConfig")
    instance_type = resources.get("InstanceType", "local") if resources else "local"
    group: InstanceGroup = {"instance_group_name": INSTANCE_GROUP, "instance_type": instance_type, "hosts": host.names}
    return {
        "current_host": host.name,
        "current_instance_type": instance_type,
        "current_group_name": INSTANCE_GROUP,
        "hosts": host.names,
        "instance_groups": [group],
        "network_interface_name": INTERFACE,
    }


def _local_path(uri: str, what: str) -> Path:
    if uri.startswith("/"):
        return Path(uri)
    try:
        return container.uri_to_path(uri)
    except ValueError as error:
        raise ConfigurationError(f"{what}: {error}; local jobs read file:// and s3:// URIs.") from error


def _stage_source(base: Path, hyperparameters: Mapping[str, str]) -> str:
    program = _decoded(hyperparameters, container.PROGRAM_HYPERPARAMETER)
    source = _decoded(hyperparameters, container.SUBMIT_DIRECTORY_HYPERPARAMETER)
    if not program or not source:
        raise ConfigurationError(
            "A local job runs a script: the hyperparameters sagemaker_program (its file name) and "
            "sagemaker_submit_directory (the URI of a sourcedir.tar.gz) say which one; at least one is missing."
        )
    code = base / "code"
    if source.startswith("s3://"):
        archive = base / "input" / container.SOURCE_ARCHIVE
        download_object(source, archive)
        unpack(archive, code)
    elif source.startswith(f"{OPT_ML}/"):
        # In a channel: sagemaker 2 sends it so for jobs with network isolation.
        _copy_source(base / PurePosixPath(source).relative_to(OPT_ML), code)
    else:
        _copy_source(_local_path(source, container.SUBMIT_DIRECTORY_HYPERPARAMETER), code)
    script = (code / program).resolve()
    if not script.is_relative_to(code.resolve()) or not script.is_file():
        present = ", ".join(sorted(path.name for path in code.iterdir())[:12]) or "nothing"
        raise ConfigurationError(f"The entry point {program!r} is not in {source}, which holds {present}.")
    return program


def _decoded(hyperparameters: Mapping[str, str], name: str) -> str:
    value = container.decode_hyperparameter(hyperparameters.get(name, ""))
    return value if isinstance(value, str) else ""


def _copy_source(source: Path, code: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, code, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    elif source.is_file():
        unpack(source, code)
    else:
        raise ConfigurationError(f"The source archive {source} does not exist.")
