"""How long jobs run on AWS, and how much of that is charged.

SageMaker charges for the time from TrainingStartTime to TrainingEndTime (API reference, DescribeTrainingJob), which
includes downloading the container image and the data. Waiting for an instance before that is not charged.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.planning.dataset_size import DatasetSize
from dogbreed_sdk.planning.instances import Machine, machine
from dogbreed_sdk.planning.speed import BackboneSpeed
from dogbreed_sdk.planning.work import PlannedJobs
from training_scripts.data.preprocessing import parse_views
from training_scripts.models import backbones, test_time

# Public logs of jobs that do almost nothing end with 53 to 149 "Billable seconds". GPU images are several GB larger.
START_SECONDS: Final = 90.0
GPU_START_SECONDS: Final = 150.0
# Provisioning of an instance, "Launching requested ML instances" in such logs: two to four minutes, not charged.
WAIT_SECONDS: Final = 180.0
# S3 to an instance, for many files of 100 kB; and from an instance to S3.
DOWNLOAD_BYTES_PER_SECOND: Final = 50e6
# How much of that differs between jobs, either way.
_START_UNCERTAINTY = 2.0
# The script imports torch from a disk that has never been read, opens its inputs, evaluates and writes its bundle.
_SCRIPT_SECONDS = 25.0
# Cores that the decoding threads of one process keep busy: a fifth of their work holds the interpreter's lock
# (`benchmarks/decoding.py`).
_DECODING_CORES = 5
# A step of a head beyond its arithmetic: reading the batch, the optimizer, the recording.
_HEAD_SECONDS_PER_VIEW = 2e-5
# Single-precision operations per second of one core for a head's matrix products: forward, and twice that backward.
_HEAD_FLOP_PER_SECOND = 40e9
_HEAD_FLOP_PER_WEIGHT = 6
# Training a network takes three forward passes: forward, and twice that backward.
_TRAINING_FORWARDS = 3
# Each further instance adds a little less than its share: the parts of a pass are never equally large.
_SHARE_OF_FURTHER_INSTANCES = 0.9
_FLOAT_BYTES = {"float32": 4, "float16": 2}


@dataclass(frozen=True, kw_only=True)
class JobTime:
    """The charged time of one job, in seconds.

    Attributes:
        start: Downloading the image and starting the container.
        download: Downloading the inputs.
        compute: The script.
        uncertainty: Compute is expected between this factor below and above.
    """

    start: float
    download: float
    compute: float
    uncertainty: float

    @property
    def seconds(self) -> float:
        """The charged time."""
        return self.start + self.download + self.compute

    @property
    def shortest(self) -> float:
        """The charged time if everything is as fast as is still likely."""
        return (self.start + self.download) / _START_UNCERTAINTY + self.compute / self.uncertainty

    @property
    def longest(self) -> float:
        """The charged time if everything is as slow as is still likely."""
        return (self.start + self.download) * _START_UNCERTAINTY + self.compute * self.uncertainty


# Gives the time of each of some jobs.
JobTimes = Callable[[PlannedJobs], JobTime]


def job_time(jobs: PlannedJobs, size: DatasetSize, speed: BackboneSpeed) -> JobTime:
    """How long one job runs.

    Args:
        jobs: The job, or one of several that are alike.
        size: The data set.
        speed: How fast the backbone is.

    Raises:
        ConfigurationError: Nothing is known about the instance type.
    """
    place = machine(jobs.instance_type)
    if place is None:
        raise ConfigurationError(
            f"How fast {jobs.instance_type!r} is, is not known: plan with another instance type, such as ml.m5.xlarge "
            "or ml.g5.xlarge."
        )
    compute = _SCRIPT_SECONDS + _work(jobs, size, speed, place)
    return JobTime(
        start=GPU_START_SECONDS if place.has_gpu else START_SECONDS,
        download=_downloaded(jobs, size) / DOWNLOAD_BYTES_PER_SECOND,
        compute=compute,
        uncertainty=speed.uncertainty,
    )


def features_bytes(jobs: PlannedJobs, size: DatasetSize) -> float:
    """The size of stored features."""
    number = _FLOAT_BYTES[str(jobs.hyperparameters.get("features-dtype", "float32"))]
    return size.views(*_views(jobs)) * _width(jobs) * number


def _downloaded(jobs: PlannedJobs, size: DatasetSize) -> float:
    return features_bytes(jobs, size) if jobs.reads_features else size.bytes


def _work(jobs: PlannedJobs, size: DatasetSize, speed: BackboneSpeed, place: Machine) -> float:
    """Seconds of the feature pass, of training, or of both."""
    share = 1 / (1 + (jobs.instance_count - 1) * _SHARE_OF_FURTHER_INSTANCES)
    if jobs.kind == "features":
        return _pass(jobs, size, speed, place) * share
    epochs = _number(jobs, "epochs", 1)
    if _number(jobs, "unfreeze", 0) or jobs.hyperparameters.get("features") == "off":
        forwards = _TRAINING_FORWARDS if _number(jobs, "unfreeze", 0) else 1
        each = _passed(size.train + size.valid, size.train * forwards + size.valid, speed, place)
        return (epochs * each + _passed(size.test, size.test, speed, place)) * share
    head = epochs * _head(jobs, size, place)
    return head if jobs.reads_features else _pass(jobs, size, speed, place) * share + head


def _pass(jobs: PlannedJobs, size: DatasetSize, speed: BackboneSpeed, place: Machine) -> float:
    return _passed(size.pictures, size.views(*_views(jobs)), speed, place)


def _passed(pictures: float, views: float, speed: BackboneSpeed, place: Machine) -> float:
    """Seconds in which an instance decodes pictures and computes the features of views."""
    decoding, forward = pictures * speed.decode_seconds, views * speed.forward_seconds
    if not place.has_gpu:
        return (decoding + forward) / place.cores
    # The GPU computes while threads decode; whichever is slower decides.
    return max(decoding / min(place.cores, _DECODING_CORES), views * speed.gpu_giga_flop / (place.gpu_tflops * 1e3))


def _head(jobs: PlannedJobs, size: DatasetSize, place: Machine) -> float:
    """Seconds of one epoch of a head on features; a head is too small for a GPU to matter."""
    hidden = str(jobs.hyperparameters.get("hidden", ""))
    layers = [_width(jobs), *(int(width) for width in hidden.split(",") if width.strip()), size.classes]
    weights = sum(before * after for before, after in itertools.pairwise(layers))
    per_view = _HEAD_SECONDS_PER_VIEW + weights * _HEAD_FLOP_PER_WEIGHT / (_HEAD_FLOP_PER_SECOND * place.cores)
    return size.views(*_views(jobs)) * per_view


def _views(jobs: PlannedJobs) -> tuple[int, int]:
    """The views of a train picture, and of another one."""
    evaluated = test_time.views(test_time.checked(jobs.hyperparameters.get("tta", test_time.NONE)))
    return len(parse_views(str(jobs.hyperparameters.get("views", "plain")))), len(evaluated)


def _width(jobs: PlannedJobs) -> int:
    return int(backbones.spec(str(jobs.hyperparameters["model"])).feature_width)


def _number(jobs: PlannedJobs, name: str, default: float) -> float:
    value = jobs.hyperparameters.get(name, default)
    return float(value) if isinstance(value, (str, int, float)) else default
