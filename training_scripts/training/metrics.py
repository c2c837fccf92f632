"""The log lines that report a run's metrics and progress: this module both writes and parses them.

SageMaker reads metrics from the log by `MetricDefinitions` (https://docs.aws.amazon.com/sagemaker/latest/dg/
training-metrics.html); the value it keeps for a metric is the last one printed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from training_scripts._util.suggestions import closest, known_as

METRICS: tuple[str, ...] = (
    "train:loss",
    "train:accuracy",
    "valid:loss",
    "valid:accuracy",
    "test:loss",
    "test:accuracy",
)
_NUMBER = r"[-+]?(?:[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|inf|nan)"

METRIC_DEFINITIONS: list[dict[str, str]] = [{"Name": name, "Regex": rf"\b{name}=({_NUMBER})"} for name in METRICS]
"""The value of `AlgorithmSpecification.MetricDefinitions` in a CreateTrainingJob request."""

_EPOCH = re.compile(r"^(?P<best>best )?epoch (?P<epoch>\d+)/(?P<epochs>\d+)(?= |$)")
_WITHIN_EPOCH = re.compile(r"^\s*epoch (\d+)/(\d+): (\d+) of (\d+) pictures\b")
# Also matches the lines of other people's scripts.
_PICTURES = re.compile(r"\b(\d+)\s*(?:/|of)\s*(\d+)\s+pictures")
_PAIR = re.compile(rf"\b([a-z]+:[a-z]+|seconds)=({_NUMBER})(?![\w.])")


# Words that other tools use for the parts of a metric's name.
_WORDS = {
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "training": "train",
    "testing": "test",
    "acc": "accuracy",
}


def meant(written: str) -> str | None:
    """The metric that a name means, in any of its usual spellings; None if there is no such metric.

    >>> meant("val_loss"), meant("Validation Accuracy"), meant("average test loss")
    ('valid:loss', 'valid:accuracy', None)
    """
    return known_as(":".join(_words(written)), METRICS)


def nearest(written: str) -> str | None:
    """The metric to suggest for an unknown name; None if none is similar.

    >>> nearest("average test loss"), nearest("accuracy"), nearest("val_los"), nearest("f1")
    ('test:loss', 'valid:accuracy', 'valid:loss', None)
    """
    words = _words(written)
    measure = next((word for word in words if word in ("loss", "accuracy")), None)
    if measure is None:
        return next(iter(closest(":".join(words), METRICS)), None)
    split = next((word for word in words if word in ("train", "valid", "test")), "valid")
    return f"{split}:{measure}"


def _words(written: str) -> list[str]:
    return [_WORDS.get(word, word) for word in re.split(r"[^a-z0-9]+", written.lower()) if word]


@dataclass(frozen=True)
class EpochMetrics:
    """The content of one epoch line.

    Attributes:
        epoch: Number of the epoch, from 1.
        epochs: Number of epochs of the whole run.
        values: Metric name to value; losses are mean cross-entropy in nats, accuracies fractions of 1.
        seconds: Wall time of the epoch; None on the closing line.
        best: Whether this is the closing line, which repeats the epoch whose weights were kept.
    """

    epoch: int
    epochs: int
    values: Mapping[str, float]
    seconds: float | None = None
    best: bool = False

    @property
    def fraction(self) -> float:
        """How much of the run is done, 0 to 1."""
        return 1.0 if self.best else self.epoch / max(self.epochs, 1)


@dataclass(frozen=True)
class PicturesDone:
    """The content of a progress line, which is logged during an epoch or a feature pass.

    Attributes:
        fraction: How much is done, 0 to 1: of the whole run for a line inside an epoch, otherwise of the pass.
        within_epoch: Whether it is a line inside an epoch.
    """

    fraction: float
    within_epoch: bool


def format_epoch(metrics: EpochMetrics) -> str:
    """The log line of an epoch, or of the end of a run.

    >>> format_epoch(EpochMetrics(3, 10, {"train:loss": 0.52341, "train:accuracy": 0.8421}, seconds=0.42))
    'epoch 3/10 train:loss=0.52341 train:accuracy=0.84210 seconds=0.4'
    """
    parts = [f"{'best ' if metrics.best else ''}epoch {metrics.epoch}/{metrics.epochs}"]
    parts += [f"{name}={_format(metrics.values[name])}" for name in METRICS if name in metrics.values]
    if metrics.seconds is not None:
        parts.append(f"seconds={metrics.seconds:.1f}")
    return " ".join(parts)


def format_within_epoch(epoch: int, epochs: int, done: int, total: int, loss: float) -> str:
    """A progress line for a long epoch; no metric definition matches it.

    >>> format_within_epoch(3, 10, 640, 6000, 1.23456)
    '  epoch 3/10: 640 of 6000 pictures, running loss 1.2346'
    """
    return f"  epoch {epoch}/{epochs}: {done} of {total} pictures, running loss {loss:.4f}"


def format_feature_pass(done: int, total: int, pace: float, seconds_left: float, bottleneck: str = "") -> str:
    """A progress line for a feature pass.

    >>> format_feature_pass(640, 6000, 97.31, 55.2)
    'features 640/6000 pictures, 97.3/s, 55 s left'
    >>> format_feature_pass(640, 6000, 97.31, 55.2, "decoding limits: 2 threads busy 98%")
    'features 640/6000 pictures, 97.3/s, 55 s left; decoding limits: 2 threads busy 98%'
    """
    limit = f"; {bottleneck}" if bottleneck else ""
    return f"features {done}/{total} pictures, {pace:.1f}/s, {seconds_left:.0f} s left{limit}"


def parse(line: str) -> EpochMetrics | PicturesDone | None:
    """Parses a log line; None for a line that reports neither metrics nor progress.

    >>> parse("epoch 3/10 valid:loss=nan valid:accuracy=1e-05 seconds=0.4").values["valid:accuracy"]
    1e-05
    >>> parse(format_within_epoch(3, 10, 3000, 6000, 1.2))
    PicturesDone(fraction=0.25, within_epoch=True)
    >>> parse("features 100/400 pictures, 9.0/s, 33 s left")
    PicturesDone(fraction=0.25, within_epoch=False)
    """
    if found := _EPOCH.match(line):
        values = {name: float(text) for name, text in _PAIR.findall(line)}
        seconds = values.pop("seconds", None)
        if values:
            epoch, epochs = int(found["epoch"]), int(found["epochs"])
            return EpochMetrics(epoch, epochs, values, seconds=seconds, best=found["best"] is not None)
    if found := _WITHIN_EPOCH.match(line):
        epoch, epochs, done, total = map(int, found.groups())
        return PicturesDone((epoch - 1 + done / total) / epochs, within_epoch=True) if epochs and total else None
    if found := _PICTURES.search(line):
        done, total = map(int, found.groups())
        return PicturesDone(done / total, within_epoch=False) if total else None
    return None


def _format(value: float) -> str:
    """Five decimals, or an exponent where five decimals would show only zeros."""
    if value and abs(value) < 1e-4:
        return f"{value:.4e}"
    return f"{value:.5f}"
