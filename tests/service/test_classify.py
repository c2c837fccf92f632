"""Pictures in, predictions out: every way to send them, alone and several at a time."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from dogbreed_sdk.service.schemas import BatchAnswer, LabelsAnswer, PredictionAnswer
from dogbreed_sdk.testing import FakeEndpoint, picture
from tests.service.conftest import Serve
from tests.service.running import BREEDS, JPEG, RunningService

PICTURE = picture(1)
BASE64 = base64.b64encode(PICTURE).decode()
WAYS: dict[str, dict[str, Any]] = {
    "a body that says what it is": {"data": PICTURE, "headers": JPEG},
    "a body of another image type": {"data": PICTURE, "headers": {"Content-Type": "image/png; charset=binary"}},
    "a body of bytes": {"data": PICTURE, "headers": {"Content-Type": "application/octet-stream"}},
    "a body as deployed clients send it": {"data": PICTURE, "headers": {"Content-Type": "application/x-image"}},
    "a body without a type": {"data": PICTURE, "headers": {}},
    "a body without its end marker": {"data": PICTURE[:-2], "headers": JPEG},
    "a chunked body": {"data": iter([PICTURE[:100], PICTURE[100:]]), "headers": JPEG},
    "a form": {"files": {"file": ("rex.jpg", PICTURE, "image/jpeg")}},
    "a form whose field has another name": {"files": {"photo": ("…/ü.jpg", PICTURE)}},
    "base64": {"json": {"base64": BASE64}},
    "a data URL": {"json": {"data": f"data:image/jpeg;base64,{BASE64}"}},
    "a data URL without a type": {"json": {"data": f"data:;base64,{BASE64}"}},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_send_a_picture_brings_its_bytes_to_the_endpoint(service: RunningService, way: str) -> None:
    response = service.post("/v1/classify", **WAYS[way])
    assert response.status_code == 200, response.text
    assert service.endpoint.requests[-1].body == PICTURE
    assert service.endpoint.requests[-1].content_type == "image/jpeg"


def test_the_answer_is_what_the_sdk_predicts(service: RunningService) -> None:
    answer = service.classify(PICTURE).json()
    expected = service.endpoint.classifier().classify(PICTURE).to_dict()
    assert answer.pop("latency_ms") > 0
    del expected["latency_ms"]
    assert answer == expected
    assert (answer["label"], answer["folder_number"], len(answer["scores"])) == ("Pug", None, 3)


def test_a_rejected_picture_is_answered_and_counted(serve: Serve) -> None:
    endpoint = FakeEndpoint(BREEDS).answers("Pug", rejection_score=2.0, rejection_threshold=1.0)
    service = serve(endpoint)
    answer = service.classify(PICTURE).json()
    assert (answer["rejected"], answer["rejection_score"], answer["rejection_threshold"]) == (True, 2.0, 1.0)
    service.classify(PICTURE)
    assert service.metric("dogbreed_rejected_pictures_total") == 1
    assert service.metric("dogbreed_pictures_total") == 2


@pytest.mark.parametrize(
    ("query", "options", "expected"),
    [
        ("", {"json": {"base64": BASE64}}, 3),
        ("?top_k=2", {"data": PICTURE, "headers": JPEG}, 2),
        ("", {"json": {"base64": BASE64, "top_k": 1}}, 1),
        ("", {"files": {"file": ("a.jpg", PICTURE)}, "data": {"top_k": "2"}}, 2),
        ("?top_k=1", {"files": {"file": ("a.jpg", PICTURE)}, "data": {"top_k": "2"}}, 1),
        ("?top_k=1000", {"data": PICTURE, "headers": JPEG}, 3),
    ],
)
def test_top_k_may_stand_in_the_url_the_form_and_the_document(
    service: RunningService, query: str, options: dict[str, Any], expected: int
) -> None:
    assert len(service.post(f"/v1/classify{query}", **options).json()["scores"]) == expected


def test_a_batch_as_a_form_is_answered_in_order(serve: Serve) -> None:
    pictures = [picture(number) for number in range(7)]
    service = serve(FakeEndpoint(BREEDS, answer=lambda body: BREEDS[pictures.index(body) % 3]))
    files = [("file", (f"{number}.jpg", content)) for number, content in enumerate(pictures)]
    response = service.post("/v1/classify/batch", files=files, data={"top_k": "1"})
    answers = BatchAnswer.model_validate(response.json(), strict=True).results
    assert [answer.prediction.index for answer in answers if answer.prediction] == [0, 1, 2, 0, 1, 2, 0]


def test_a_picture_of_a_batch_that_fails_leaves_the_others_alone(service: RunningService) -> None:
    sources = [{"base64": BASE64}, {"base64": "!"}, {"data": "data:,nothing"}, {"base64": BASE64}]
    response = service.post("/v1/classify/batch", json={"pictures": sources, "top_k": 1})
    assert response.status_code == 200
    first, second, third, fourth = response.json()["results"]
    assert first["prediction"]["label"] == fourth["prediction"]["label"] == "Pug"
    assert second["problem"]["type"] == "/problems/bad-request"
    assert third["problem"]["type"] == "/problems/unsupported-image"
    assert third["problem"]["request_id"] == response.headers["X-Request-Id"]


def test_labels_are_those_of_the_model(service: RunningService) -> None:
    answer = service.get("/v1/labels").json()
    LabelsAnswer.model_validate(answer, strict=True)
    assert answer["model_id"] == "fake-model"
    assert answer["labels"][1] == {
        "index": 1,
        "class_folder": "009.American_water_spaniel",
        "label": "American water spaniel",
        "folder_number": 9,
    }


def test_answers_have_the_form_that_openapi_says(service: RunningService) -> None:
    answer = service.classify(PICTURE).json()
    assert PredictionAnswer.model_validate(answer, strict=True).model_dump() == answer


def test_no_string_of_a_request_is_taken_for_a_path(service: RunningService) -> None:
    asked = len(service.endpoint.requests)
    for source in ({"url": __file__}, {"url": f"file://{__file__}"}, {"data": __file__}, {"base64": __file__}):
        response = service.post("/v1/classify", json=source)
        assert response.status_code in (400, 422)
        assert __file__ not in response.text
    assert len(service.endpoint.requests) == asked


def test_urls_can_be_switched_off(serve: Serve) -> None:
    response = serve(allow_urls=False).post("/v1/classify", json={"url": "https://example.com/rex.jpg"})
    assert (response.status_code, response.json()["detail"]) == (
        422,
        "This service does not fetch URLs; send the picture itself.",
    )


def test_an_address_that_is_not_public_is_not_fetched(service: RunningService) -> None:
    response = service.post("/v1/classify", json={"url": f"{service.url}/assets/icon.svg?key=secret"})
    assert (response.status_code, response.json()["type"]) == (422, "/problems/image-download")
    assert "secret" not in response.text
