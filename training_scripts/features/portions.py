"""The portions of a feature pass: which pictures they have, who computes them, and the files with their features."""

# ruff: noqa: PLC0415 - NumPy loads only when features are made

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training_scripts.data.image_folder import DataSet, Sample
from training_scripts.data.preprocessing import PLAIN, View
from training_scripts.data.sharing import Division
from training_scripts.features import parts
from training_scripts.features.extraction import Chunk, FeaturePass, Progress
from training_scripts.training.processes import Processes

# The folder of the files, below that of the features.
PARTS = "parts"


@dataclass(frozen=True)
class Portion:
    """Consecutive pictures of a split, whose features are in one file until the pass is done.

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

    def skipped(self, reasons: Mapping[int, str]) -> list[dict[str, str]]:
        """The unreadable pictures, given the reason at each one's position."""
        return [
            {"split": self.split, "name": self.samples[position].name, "reason": reason}
            for position, reason in reasons.items()
        ]


def portions(dataset: DataSet, views: Sequence[View], division: Division, *, size: int) -> Iterator[Portion]:
    """Divides a data set.

    Args:
        dataset: The pictures of all processes.
        views: Views of a train picture; the other splits get the plain one.
        division: Which process computes which picture.
        size: Pictures per portion.
    """
    starts = [(split, start) for split, samples in dataset.splits.items() for start in range(0, len(samples), size)]
    for turn, (split, start) in enumerate(starts):
        samples = dataset.splits[split][start : start + size]
        mine = [place for place, sample in enumerate(samples) if division.is_mine(split, sample, turn)]
        yield Portion(split, start // size, samples, tuple(views) if split == "train" else (PLAIN,), mine)


@dataclass(frozen=True)
class Work:
    """The portions of a pass, and the files with their features.

    Attributes:
        folder: The folder of the features.
        processes: The processes that share the pass.
        portions: All portions; this process has nothing to do for some of them.
        width: The width of the features.
    """

    folder: Path
    processes: Processes
    portions: Sequence[Portion]
    width: int

    @property
    def mine(self) -> list[Portion]:
        """The portions with pictures for this process."""
        return [portion for portion in self.portions if portion.mine]

    def path(self, portion: Portion) -> Path:
        """The file of this process's part of a portion."""
        whole = part_path(self.folder, portion.split, portion.number)
        if len(portion.mine) == len(portion.samples):
            return whole
        place = self.processes.place
        return whole.with_name(f"{whole.stem}-{place.rank + 1}-of-{place.count}.npz")

    def read(self, portion: Portion) -> Chunk | None:
        """Reads this process's part of a portion; None if it must be computed."""
        return parts.read(self.path(portion), portion.mine, len(portion.views), self.width)

    def compute(self, portion: Portion, runner: FeaturePass, progress: Progress) -> Chunk:
        """Computes and writes this process's part of a portion."""
        import numpy as np

        computed = runner.compute([portion.samples[place] for place in portion.mine], portion.views, progress)
        places = np.asarray(portion.mine, np.int64)
        skipped = {portion.mine[row]: reason for row, reason in computed.skipped.items()}
        chunk = Chunk(computed.features, places[computed.kept], skipped)
        parts.write(self.path(portion), chunk)
        return chunk

    def collect(self) -> None:
        """Brings the parts of all processes to the first one, as far as its folder lacks them."""
        if self.processes.place.count == 1:
            return
        for number in self.processes.from_first(self._lacking):
            portion = self.portions[number]
            content = self.path(portion).read_bytes() if portion.mine else None
            pieces = [parts.unpack(piece) for piece in self.processes.gather_first(content) if piece]
            if pieces:
                whole = parts.merged([piece for piece in pieces if piece is not None])
                parts.write(part_path(self.folder, portion.split, portion.number), whole)

    def _lacking(self) -> list[int]:
        return [
            number
            for number, portion in enumerate(self.portions)
            if parts.read(
                part_path(self.folder, portion.split, portion.number),
                range(len(portion.samples)),
                len(portion.views),
                self.width,
            )
            is None
        ]


def part_path(folder: Path, split: str, number: int) -> Path:
    """The file with the features of a whole portion."""
    return folder / PARTS / f"{split}-{number:06}.npz"
