"""What operators see: one line a request without anything secret, metrics, health, documentation."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import fastapi
import pytest
import requests

from dogbreed_sdk.service import page
from dogbreed_sdk.service.docs_page import render
from dogbreed_sdk.service.server import JsonLines
from dogbreed_sdk.testing import FakeEndpoint, picture
from tests.service.conftest import Serve
from tests.service.running import BREEDS, JPEG, LogLines, RunningService
from tests.waiting import wait_for

PICTURE = picture(1)


@pytest.fixture
def access_log() -> Iterator[LogLines]:
    logger, handler = logging.getLogger("dogbreed_sdk.service.access"), LogLines()
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_every_request_writes_one_line(service: RunningService, access_log: LogLines) -> None:
    response = service.classify(PICTURE, "?top_k=2")
    [line] = map(json.loads, wait_for(lambda: access_log.lines))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line.pop("time"))
    assert line.pop("ms") > 0
    assert line == {
        "level": "info",
        "event": "request",
        "request_id": response.headers["X-Request-Id"],
        "method": "POST",
        "route": "/v1/classify",
        "status": 200,
        "bytes_in": len(PICTURE),
        "bytes_out": len(response.content),
        "client": "127.0.0.1",
    }


def test_every_route_is_logged_by_its_name(service: RunningService, access_log: LogLines) -> None:
    paths = ["/openapi.json", "/docs", "/healthz", "/readyz", "/metrics", "/v1/labels", "/"]
    for path in paths:
        assert service.get(path).status_code == 200
    wait_for(lambda: len(access_log.lines) == len(paths))
    assert [json.loads(line)["route"] for line in access_log.lines] == paths


def test_the_log_is_json_whoever_writes_it() -> None:
    code = (
        "import logging\nfrom dogbreed_sdk.service.server import log_to_stderr\nlog_to_stderr()\n"
        "for name in ('asyncio', 'uvicorn.error', 'dogbreed_sdk.client.transports', 'dogbreed_sdk.service'):\n"
        "    logging.getLogger(name).info('not of interest elsewhere')\n"
        "    logging.getLogger(name).error('out of files')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("asyncio", "error"),
        ("uvicorn.error", "error"),
        ("dogbreed_sdk.client.transports", "error"),
        ("dogbreed_sdk.service", "info"),
        ("dogbreed_sdk.service", "error"),
    ]


def test_the_log_has_letters_and_no_escapes_where_its_encoding_has_them() -> None:
    code = (
        "import logging\nfrom dogbreed_sdk.service.server import log_to_stderr\nlog_to_stderr()\n"
        "logging.error('犬 … \\u2028\\x85\\udcff\\n\\x1b')"
    )
    for encoding, shown in (("utf-8", "犬 … "), ("ascii", r"\u72ac \u2026 ")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            check=True,
            capture_output=True,
            encoding="utf-8",
        )
        assert shown in done.stderr
        assert json.loads(done.stderr)["message"] == "犬 … \u2028\x85\udcff\n\x1b"
        assert len(done.stderr.splitlines()) == 1


def test_no_secret_reaches_the_log_or_the_metrics(service: RunningService, access_log: LogLines) -> None:
    headers = {"X-API-Key": "secret-key", "Authorization": "Bearer secret-key", "Cookie": "secret-key"}
    service.post("/v1/classify?key=secret-key", json={"url": "https://user:secret-key@127.0.0.1/a"}, headers=headers)
    service.get("/secret-key/a?secret-key", headers=headers)
    requests.request("SECRET-KEY", service.url + "/", timeout=120)
    lines = [json.loads(line) for line in wait_for(lambda: len(access_log.lines) == 3 and access_log.lines)]
    assert [(line["route"], line["method"]) for line in lines] == [
        ("/v1/classify", "POST"),
        ("(none)", "GET"),
        ("/", "other"),
    ]
    assert "secret-key" not in (json.dumps(lines) + service.get("/metrics").text).lower()


def test_metrics_count_requests_by_route_and_status(serve: Serve) -> None:
    service = serve()
    service.classify(PICTURE)
    service.classify(b"")
    service.get("/a")
    service.get("/b")
    assert service.metric('dogbreed_http_requests_total{route="/v1/classify",status="200"}') == 1
    assert service.metric('dogbreed_http_requests_total{route="/v1/classify",status="415"}') == 1
    assert service.metric('dogbreed_http_requests_total{route="(none)",status="404"}') == 2
    assert service.metric('dogbreed_http_request_seconds_count{route="/v1/classify"}') == 2
    assert service.metric('dogbreed_problems_total{kind="unsupported-image"}') == 1


def test_every_answer_has_the_headers_that_protect_a_browser(service: RunningService) -> None:
    for response in (service.get("/"), service.get("/docs"), service.get("/nothing"), service.classify(PICTURE)):
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert "Server" not in response.headers
    assert service.classify(PICTURE).headers["Cache-Control"] == "no-store"


def test_health_is_about_the_service_and_readiness_about_the_endpoint(serve: Serve) -> None:
    service = serve(FakeEndpoint(BREEDS).drops(times=2), ready_seconds=0.0)
    assert service.get("/healthz").json() == {"status": "alive"}
    assert service.endpoint.requests == []
    for _ in range(2):
        response = service.get("/readyz")
        assert (response.status_code, response.json()["type"]) == (503, "/problems/endpoint-not-ready")
        assert response.headers["Retry-After"] == "1"
    assert service.get("/readyz").json() == {"status": "ready"}
    assert len(service.endpoint.requests) == 3, "one attempt a probe"


def test_probes_cost_nothing_while_an_answer_is_fresh(serve: Serve) -> None:
    service = serve(ready_seconds=60.0)
    assert {service.get("/readyz").status_code for _ in range(5)} == {200}
    assert len(service.endpoint.requests) == 1


def test_an_endpoint_that_has_just_answered_somebody_is_ready(serve: Serve) -> None:
    service = serve(ready_seconds=60.0)
    service.classify(PICTURE)
    assert service.get("/readyz").status_code == 200
    assert len(service.endpoint.requests) == 1


def test_an_endpoint_that_has_just_failed_somebody_is_asked_again(serve: Serve) -> None:
    service = serve(FakeEndpoint(BREEDS).answers("Pug").model_fails(times=2), ready_seconds=60.0)
    assert service.get("/readyz").status_code == 200
    assert service.classify(PICTURE).status_code == 502
    assert service.get("/readyz").status_code == 503


def test_openapi_describes_every_request_answer_and_problem(service: RunningService) -> None:
    document = service.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/classify",
        "/v1/classify/batch",
        "/v1/labels",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    classify = document["paths"]["/v1/classify"]["post"]
    assert set(classify["requestBody"]["content"]) == {
        "image/*",
        "application/octet-stream",
        "multipart/form-data",
        "application/json",
    }
    assert {"200", "401", "413", "415", "422", "429", "502", "503", "504"} <= set(classify["responses"])
    assert classify["responses"]["503"]["content"].keys() == {"application/problem+json"}
    form = classify["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    in_url = classify["parameters"][0]["schema"]["anyOf"][0]
    assert (form["top_k"]["minimum"], form["top_k"]["maximum"]) == (in_url["minimum"], in_url["maximum"]) == (1, 1000)
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in schemas
    for reference in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)):
        assert reference in schemas
    for name in ("ClassifyRequest", "BatchRequest", "PredictionAnswer", "BatchAnswer", "LabelsAnswer", "ProblemAnswer"):
        assert schemas[name]["example"], name


def test_the_documentation_is_a_page_without_anything_from_elsewhere(service: RunningService) -> None:
    text = service.get("/docs").text
    assert "POST</span> <code>/v1/classify</code>" in text
    assert re.findall(r'(?:src|href)="([^"#]+)"', text) == ["assets/icon.svg", "docs.css", "openapi.json"]
    assert "<script" not in text
    assert " style=" not in text
    for anchor in re.findall(r'href="#([^"]+)"', text):
        assert f'id="{anchor}"' in text
    assert service.get("/docs.css").headers["Content-Type"] == "text/css; charset=utf-8"


def test_the_documentation_escapes_what_it_shows() -> None:
    document = {"info": {"title": "<b>", "description": "<i>"}, "paths": {}}
    assert "<b>" not in render(document)
    assert "<i>" not in render(document)


def test_the_web_page_and_its_parts_are_served_as_they_are(service: RunningService) -> None:
    for path, (content, media_type) in page.files().items():
        response = service.get(path)
        assert response.headers["Content-Type"] == media_type
        assert path == "/" or response.content == content
    sent = {page.index(subject=subject, urls=True) for subject in (None, "dogs")}
    assert service.get("/").content in sent, "whether the classes are known depends on earlier requests"
    assert requests.head(service.url + "/", timeout=120).status_code == 200


def test_the_service_can_be_mounted_in_another_application() -> None:
    def mounted(app: fastapi.FastAPI) -> fastapi.FastAPI:
        parent = fastapi.FastAPI()
        parent.mount("/dogs", app)
        return parent

    with RunningService(FakeEndpoint(BREEDS), wrap=mounted) as service:
        answer = service.post("/dogs/v1/classify", data=PICTURE, headers=JPEG)
        assert answer.json()["label"] == "Affenpinscher"
        assert answer.headers["Cache-Control"] == "no-store"
        assert service.get("/dogs/").content == page.index(subject="dogs", urls=True)
        assert service.get("/dogs/docs").status_code == 200
        assert service.get("/dogs/openapi.json").json()["servers"] == [{"url": "/dogs"}]
        assert 'route="/v1/classify"' in service.get("/dogs/metrics").text
