"""The portions of a feature pass: which pictures they have, who computes them, and the shards with their features."""

# ruff: noqa: PLC0415 - NumPy loads only when features are made

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from training_scripts._util import hashing
from training_scripts._util.atomic import replacing
from training_scripts.data.image_folder import DataError, DataSet, Sample
from training_scripts.data.preprocessing import View
from training_scripts.data.sharing import Division
from training_scripts.features import parts
from training_scripts.features.feature_pass import FeaturePass, Progress
from training_scripts.features.files import shard_file
from training_scripts.features.parts import Record
from training_scripts.models import test_time
from training_scripts.models.test_time import TestTimeAugmentation
from training_scripts.training.processes import Processes

if TYPE_CHECKING:
    import numpy as np

# The folder of the records, and of shards that are incomplete because each process has some of their pictures.
PARTS = "parts"

# Shards of a large split. An interruption loses at most one of each process, so this is the part of the pass at risk.
_SHARDS = 1024
# A shard is never larger, however large the pass, because it is computed in memory.
_SHARD_BYTES = 128 << 20
# Bytes that travel between processes at a time; the first one holds as many for each process.
_SENT_BYTES = 4 << 20


@dataclass(frozen=True)
class Portion:
    """Consecutive pictures of a split, whose features are in one shard.

    Attributes:
        split: The split.
        number: Its number in the split, from 0.
        samples: The pictures.
        views: The views of each.
        mine: Positions among them of the pictures that this process computes, in ascending order.
    """

    split: str
    number: int
    samples: Sequence[Sample]
    views: tuple[View, ...]
    mine: Sequence[int]

    @property
    def is_whole(self) -> bool:
        """Whether this process computes all of it."""
        return len(self.mine) == len(self.samples)

    def skipped(self, reasons: Mapping[int, str]) -> list[dict[str, str]]:
        """The unreadable pictures, given the reason at each one's position."""
        return [
            {"split": self.split, "name": self.samples[position].name, "reason": reason}
            for position, reason in reasons.items()
        ]


def shard_size(pictures: int, row_bytes: int, *, least: int) -> int:
    """Pictures per shard, which depends on nothing but the split and the form of its features.

    Args:
        pictures: Pictures of the split.
        row_bytes: Bytes of the features of one picture.
        least: Pictures per shard of a small split.
    """
    return max(least, min(-(-pictures // _SHARDS), _SHARD_BYTES // row_bytes))


def views_of(split: str, views: Sequence[View], tta: TestTimeAugmentation) -> tuple[View, ...]:
    """The views of the pictures of a split, given those of a train picture: the other splits have those of `tta`."""
    return tuple(views) if split == "train" else test_time.views(tta)


def views_of_splits(dataset: DataSet, views: Sequence[View], tta: TestTimeAugmentation) -> dict[str, tuple[View, ...]]:
    """`views_of` for each split of a data set."""
    return {split: views_of(split, views, tta) for split in dataset.splits}


def portions(
    dataset: DataSet, views: Mapping[str, tuple[View, ...]], division: Division, *, sizes: Mapping[str, int]
) -> Iterator[Portion]:
    """Divides a data set.

    Args:
        dataset: The pictures of all processes.
        views: The views of a picture, by split.
        division: Which process computes which picture.
        sizes: Pictures per portion of each split.
    """
    starts = [
        (split, start) for split, samples in dataset.splits.items() for start in range(0, len(samples), sizes[split])
    ]
    for turn, (split, start) in enumerate(starts):
        samples = dataset.splits[split][start : start + sizes[split]]
        mine = division.mine(split, samples, turn)
        yield Portion(split, start // sizes[split], samples, views[split], mine)


@dataclass(frozen=True)
class Work:
    """The portions of a pass, and the files with their features.

    Attributes:
        folder: The folder of the features.
        processes: The processes that share the pass.
        portions: All portions; this process has nothing to do for some of them.
        width: The width of the features.
        stored: The type in which they are stored: "float32" or "float16".
        step: Pictures that are computed together: batches do not go beyond.
    """

    folder: Path
    processes: Processes
    portions: Sequence[Portion]
    width: int
    stored: str
    step: int

    @property
    def mine(self) -> list[Portion]:
        """The portions with pictures for this process."""
        return [portion for portion in self.portions if portion.mine]

    @property
    def views(self) -> int:
        """Views of all pictures, over all processes."""
        return sum(len(portion.samples) * len(portion.views) for portion in self.portions)

    def read(self, portion: Portion) -> Record | None:
        """Verifies this process's part of a portion; None if it must be computed."""
        path = self._path(portion)
        return parts.read(path, _record_path(path), portion.mine, self._rows(portion, 0))

    def compute(self, portion: Portion, runner: FeaturePass, progress: Progress) -> Record:
        """Computes and writes this process's part of a portion."""
        features = self._rows(portion, len(portion.mine))
        skipped: dict[int, str] = {}
        rows = 0
        for start in range(0, len(portion.mine), self.step):
            places = portion.mine[start : start + self.step]
            computed = runner.compute([portion.samples[place] for place in places], portion.views, progress)
            features[rows : rows + len(computed.kept)] = parts.converted(computed.features, self.stored)
            rows += len(computed.kept)
            skipped |= {places[row]: reason for row, reason in computed.skipped.items()}
        path = self._path(portion)
        return parts.write(path, _record_path(path), features[:rows], skipped)

    def collect(self, records: Sequence[Mapping[int, Record]]) -> dict[int, Record]:
        """Brings the shards of all processes to the first one, as far as its folder lacks them.

        Args:
            records: The record of each process's part of each portion, by its number; in the order of the processes.

        Returns:
            In the first process, the record of the whole shard of each portion, by its number.
        """
        lacking = set(self.processes.from_first(lambda: self._lacking(records)))
        for number in sorted(lacking):
            portion, owners = self.portions[number], _owners(records, number)
            for owner in owners:
                self._bring(portion, owner, records[owner][number])
            if len(owners) > 1:
                self._complete(portion, {owner: records[owner][number] for owner in owners})
        return self.whole(records) if self.processes.place.is_first else {}

    def whole(self, records: Sequence[Mapping[int, Record]]) -> dict[int, Record]:
        """The record of the whole shard of each portion, by its number, once the first process has what it needs."""
        found: dict[int, Record] = {}
        for number, portion in enumerate(self.portions):
            owners = _owners(records, number)
            path = self._whole_path(portion)
            record = records[owners[0]][number] if len(owners) == 1 else parts.read_record(_record_path(path))
            if record is None:
                raise DataError(f"the record of the shard {path} is damaged: run the same extraction again.")
            found[number] = record
        return found

    def _lacking(self, records: Sequence[Mapping[int, Record]]) -> list[int]:
        return [
            number
            for number, portion in enumerate(self.portions)
            if not (
                self._completed(portion)
                if len(owners := _owners(records, number)) > 1
                else parts.is_there(self._whole_path(portion), records[owners[0]][number])
            )
        ]

    def _completed(self, portion: Portion) -> Record | None:
        """The record of a shard that was completed from the parts of several processes; None if that is to be done."""
        return parts.read(
            self._whole_path(portion),
            _record_path(self._whole_path(portion)),
            range(len(portion.samples)),
            self._rows(portion, 0),
        )

    def _bring(self, portion: Portion, owner: int, record: Record) -> None:
        """Copies a process's part of a portion to the first process, piece by piece; all processes take part."""
        whole = len(record.skipped) + record.rows == len(portion.samples)
        path = self._whole_path(portion) if whole else self._part_path(portion, owner)
        place = self.processes.place
        if self.processes.from_first(lambda: parts.is_there(path, record)):
            return
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(path.open("rb")) if place.rank == owner else None
            target = stack.enter_context(replacing(path)) if place.is_first else None
            for _ in range(0, record.size, _SENT_BYTES):
                found = self.processes.gather_first(source.read(_SENT_BYTES) if source else b"")
                if target:
                    target.write(found[owner])
        if place.is_first and hashing.sha256_of(path) != record.sha256:
            raise DataError(f"{path} arrived damaged from process {owner + 1}: run the same extraction again.")

    def _complete(self, portion: Portion, records: Mapping[int, Record]) -> None:
        """Writes a shard from the parts of several processes, which the first process has by now."""
        import numpy as np

        places = self.processes.gather_first(list(portion.mine))
        if not self.processes.place.is_first:
            return
        skipped = {place: reason for record in records.values() for place, reason in record.skipped.items()}
        kept = np.setdiff1d(np.arange(len(portion.samples)), list(skipped))
        features = self._rows(portion, len(kept))
        for owner, record in records.items():
            path = self._part_path(portion, owner)
            mine = [place for place in places[owner] if place not in record.skipped]
            features[np.searchsorted(kept, mine)] = np.load(path, mmap_mode="r", allow_pickle=False)
        whole = self._whole_path(portion)
        parts.write(whole, _record_path(whole), features, dict(sorted(skipped.items())))

    def _rows(self, portion: Portion, rows: int) -> np.ndarray:
        import numpy as np

        return np.empty((rows, len(portion.views), self.width), np.dtype(self.stored).newbyteorder("<"))

    def _whole_path(self, portion: Portion) -> Path:
        return self.folder / shard_file(portion.split, portion.number)

    def _part_path(self, portion: Portion, rank: int) -> Path:
        name = self._whole_path(portion).stem
        return self.folder / PARTS / f"{name}-{rank + 1}-of-{self.processes.place.count}.npy"

    def _path(self, portion: Portion) -> Path:
        """The file of this process's part of a portion."""
        return self._whole_path(portion) if portion.is_whole else self._part_path(portion, self.processes.place.rank)


def _record_path(path: Path) -> Path:
    folder = path.parent if path.parent.name == PARTS else path.parent / PARTS
    return folder / f"{path.stem}.json"


def _owners(records: Sequence[Mapping[int, Record]], number: int) -> list[int]:
    return [rank for rank, of_rank in enumerate(records) if number in of_rank]
