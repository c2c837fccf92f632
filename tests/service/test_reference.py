"""The calls in the HTTP reference work as they stand."""

from __future__ import annotations

import base64
import re
import shlex
from urllib.parse import urlsplit

import pytest
import requests

from dogbreed_sdk.testing import picture
from tests.docs.documents import DOCS
from tests.service.running import RunningService

PAGE = (DOCS / "reference" / "http.md").read_text(encoding="utf-8").partition("### Problems")[0]
CALLS = [
    (route, line)
    for route, text in re.findall(r"\n### ([A-Z]+ /\S*)\n(.*?)(?=\n### |\Z)", PAGE, re.DOTALL)
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]


def test_every_route_has_a_call(service: RunningService) -> None:
    described = service.get("/openapi.json").json()["paths"]
    assert {f"{method.upper()} {path}" for path, methods in described.items() for method in methods} <= dict(
        CALLS
    ).keys()


@pytest.mark.parametrize(("route", "line"), CALLS, ids=[line for _, line in CALLS])
def test_the_call_is_answered(route: str, line: str, service: RunningService) -> None:
    method, path = route.split()
    options, address = parsed(line)
    assert urlsplit(address).path == path
    target = urlsplit(address)._replace(scheme="", netloc="").geturl()
    response = sent(service, method, target, options)
    if path == "/v1/explain":  # the model of this service is not on this machine
        assert response.status_code == 404
    else:
        assert response.status_code == 200, response.text


def parsed(line: str) -> tuple[list[tuple[str, str]], str]:
    """The options of a call with their values, and its address."""
    _, *words, address = shlex.split(line)
    return list(zip(words[::2], words[1::2], strict=True)), address


def sent(service: RunningService, method: str, target: str, options: list[tuple[str, str]]) -> requests.Response:
    """Sends what curl would send, with a picture in place of one on the web."""
    headers = dict(value.split(": ") for name, value in options if name == "-H")
    body = next((value for name, value in options if name in ("--data-binary", "--json")), None)
    forms = [value.split("=") for name, value in options if name == "-F"]
    files = [(name, (value[1:], picture())) for name, value in forms if value.startswith("@")]
    data: bytes | str | dict[str, str] = {name: value for name, value in forms if not value.startswith("@")}
    if body is not None and body.startswith("@"):
        data = picture()
    elif body is not None:
        headers["Content-Type"] = "application/json"
        sent_along = f'"base64": "{base64.b64encode(picture()).decode()}"'
        data = re.sub(r'"url": "https://[^"]+"', sent_along, body)
    return requests.request(method, service.url + target, headers=headers, data=data, files=files, timeout=120)
