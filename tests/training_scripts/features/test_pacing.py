"""How a pass is fed: what is chosen from what was measured, and that explicit settings win."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training_scripts.data import preprocessing
from training_scripts.data.preprocessing import PLAIN, Preprocessing
from training_scripts.data.samples import Sample
from training_scripts.features import feature_pass, pacing
from training_scripts.features.feature_pass import FeaturePass, Progress
from training_scripts.models.engines.engine import EngineChoice, Precision
from training_scripts.training.callbacks import Callback, Callbacks

GIGABYTE = 1 << 30
SMALL = Preprocessing(16, 16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bilinear")


def threads(*, cores: int = 8, memory: int = 64 * GIGABYTE) -> pacing.Threads:
    return pacing.Threads(cores, memory, 2)


class TestThreads:
    def test_few_pictures_decide_nothing(self) -> None:
        one = threads()
        assert not one.measured(31, seconds=1, waiting=0, decoding=0.1, reading=0)
        assert not threads().measured(100, seconds=0.1, waiting=0, decoding=0.1, reading=0)

    @pytest.mark.parametrize(
        ("decoding", "waiting", "count"),
        [
            (0.1, 0.0, 1),  # a fast decoder, a slow network
            (1.0, 0.0, 2),
            (2.0, 0.5, 5),  # two threads were busy, and the network computed for half of the time
            (2.0, 0.9, 8),  # never more than cores
        ],
    )
    def test_are_as_many_as_the_network_needs(self, decoding: float, waiting: float, count: int) -> None:
        one = threads()
        assert one.measured(64, seconds=1, waiting=waiting, decoding=decoding, reading=0) == (count != 2)
        assert one.count == count

    def test_slow_storage_takes_more_of_them_than_cores(self) -> None:
        one = threads(cores=2)
        one.measured(64, seconds=1, waiting=0.9, decoding=2.0, reading=1.9)
        assert one.count == 8

    def test_take_no_more_memory_than_there_is(self) -> None:
        one = threads(memory=GIGABYTE)
        one.measured(64, seconds=1, waiting=0.9, decoding=2.0, reading=0)
        assert one.count == 2

    def test_are_added_when_pictures_become_larger_and_never_taken_away(self) -> None:
        one = threads()
        one.measured(64, seconds=1, waiting=0, decoding=0.1, reading=0)
        assert one.count == 1
        assert not one.measured(64, seconds=1, waiting=0.6, decoding=0.9, reading=0)  # too soon to tell
        assert one.measured(64, seconds=1, waiting=0.6, decoding=1.0, reading=0)
        assert one.count == 3
        for _ in range(3):
            assert not one.measured(64, seconds=2, waiting=0, decoding=0.1, reading=0)


class TestAhead:
    @pytest.mark.parametrize(
        ("pictures", "workers", "memory", "feeds"),
        [(32, 2, 8 * GIGABYTE, 2), (1, 16, 8 * GIGABYTE, 32), (32, 16, 8 * GIGABYTE, 2), (256, 8, GIGABYTE >> 4, 1)],
    )
    def test_keeps_all_threads_busy_within_the_memory(
        self, pictures: int, workers: int, memory: int, feeds: int
    ) -> None:
        assert pacing.feeds_ahead(pictures, 224 * 224 * 3, workers, memory) == feeds

    def test_the_memory_of_this_machine(self) -> None:
        assert 1 << 26 < pacing.available_memory() < 1 << 46

    def test_the_memory_of_a_container_counts_what_the_page_cache_would_give_back(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pacing, "_CONTAINER", str(tmp_path))
        kinds = "anon 5000000\nfile 41000000\ninactive_file 30000000\nactive_file 10000000\nslab 7\n"
        for name, content in {"max": "50000000\n", "current": "49000000\n", "stat": kinds}.items():
            (tmp_path / f"memory.{name}").write_text(content)
        assert pacing.available_memory() == 41_000_000


class Network:
    """Stands for an engine, which takes a given time for each view."""

    def __init__(
        self,
        *,
        device: str = "cpu",
        precision: Precision = "fp32",
        most: int = 10**6,
        spend: Callable[[float], object] = time.sleep,
    ) -> None:
        self.choice = EngineChoice("torch", precision)
        self.device = device
        self.most = most
        self.spend = spend
        self.sizes: list[int] = []

    def run(self, batch: torch.Tensor) -> torch.Tensor:
        if len(batch) > self.most:
            raise torch.OutOfMemoryError
        self.sizes.append(len(batch))
        self.spend(0.002 + 0.0001 * len(batch))
        return batch.mean(dim=(2, 3))


class TestBatchSize:
    def test_a_short_pass_measures_nothing(self) -> None:
        network = Network()
        assert pacing.batch_size(network, side=16, views=5_000, report=print) == 64
        assert network.sizes == []

    def test_a_long_one_tries_sizes_and_says_so(self) -> None:
        lines: list[str] = []
        network = Network()
        chosen = pacing.batch_size(network, side=16, views=50_000, report=lines.append)
        assert network.sizes == [16, 32, 64] * 3
        assert lines[0].startswith(f"features: {chosen} views at a time (16: ")

    def test_what_does_not_fit_is_left_out(self) -> None:
        assert pacing.batch_size(Network(device="cuda", most=150), side=16, views=50_000, report=print) in (64, 128)

    def test_what_is_a_little_faster_is_not_worth_other_digits(self) -> None:
        assert pacing.fastest({16: 0.0095, 32: 0.0092, 64: 0.01}) == 64
        assert pacing.fastest({16: 0.0085, 32: 0.0083, 64: 0.01}) == 16


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    noise = np.random.default_rng(0).integers(0, 256, (48, 40, 30, 3), np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / f"{number}.jpg")
    return [Sample(str(tmp_path / f"{number}.jpg"), f"{number}.jpg", 0) for number in range(len(noise))]


def run(
    network: Network,
    samples: list[Sample],
    *,
    workers: int | None,
    report: list[str] | None = None,
    callbacks: Callbacks | None = None,
) -> tuple[FeaturePass, np.ndarray]:
    lines = [] if report is None else report
    with FeaturePass(
        network, SMALL, width=3, batch_size=4, workers=workers, check=lambda: None, callbacks=callbacks
    ) as runner:
        progress = Progress(len(samples), len(samples), lines.append)
        return runner, runner.compute(samples, (PLAIN,), progress).features[:, 0]


def test_a_pass_takes_the_threads_it_needs_and_computes_the_same(
    samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(feature_pass, "_FIRST_WORKERS", 3)
    chosen, features = run(Network(), samples, workers=None)
    fixed, expected = run(Network(), samples, workers=3)
    assert chosen.workers <= fixed.workers == 3
    assert np.array_equal(features, expected)
    assert (chosen.cost.pictures, chosen.cost.views) == (48, 48)


class Clock:
    """A clock that only the network and the decoding of a test advance."""

    def __init__(self) -> None:
        self.now = 0.0

    def spend(self, seconds: float) -> None:
        self.now += seconds

    def perf_counter(self) -> float:
        return self.now


class Begun(Callback):
    """Lets the pictures of a batch be decoded once the pass waits for them."""

    def __init__(self) -> None:
        self.pictures = threading.Semaphore(0)

    def pass_batch_begins(self) -> None:
        self.pictures.release(4)


def test_the_progress_line_names_the_bottleneck(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(feature_pass, "time", clock)
    monkeypatch.setattr(feature_pass, "_PROGRESS_SECONDS", 0.0)
    lines: list[str] = []
    run(Network(spend=clock.spend), samples, workers=1, report=lines)
    assert lines[-1].startswith("features 48/48 pictures, ")
    assert "; the network limits: 1 decoding thread busy " in lines[-1]

    views_of, begun = preprocessing.sample_views, Begun()

    def slow(*arguments: object) -> np.ndarray:
        begun.pictures.acquire()
        clock.spend(0.01)
        return views_of(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(preprocessing, "sample_views", slow)
    run(Network(spend=clock.spend), samples, workers=1, report=lines, callbacks=Callbacks([begun]))
    assert "; decoding limits: 1 thread busy " in lines[-1]


def test_rounded_features_are_made_of_approximate_pixels(samples: list[Sample]) -> None:
    exact, rounded = (run(Network(precision=each), samples, workers=1)[1] for each in ("fp32", "bf16"))
    expected = [preprocessing.approximate_views(sample, SMALL, (PLAIN,)) for sample in samples]
    means = preprocessing.normalize(np.concatenate(expected), SMALL).mean(dim=(2, 3))
    assert np.array_equal(rounded, means.numpy())
    assert 0 < np.abs(rounded - exact).max() < 0.01
