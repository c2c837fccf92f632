"""What endpoints may answer, and what must not pass for an answer."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogbreed_sdk import LabelError, LabelMap, ModelError, Prediction
from dogbreed_sdk.client import responses
from dogbreed_sdk.client.label_cache import LabelCache

LABELS = LabelMap.from_list(["001.Affenpinscher", "002.Afghan_hound", "010.Basenji"])


def parse(document: object, labels: LabelMap | None = None, top_k: int | None = None) -> Prediction:
    return responses.parse(
        json.dumps(document).encode(), labels=labels, top_k=top_k, latency_ms=1.0, request_id="request"
    )


def ours() -> dict[str, object]:
    scores = [
        {"index": 2, "class_folder": "010.Basenji", "label": "Basenji", "logit": 3.0, "probability": 0.9},
        {"index": 0, "class_folder": "001.Affenpinscher", "label": "Affenpinscher", "logit": 0.0, "probability": 0.07},
        {"index": 1, "class_folder": "002.Afghan_hound", "label": "Afghan hound", "logit": -1.0, "probability": 0.03},
    ]
    return {"model_id": "abc", "predictions": [{"scores": scores}]}


def test_our_endpoints_bring_their_labels() -> None:
    prediction = parse(ours(), top_k=2)
    assert (prediction.label, prediction.index, prediction.class_folder) == ("Basenji", 2, "010.Basenji")
    assert prediction.folder_number == 10
    assert [score.index for score in prediction.scores] == [2, 0]
    assert (prediction.model_id, prediction.request_id, prediction.latency_ms) == ("abc", "request", 1.0)


def test_given_labels_rename_by_index() -> None:
    renamed = LabelMap.from_list(["zero", "one", "two"])
    assert parse(ours(), labels=renamed).label == "two"


def test_labels_of_another_model_are_refused_with_both_numbers() -> None:
    with pytest.raises(LabelError, match=r"2 labels.*3 classes"):
        parse(ours(), labels=LabelMap.from_list(["a", "b"]))
    with pytest.raises(LabelError, match=r"2 scores.*3 labels"):
        parse([[0.1, 0.9]], labels=LABELS)


def test_plain_logits_become_probabilities() -> None:
    prediction = parse([[1.0, 3.0, -2.0]], labels=LABELS)
    assert prediction.label == "Afghan hound"
    assert math.isclose(sum(score.probability for score in prediction.scores), 1.0)


def test_plain_probabilities_stay_as_they_are() -> None:
    assert parse([[0.2, 0.7, 0.1]], labels=LABELS).probability == 0.7


def test_plain_scores_without_labels_say_how_to_give_them() -> None:
    with pytest.raises(LabelError, match=r"LabelMap\.from_folder"):
        parse([[0.2, 0.7, 0.1]])


@pytest.mark.parametrize(
    "document", [None, {}, [], [[]], [["a"]], [[1.0], [2.0]], {"predictions": [{"scores": []}]}, {"predictions": [1]}]
)
def test_anything_else_is_a_model_error(document: object) -> None:
    with pytest.raises(ModelError, match="neither"):
        parse(document, labels=LABELS)


def test_scores_that_are_not_finite_are_a_model_error() -> None:
    with pytest.raises(ModelError, match="NaN or infinite"):
        responses.parse(b"[[NaN, 1.0, 2.0]]", labels=LABELS, top_k=1, latency_ms=0.0, request_id=None)


class TestScores:
    """The small form, for clients that know the model's labels."""

    BODY = json.dumps(
        {
            "model_id": "abc",
            "predictions": [{"probabilities": [0.07, 0.03, 0.9], "rejected": True, "rejection_score": -1.5}],
            "rejection": {"method": "energy", "threshold": -2.0},
        }
    ).encode()

    def parse(self, body: bytes, cache: LabelCache, labels: LabelMap | None = None) -> Prediction:
        return responses.parse(body, labels=labels, top_k=2, latency_ms=1.0, request_id=None, label_cache=cache)

    def test_both_forms_give_the_same_prediction(self) -> None:
        cache = LabelCache()
        ranked = self.parse(json.dumps(ours()).encode(), cache)
        small = self.parse(self.BODY, cache)
        assert small.scores == ranked.scores
        assert (small.model_id, cache.model_id) == ("abc", "abc")

    def test_rejection_comes_with_it(self) -> None:
        prediction = self.parse(self.BODY, LabelCache(), LABELS)
        assert (prediction.rejected, prediction.rejection_score, prediction.rejection_threshold) == (True, -1.5, -2.0)

    def test_an_unknown_model_must_name_its_classes(self) -> None:
        cache = LabelCache()
        cache.store("another", list(LABELS))
        with pytest.raises(responses.UnknownModelError):
            self.parse(self.BODY, cache)
        assert cache.model_id is None

    def test_another_number_of_labels_is_refused_with_both_numbers(self) -> None:
        with pytest.raises(LabelError, match=r"3 scores.*2 labels"):
            self.parse(self.BODY, LabelCache(), LabelMap.from_list(["a", "b"]))

    @pytest.mark.parametrize(
        "values", [[], [0.5, 0.2], [0.5, -0.5, 1.0], ["a"], [None], {"a": 1}, [0.5, float("nan")], [[1.0]], "1.0"]
    )
    def test_what_are_no_probabilities_is_a_model_error(self, values: object) -> None:
        body = json.dumps({"model_id": "abc", "predictions": [{"probabilities": values}]}).encode()
        with pytest.raises(ModelError, match="neither"):
            self.parse(body, LabelCache())

    @pytest.mark.parametrize(
        "changes", [{"rejected": "no"}, {"rejected": True, "rejection_score": "high"}, {"rejected": False}]
    )
    def test_a_rejection_that_is_none_is_a_model_error(self, changes: dict[str, object]) -> None:
        body = {"model_id": "abc", "predictions": [{"probabilities": [1.0], **changes}]}
        with pytest.raises(ModelError, match="neither"):
            self.parse(json.dumps(body).encode(), LabelCache(), LabelMap.from_list(["a"]))

    def test_labels_of_many_models_are_let_go(self) -> None:
        cache = LabelCache()
        for number in range(100):
            cache.store(f"model {number}", ["a", "b"])
        assert cache.get("model 0") is None
        assert cache.get("model 99") is not None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_probabilities_always_add_up(scores: list[float]) -> None:
    result = responses.probabilities(scores)
    assert math.isclose(math.fsum(result), 1.0, abs_tol=2e-3)
    assert all(0.0 <= value <= 1.0 for value in result)
    assert result[scores.index(max(scores))] == max(result)


@given(st.binary(max_size=200))
def test_no_bytes_lead_to_anything_but_our_errors(body: bytes) -> None:
    with pytest.raises((ModelError, LabelError)):
        responses.parse(body, labels=None, top_k=1, latency_ms=0.0, request_id=None)
