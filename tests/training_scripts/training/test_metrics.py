"""Metric lines: what is printed is what SageMaker's regular expressions and our parser read."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_scripts.training.metrics import (
    METRIC_DEFINITIONS,
    METRICS,
    EpochMetrics,
    PicturesDone,
    format_epoch,
    format_feature_pass,
    format_within_epoch,
    parse,
)


def read_as_sagemaker_does(line: str) -> dict[str, float]:
    found = {}
    for definition in METRIC_DEFINITIONS:
        for value in re.findall(definition["Regex"], line):
            found[definition["Name"]] = float(value)
    return found


def test_the_line_of_an_epoch_is_the_one_that_is_documented() -> None:
    values = {"train:loss": 0.52341, "train:accuracy": 0.8421, "valid:loss": 0.612, "valid:accuracy": 0.8011}
    line = format_epoch(EpochMetrics(3, 10, values, seconds=0.42))
    assert line == (
        "epoch 3/10 train:loss=0.52341 train:accuracy=0.84210 valid:loss=0.61200 valid:accuracy=0.80110 seconds=0.4"
    )
    assert parse(line) == EpochMetrics(3, 10, values, seconds=0.4)


def test_the_closing_line_has_the_kept_epoch_and_the_test_split() -> None:
    values = {"valid:loss": 0.5, "valid:accuracy": 0.75, "test:loss": 0.25, "test:accuracy": 1.0}
    line = format_epoch(EpochMetrics(7, 10, values, best=True))
    assert line.startswith("best epoch 7/10 valid:loss=")
    assert parse(line) == EpochMetrics(7, 10, values, best=True)


@given(
    st.dictionaries(st.sampled_from(METRICS), st.floats(allow_nan=True, allow_infinity=True), min_size=1),
    st.booleans(),
    st.none() | st.floats(0, 1e5),
)
def test_definitions_and_parser_read_every_value_that_can_be_printed(
    values: dict[str, float], best: bool, seconds: float | None
) -> None:
    line = format_epoch(EpochMetrics(1, 2, values, seconds=seconds, best=best))
    read = read_as_sagemaker_does(line)
    assert read.keys() == values.keys()
    for name, value in values.items():
        if math.isnan(value):
            assert math.isnan(read[name])
        else:
            assert read[name] == pytest.approx(value, rel=1e-4, abs=5e-6 if abs(value) >= 1e-4 else 0.0)
    parsed = parse(line)
    assert isinstance(parsed, EpochMetrics)
    assert {name: repr(value) for name, value in parsed.values.items()} == {
        name: repr(value) for name, value in read.items()
    }
    assert parsed.best == best


@pytest.mark.parametrize("text", ["1e-05", "1.5E+3", "inf", "-inf", "nan", "0", ".5", "-0.25"])
def test_numbers_in_every_notation(text: str) -> None:
    read = read_as_sagemaker_does(f"epoch 1/1 train:loss={text} seconds=0.0")["train:loss"]
    assert repr(read) == repr(float(text))


def test_progress_inside_an_epoch_is_no_metric() -> None:
    line = format_within_epoch(3, 10, 3000, 6000, 1.5)
    assert read_as_sagemaker_does(line) == {}
    assert parse(line) == PicturesDone(pytest.approx(0.25), within_epoch=True)


def test_a_line_of_a_feature_pass_says_how_much_of_it_is_done() -> None:
    assert parse(format_feature_pass(640, 2560, 97.3, 20.0)) == PicturesDone(0.25, within_epoch=False)


def test_an_epoch_line_says_how_much_of_the_run_is_done() -> None:
    for number, best, fraction in ((3, False, 0.3), (7, True, 1.0)):
        report = parse(format_epoch(EpochMetrics(number, 10, {"valid:loss": 0.5}, best=best)))
        assert report is not None
        assert report.fraction == fraction


@pytest.mark.parametrize("line", ["epoch 1/0: 3 of 4 pictures", "epoch 1/2: 0 of 0 pictures", "0/0 pictures"])
def test_lines_that_count_nothing_report_nothing(line: str) -> None:
    assert parse(line) is None


@pytest.mark.parametrize("line", ["", "epoch 3 of 10", "an epoch 3/10 train:loss=1", "epoch 3/10", "epoch 3/10 hello"])
def test_other_lines_are_not_epochs(line: str) -> None:
    assert parse(line) is None


def test_definitions_have_the_form_that_sagemaker_wants() -> None:
    assert [definition["Name"] for definition in METRIC_DEFINITIONS] == list(METRICS)
    for definition in METRIC_DEFINITIONS:
        assert set(definition) == {"Name", "Regex"}
        assert re.compile(definition["Regex"]).groups == 1
        assert len(definition["Name"]) <= 255
        assert len(definition["Regex"]) <= 500
