"""Divides the pictures of a job among its processes, whose instances have all pictures or different ones."""

from __future__ import annotations

from collections.abc import Sequence

from training_scripts.data.image_folder import DataSet, Sample
from training_scripts.training.processes import Processes


class Division:
    """Which process reads which picture.

    If every instance has all pictures, the processes take turns. Of pictures that only some instances have (their
    channel's S3DataDistributionType is ShardedByS3Key), these take turns.

    Attributes:
        is_complete: Whether every process has all pictures.
    """

    def __init__(self, dataset: DataSet, processes: Processes) -> None:
        """Learns what the other processes have, so each must call it.

        Args:
            dataset: The pictures of all processes, from `image_folder.read_dataset`.
            processes: The processes.
        """
        self._place = processes.place
        lacking = processes.gather(_absent(dataset) if processes.place.count > 1 else frozenset())
        self._holders = {
            # A picture that has disappeared everywhere is the first process's, which reports it as unreadable.
            picture: [rank for rank, absences in enumerate(lacking) if picture not in absences] or [0]
            for picture in frozenset().union(*lacking)
        }
        self.is_complete = not self._holders

    def is_mine(self, split: str, sample: Sample, turn: int) -> bool:
        """Whether this process reads a picture.

        Args:
            split: The picture's split.
            sample: The picture.
            turn: A number that is the same in every process, such as the picture's place.
        """
        holders = self._holders.get((split, sample.name)) if self._holders else None
        owner = turn % self._place.count if holders is None else holders[turn % len(holders)]
        return owner == self._place.rank

    def mine(self, split: str, samples: Sequence[Sample], turn: int) -> Sequence[int]:
        """Positions of the pictures that this process reads among some that are dealt together, in ascending order.

        Args:
            split: The split of the pictures.
            samples: The pictures.
            turn: A number that is the same in every process. If every process has all pictures, it decides alone.
        """
        if self.is_complete:
            return range(len(samples) if turn % self._place.count == self._place.rank else 0)
        return [place for place, sample in enumerate(samples) if self.is_mine(split, sample, turn)]


def _absent(dataset: DataSet) -> frozenset[tuple[str, str]]:
    return frozenset(
        (split, sample.name) for split, samples in dataset.splits.items() for sample in samples if not sample.exists()
    )
