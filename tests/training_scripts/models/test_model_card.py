"""The card in a bundle says what the bundle holds, whatever its folders are called."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from tests.training_scripts.conftest import write_bundle
from training_scripts.models import model_card
from training_scripts.models.bundle import read_description
from training_scripts.models.description import BundleDescription
from training_scripts.models.engines.engine import EngineChoice
from training_scripts.models.rejection import Rejection


def test_the_card_of_a_bundle_has_what_its_description_has(written_bundle: Path) -> None:
    card = (written_bundle / "MODEL_CARD.md").read_text()
    description = read_description(written_bundle)
    assert card.startswith("# Model card\n")
    for content in (
        description.model_id,
        description.fingerprint,
        "| Backbone | efficientnet_lite0,",
        "| Head | hidden layers of 8, dropout 0.5 |",
        "| Temperature | 1.5000;",
        "| valid:accuracy | 0.7500 | share of pictures whose most probable class is correct |",
        "| lr | 0.001 |",
        "0. 001.Red_dog\n1. 002.Green_dog",
        "The model has no rejection rule",
    ):
        assert content in card


def test_the_card_says_what_the_rule_means(tmp_path: Path, written_bundle: Path) -> None:
    rule = Rejection("cosine", 0.4321, 0.98, {"pictures": 1200.0})
    card = (write_bundle(tmp_path, rejection=rule) / "MODEL_CARD.md").read_text()
    assert "A score above **0.4321** means that the picture probably shows none of the classes." in card
    assert "fitted on 1200 pictures so that 98.0% of pictures that do show one are kept" in card
    description = read_description(written_bundle)
    assert "| Pictures | train 8, test 2 |" in model_card.write(description, {"train": 8, "valid": 0, "test": 2})
    assert "| Pictures | not recorded |" in model_card.write(description, {})


def test_what_computed_the_features_is_in_description_and_card(written_bundle: Path) -> None:
    description = read_description(written_bundle)
    assert description.engine is None
    assert "features" not in description.to_dict()["training"]  # type: ignore[operator]
    assert "| Features | not recorded |" in model_card.write(description, {})
    rounded = dataclasses.replace(description, engine=EngineChoice("openvino", "bf16"))
    assert BundleDescription.from_json(rounded.to_dict()) == rounded
    assert "| Features | OpenVINO, bf16: rounded to bfloat16 for training; endpoints" in model_card.write(rounded, {})
    newer = json.loads(json.dumps(rounded.to_dict()).replace('"openvino"', '"of tomorrow"'))
    assert BundleDescription.from_json(newer) == description


def test_a_name_that_is_no_unicode_can_be_written(written_bundle: Path) -> None:
    named = os.fsdecode(b"001.Dackel_gro\xdf")
    card = model_card.write(dataclasses.replace(read_description(written_bundle), classes=(named,)), {})
    assert b"0. 001.Dackel_gro\\udcdf\n" in card.encode()


def test_names_neither_break_a_table_nor_become_markup() -> None:
    assert model_card._safe("a|b\n<script>`x`") == "a\\|b &lt;script>'x'"
    assert model_card._safe("[a](https://b) \\[c](d)") == "\\[a](https://b) \\\\\\[c](d)"
