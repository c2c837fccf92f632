"""Batches for training: of stored features, or of pictures that threads decode ahead of the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch

from training_scripts.data import decoding, image_folder
from training_scripts.data import preprocessing as pictures
from training_scripts.features import shuffling
from training_scripts.features.rows import IN_MEMORY_BYTES, ShardedRows
from training_scripts.models import test_time
from training_scripts.training.processes import Processes

if TYPE_CHECKING:
    from training_scripts.features.rows import FeatureRows
    from training_scripts.features.store import SplitFeatures

Batch = tuple[torch.Tensor, torch.Tensor]

EVALUATION_ROWS = 4096
BATCHES_AHEAD = 2


class Batches(Protocol):
    """The batches of a training run. A batch may have no target; its inputs then have one row without meaning."""

    def size(self, split: str) -> int:
        """Number of pictures in a split; 0 if the split is missing."""

    def train(self, batch_size: int, generator: torch.Generator, *, drop_last: bool = False) -> Iterator[Batch]:
        """The train split in random order, one random view of each picture: inputs [b, ...], targets [b].

        With drop_last, the `trained_rows` of that order alone.
        """

    def plain(self, split: str, batch_size: int) -> Iterator[Batch]:
        """A split in order, each picture as it is evaluated: in its plain view."""


class FeatureBatches:
    """Batches of stored features [b, width]; neither pictures nor the backbone are used.

    Features of up to `IN_MEMORY_BYTES`, in all splits together, are kept in memory as they are stored; others are read
    in every epoch.
    """

    def __init__(
        self,
        splits: Mapping[str, SplitFeatures],
        *,
        tta: test_time.TestTimeAugmentation = test_time.NONE,
        processes: Processes | None = None,
    ) -> None:
        """Reads small splits into memory.

        Args:
            splits: The features of each split.
            tta: The test-time augmentation; its views come first in every split.
            processes: The processes that share the features; each gets its part of every batch. If that is empty, it
                gets a row of zeros and no target. Default: a single one.
        """
        self._processes = processes or Processes()
        self._evaluated = range(len(test_time.views(tta)))
        self._splits: dict[str, tuple[FeatureRows, np.ndarray]] = {}
        room = IN_MEMORY_BYTES
        for name in sorted(splits, key=lambda name: name != "train"):
            features = splits[name].features
            if isinstance(features, ShardedRows) and features.nbytes <= room:
                room -= features.nbytes
                features = features.load()
            self._splits[name] = features, splits[name].targets

    def size(self, split: str) -> int:
        """Number of pictures in a split; 0 if the split is missing."""
        return len(self._splits[split][1]) if split in self._splits else 0

    def train(self, batch_size: int, generator: torch.Generator, *, drop_last: bool = False) -> Iterator[Batch]:
        """The train split in random order, one random view of each picture."""
        features, targets = self._splits["train"]
        used = trained_rows(len(targets), batch_size, drop_last=drop_last)
        # The order is drawn now: once the first batch is asked for, each process draws numbers of its own.
        if isinstance(features, ShardedRows):
            seed = int(torch.randint(2**62, (), generator=generator))
            batches = shuffling.batches(features, batch_size, seed=seed, place=self._processes.place, used=used)
            return (_feature_batch(batch.features, targets[batch.rows]) for batch in batches)
        order, views = _draw(len(targets), features.shape[1], generator)
        parts = self._processes.train_parts(cast("Sequence[int]", order[:used]), batch_size)
        return (
            _feature_batch(features[rows, views[rows]].astype(np.float32, copy=False), targets[rows]) for rows in parts
        )

    def plain(self, split: str, batch_size: int) -> Iterator[Batch]:
        """A split in order, in large batches: the activations of a head take little memory.

        Each picture is evaluated as it is served: in its plain view, or with the mean of its test-time views.
        """
        return self._plain(split, batch_size, self._processes)

    def whole(self, split: str, batch_size: int) -> Iterator[Batch]:
        """A split as `plain` gives it to a single process, whatever the number of processes."""
        return self._plain(split, batch_size, Processes())

    def _plain(self, split: str, batch_size: int, processes: Processes) -> Iterator[Batch]:
        features, targets = self._splits[split]
        for rows in processes.plain_parts(range(len(targets)), max(batch_size, EVALUATION_ROWS)):
            part = slice(rows[0], rows[-1] + 1) if rows else slice(0)
            views = [np.array(features[part, view], np.float32) for view in self._evaluated]
            averaged = sum(views[1:], start=views[0]) / len(views)
            yield _feature_batch(averaged, np.array(targets[part]))


class PictureBatches:
    """Batches of pictures [b, 3, crop, crop], decoded in threads; pictures that cannot be read are left out."""

    def __init__(
        self,
        dataset: image_folder.DataSet,
        preprocessing: pictures.Preprocessing,
        views: Sequence[pictures.View],
        *,
        workers: int,
        processes: Processes | None = None,
    ) -> None:
        """Starts no thread yet.

        Args:
            dataset: Samples of every split.
            preprocessing: The pictures that the backbone expects.
            views: The views that train pictures are drawn from.
            workers: Threads that decode (Pillow and torch release the interpreter lock for it).
            processes: The processes that share the pictures; each gets its part of every batch. If that is empty, it
                gets a blank picture and no target.
                Default: a single one.
        """
        self._dataset = dataset
        self._preprocessing = preprocessing
        self._views = tuple(views)
        self._workers = workers
        self._processes = processes or Processes()
        # Pixels take a quarter of the bytes of the network's inputs on their way to a GPU.
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self.skipped: dict[str, dict[str, str]] = {}

    def size(self, split: str) -> int:
        """Number of pictures listed in a split; 0 if the split is missing."""
        return len(self._dataset.splits.get(split, ()))

    def train(self, batch_size: int, generator: torch.Generator, *, drop_last: bool = False) -> Iterator[Batch]:
        """The train split in random order, one random view of each picture."""
        samples = self._dataset.splits["train"]
        order, views = _draw(len(samples), len(self._views), generator)
        order = _in_runs(order, image_folder.runs(samples))
        used = trained_rows(len(samples), batch_size, drop_last=drop_last)
        chosen = [(samples[row], self._views[views[row]]) for row in order[:used]]
        return self._batches("train", self._processes.train_parts(chosen, batch_size))

    def plain(self, split: str, batch_size: int) -> Iterator[Batch]:
        """A split in order, each picture in its plain view."""
        chosen = [(sample, pictures.PLAIN) for sample in self._dataset.splits[split]]
        return self._batches(split, self._processes.plain_parts(chosen, batch_size))

    def skipped_lines(self) -> list[str]:
        """A line for every picture that could not be read so far: its split, name and the reason."""
        return [
            f"{split}/{name}: {reason}"
            for split, reasons in sorted(self.skipped.items())
            for name, reason in sorted(reasons.items())
        ]

    def _batches(
        self, split: str, parts: Sequence[Sequence[tuple[image_folder.Sample, pictures.View]]]
    ) -> Iterator[Batch]:
        ahead: deque[list[Future[np.ndarray | None]]] = deque()
        with ThreadPoolExecutor(self._workers) as pool:
            try:
                for number in range(len(parts) + BATCHES_AHEAD):
                    if number < len(parts):
                        ahead.append([pool.submit(self._pixels, split, *one) for one in parts[number]])
                    if number >= BATCHES_AHEAD:
                        decoded = [future.result() for future in ahead.popleft()]
                        yield self._batch(parts[number - BATCHES_AHEAD], decoded)
            finally:
                pool.shutdown(cancel_futures=True)
        self._share_skipped(split)
        listing = [f"{name} ({reason})" for name, reason in sorted(self.skipped.get(split, {}).items())]
        image_folder.check_skipped(split, self.size(split), listing)
        image_folder.check_every_class(self._dataset, self.skipped.get("train", {}))

    def _batch(
        self, part: Sequence[tuple[image_folder.Sample, pictures.View]], decoded: Sequence[np.ndarray | None]
    ) -> Batch:
        read = [(pixels, one[0].class_index) for pixels, one in zip(decoded, part, strict=True) if pixels is not None]
        if not read:  # a blank picture without target, because some networks need at least one picture
            crop = self._preprocessing.crop
            return torch.zeros(1, 3, crop, crop), torch.empty(0, dtype=torch.int64)
        inputs = pictures.normalize(np.stack([pixels for pixels, _ in read]), self._preprocessing, device=self._device)
        return inputs, torch.tensor([target for _, target in read])

    def _share_skipped(self, split: str) -> None:
        """Learns from all processes which pictures of a split could not be read."""
        for skipped in self._processes.gather(self.skipped.get(split, {})):
            if skipped:
                self.skipped.setdefault(split, {}).update(skipped)

    def _pixels(self, split: str, sample: image_folder.Sample, view: pictures.View) -> np.ndarray | None:
        try:
            image = decoding.decode_sample(sample)
        except decoding.PictureError as error:
            self.skipped.setdefault(split, {})[sample.name] = str(error)
            return None
        return pictures.to_pixels(image, self._preprocessing, view, key=sample.name)


def trained_rows(rows: int, batch_size: int, *, drop_last: bool) -> int:
    """The number of rows of a split that the steps of an epoch use.

    >>> trained_rows(100, 32, drop_last=True), trained_rows(9, 32, drop_last=True)
    (96, 9)
    """
    return rows // batch_size * batch_size or rows if drop_last else rows


def fit_in_memory(splits: Iterable[SplitFeatures]) -> bool:
    """Whether a process keeps the features of all splits in memory, and need not read them in every epoch."""
    return sum(split.features.nbytes for split in splits) <= IN_MEMORY_BYTES


def _feature_batch(features: np.ndarray, targets: np.ndarray) -> Batch:
    if not len(targets):  # as of pictures: a step of all processes needs inputs in each of them
        features = np.zeros((1, features.shape[1]), np.float32)
    return torch.from_numpy(features), torch.from_numpy(targets)


def _draw(rows: int, views: int, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random order of the rows, and a random view for each row."""
    order = torch.randperm(rows, generator=generator).numpy()
    return order, torch.randint(views, (rows,), generator=generator).numpy()


def _in_runs(order: np.ndarray, runs: Sequence[range]) -> np.ndarray:
    """A random order that reads together the rows that cost less so: runs in random order, and random inside each."""
    if not runs:
        return order
    run_of = np.repeat(np.arange(len(runs)), [len(run) for run in runs])[order]
    _, first = np.unique(run_of, return_index=True)
    return order[np.argsort(first[run_of], kind="stable")]
