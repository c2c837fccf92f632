"""One run of a training script on one host, from which its command line and its environment follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk import container
from dogbreed_sdk.local.jobs.hosts import Host
from dogbreed_sdk.local.jobs.network import JobNetwork

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef


@dataclass(frozen=True)
class ScriptRun:
    """One run of a script on one host: the values that determine its variables.

    Attributes:
        name: The job's name.
        arn: Its ARN.
        request: The CreateTrainingJob request.
        host: The host.
        checkpoints: The checkpoint folder.
        program: The entry point.
        threads: Threads granted to the host.
        gpus: The GPUs of the host, as in CUDA_VISIBLE_DEVICES.
        network: The job's network.
    """

    name: str
    arn: str
    request: CreateTrainingJobRequestTypeDef = field(repr=False)
    host: Host
    checkpoints: Path
    program: str
    threads: int
    gpus: tuple[str, ...]
    network: JobNetwork

    @property
    def hyperparameters(self) -> dict[str, str]:
        """The script's own hyperparameters in wire form."""
        return {
            name: value
            for name, value in self.request.get("HyperParameters", {}).items()
            if not name.startswith((container.RESERVED_HYPERPARAMETER_PREFIX, container.OBJECTIVE_HYPERPARAMETER))
        }

    @property
    def arguments(self) -> list[str]:
        """The script's command line."""
        return container.script_arguments(self.hyperparameters)
