"""The page as the service itself serves it: the same policy, headers and problems as an app gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from dogbreed_sdk.defaults import INVOKE_MAX_ATTEMPTS
from dogbreed_sdk.service import ApiKeys, ServiceSettings
from dogbreed_sdk.testing import FakeEndpoint
from tests.browser import Page
from tests.service.page.reading import Reader
from tests.service.running import RunningService

KEY = "a-key-of-24-characters-X"
BREEDS = [f"{number:03}.{name}" for number, name in enumerate(("Boxer", "Cairn", "Chow", "Collie", "Pug", "Saluki"), 1)]


@pytest.fixture
def endpoint() -> FakeEndpoint:
    return FakeEndpoint(BREEDS, answer="Collie", probability=0.9, model_id="cafe" * 16)


@pytest.fixture
def url(endpoint: FakeEndpoint) -> Iterator[str]:
    """A service with an API key, in front of the endpoint."""
    settings = ServiceSettings(api_keys=ApiKeys([KEY]), max_body_bytes=100_000)
    with RunningService(endpoint, settings) as running:
        yield f"{running.url}/"


def test_a_visit_from_the_key_to_the_answers(
    browser: Page, url: str, endpoint: FakeEndpoint, pictures: list[Path], tmp_path: Path
) -> None:
    broken, large = tmp_path / "broken.jpg", tmp_path / "large.png"
    broken.write_bytes(pictures[0].read_bytes()[:300])
    Image.effect_noise((400, 400), 90).save(large)
    browser.open(url, calm=True)
    page = Reader(browser)

    page.drop(pictures[0])
    page.until("failed")
    browser.type(KEY)
    browser.key("Enter")
    (card,) = page.until("answered")
    assert (card.title, card.rows[0].share, len(card.rows)) == ("Collie", "90%", 5)
    browser.wait(lambda: page.text("#model").endswith("odel cafecafecafe · 6 breeds"))

    endpoint.throttles(times=INVOKE_MAX_ATTEMPTS)
    endpoint.answers("Chow").answers("Pug", rejection_score=2.0, rejection_threshold=1.0)
    page.stop_clock()
    page.drop(pictures[1])
    assert page.until("postponed", "answered")[0].title == "The service is busy"
    page.start_clock()
    card = page.until("answered", "answered")[0]
    assert (card.title, card.note) == ("Chow", "Most likely of 6 breeds")
    page.drop(pictures[2])
    assert page.until("rejected", "answered", "answered")[0].rows[0].breed == "Pug"
    assert [request.body for request in endpoint.requests[-3:]] == [pictures[n].read_bytes() for n in (1, 1, 2)]

    page.drop(broken, large)
    cards = page.until("failed", "failed", "rejected", "answered", "answered")
    assert cards[0].title == "The service cannot read this picture"
    assert cards[1].title == "This picture is too large"
    assert [card.reference.startswith("Request ") for card in cards[:2]] == [True, True]

    assert [each for each in browser.complaints if not each.startswith("Failed to load resource")] == []
    assert [each for each in browser.requests if not each.startswith((url, f"blob:{url}"))] == []


def test_the_documentation_that_the_page_links_to_is_there(browser: Page, url: str) -> None:
    browser.open(url)
    browser.click("footer a")
    browser.wait(lambda: browser.value("location.pathname") == "/docs")
    browser.wait(lambda: browser.value("document.readyState") == "complete")
    assert "/v1/classify" in browser.value("document.body.innerText")
    assert [each for each in browser.complaints if "Content Security Policy" in each] == []
