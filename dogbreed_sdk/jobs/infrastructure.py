"""What a trainer's jobs run on: instances, limits and networks, checked before anything is created."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dogbreed_sdk import defaults
from dogbreed_sdk._util.durations import Duration, duration_seconds
from dogbreed_sdk.aws.requests.instances import check_instance_type, has_local_disks
from dogbreed_sdk.aws.requests.training import JobSettings
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs.job_options import LONGEST_KEEP_ALIVE_SECONDS, JobOptions, Spot

if TYPE_CHECKING:
    from dogbreed_sdk.session import Session

# API reference, StoppingCondition: 28 days.
_LONGEST_RUNTIME_SECONDS = 2_419_200
# API reference, CreateTrainingJob, Environment.
_MOST_VARIABLES = 100
_LONGEST_VARIABLE = 512
_VARIABLE = re.compile("[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Infrastructure:
    """The arguments of `BreedTrainer` that decide where and how long its jobs run.

    Raises:
        ConfigurationError: SageMaker would refuse a value, or two of them exclude each other.
    """

    instance_type: str
    instance_count: int = 1
    volume_size_gb: int | None = None
    max_runtime: Duration = defaults.MAX_RUNTIME_SECONDS
    spot: Spot | None = None
    keep_alive: Duration | None = None
    image_uri: str | None = None
    framework_version: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    options: JobOptions = field(default_factory=JobOptions)

    def __post_init__(self) -> None:
        if self.instance_count < 1:
            raise ConfigurationError(f"instance_count is {self.instance_count}; it must be at least 1.")
        self.max_runtime_seconds  # noqa: B018 - a limit that SageMaker would refuse fails here
        if self.keep_alive_seconds and self.spot is not None:
            # Developer guide, "SageMaker AI Managed Warm Pools", section "Considerations".
            raise ConfigurationError(
                "spot and keep_alive exclude each other: SageMaker keeps no spot instances. Omit one of them."
            )
        if self.spot is not None and self.options.max_pending is not None:
            raise ConfigurationError(
                "max_pending is for on-demand capacity: with spot, limit waiting and running with Spot(max_wait=…)."
            )
        self.max_wait_seconds  # noqa: B018 - a limit that is too short fails here
        if self.image_uri and self.framework_version:
            raise ConfigurationError(
                "image_uri and framework_version exclude each other: your image has its own PyTorch. Omit one of them."
            )
        self._check_volume()
        self._check_environment()

    @property
    def max_runtime_seconds(self) -> int:
        """The longest time that a job may run, in seconds."""
        return duration_seconds(self.max_runtime, name="max_runtime", least=1, most=_LONGEST_RUNTIME_SECONDS)

    @property
    def keep_alive_seconds(self) -> int:
        """How long instances are kept after a job, in seconds."""
        if self.keep_alive is None:
            return 0
        return duration_seconds(self.keep_alive, name="keep_alive", most=LONGEST_KEEP_ALIVE_SECONDS)

    @property
    def max_wait_seconds(self) -> int | None:
        """The longest time for waiting and running on spot capacity, in seconds; None without spot."""
        return None if self.spot is None else self.spot.max_wait_seconds(self.max_runtime_seconds)

    def job_settings(self, session: Session, *, source_uri: str) -> JobSettings:
        """The settings that the requests of all jobs share; nothing is sent.

        Args:
            session: Where the jobs run; its key and VPC are used.
            source_uri: The packed training scripts.

        Raises:
            ConfigurationError: The instance type does not exist, or AWS has no image of this version.
        """
        return JobSettings(
            image_uri=self._image_uri(session),
            role_arn=session.role_arn,
            source_uri=source_uri,
            output_uri=join(session.base_uri, "jobs"),
            instance_type=self.instance_type,
            instance_count=self.instance_count,
            volume_size_gb=self.volume_size_gb or defaults.VOLUME_SIZE_GB,
            max_runtime_seconds=self.max_runtime_seconds,
            max_wait_seconds=self.max_wait_seconds,
            max_pending_seconds=self.options.max_pending_seconds,
            keep_alive_seconds=self.keep_alive_seconds,
            input_mode=self.options.input_mode,
            retries=self.options.retries,
            network_isolation=self.options.network_isolation,
            encrypt_traffic=self.options.encrypt_traffic,
            kms_key=session.kms_key,
            vpc=session.vpc,
            environment=self.environment,
            tags={**session.default_tags, **self.tags},
        )

    def check_instance_type(self, session: Session) -> None:
        """Checks that the instance type exists. Nothing is sent.

        Raises:
            ConfigurationError: It does not exist.
        """
        shape = session.client("sagemaker").meta.service_model.shape_for("TrainingInstanceType")
        check_instance_type(self.instance_type, known=shape.metadata["enum"], what="a training job")

    def check_image(self, session: Session) -> None:
        """Checks that the image exists. Nothing is sent.

        Raises:
            ConfigurationError: It does not exist.
        """
        self._image_uri(session)

    def _image_uri(self, session: Session) -> str:
        return self.image_uri or session.image_uri(
            "training", self.instance_type, framework_version=self.framework_version
        )

    def _check_volume(self) -> None:
        if self.volume_size_gb is None:
            return
        if self.volume_size_gb < 1:
            raise ConfigurationError(f"volume_size_gb is {self.volume_size_gb}; it must be at least 1.")
        if has_local_disks(self.instance_type):
            # API reference, ResourceConfig: no volume is created for such an instance; its storage has a fixed size.
            raise ConfigurationError(
                f"{self.instance_type} has built-in disks, whose size is fixed: omit volume_size_gb, or choose "
                "an instance type without local disks."
            )

    def _check_environment(self) -> None:
        if len(self.environment) > _MOST_VARIABLES:
            raise ConfigurationError(
                f"environment has {len(self.environment)} variables; SageMaker accepts {_MOST_VARIABLES}."
            )
        for name, value in self.environment.items():
            if not _VARIABLE.fullmatch(name) or max(len(name), len(value)) > _LONGEST_VARIABLE:
                raise ConfigurationError(
                    f"environment has the variable {name[:80]!r}, which SageMaker would refuse: names have letters, "
                    f"digits and underscores, and names and values up to {_LONGEST_VARIABLE} characters."
                )
