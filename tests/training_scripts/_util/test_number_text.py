"""Numbers in messages are written for people: no 4.29497e+09, no 1.23e+03."""

from __future__ import annotations

import re

import pytest

from dogbreed_sdk._util.formatting import amount, number, percent, seconds
from training_scripts._util.number_text import number_text
from training_scripts.training import hyperparameters


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (4_294_967_295, 6, "4,294,967,295"),
        (4_294_967_295.5, 3, "4.29 billion"),
        (2.5e13 + 0.25, 3, "25 trillion"),
        (1234.5, 3, "1,234"),
        (99.96, 3, "100"),
        (0.000123, 3, "0.000123"),
        (1e-7, 6, "1e-07"),
        (-1500, 6, "-1,500"),
        (0.0, 3, "0"),
        (float("inf"), 3, "∞"),
        (float("nan"), 3, "NaN"),
    ],
)
def test_a_number_is_written_for_people(value: float, digits: int, text: str) -> None:
    assert number_text(value, digits) == text
    assert number(value, digits=digits) == text


def test_values_just_below_a_unit_have_no_exponent() -> None:
    assert percent(9.999) == "1,000%"
    assert seconds(0.9999) == "1,000 ms"
    assert amount(999.9) == "1,000 B"


def test_no_bound_of_a_hyperparameter_has_an_exponent() -> None:
    described = hyperparameters.describe("train_model")
    assert "4,294,967,295" in described
    assert not re.search(r"\de\+\d", described)
