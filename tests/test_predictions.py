"""Predictions: immutable values with stable keys."""

from __future__ import annotations

import dataclasses
import json

import pytest

from dogbreed_sdk.predictions import BreedScore, Prediction, Rejection, folder_number

PUG = BreedScore("Pug", "002.Pug", 1, 0.75)
BOXER = BreedScore("Boxer", "001.Boxer", 0, 0.25)


def test_a_prediction_is_its_best_score() -> None:
    prediction = Prediction.from_scores((PUG, BOXER), model_id="abc", latency_ms=12.5, request_id="r-1")
    assert (prediction.label, prediction.class_folder, prediction.index) == ("Pug", "002.Pug", 1)
    assert (prediction.folder_number, prediction.probability) == (2, 0.75)
    assert (prediction.model_id, prediction.latency_ms, prediction.request_id) == ("abc", 12.5, "r-1")


def test_whether_it_was_rejected_is_unknown_unless_the_model_tells() -> None:
    assert Prediction.from_scores((PUG,)).rejected is None
    prediction = Prediction.from_scores((PUG,), rejection=Rejection(rejected=True, score=2.5, threshold=1.0))
    assert (prediction.rejected, prediction.rejection_score, prediction.rejection_threshold) == (True, 2.5, 1.0)


def test_the_dictionary_has_the_promised_keys_and_is_json() -> None:
    as_dict = Prediction.from_scores((PUG, BOXER)).to_dict()
    assert list(as_dict) == [
        "label",
        "class_folder",
        "index",
        "folder_number",
        "probability",
        "rejected",
        "rejection_score",
        "rejection_threshold",
        "scores",
        "model_id",
        "latency_ms",
        "request_id",
        "variant",
    ]
    assert json.loads(json.dumps(as_dict))["scores"][1] == {
        "label": "Boxer",
        "class_folder": "001.Boxer",
        "index": 0,
        "probability": 0.25,
    }


@pytest.mark.parametrize("value", [PUG, Prediction.from_scores((PUG,))])
def test_values_cannot_be_changed(value: object) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.label = "Beagle"  # type: ignore[attr-defined]
    assert not hasattr(value, "__dict__")


def test_scores_that_are_missing_or_unranked_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one score"):
        Prediction.from_scores(())
    with pytest.raises(ValueError, match="ranked"):
        Prediction.from_scores((BOXER, PUG))


@pytest.mark.parametrize(
    ("folder", "number"),
    [("009.American_water_spaniel", 9), ("133.Yorkshire_terrier", 133), ("Pug", None), ("St.Bernard", None)],
)
def test_the_folder_number_is_what_the_folder_says(folder: str, number: int | None) -> None:
    assert folder_number(folder) == number
