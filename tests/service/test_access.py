"""Who may ask, from where and how often: all off by default, one option each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from dogbreed_sdk._util.http_connections import network
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.service import ApiKeys, Rate, ServiceSettings
from dogbreed_sdk.service.rate_limits import RateLimiter
from dogbreed_sdk.testing import FakeEndpoint, picture
from tests.service.conftest import Serve
from tests.service.running import BREEDS, RunningService

PICTURE = picture(1)
KEYS = ("first-key-0123456789", "second-key-0123456789")


@pytest.fixture(scope="module")
def for_this_machine() -> Iterator[RunningService]:
    settings = ServiceSettings(local_only=True, cors_origins=("https://app.example",))
    with RunningService(FakeEndpoint(BREEDS), settings) as running:
        yield running


def test_without_keys_everybody_may_ask(serve: Serve) -> None:
    assert serve().classify(PICTURE).status_code == 200


def test_with_keys_only_their_holders_may_ask(serve: Serve) -> None:
    service = serve(api_keys=ApiKeys(KEYS))
    for headers in (
        {"Authorization": f"Bearer {KEYS[0]}"},
        {"authorization": f"bearer  {KEYS[1]}"},
        {"X-API-Key": KEYS[1]},
    ):
        assert service.classify(PICTURE, **headers).status_code == 200
    for headers in (
        {},
        {"X-API-Key": ""},
        {"X-API-Key": KEYS[0][:-1]},
        {"X-API-Key": KEYS[0] + "x"},
        {"X-API-Key": "é" * 20},
        {"X-API-Key": "x" * 5000},
        {"Authorization": f"Basic {KEYS[0]}"},
        {"Authorization": "Bearer " + " ".join(KEYS)},
    ):
        response = service.classify(PICTURE, **{name: value.encode("latin-1") for name, value in headers.items()})
        assert response.status_code == 401, headers
        assert response.json()["type"] == "/problems/unauthorized"
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert KEYS[0] not in response.text


def test_keys_guard_the_api_alone_and_are_asked_for_first(serve: Serve) -> None:
    service = serve(api_keys=ApiKeys(KEYS))
    for path in ("/", "/docs", "/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert service.get(path).status_code == 200
    assert service.get("/v1/labels").status_code == 401
    assert service.post("/v1/classify?top_k=0").status_code == 401, "who has no key learns nothing of the request"
    assert service.get("/openapi.json").json()["components"]["securitySchemes"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o602])
def test_a_file_of_keys_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys"
    path.write_text(KEYS[0])
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=r"chmod 600"):
        ApiKeys.from_file(path)


def test_a_file_of_keys_has_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# of the app\n{KEYS[0]}\n\n  {KEYS[1]}  \n")
    path.chmod(0o600)
    keys = ApiKeys.from_file(path)
    assert {keys.match(key) for key in KEYS} == {keys.match(KEYS[0]), keys.match(KEYS[1])}
    assert None not in {keys.match(key) for key in KEYS}
    assert keys.match("# of the app") is None


@pytest.mark.parametrize("text", ["", " , ", "too-short", f"{KEYS[0]},short", "é" * 20, "\x00" * 20, "x" * 5000])
def test_keys_that_are_none_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ApiKeys.from_text(text)
    assert not text.strip(" ,") or text not in str(raised.value)


def test_a_key_with_a_space_is_refused_since_neither_the_variable_nor_the_page_could_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{KEYS[0]}\nfour words for a key\n")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="API key 2 contains a space"):
        ApiKeys.from_file(path)


def test_a_file_that_is_too_large_for_keys_is_refused_and_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{KEYS[0]}\n" * 100_000)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="has more than 1,000,000 characters"):
        ApiKeys.from_file(path)


def test_a_missing_file_of_keys_is_an_error_and_not_an_open_door(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        ApiKeys.from_file(tmp_path / "keys")


def test_no_key_stays_in_memory_as_it_is() -> None:
    keys = ApiKeys(KEYS)
    assert KEYS[0] not in repr(vars(keys))
    assert KEYS[0].encode().hex() not in repr(keys.match(KEYS[0]))
    assert keys.match(KEYS[0]) != ApiKeys(KEYS).match(KEYS[0]), "the digests are salted"


def test_a_rate_is_kept_for_each_key(serve: Serve) -> None:
    service = serve(api_keys=ApiKeys(KEYS), rate=Rate(2, 3600))
    statuses = [service.classify(PICTURE, **{"X-API-Key": KEYS[0]}).status_code for _ in range(3)]
    refused = service.classify(PICTURE, **{"X-API-Key": KEYS[0]})
    assert statuses == [200, 200, 429]
    assert refused.json()["type"] == "/problems/rate-limit"
    wait = f"{int(refused.headers['Retry-After']):,} seconds"
    assert refused.json()["detail"] == f"The limit of 2 pictures per hour is used up; try again in {wait}."
    assert 1700 < int(refused.headers["Retry-After"]) <= 1800
    assert service.classify(PICTURE, **{"X-API-Key": KEYS[1]}).status_code == 200


def test_a_rate_is_kept_for_each_address_where_there_are_no_keys(serve: Serve) -> None:
    service = serve(rate=Rate(1, 3600))
    assert service.get("/v1/labels").status_code == 200, "only pictures count"
    assert service.classify(PICTURE).status_code == 200
    assert service.get("/v1/labels").status_code == 200
    assert "limit of 1 picture per hour" in service.classify(PICTURE).json()["detail"]
    assert service.classify(PICTURE, **{"X-Forwarded-For": "203.0.113.7"}).status_code == 429, "no proxy is trusted"


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("203.0.113.7", "203.0.113.8", False),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.8", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("2001:db8::1", "2001:db8::ffff:1%eth0", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
    ],
)
def test_whom_an_address_stands_for(one: str, other: str, *, alike: bool) -> None:
    assert (network(one) == network(other)) is alike


def test_every_picture_of_a_batch_counts(serve: Serve) -> None:
    service = serve(rate=Rate(3, 3600))
    files = [("file", (str(number), PICTURE)) for number in range(3)]
    assert service.post("/v1/classify/batch", files=files).status_code == 200
    assert service.classify(PICTURE).status_code == 429


def test_a_rate_lets_a_burst_pass_and_then_one_an_interval() -> None:
    now = 0.0
    limiter = RateLimiter(Rate(4, 2), clock=lambda: now)
    assert [limiter.take("a") for _ in range(4)] == [0.0] * 4
    assert limiter.take("a") == pytest.approx(0.5)
    assert limiter.take("b") == 0.0
    now = 0.5
    assert [limiter.take("a") == 0.0 for _ in range(2)] == [True, False]
    now = 100.0
    assert [limiter.take("a") == 0.0 for _ in range(5)] == [True] * 4 + [False]


def test_a_limiter_forgets_those_it_need_not_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dogbreed_sdk.service.rate_limits._MOST_CLIENTS", 100)
    now = 0.0
    limiter = RateLimiter(Rate(1, 10), clock=lambda: now)
    for number in range(10_000):
        now += 0.001
        limiter.take(str(number))
    assert len(limiter._free_at) == 100
    assert limiter.take("9999") > 0, "the newest are remembered"


@pytest.mark.parametrize("text", ["", "5", "0/minute", "-1/minute", "5/day", "1.5/second", "5/minute/second"])
def test_rates_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a rate"):
        Rate.parse(text)


@pytest.mark.parametrize(("count", "seconds"), [(0, 60), (1, 0)])
def test_a_rate_that_nobody_can_keep_is_refused(count: int, seconds: int) -> None:
    with pytest.raises(ConfigurationError, match="at least one request"):
        Rate(count, seconds)


def test_pages_from_elsewhere_may_not_ask_unless_their_origin_is_named(serve: Serve) -> None:
    asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    asks["Access-Control-Request-Headers"] = "content-type,x-api-key"
    closed, opened = serve(), serve(cors_origins=("https://app.example",))
    assert "Access-Control-Allow-Origin" not in closed.classify(PICTURE, Origin="https://app.example").headers
    for service, path, allowed in ((closed, "/v1/classify", False), (opened, "/v1/classify", True)):
        preflight = requests.options(service.url + path, headers=asks, timeout=120)
        assert (preflight.headers.get("Access-Control-Allow-Origin") == "https://app.example") is allowed
    for body in (PICTURE, b""):
        answer = opened.classify(body, Origin="https://app.example")
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example", "problems are readable, too"
        assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in opened.classify(PICTURE, Origin="https://evil.example").headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]:8000", "Origin": "http://[::1]:8000"}, 200),
        ({"Origin": "https://app.example"}, 200),
        ({"Host": "rebound.example:8000"}, 403),
        ({"Host": "127.0.0.1.rebound.example"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_a_service_for_this_machine_refuses_what_pages_from_elsewhere_send(
    for_this_machine: RunningService, headers: dict[str, str], status: int
) -> None:
    asked = len(for_this_machine.endpoint.requests)
    response = for_this_machine.classify(PICTURE, **headers)
    assert response.status_code == status
    assert len(for_this_machine.endpoint.requests) == asked + (status == 200)
    assert for_this_machine.get("/metrics", headers=headers).status_code == status, "whatever is asked for"
    if status == 403:
        assert response.json()["type"] == "/problems/forbidden"
        assert response.json()["request_id"] == response.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_concurrency": 0},
        {"max_concurrency": 65},
        {"max_waiting": -1},
        {"deadline_seconds": 0},
        {"deadline_seconds": float("nan")},
        {"deadline_seconds": float("inf")},
        {"cors_origins": ("app.example",)},
        {"cors_origins": ("https://app.example/page",)},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        ServiceSettings(**wrong)  # type: ignore[arg-type]
