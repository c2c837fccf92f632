"""The hosts of a training job: the instances of its ResourceConfig, each of which runs the script once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk.local.folders import JobFolder

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef


# Local SageMaker is one machine: more hosts only take memory from each other.
MAXIMUM_HOSTS = 8


@dataclass(frozen=True)
class Host:
    """One instance of a training job.

    Attributes:
        job: The job's folder.
        index: Its place among the job's hosts, from 0.
        count: How many hosts the job has.
    """

    job: JobFolder
    index: int
    count: int

    @property
    def name(self) -> str:
        """Its name, as on AWS: algo-1 is the first host."""
        return _name(self.index)

    @property
    def names(self) -> list[str]:
        """The names of all hosts of the job; the first one is the master."""
        return [_name(index) for index in range(self.count)]

    @property
    def container(self) -> Path:
        """The folder that stands for the host's /opt/ml; see `staging`."""
        return self.job.container_of(self.name)

    @property
    def log(self) -> Path:
        """The output of the host's script."""
        return self.job.log_of(self.name)

    def log_stream(self, first: str) -> str:
        """The name of the host's log stream, given the name of the first host's: <job>/<host>-<time>."""
        before, _, time = first.rpartition(f"/{_name(0)}-")
        return f"{before}/{self.name}-{time}"

    @property
    def mark(self) -> str:
        """The text that only the environments of this host's processes contain; it begins with `job_mark`."""
        return job_mark(self.job) + self.name


def hosts_of(folder: JobFolder, request: CreateTrainingJobRequestTypeDef) -> tuple[Host, ...]:
    """The hosts of a training job.

    Args:
        folder: The job's folder.
        request: Its CreateTrainingJob request.
    """
    resources = request.get("ResourceConfig")
    count = resources.get("InstanceCount", 1) if resources else 1
    return tuple(Host(folder, index, count) for index in range(count))


def job_mark(folder: JobFolder) -> str:
    """How the marks of all hosts of a job begin, and no mark of another job."""
    return f"{folder.path}/"


def _name(index: int) -> str:
    return f"algo-{index + 1}"
