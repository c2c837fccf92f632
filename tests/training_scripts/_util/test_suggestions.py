"""What is suggested for a name that is not known: what was probably meant, or nothing."""

from __future__ import annotations

import pytest

from dogbreed_sdk.jobs.managed_debugger import PROFILER_RULES, RULES
from training_scripts._util.suggestions import closest, did_you_mean, known_as
from training_scripts.models import backbones
from training_scripts.models.spec import BackboneError
from training_scripts.training import hyperparameters, metrics

METRICS = [entry["Name"] for entry in metrics.METRIC_DEFINITIONS]
EVERYTHING = [*hyperparameters.names(), *backbones.names(), *METRICS, *RULES, *PROFILER_RULES]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("learning_rate", "lr"),
        ("Learning-Rate", "lr"),
        ("learnin-rate", "lr"),
        ("batch_size", "batch-size"),
        ("batchsize", "batch-size"),
        ("bs", "batch-size"),
        ("epoch", "epochs"),
        ("optimiser", "optimizer"),
        ("optim", "optimizer"),
        ("dropout-rate", "dropout"),
        ("ResNet-50", "resnet50"),
        ("densnet161", "densenet161"),
        ("valid_loss", "valid:loss"),
        ("vanishing_gradients", "VanishingGradient"),
        ("low-gpu-utilisation", "LowGPUUtilization"),
    ],
)
def test_a_near_name_is_suggested(written: str, meant: str) -> None:
    assert closest(written, EVERYTHING, synonyms=hyperparameters.SYNONYMS) == (meant,)


@pytest.mark.parametrize("written", ["environment", "x", "", "--", "image-width", "zzzzzz", "l"])
def test_nothing_is_suggested_where_nothing_is_near(written: str) -> None:
    assert closest(written, EVERYTHING, synonyms=hyperparameters.SYNONYMS, most=3) == ()
    assert did_you_mean(written, EVERYTHING) == ""


def test_a_name_that_is_listed_twice_is_suggested_once() -> None:
    assert did_you_mean("resnet-5o", ["resnet50", "vgg11", "resnet50"], most=3) == "; did you mean resnet50?"


def test_several_are_joined_as_one_says_them() -> None:
    assert did_you_mean("resnet", ["resnet18", "resnet34", "resnet50"], most=3) == (
        "; did you mean resnet18, resnet34 or resnet50?"
    )


def test_a_synonym_counts_only_for_a_name_that_is_there() -> None:
    assert closest("learning-rate", ["model", "views"], synonyms=hyperparameters.SYNONYMS) == ()


def test_an_unknown_backbone_names_each_candidate_once() -> None:
    with pytest.raises(BackboneError, match=r"unknown backbone 'resnet5o'; did you mean resnet50"):
        backbones.spec("resnet5o")
    with pytest.raises(BackboneError) as caught:
        backbones.spec("renset50")
    assert str(caught.value).partition("?")[0].count("resnet50") == 1


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("ResNet-50", "resnet50"),
        ("resnet_50", "resnet50"),
        ("EfficientNet-Lite0", "efficientnet_lite0"),
        ("MobileNetV3-Large", "mobilenet_v3_large"),
        (" ConvNeXt Tiny ", "convnext_tiny"),
        ("RegNet-Y-400MF", "regnet_y_400mf"),
    ],
)
def test_a_backbone_is_known_in_its_usual_spellings(written: str, name: str) -> None:
    assert backbones.spec(written).name == name


def test_a_spelling_of_two_names_stands_for_neither() -> None:
    assert known_as("ab", ["a-b", "a_b"]) is None
    assert known_as("a_b", ["a-b", "a_b"]) == "a_b"


def test_a_synonym_stands_for_its_name_only_where_that_is_known() -> None:
    assert known_as("learning_rate", ["lr"], synonyms=hyperparameters.SYNONYMS) == "lr"
    assert known_as("learning_rate", ["momentum"], synonyms=hyperparameters.SYNONYMS) is None
