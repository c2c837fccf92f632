"""What data sets of growing size take and cost."""

from __future__ import annotations

from typing import Literal

from _generate.frame import markdown, table
from dogbreed_sdk._util.formatting import amount
from dogbreed_sdk.aws.prices import hourly_price
from dogbreed_sdk.planning.dataset_size import DatasetSize
from dogbreed_sdk.planning.durations import features_bytes, job_time
from dogbreed_sdk.planning.speed import BackboneSpeed
from dogbreed_sdk.planning.work import PlannedJobs
from training_scripts.training.hyperparameters import Hyperparameters

_REGION = "us-east-1"
_PASS_ON_CPU, _PASS_ON_GPU, _HEAD_ON = "ml.c7i.4xlarge", "ml.g5.2xlarge", "ml.m5.4xlarge"
# Instances are added until the pass ends within a working day; more than these few accounts get without asking.
_PASS_SECONDS, _INSTANCES = 8 * 3600, (1, 2, 4, 8, 16)
_SCALES = ((10**4, 100), (10**5, 1000), (10**6, 1000), (10**7, 10_000), (10**8, 20_000))


@table("scale")
def scale() -> str:
    """Storage, time and price of data sets of growing size, by the tables of `dogbreed plan`."""
    header = ["pictures", "classes", "on S3", "features float32", "float16", f"pass on one {_PASS_ON_CPU}"]
    header += [f"pass on {_PASS_ON_GPU}", f"head, 10 epochs on {_HEAD_ON}", "GPU pass and head"]
    return markdown(header, [_scale_row(pictures, classes) for pictures, classes in _SCALES])


def _scale_row(pictures: int, classes: int) -> list[str]:
    size = DatasetSize.of(pictures=pictures, classes=classes)
    stored = [features_bytes(_planned("features", _PASS_ON_CPU, 1, dtype), size) for dtype in ("float32", "float16")]
    on_cpu, _ = _time_and_price(_planned("features", _PASS_ON_CPU, 1, "float16"), size)
    passes = [_planned("features", _PASS_ON_GPU, count, "float16") for count in _INSTANCES]
    chosen = next((each for each in passes if _time_and_price(each, size)[0] <= _PASS_SECONDS), passes[-1])
    on_gpu, pass_price = _time_and_price(chosen, size)
    head, head_price = _time_and_price(_planned("training", _HEAD_ON, 1, "float16"), size)
    instances = f"{chosen.instance_count} instance{'s' * (chosen.instance_count > 1)}"
    return [
        f"{pictures:,}",
        f"{classes:,}",
        *(amount(number) for number in (size.bytes, *stored)),
        _hours(on_cpu),
        f"{_hours(on_gpu)}, {instances}",
        _hours(head),
        f"${pass_price + head_price:,.2f}",
    ]


def _planned(kind: Literal["features", "training"], instance_type: str, count: int, dtype: str) -> PlannedJobs:
    """A feature pass of both views of the default backbone, or a head that trains on its features."""
    return PlannedJobs(
        kind=kind,
        count=1,
        parallel=1,
        instance_type=instance_type,
        instance_count=count,
        volume_gb=0,
        hyperparameters={
            "model": Hyperparameters().model,
            "views": Hyperparameters().views,
            "epochs": 10,
            "features-dtype": dtype,
        },
        channels=("train", "valid") if kind == "features" else ("features",),
        is_spot=False,
        keep_alive_seconds=0,
    )


def _time_and_price(jobs: PlannedJobs, size: DatasetSize) -> tuple[float, float]:
    """Seconds of a job, and what all its instances cost in US dollars."""
    seconds = job_time(jobs, size, BackboneSpeed.from_table(Hyperparameters().model)).seconds
    price = hourly_price(jobs.instance_type, region=_REGION, use="training")
    assert price is not None, jobs.instance_type
    return seconds, seconds / 3600 * price * jobs.instance_count


def _hours(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"
