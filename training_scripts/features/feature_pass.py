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

from training_scripts.data import decoding
from training_scripts.data import preprocessing as pictures
from training_scripts.data.image_folder import DataError, Sample
from training_scripts.data.preprocessing import Preprocessing, View
from training_scripts.features import pacing
from training_scripts.models.engines.engine import Engine
from training_scripts.training.callbacks import Callbacks
from training_scripts.training.metrics import format_feature_pass
from training_scripts.training.runtime import cores_of_process

if TYPE_CHECKING:
    import numpy as np

_PROGRESS_SECONDS = 2.0
# Threads that decode before anything is measured.
_FIRST_WORKERS = 2


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

    def advance(self, count: int, views: int, bottleneck: Callable[[], str] = str) -> None:
        """Counts pictures that are done, and reports when a report is due.

        Args:
            count: The pictures.
            views: Their views.
            bottleneck: Called for a report: what limits the speed since the last one.
        """
        self._done += count
        self._views_done += views
        now = self.clock()
        if now - self._shown < _PROGRESS_SECONDS:
            return
        self._shown = now
        pace = (self._done - self._resumed[0]) / (now - self._start)
        left = (now - self._start) * (self.views - self._views_done) / (self._views_done - self._resumed[1])
        self.report(format_feature_pass(self._done, self.total, pace, left, bottleneck()))


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


@dataclass(frozen=True)
class _Decoded:
    """The pixels of a picture's views, or why it cannot be read; seconds of decoding, and of reading among them."""

    pixels: np.ndarray | None
    reason: str
    seconds: float
    reading: float


class _Timed:
    """A sample that measures how long it takes to read."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self.name = sample.name
        self.seconds = 0.0

    def read(self) -> bytes:
        """The picture's content."""
        began = time.perf_counter()
        try:
            return self._sample.read()
        finally:
            self.seconds = time.perf_counter() - began


class FeaturePass:
    """Computes features; use it as a context manager, so that its threads end."""

    def __init__(
        self,
        engine: Engine,
        preprocessing: Preprocessing,
        *,
        width: int,
        batch_size: int,
        workers: int | None,
        check: Callable[[], object],
        callbacks: Callbacks | None = None,
    ) -> None:
        """Prepares a pass.

        Args:
            engine: Runs the backbone.
            preprocessing: The pictures that it expects.
            width: Width of its features.
            batch_size: Views that go through the network at a time.
            workers: Threads that decode; None: as many as the network turns out to need.
            check: Called after every batch; an exception from it ends the pass.
            callbacks: Called for every batch.
        """
        self.engine = engine
        self._preprocessing = preprocessing
        self._width = width
        self.batch_size = batch_size
        self._check = check
        self._callbacks = callbacks or Callbacks()
        self.cost = Cost()
        # A pass whose features may be rounded takes pixels that may be, too.
        rounded = engine.choice.precision == "bf16"
        self._views_of = pictures.approximate_views if rounded else pictures.sample_views
        self._memory = pacing.available_memory()
        cores = cores_of_process()
        self.workers = workers or min(_FIRST_WORKERS, cores)
        self._threads = None if workers else pacing.Threads(cores, self._memory, self.workers)
        self._shown = pacing.Window()
        self._pools = [ThreadPoolExecutor(self.workers, thread_name_prefix="decode")]

    def __enter__(self) -> FeaturePass:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)

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

        step, picture_bytes = self.pictures_at_once(len(views)), len(views) * 3 * self._preprocessing.crop**2
        feeds = [range(start, min(start + step, len(samples))) for start in range(0, len(samples), step)]
        waiting: deque[list[Future[_Decoded]]] = deque()
        coming = iter(feeds)
        computed, kept, skipped = [], [], {}
        for feed in feeds:
            began = time.perf_counter()
            self._callbacks.pass_batch_begins()
            ahead_now = pacing.feeds_ahead(step, picture_bytes, self.workers, self._memory)
            while len(waiting) <= ahead_now and (ahead := next(coming, None)) is not None:
                waiting.append([self._pools[-1].submit(self._decode, samples[index], views) for index in ahead])
            results = [future.result() for future in waiting.popleft()]
            ready = time.perf_counter()
            good = [one.pixels for one in results if one.pixels is not None]
            for index, one in zip(feed, results, strict=True):
                if one.pixels is None:
                    skipped[index] = one.reason
                else:
                    kept.append(index)
            if good:
                computed.append(self._forward(np.stack(good)))
            self._account(results, len(views), began, ready)
            # Nobody can decode the first pictures while earlier ones are computed.
            self._pace(results, began if feed.start else ready, ready)
            progress.advance(len(feed), len(feed) * len(views), self._bottleneck)
            self._check()
        empty = np.empty((0, len(views), self._width), np.float32)
        return Chunk(np.concatenate([empty, *computed]), np.array(kept, np.int64), skipped)

    def pictures_at_once(self, views: int) -> int:
        """Pictures that go through the network at a time."""
        return max(1, self.batch_size // views)

    def _account(self, decoded: Sequence[_Decoded], views: int, began: float, ready: float) -> None:
        cost, now, count = self.cost, time.perf_counter(), len(decoded)
        cost.pictures += count
        cost.views += count * views
        cost.waiting += ready - began
        cost.forward += now - ready
        cost.decoding += sum(one.seconds for one in decoded)
        cost.seconds += now - began
        self._callbacks.pass_batch_ends(began, ready, now)

    def _pace(self, decoded: Sequence[_Decoded], began: float, ready: float) -> None:
        """Measures a batch for the progress line, and for the number of threads unless that was set."""
        spent = {
            "seconds": time.perf_counter() - began,
            "waiting": ready - began,
            "decoding": sum(one.seconds for one in decoded),
            "reading": sum(one.reading for one in decoded),
        }
        self._shown.add(len(decoded), **spent)
        if self._threads is not None and self._threads.measured(len(decoded), **spent):
            self._use_threads(self._threads.count)

    def _use_threads(self, count: int) -> None:
        # The pictures that wait for the earlier threads are still decoded by them.
        self._pools[-1].shutdown(wait=False)
        self.workers = count
        self._pools.append(ThreadPoolExecutor(count, thread_name_prefix="decode"))

    def _bottleneck(self) -> str:
        """What limits the speed since the last report."""
        shown, self._shown = self._shown, pacing.Window()
        return shown.bottleneck(self.workers)

    def _decode(self, sample: Sample, views: Sequence[View]) -> _Decoded:
        began, timed = time.perf_counter(), _Timed(sample)
        pixels, reason = None, ""
        try:
            pixels = self._views_of(timed, self._preprocessing, views)
        except decoding.PictureError as error:
            reason = str(error)
        return _Decoded(pixels, reason, time.perf_counter() - began, timed.seconds)

    def _forward(self, pixels: np.ndarray) -> np.ndarray:
        import numpy as np

        count, views = pixels.shape[:2]
        batch = pictures.normalize(pixels, self._preprocessing, device=self.engine.device).flatten(0, 1)
        features: np.ndarray = self.engine.run(batch).numpy()
        if not np.isfinite(features).all():
            raise DataError("the backbone returns numbers that are not finite: its weights must be damaged.")
        return features.reshape(count, views, self._width)
