"""The place of a recording process among the workers that train together."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training_scripts.recording.trial import layout


@dataclass(frozen=True)
class Worker:
    """One of the processes that train together, each of which records its own part.

    Attributes:
        rank: Its number, from 0.
        count: The number of workers.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it records what all workers have alike, such as weights."""
        return self.rank == 0

    @property
    def name(self) -> str:
        """Its name in file names."""
        return layout.worker_name(self.rank)

    def local_others(self) -> tuple[str, ...]:
        """The names of the other workers on the first worker's machine; all of them if torchrun does not say."""
        local = os.environ.get("LOCAL_WORLD_SIZE", "")
        count = int(local) if local.isdecimal() else self.count
        return tuple(layout.worker_name(rank) for rank in range(1, min(count, self.count)))


def described(facts: Mapping[str, Any]) -> Worker:
    """The worker that the facts of a run describe; a single one without them."""
    return Worker(int(facts.get("worker") or 0), int(facts.get("workers") or 1))


def current() -> Worker:
    """This process's place in torch.distributed's group, or in the group that torchrun's variables announce."""
    distributed = sys.modules.get("torch.distributed")  # a process that has not imported it is in no group
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return Worker(distributed.get_rank(), distributed.get_world_size())
    rank, count = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    if rank.isdecimal() and count.isdecimal() and int(rank) < int(count):
        return Worker(int(rank), int(count))
    return Worker()
