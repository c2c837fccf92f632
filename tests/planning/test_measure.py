"""The measured pass: a few pictures of the data set go through the backbone in a process of its own."""

from __future__ import annotations

import time

import pytest

from dogbreed_sdk import BreedDataset
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.planning.measure import measured
from training_scripts.training.runtime import cores_of_process

pytestmark = pytest.mark.extras


@pytest.fixture(scope="module")
def dogs(tmp_path_factory: pytest.TempPathFactory) -> BreedDataset:
    return BreedDataset.sample(tmp_path_factory.mktemp("dogs") / "sample", breeds=2, per_breed=12)


def test_a_pass_is_measured_once(dogs: BreedDataset) -> None:
    began = time.monotonic()
    speed = measured(dogs, model="efficientnet_lite0", views="plain,flip")
    took = time.monotonic() - began
    # One core needs milliseconds for either; a busy machine more.
    assert 1e-4 < speed.decode_seconds < took
    assert 1e-4 < speed.forward_seconds < took * cores_of_process()
    # A GPU's work is from the table, because this machine's cores say nothing about it.
    assert speed.gpu_giga_flop == pytest.approx(0.407 * 2 / 0.1)
    assert speed.source.startswith("a pass over 8 of these pictures, measured on")
    assert measured(dogs, model="efficientnet_lite0", views="plain,flip") is speed


def test_what_cannot_be_measured_is_explained(dogs: BreedDataset) -> None:
    with pytest.raises(ConfigurationError, match=r"could not be measured: .*no_such_network"):
        measured(dogs, model="no_such_network", views="plain")
