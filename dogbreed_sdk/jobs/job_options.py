"""How a trainer's jobs run on AWS: spot capacity, and the settings that few jobs need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dogbreed_sdk._util.durations import Duration, duration_seconds, readable
from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from dogbreed_sdk.aws.requests.training import InputMode

# API reference, RetryStrategy, StoppingCondition and ResourceConfig.
MOST_RETRIES = 30
_SHORTEST_PENDING_SECONDS = 1800
_LONGEST_SECONDS = 28 * 86_400
# Developer guide, "SageMaker AI Managed Warm Pools", section "Maximum warm pool duration".
LONGEST_KEEP_ALIVE_SECONDS = 3600
# The longest time of a job on spot capacity, unless one is given: as much for waiting as for running.
_WAIT_FACTOR = 2


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Spot capacity: up to 90% cheaper, and a job may have to wait for it or be interrupted.

    An interrupted job starts again on other instances and resumes from its last checkpoint, which it saves after each
    epoch.

    Attributes:
        max_wait: The longest time that a job may take, waiting and running together: seconds, ``"6h"`` or a timedelta.
            At least max_runtime; a job that takes longer is stopped. Default: twice max_runtime.

    Examples:
        A job that runs for at most two hours, and waits for capacity for at most four more:

        >>> spot = Spot(max_wait="6h")
        >>> trainer = BreedTrainer(Session.aws(), spot=spot, max_runtime="2h")
        >>> spot.max_wait_seconds(7200)
        21600
    """

    max_wait: Duration | None = None

    def max_wait_seconds(self, max_runtime_seconds: int) -> int:
        """The limit in seconds.

        Args:
            max_runtime_seconds: The longest time that the job may run, in seconds.

        Raises:
            ConfigurationError: It is not a duration, or shorter than the longest time that the job may run.
        """
        if self.max_wait is None:
            return _WAIT_FACTOR * max_runtime_seconds
        seconds = duration_seconds(self.max_wait, name="max_wait")
        if seconds < max_runtime_seconds:
            raise ConfigurationError(
                f"max_wait is {readable(seconds)}, and a job may run for {readable(max_runtime_seconds)}: waiting and "
                "running together take at least as long. Increase max_wait, or decrease max_runtime."
            )
        return seconds


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """Settings of jobs on AWS that few need. Local SageMaker accepts them; a job's log there says which have no effect.

    Attributes:
        input_mode: ``"File"`` copies the job's data to its disk before the script starts. ``"FastFile"`` streams each
            file from S3 when it is opened, which starts large data sets sooner; every epoch reads them again.
        max_pending: The longest time that a job may wait for on-demand capacity, 30 minutes to 28 days; only for
            accelerated instances (ml.g, ml.p, ml.trn). Default: SageMaker's own limit.
        retries: How often SageMaker restarts a job that failed through an internal error of SageMaker, 0 to 30. The
            job resumes from its last checkpoint.
        network_isolation: Cuts the containers off from all networks; SageMaker itself still copies data and results.
            Nothing can be installed or downloaded there, so the packed source takes along what the job needs.
        encrypt_traffic: Encrypts the traffic between the instances of a job with several; training may take longer.

    Raises:
        ConfigurationError: A value is not accepted by SageMaker.

    Examples:
        >>> options = JobOptions(input_mode="FastFile", retries=2)
        >>> trainer = BreedTrainer(Session.aws(), options=options)
    """

    input_mode: InputMode = "File"
    max_pending: Duration | None = None
    retries: int = 0
    network_isolation: bool = False
    encrypt_traffic: bool = False

    def __post_init__(self) -> None:
        if self.input_mode not in ("File", "FastFile"):
            raise ConfigurationError(f"input_mode is {self.input_mode!r}; use 'File' or 'FastFile'.")
        if not 0 <= self.retries <= MOST_RETRIES:
            raise ConfigurationError(f"retries is {self.retries}; SageMaker accepts 0 to {MOST_RETRIES}.")
        self.max_pending_seconds  # noqa: B018 - a wrong duration fails here

    @property
    def max_pending_seconds(self) -> int | None:
        """`max_pending` in seconds."""
        if self.max_pending is None:
            return None
        return duration_seconds(
            self.max_pending, name="max_pending", least=_SHORTEST_PENDING_SECONDS, most=_LONGEST_SECONDS
        )
