"""The container contract agrees with itself; tests/conformance checks it against AWS's toolkit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogbreed_sdk import container

json_values = st.one_of(st.text(), st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))


@given(json_values)
def test_a_hyperparameter_survives_the_wire(value: object) -> None:
    assert container.decode_hyperparameter(container.encode_hyperparameter(value)) == value


def test_text_that_is_no_json_stands_for_itself() -> None:
    assert container.decode_hyperparameter("512,256") == "512,256"


def test_sagemakers_own_hyperparameters_do_not_reach_the_script() -> None:
    encoded = {
        "sagemaker_program": '"train_model.py"',
        "epochs": "3",
        "hidden": '""',
        "n": "null",
        "m": '{"b":2,"a":1}',
    }
    assert container.script_arguments(encoded) == ["--epochs", "3", "--hidden", "", "-m", "a=1,b=2", "-n", ""]


@pytest.mark.parametrize("name", ["plain", "with space", "per%cent", "ümläut", "#hash?"])
def test_any_path_survives_as_a_uri(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert container.uri_to_path(container.path_to_uri(path)) == path


@pytest.mark.parametrize("uri", ["s3://bucket/key", "/plain/path", "file://elsewhere/data"])
def test_other_uris_are_no_paths_of_this_machine(uri: str) -> None:
    with pytest.raises(ValueError, match="not a file:// URI of this machine"):
        container.uri_to_path(uri)
