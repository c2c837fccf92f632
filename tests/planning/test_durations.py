"""How long one job is charged for: start, download, and the work that its hyperparameters ask for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.planning.dataset_size import DatasetSize
from dogbreed_sdk.planning.durations import job_time
from dogbreed_sdk.planning.instances import machine
from dogbreed_sdk.planning.speed import BackboneSpeed
from dogbreed_sdk.planning.work import PlannedJobs

pytestmark = pytest.mark.extras

SIZE = DatasetSize(train=800, valid=100, test=100, classes=10, bytes_per_picture=100_000)
# Ten milliseconds of a core to decode, a hundred for a view.
SPEED = BackboneSpeed(
    backbone="resnet18", decode_seconds=0.01, forward_seconds=0.1, gpu_giga_flop=81, uncertainty=1.5, source="a test"
)
JOB = PlannedJobs(
    kind="training",
    count=1,
    parallel=1,
    instance_type="ml.m5.xlarge",
    instance_count=1,
    volume_gb=30,
    hyperparameters={"model": "resnet18", "views": "plain,flip", "epochs": "5"},
    channels=("training",),
    is_spot=False,
    keep_alive_seconds=0,
)
SCRIPT = 25
# 1,000 pictures and 1,800 views on two cores.
PASS = (1000 * 0.01 + 1800 * 0.1) / 2
# 5 epochs of 1,800 views through a layer of 512 x 10.
HEAD = 5 * 1800 * (2e-5 + 512 * 10 * 6 / 80e9)


def compute(job: PlannedJobs) -> float:
    return job_time(job, SIZE, SPEED).compute - SCRIPT


def given(**hyperparameters: str) -> PlannedJobs:
    return replace(JOB, hyperparameters={**JOB.hyperparameters, **hyperparameters})


def test_features_in_the_job_are_computed_once() -> None:
    assert compute(JOB) == pytest.approx(PASS + HEAD)
    assert compute(replace(JOB, kind="features")) == pytest.approx(PASS)
    assert compute(replace(JOB, channels=("features",))) == pytest.approx(HEAD)


def test_hidden_layers_have_more_weights() -> None:
    wide = replace(given(hidden="1000"), channels=("features",))
    assert compute(wide) == pytest.approx(5 * 1800 * (2e-5 + (512 * 1000 + 1000 * 10) * 6 / 80e9))


def test_the_backbone_runs_in_every_epoch_without_features_and_three_times_when_it_learns() -> None:
    test = 100 * 0.11 / 2
    assert compute(given(features="off")) == pytest.approx(5 * (900 * 0.01 + 900 * 0.1) / 2 + test)
    assert compute(given(unfreeze="1")) == pytest.approx(5 * (900 * 0.01 + (2400 + 100) * 0.1) / 2 + test)


def test_the_slower_of_gpu_and_decoding_decides() -> None:
    # 81 GFLOP per view at 8.1 TFLOPS: 18 s for 1,800 views; two threads decode 1,000 pictures in 5 s.
    gpu = replace(JOB, kind="features", instance_type="ml.g4dn.xlarge")
    assert compute(gpu) == pytest.approx(18)
    assert job_time(gpu, SIZE, SPEED).start == 150
    slow = replace(SPEED, decode_seconds=0.1)
    assert job_time(gpu, SIZE, slow).compute - SCRIPT == pytest.approx(50)


def test_pictures_or_features_are_downloaded() -> None:
    assert job_time(JOB, SIZE, SPEED).download == pytest.approx(2)
    features = job_time(replace(JOB, channels=("features",)), SIZE, SPEED)
    assert features.download == pytest.approx(1800 * 512 * 4 / 50e6)


def test_start_and_compute_have_uncertainties_of_their_own() -> None:
    time = job_time(JOB, SIZE, SPEED)
    assert time.shortest == pytest.approx((90 + 2) / 2 + (SCRIPT + PASS + HEAD) / 1.5)
    assert time.longest == pytest.approx((90 + 2) * 2 + (SCRIPT + PASS + HEAD) * 1.5)


@pytest.mark.parametrize(
    ("instance_type", "vcpus", "cores", "has_gpu"),
    [
        ("ml.t2.medium", 2, 0.8, False),
        ("ml.m5.large", 2, 1.0, False),
        ("ml.c7i.48xlarge", 192, 134.4, False),
        ("ml.g5.12xlarge", 48, 24.0, True),
        ("ml.p5.48xlarge", 192, 96.0, True),
    ],
)
def test_machines(instance_type: str, vcpus: int, cores: float, has_gpu: bool) -> None:
    found = machine(instance_type)
    assert found is not None
    assert (found.vcpus, found.cores, found.has_gpu) == (vcpus, pytest.approx(cores), has_gpu)


def test_a_gpu_of_unknown_speed_is_not_taken_for_a_processor() -> None:
    with pytest.raises(ConfigurationError, match=r"How fast 'ml\.p9\.48xlarge' is, is not known"):
        job_time(replace(JOB, instance_type="ml.p9.48xlarge"), SIZE, SPEED)
