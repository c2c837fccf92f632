"""FakeEndpoint: what users' tests can make an endpoint do, and what the real client in front of it makes of that."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from dogbreed_sdk import (
    AccessError,
    ConfigurationError,
    DogBreedError,
    EndpointError,
    EndpointTimeoutError,
    LabelError,
    ModelError,
    ThrottledError,
    UnsupportedImageError,
    testing,
)
from dogbreed_sdk.testing import FakeEndpoint, picture

BREEDS = ["001.Pug", "002.Boxer", "010.Basenji"]


def test_without_a_script_every_picture_is_of_the_first_class() -> None:
    prediction = FakeEndpoint(BREEDS).classifier().classify(picture())
    assert (prediction.label, prediction.class_folder, prediction.index) == ("Pug", "001.Pug", 0)
    assert [score.probability for score in prediction.scores] == pytest.approx([0.9, 0.05, 0.05])
    assert (prediction.model_id, prediction.request_id) == ("fake-model", "fake-request")


def test_a_function_may_decide_by_the_picture() -> None:
    boxers = {picture(1), picture(3)}
    endpoint = FakeEndpoint(BREEDS, answer=lambda body: "Boxer" if body in boxers else "Basenji")
    results = endpoint.classifier().classify_many(picture(number) for number in range(4))
    assert [result.label for result in results] == ["Basenji", "Boxer", "Basenji", "Boxer"]


def test_answers_come_in_the_order_of_the_script() -> None:
    classifier = FakeEndpoint(BREEDS).answers("Boxer", times=2).answers("010.Basenji", probability=0.6).classifier()
    results = [classifier.classify(picture()) for _ in range(4)]
    assert [(result.label, result.probability) for result in results] == [
        ("Boxer", 0.9),
        ("Boxer", 0.9),
        ("Basenji", 0.6),
        ("Pug", 0.9),
    ]


def test_labels_are_asked_for_once() -> None:
    endpoint = FakeEndpoint(BREEDS)
    classifier = endpoint.classifier()
    for _ in range(3):
        classifier.classify(picture())
    assert ["scores+json" in request.accept for request in endpoint.requests] == [False, True, True]


@pytest.mark.parametrize(("score", "rejected"), [(0.5, False), (2.5, True)])
def test_a_picture_may_be_rejected(score: float, rejected: bool) -> None:
    endpoint = FakeEndpoint(BREEDS).answers("Pug", rejection_score=score, rejection_threshold=1.0, times=2)
    classifier = endpoint.classifier()
    for prediction in (classifier.classify(picture()), classifier.classify(picture())):  # both forms of answer
        assert prediction.rejected is rejected
        assert (prediction.rejection_score, prediction.rejection_threshold) == (score, 1.0)
    assert classifier.classify(picture()).rejected is None


@pytest.mark.parametrize(
    "endpoint",
    [
        FakeEndpoint(BREEDS).throttles(times=2),
        FakeEndpoint(BREEDS).fails(times=3),
        FakeEndpoint(BREEDS).fails(status=503).drops(),
        FakeEndpoint(BREEDS).model_fails("busy", status=503),
    ],
)
def test_what_passes_is_tried_again(endpoint: FakeEndpoint) -> None:
    scripted = len(endpoint._script)
    assert endpoint.classifier().classify(picture()).label == "Pug"
    assert len(endpoint.requests) == scripted + 1


@pytest.mark.parametrize(
    ("endpoint", "error", "said"),
    [
        (FakeEndpoint(BREEDS).throttles(times=9), ThrottledError, "Rate exceeded"),
        (FakeEndpoint(BREEDS).fails(times=9), EndpointError, "internal failure"),
        (FakeEndpoint(BREEDS).drops(times=9), EndpointError, "Connection was closed"),
        (FakeEndpoint(BREEDS).model_fails("busy", status=503, times=9), ThrottledError, "overloaded: busy"),
    ],
)
def test_after_four_attempts_it_is_an_error(endpoint: FakeEndpoint, error: type[DogBreedError], said: str) -> None:
    with pytest.raises(error, match=said):
        endpoint.classifier().classify(picture())
    assert len(endpoint.requests) == 4


@pytest.mark.parametrize(
    ("endpoint", "error", "said"),
    [
        (FakeEndpoint(BREEDS).model_fails("no dog", status=400), ModelError, r"answered 400: no dog.*fake-request"),
        (FakeEndpoint(BREEDS).model_fails("a bug", status=500), ModelError, "answered 500: a bug"),
        (FakeEndpoint(BREEDS).times_out(), EndpointTimeoutError, "response timed out"),
        (FakeEndpoint(BREEDS).refuses("AccessDeniedException", "not allowed"), AccessError, "not allowed"),
        (FakeEndpoint(BREEDS).answers_bytes(b"what?"), ModelError, "neither"),
        (FakeEndpoint(BREEDS).answers_plainly([1.0, 2.0, 3.0]), LabelError, "3 plain scores"),
    ],
)
def test_what_would_come_again_is_an_error_at_once(
    endpoint: FakeEndpoint, error: type[DogBreedError], said: str
) -> None:
    with pytest.raises(error, match=said):
        endpoint.classifier().classify(picture())
    assert len(endpoint.requests) == 1


def test_a_picture_that_cannot_be_used_is_not_sent() -> None:
    endpoint = FakeEndpoint(BREEDS)
    with pytest.raises(UnsupportedImageError):
        endpoint.classifier().classify(b"no picture")
    assert endpoint.requests == []


def test_plain_answers_need_labels_of_their_number() -> None:
    endpoint = FakeEndpoint(BREEDS).answers_plainly([0.1, 0.2, 0.7], times=3)
    assert endpoint.classifier(labels=BREEDS).classify(picture()).probability == 0.7
    with pytest.raises(LabelError, match=r"3 scores.*2 labels"):
        endpoint.classifier(labels=["a", "b"]).classify(picture())


def test_another_model_brings_its_own_labels() -> None:
    endpoint = FakeEndpoint(BREEDS).answers("Boxer").changes_model(["Cat", "Cow"], model_id="second").answers("Cow")
    classifier = endpoint.classifier()
    first, second, third = (classifier.classify(picture()) for _ in range(3))
    assert (first.label, first.model_id) == ("Boxer", "fake-model")
    assert (second.label, second.model_id) == ("Cow", "second")
    assert third.label == "Cat"
    assert list(classifier.labels()) == ["Cat", "Cow"]
    assert len(endpoint.requests) == 4  # one more than pictures: the new model was asked for its names


def test_a_url_is_left_to_endpoints_that_fetch() -> None:
    endpoint = FakeEndpoint(BREEDS)
    endpoint.classifier(fetch="endpoint").classify("https://example.com/pug.jpg")
    assert endpoint.requests[0].content_type == "application/json"
    assert json.loads(endpoint.requests[0].body) == {"url": "https://example.com/pug.jpg"}


def test_it_serves_asyncio_too() -> None:
    async def labels() -> list[str]:
        async with FakeEndpoint(BREEDS).answers("Boxer").async_classifier() as classifier:
            return [(await classifier.classify(picture())).label, (await classifier.labels()).label(2)]

    assert asyncio.run(labels()) == ["Boxer", "Basenji"]


def test_scripts_that_cannot_be_are_refused() -> None:
    for probability in (2.0, -1, 0.1, 1 / 3, float("nan"), "0.9", True, None):
        with pytest.raises(
            ConfigurationError, match=r"greater than 0.3333 \(an even share of 3 classes\) and at most 1"
        ):
            FakeEndpoint(BREEDS).answers("Boxer", probability=probability)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=r"greater than 0.3333"):
            FakeEndpoint(BREEDS, probability=probability)  # type: ignore[arg-type]
    for scripted in (lambda: FakeEndpoint(BREEDS).answers("Cat"), lambda: FakeEndpoint(BREEDS, answer="Cat")):
        with pytest.raises(LabelError, match=r"'Cat' is not one of the 3 classes: 001\.Pug, 002\.Boxer, 010\.Basenji"):
            scripted()
    with pytest.raises(ConfigurationError, match="must be given by its folder or label, got None"):
        FakeEndpoint(BREEDS).answers(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a function that returns one, got 5"):
        FakeEndpoint(BREEDS, answer=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("times", [0, -1, 1.5, "x", None, True])
def test_what_is_scripted_happens_a_whole_number_of_times(times: Any) -> None:
    with pytest.raises(ConfigurationError, match="times must be a whole number of 1 or more, got"):
        FakeEndpoint(BREEDS).throttles(times=times)


@pytest.mark.parametrize("status", [200, 400, 600, "500"])
def test_a_fault_has_the_status_of_one(status: Any) -> None:
    with pytest.raises(ConfigurationError, match="500 to 599"):
        FakeEndpoint(BREEDS).fails(status=status)


def test_after_a_change_the_script_is_about_the_new_models_classes() -> None:
    endpoint = FakeEndpoint(BREEDS).changes_model(["Cat", "Cow"], model_id="second").answers("Cow")
    with pytest.raises(LabelError, match="'Pug'"):
        endpoint.answers("Pug")


def test_the_module_offers_what_tests_need() -> None:
    assert testing.__all__ == ["FakeEndpoint", "Request", "picture"]


def test_a_model_of_one_class_is_always_sure() -> None:
    assert FakeEndpoint(["Pug"]).classifier().classify(picture()).probability == 1.0
