"""``--search``: the ranges of the command line are those of Python."""

from __future__ import annotations

import pytest
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter

from dogbreed_sdk.cli.trainer_options import search
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs.search_ranges import combinations

pytestmark = pytest.mark.extras


def test_a_range_without_a_scale_is_the_one_that_python_makes() -> None:
    ranges = search(["lr=0.001:0.1", "epochs=2:5"])
    assert ranges is not None
    assert vars(ranges["lr"]) == vars(ContinuousParameter(0.001, 0.1))
    assert vars(ranges["epochs"]) == vars(IntegerParameter(2, 5))


def test_values_are_the_texts_that_python_makes() -> None:
    ranges = search(["batch-size=32,64"])
    assert ranges is not None
    assert vars(ranges["batch-size"]) == vars(CategoricalParameter([32, 64]))


@pytest.mark.parametrize(("scale", "type_"), [("log", "Logarithmic"), ("linear", "Linear")])
def test_a_scale_can_be_chosen(scale: str, type_: str) -> None:
    ranges = search([f"learning-rate=0.001:0.1:{scale}"])
    assert ranges is not None
    assert ranges["lr"].scaling_type == type_


def test_a_range_given_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="lr already has a range"):
        search(["lr=0.1:1", "learning_rate=1,2"])


@pytest.mark.parametrize(
    ("texts", "count"),
    [(["lr=1"], 1), (["batch-size=32,64", "epochs=2:5"], 8), (["batch-size=32,64", "lr=0.1:1"], None)],
)
def test_combinations(texts: list[str], count: int | None) -> None:
    assert combinations(search(texts) or {}) == count


def test_the_librarys_ranges_count_as_ours() -> None:
    assert combinations({"epochs": IntegerParameter(2, 5), "batch-size": CategoricalParameter([32, 64])}) == 8
