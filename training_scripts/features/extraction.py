"""Runs pictures through a backbone: threads decode ahead while the network computes, and progress is reported."""

# ruff: noqa: PLC0415 - torch and NumPy load only when a pass is made

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from training_scripts.data import preprocessing as pictures
from training_scripts.data.image_folder import DataError, Sample
from training_scripts.data.preprocessing import Preprocessing, View
from training_scripts.models.engines.engine import Engine
from training_scripts.training.callbacks import Callbacks
from training_scripts.training.metrics import format_feature_pass

if TYPE_CHECKING:
    import numpy as np

# Two feeds ahead keep the network busy; more only take memory.
_FEEDS_AHEAD = 2
_PROGRESS_SECONDS = 2.0


@dataclass
class Progress:
    """Reports the progress of a pass every two seconds.

    Attributes:
        total: Pictures of the whole pass.
        views: Views of the whole pass, over all pictures; the time depends on these.
        report: Takes one line of log.
        clock: Returns seconds, counted from any moment.
    """

    total: int
    views: int
    report: Callable[[str], object]
    clock: Callable[[], float] = time.monotonic
    _done: int = 0
    _views_done: int = 0
    _resumed: tuple[int, int] = (0, 0)
    _start: float = 0.0
    _shown: float = field(default=0.0)

    def __post_init__(self) -> None:
        self._start = self._shown = self.clock()

    def resume(self, done: int, views: int) -> None:
        """Counts the pictures that an interrupted pass computed; they do not affect the reported speed."""
        self._done, self._views_done, self._resumed = done, views, (done, views)

    def advance(self, count: int, views: int) -> None:
        """Counts pictures that are done, and reports when a report is due."""
        self._done += count
        self._views_done += views
        now = self.clock()
        if now - self._shown < _PROGRESS_SECONDS:
            return
        self._shown = now
        pace = (self._done - self._resumed[0]) / (now - self._start)
        left = (now - self._start) * (self.views - self._views_done) / (self._views_done - self._resumed[1])
        self.report(format_feature_pass(self._done, self.total, pace, left))


@dataclass(frozen=True)
class Chunk:
    """Features float32 [m, views, width] of the pictures at `kept`, and the reason for each picture left out."""

    features: np.ndarray
    kept: np.ndarray
    skipped: dict[int, str]


@dataclass
class Cost:
    """The cost of a pass so far.

    Attributes:
        pictures: Pictures that were processed, including those that could not be read.
        views: Views of these pictures.
        waiting: Seconds that the network waited for decoded pictures.
        forward: Seconds of the network, including transfers to and from the device.
        decoding: Seconds of decoding, summed over all threads, which run in parallel with the network.
        seconds: Wall time of the pass.
    """

    pictures: int = 0
    views: int = 0
    waiting: float = 0.0
    forward: float = 0.0
    decoding: float = 0.0
    seconds: float = 0.0


class FeaturePass:
    """Computes features; use it as a context manager, so that its threads end."""

    def __init__(
        self,
        engine: Engine,
        preprocessing: Preprocessing,
        *,
        width: int,
        batch_size: int,
        workers: int,
        check: Callable[[], object],
        callbacks: Callbacks | None = None,
    ) -> None:
        """Prepares a pass.

        Args:
            engine: Runs the backbone.
            preprocessing: The pictures that it expects.
            width: Width of its features.
            batch_size: Views that go through the network at a time.
            workers: Threads that decode.
            check: Called after every batch; an exception from it ends the pass.
            callbacks: Called for every batch.
        """
        self.engine = engine
        self._preprocessing = preprocessing
        self._width = width
        self._batch_size = batch_size
        self._check = check
        self._callbacks = callbacks or Callbacks()
        self.cost = Cost()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")

    def __enter__(self) -> FeaturePass:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def compute(self, samples: Sequence[Sample], views: Sequence[View], progress: Progress) -> Chunk:
        """Computes the features of some pictures.

        Args:
            samples: The pictures.
            views: The views of each.
            progress: Counts them.

        Returns:
            The features, and which pictures could not be read.

        Raises:
            DataError: The backbone returns numbers that are not finite.
        """
        import numpy as np

        step = self.pictures_at_once(len(views))
        feeds = [range(start, min(start + step, len(samples))) for start in range(0, len(samples), step)]
        waiting: deque[list[Future[tuple[np.ndarray | str, float]]]] = deque()
        coming = iter(feeds)
        computed, kept, skipped = [], [], {}
        for feed in feeds:
            began = time.perf_counter()
            self._callbacks.pass_batch_begins()
            while len(waiting) <= _FEEDS_AHEAD and (ahead := next(coming, None)) is not None:
                waiting.append([self._pool.submit(self._decode, samples[index], views) for index in ahead])
            results = [future.result() for future in waiting.popleft()]
            ready = time.perf_counter()
            decoded = [pixels for pixels, _ in results]
            good = [pixels for pixels in decoded if not isinstance(pixels, str)]
            for index, pixels in zip(feed, decoded, strict=True):
                if isinstance(pixels, str):
                    skipped[index] = pixels
                else:
                    kept.append(index)
            if good:
                computed.append(self._forward(np.stack(good)))
            self._account(len(feed), len(views), began, ready, sum(spent for _, spent in results))
            progress.advance(len(feed), len(feed) * len(views))
            self._check()
        empty = np.empty((0, len(views), self._width), np.float32)
        return Chunk(np.concatenate([empty, *computed]), np.array(kept, np.int64), skipped)

    def pictures_at_once(self, views: int) -> int:
        """Pictures that go through the network at a time."""
        return max(1, self._batch_size // views)

    def _account(self, count: int, views: int, began: float, ready: float, decoding: float) -> None:
        cost, now = self.cost, time.perf_counter()
        cost.pictures += count
        cost.views += count * views
        cost.waiting += ready - began
        cost.forward += now - ready
        cost.decoding += decoding
        cost.seconds += now - began
        self._callbacks.pass_batch_ends(began, ready, now)

    def _decode(self, sample: Sample, views: Sequence[View]) -> tuple[np.ndarray | str, float]:
        """The pixels of a picture's views, or why it cannot be read; and the seconds that took."""
        began = time.perf_counter()
        try:
            image = pictures.decode_sample(sample)
            found: np.ndarray | str = pictures.all_views(image, self._preprocessing, views, key=sample.name)
        except pictures.PictureError as error:
            found = str(error)
        return found, time.perf_counter() - began

    def _forward(self, pixels: np.ndarray) -> np.ndarray:
        import numpy as np

        count, views = pixels.shape[:2]
        batch = pictures.normalize(pixels, self._preprocessing).flatten(0, 1)
        features: np.ndarray = self.engine.run(batch).numpy()
        if not np.isfinite(features).all():
            raise DataError("the backbone returns numbers that are not finite: its weights must be damaged.")
        return features.reshape(count, views, self._width)
