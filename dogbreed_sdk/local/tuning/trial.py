"""One training job of a search, and what its hosts have printed of the objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dogbreed_sdk._util.log_file import LogFollower
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs.hosts import hosts_of
from dogbreed_sdk.local.jobs.metric_search import Captured, MetricSearch
from dogbreed_sdk.local.jobs.metrics import finite
from dogbreed_sdk.local.tuning.request import Definition
from dogbreed_sdk.local.tuning.search import Search

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef


@dataclass(frozen=True)
class Branch:
    """The search within the ranges of one training job definition.

    Attributes:
        definition: The definition.
        search: Proposes its hyperparameters.
        metrics: Finds its objective metric in logs.
    """

    definition: Definition
    search: Search
    metrics: MetricSearch


@dataclass
class Trial:
    """One training job of a search.

    Attributes:
        name: The training job.
        branch: The part of the search that it belongs to.
        number: Its number there.
        sources: Read the logs of its hosts, the first host first, by what `metrics` calls them.
        series: The objective values that each source has printed so far, in order.
        final: The job's own last objective value, once it has ended.
        stopped_early: Whether the tuner stopped it early.
        failure: Its FailureReason, once it has failed.
        unusable: The last text that it printed for the objective that is not a finite number.
        ended_at: When its end was noticed, by the monotonic clock.
    """

    name: str
    branch: Branch
    number: int
    sources: dict[str, LogFollower]
    series: dict[str, list[float]] = field(default_factory=dict)
    final: float | None = None
    stopped_early: bool = False
    failure: str | None = None
    unusable: str | None = None
    ended_at: float | None = None

    @classmethod
    def of(cls, root: Path, name: str, branch: Branch, number: int, *, stopped_early: bool = False) -> Trial:
        """The trial of a training job below a root folder."""
        definition = cast("CreateTrainingJobRequestTypeDef", branch.definition.members)
        hosts = hosts_of(JobFolder.of(root, name), definition)
        sources = {f"{name}/{host.name}": LogFollower(host.log) for host in hosts}
        return cls(name, branch, number, sources, stopped_early=stopped_early)

    @property
    def values(self) -> Sequence[float]:
        """The objective values of the first host that has printed any: others may repeat them."""
        return next((self.series[source] for source in self.sources if source in self.series), ())

    @property
    def objective(self) -> float | None:
        """The last value that was printed, which SageMaker uses too."""
        if self.final is not None:
            return self.final
        return self.values[-1] if self.values else None

    def feed(self) -> bool:
        """Search the new lines of the logs; returns False if some stay in the files until the next call."""
        for source, follower in self.sources.items():
            for line in follower.read():
                self.branch.metrics.feed(source, line)
                if not self.branch.metrics.has_room:
                    return False
        return True

    def note(self, captured: Captured) -> None:
        """Note what was found in a line of one of the logs."""
        value = finite(captured.text)
        if value is None:
            self.unusable = captured.text
        else:
            self.series.setdefault(captured.source, []).append(value)
