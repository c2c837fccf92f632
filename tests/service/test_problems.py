"""Every failure is a problem document with the right status, and tells an app nothing that is not its business."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from dogbreed_sdk import AsyncBreedClassifier, errors
from dogbreed_sdk.service.problems import KINDS, problem_from_error
from dogbreed_sdk.service.schemas import ProblemAnswer
from dogbreed_sdk.testing import FakeEndpoint, picture
from tests.service.conftest import Serve
from tests.service.running import BREEDS, JPEG, RunningService

PICTURE = picture(1)
# What AWS's messages hold and no app needs to know.
SECRET = "arn:aws:iam::123456789012:role/owner"


@pytest.fixture(scope="module")
def scripted() -> Iterator[RunningService]:
    """A service whose endpoint does what a test scripts for one request: four attempts where it is tried again."""
    with RunningService(FakeEndpoint(BREEDS)) as running:
        yield running


@pytest.mark.parametrize(
    ("failing", "status", "kind", "retry"),
    [
        (lambda endpoint: endpoint.model_fails(SECRET), 502, "model", False),
        (lambda endpoint: endpoint.throttles(times=4), 503, "throttled", True),
        (lambda endpoint: endpoint.times_out(), 504, "endpoint-timeout", False),
        (lambda endpoint: endpoint.drops(times=4), 502, "endpoint", False),
        (lambda endpoint: endpoint.fails(times=4), 502, "endpoint", False),
        (lambda endpoint: endpoint.answers_plainly([0.1, 0.9]), 500, "label", False),
        (lambda endpoint: endpoint.answers_bytes(SECRET.encode()), 502, "model", False),
        (lambda endpoint: endpoint.refuses("AccessDeniedException", SECRET), 500, "access", False),
        (
            lambda endpoint: endpoint.refuses("ValidationError", "Endpoint x not found", status=400),
            502,
            "endpoint-not-found",
            False,
        ),
    ],
)
def test_what_the_endpoint_does_wrong(
    scripted: RunningService, failing: Callable[[FakeEndpoint], FakeEndpoint], status: int, kind: str, retry: bool
) -> None:
    failing(scripted.endpoint)
    response = scripted.classify(PICTURE)
    problem = check(response, status)
    assert problem["type"] == f"/problems/{kind}"
    assert ("Retry-After" in response.headers) is retry
    for hidden in ("123456789012", "arn:", "AccessDenied", "fake", "amazonaws"):
        assert hidden not in problem["detail"]


@pytest.mark.parametrize(
    ("body", "status", "kind", "says"),
    [
        (b"", 415, "unsupported-image", "The picture is empty"),
        (b"no picture at all", 415, "unsupported-image", "The picture"),
        (PICTURE[:-200], 415, "unsupported-image", "The picture"),
    ],
)
def test_what_is_no_picture_is_refused_before_the_endpoint_is_asked(
    service: RunningService, body: bytes, status: int, kind: str, says: str
) -> None:
    asked = len(service.endpoint.requests)
    problem = check(service.classify(body), status)
    assert problem["type"] == f"/problems/{kind}"
    assert problem["detail"].startswith(says)
    assert len(service.endpoint.requests) == asked


REQUESTS: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "/nothing", {}, 404, "not-found"),
    ("GET", "/v1/classify/", {}, 404, "not-found"),
    ("GET", "/assets/../routes.py", {}, 404, "not-found"),
    ("GET", "/problems/none", {}, 404, "not-found"),
    ("GET", "/v1/classify", {}, 405, "method-not-allowed"),
    ("DELETE", "/v1/labels", {}, 405, "method-not-allowed"),
    ("POST", "/v1/classify", {"data": {"a": "b"}}, 415, "unsupported-media-type"),
    ("POST", "/v1/classify/batch", {"data": PICTURE, "headers": JPEG}, 415, "unsupported-media-type"),
    ("POST", "/v1/classify?top_k=0", {"data": PICTURE, "headers": JPEG}, 422, "invalid-request"),
    ("POST", "/v1/classify?top_k=x", {"data": PICTURE, "headers": JPEG}, 422, "invalid-request"),
    ("POST", "/v1/classify?topk=3", {"data": PICTURE, "headers": JPEG}, 422, "invalid-request"),
    ("GET", "/v1/labels?top_k=3", {}, 422, "invalid-request"),
    ("POST", "/v1/classify", {"json": {}}, 422, "invalid-request"),
    ("POST", "/v1/classify", {"json": {"url": "https://a/b", "base64": "aa"}}, 422, "invalid-request"),
    ("POST", "/v1/classify", {"json": {"base64": "aa", "topk": 3}}, 422, "invalid-request"),
    ("POST", "/v1/classify", {"json": {"base64": "aa", "top_k": 0}}, 422, "invalid-request"),
    ("POST", "/v1/classify", {"json": {"base64": "not base64"}}, 400, "bad-request"),
    ("POST", "/v1/classify", {"json": [0] * 3000}, 400, "bad-request"),
    ("POST", "/v1/classify", {"json": [1, 2]}, 422, "invalid-request"),
    ("POST", "/v1/classify", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "bad-request"),
    (
        "POST",
        "/v1/classify",
        {"data": b"[" * 1500, "headers": {"Content-Type": "application/json"}},
        400,
        "bad-request",
    ),
    ("POST", "/v1/classify", {"data": b'"\xff"', "headers": {"Content-Type": "application/json"}}, 400, "bad-request"),
    ("POST", "/v1/classify", {"files": {"a": ("a", b"1"), "b": ("b", b"2")}}, 400, "bad-request"),
    ("POST", "/v1/classify", {"files": {"top_k": (None, "5")}}, 400, "bad-request"),
    ("POST", "/v1/classify", {"files": {"a": ("a", b"1"), "top_k": (None, "-1")}}, 422, "invalid-request"),
    ("POST", "/v1/classify", {"data": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "bad-request"),
    ("POST", "/v1/classify/batch", {"json": {"pictures": []}}, 422, "invalid-request"),
    ("POST", "/v1/classify/batch", {"json": {"pictures": [{"base64": ""}] * 33}}, 413, "payload-too-large"),
]


@pytest.mark.parametrize(("method", "path", "options", "status", "kind"), REQUESTS)
def test_requests_that_make_no_sense(
    service: RunningService, method: str, path: str, options: dict[str, Any], status: int, kind: str
) -> None:
    response = requests.request(method, service.url + path, timeout=120, **options)
    problem = check(response, status)
    assert problem["type"] == f"/problems/{kind}"
    assert ("Allow" in response.headers) is (status == 405)
    if status == 422:
        assert problem["errors"]


@pytest.mark.parametrize(
    ("path", "options", "says"),
    [
        ("?topk=3", {"data": PICTURE, "headers": JPEG}, "topk: unknown parameter; the known ones are top_k, preview."),
        ("", {"json": {"path": "x"}}, "path: unknown member; the known ones are base64, data, top_k, url."),
        (
            "/batch",
            {"json": {"pictures": [{"path": "x"}]}},
            "pictures.0.path: unknown member; the known ones are base64, data, url.",
        ),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(
    service: RunningService, path: str, options: dict[str, Any], says: str
) -> None:
    assert check(service.post(f"/v1/classify{path}", **options), 422)["detail"] == says


class NoServer:
    """The address of a model server that is not running, in the place of a scripted endpoint."""

    def async_classifier(self) -> AsyncBreedClassifier:
        return AsyncBreedClassifier.from_server("http://127.0.0.1:1")


def test_a_model_server_that_does_not_run_is_not_said_to_be_updated() -> None:
    with RunningService(NoServer()) as running:  # type: ignore[arg-type]
        response = running.classify(PICTURE)
        problem = check(response, 503)
        assert problem["type"] == "/problems/model-server-unreachable"
        assert "does not accept connections" in problem["detail"]
        assert "127.0.0.1" not in problem["detail"]
        assert response.headers["Retry-After"] == "2"
        assert running.get("/readyz").json()["detail"] == "The model server does not accept connections."


def test_the_type_of_a_problem_leads_to_its_explanation(service: RunningService) -> None:
    response = service.get(service.classify(b"").json()["type"])
    assert response.url == f"{service.url}/docs#unsupported-image"
    assert 'id="unsupported-image"' in response.text


def test_every_error_of_the_sdk_has_a_kind_of_its_own_or_its_parents() -> None:
    for name in errors.__all__:
        kind: type[errors.DogBreedError] = getattr(errors, name)
        error = kind("x", reason="y") if kind is errors.JobFailedError else kind("x")
        assert problem_from_error(error).kind in KINDS
    assert problem_from_error(errors.ImageError("x")).kind == "image"
    assert problem_from_error(errors.DatasetError("x")).kind == "internal"
    assert problem_from_error(errors.ThrottledError("x", request_id="r-1")).aws_request_id == "r-1"


def test_an_exception_that_nobody_expected_is_a_problem_too_and_its_reason_stays_in_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_body: bytes) -> str:
        raise RuntimeError(SECRET)

    class Broken(FakeEndpoint):
        def translate(self, error: Exception) -> errors.DogBreedError:
            raise error

    problem = check(serve(Broken(BREEDS, answer=broken)).classify(PICTURE), 500)
    assert problem["type"] == "/problems/internal"
    [record] = [record for record in caplog.records if record.name == "dogbreed_sdk.service" and record.exc_info]
    assert problem["request_id"] in record.getMessage()


def test_what_fails_a_picture_of_a_batch_is_logged_and_counted(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    service = serve(FakeEndpoint(BREEDS).model_fails(SECRET))
    files = [("file", ("rex.jpg", PICTURE)), ("file", ("empty.jpg", b""))]
    response = service.post("/v1/classify/batch", files=files)
    assert SECRET not in response.text
    [record] = [record for record in caplog.records if record.name == "dogbreed_sdk.service"]
    assert SECRET in record.getMessage()
    assert response.headers["X-Request-Id"] in record.getMessage()
    assert service.metric('dogbreed_problems_total{kind="model"}') == 1
    assert service.metric('dogbreed_problems_total{kind="unsupported-image"}') == 1


def check(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    ProblemAnswer.model_validate(problem, strict=True)
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert problem["title"] == KINDS[problem["type"].removeprefix("/problems/")].title
    return problem
