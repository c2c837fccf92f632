"""Every recorded number of a run: one per step and tensor, as it is or as a reduction; written as CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from dogbreed_sdk._util.formatting import plain, whole
from dogbreed_sdk.errors import ConfigurationError, RecordingError
from training_scripts._util.atomic import write_atomically
from training_scripts.recording.trial.trial import MODES, Series, despite_damage

if TYPE_CHECKING:
    from dogbreed_sdk.debugging.content import ReportContent
    from training_scripts.rules.evidence.evidence import Evidence

Format = Literal["csv", "json"]
HEAD = ("tensor", "statistic", "mode", "step", "value")
VALUE = "value"
"""The statistic of a tensor with one number per step."""


class Column(NamedTuple):
    """One number per step.

    Attributes:
        tensor: Name of the tensor.
        statistic: value, or the kind of reduction of a larger tensor: mean, std, l2, ...
        mode: TRAIN, EVAL, PREDICT or GLOBAL.
        series: Steps, counted within the mode, and numbers.
    """

    tensor: str
    statistic: str
    mode: str
    series: Series


def columns(trial: Evidence) -> Iterator[Column]:
    """All recorded numbers, by tensor; of a tensor that was recorded in full only if it has one element."""
    for name in trial.tensor_names():
        for mode in MODES:
            full = trial.steps_in_full(name, mode)
            if len(full) and trial.value(name, int(full[0]), mode).size == 1:
                values = trial.reduction(name, "mean", mode)  # of one number, every reduction is that number
                found = {} if values is None else {VALUE: values}
            else:
                found = dict(trial.recorded_reductions(name, mode))
            yield from (Column(name, statistic, mode, series) for statistic, series in found.items())


def encoded(report: ReportContent, form: Format) -> bytes:
    """The recorded numbers as a file's content, UTF-8.

    CSV has the columns tensor, statistic, mode, step, value, one row per number. JSON is a list with an object per
    column: tensor, statistic, mode, steps, values; a number that is not finite is null there.

    Raises:
        RecordingError: The recording contains no tensors.
    """
    trial = report.evidence
    if trial is None:
        raise RecordingError(f"{report.source} contains no tensors, so it has no numbers to write.")
    found = despite_damage(lambda: list(columns(trial)))
    return _csv(found) if form == "csv" else _json(found)


def write(report: ReportContent, path: Path) -> Path:
    """Writes the recorded numbers to a file that ends in .csv or .json.

    Raises:
        ConfigurationError: The file's name ends otherwise.
        RecordingError: The recording contains no tensors.
    """
    form = path.suffix.lower().lstrip(".")
    if form not in ("csv", "json"):
        raise ConfigurationError(f"Numbers are written as .csv or .json, but the file is {path.name!r}: rename it.")
    write_atomically(path, encoded(report, "csv" if form == "csv" else "json"))
    return path


def _csv(found: list[Column]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    for tensor, statistic, mode, series in found:
        name = whole(tensor)
        # A spreadsheet would take a name that begins with = for a formula.
        name = f"'{name}" if name.startswith(("=", "+", "-", "@", "\t")) else name
        for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
            writer.writerow((name, statistic, mode, step, repr(float(value))))
    return text.getvalue().encode("utf-8")


def _json(found: list[Column]) -> bytes:
    document = [
        {
            "tensor": tensor,
            "statistic": statistic,
            "mode": mode,
            "steps": series.steps.tolist(),
            "values": series.values.tolist(),
        }
        for tensor, statistic, mode, series in found
    ]
    return json.dumps(plain(document), separators=(",", ":")).encode("utf-8")
