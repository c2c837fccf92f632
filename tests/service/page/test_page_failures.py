"""The page when something fails: it says what, waits where it is told to, and lets one try again."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.service.page.reading import Reader
from tests.service.page.stand_in import PageServer, Reply, Request, prediction, problem


def busy(seconds: int) -> Reply:
    """A refusal for so long."""
    detail = "More requests are waiting than this service allows."
    return problem(503, "overloaded", detail, Retry_After=str(seconds))


# What the service answers, and what the page makes of it: title, how the note begins, and the buttons.
REFUSALS: list[tuple[Reply, str, str, list[str]]] = [
    (problem(415, "unsupported-image", "It is empty."), "The service cannot read this picture", "It is empty.", []),
    (problem(413, "payload-too-large", "31 MB."), "This picture is too large", "31 MB.", []),
    (Reply(413, b""), "This picture is too large", "Try a smaller version of it.", []),
    (problem(403, "forbidden", "x"), "Not allowed", "The service does not accept pictures from", ["Try again"]),
    (problem(502, "model", "x"), "The model failed", "The service is running, but ", ["Try again"]),
    (
        problem(503, "endpoint-not-ready", "x"),
        "The model is not ready yet",
        "It is starting or being updated",
        ["Try again"],
    ),
    (
        problem(503, "model-server-unreachable", "x"),
        "The model is not ready yet",
        "It is starting or being updated",
        ["Try again"],
    ),
    (problem(504, "endpoint-timeout", "x"), "The model took too long", "The service stopped waiting", ["Try again"]),
    (
        problem(500, "internal", "x"),
        "Something went wrong in the service",
        "It reported an internal error",
        ["Try again"],
    ),
    (problem(429, "rate-limit", "x"), "Too many pictures in a short time", "The service limits", ["Try again"]),
    (Reply(200, b"<html>"), "The response cannot be understood", "It may have come from", ["Try again"]),
    (Reply(200, {"scores": []}), "The response cannot be understood", "It may have come from", ["Try again"]),
]


def test_every_refusal_has_its_words(page: Reader, server: PageServer, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.jpg" for number in range(len(REFUSALS))]
    for number, file in enumerate(files):
        file.write_text(str(number))
    server.answer = lambda request: REFUSALS[int(request.body)][0]
    page.drop(*files)
    cards = page.until(*["failed"] * len(REFUSALS))
    for card, (reply, title, note, buttons) in zip(cards, REFUSALS, strict=True):
        assert (card.title, card.note[: len(note)], card.buttons) == (title, note, buttons)
        assert card.rows == []
        assert card.reference == ("Request f00d" if isinstance(reply.body, dict) and "title" in reply.body else "")
        assert f"{card.file}: {card.title}. {card.note}" in page.announced


def test_a_bad_file_among_good_ones_fails_alone(
    page: Reader, server: PageServer, pictures: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "notes.txt"
    bad.write_bytes(b"no picture")

    def answer(request: Request) -> Reply:
        return problem(415, "unsupported-image", "No.") if request.body == b"no picture" else prediction()

    server.answer = answer
    page.drop(pictures[0], bad, pictures[1])
    cards = page.until("answered", "failed", "answered")
    assert cards[1].file == "notes.txt"
    assert page.text("#progress") == "1 failed"


def test_a_service_that_is_down_can_be_asked_again_for_all_when_it_is_back(
    page: Reader, server: PageServer, pictures: list[Path]
) -> None:
    server.close()
    page.drop(*pictures[:3])
    cards = page.until("failed", "failed", "failed")
    assert {card.title for card in cards} == {"The service cannot be reached"}
    assert cards[0].note == "Check that the service is running, then try again."
    with PageServer(port=server.port) as back:
        page.press("Try again", card=1)
        page.until("failed", "answered", "failed")
        assert page.focus == "card dog-1.jpg", "the button that was pressed is gone"
        assert page.text("#again") == "Try 2 again"
        page.browser.click("#again")
        page.until("answered", "answered", "answered")
        assert len(back.requests) == 3
    assert page.text("#again") == ""


def test_a_file_that_is_gone_is_not_blamed_on_the_service(page: Reader, tmp_path: Path, server: PageServer) -> None:
    gone = tmp_path / "gone.jpg"
    gone.write_bytes(b"a" * 100)
    server.replies(problem(502, "model", "x"), prediction())
    page.drop(gone)
    page.until("failed")
    gone.unlink()
    page.press("Try again")
    page.browser.wait(lambda: page.cards[0].title == "The file cannot be read")


def test_a_busy_service_is_asked_again_after_the_time_it_told(
    page: Reader, server: PageServer, pictures: list[Path]
) -> None:
    times: list[float] = []

    def answer(request: Request) -> Reply:
        times.append(time.monotonic())
        return busy(2) if len(times) == 1 else prediction()

    server.answer = answer
    page.stop_clock()
    page.drop(pictures[0])
    (card,) = page.until("postponed")
    assert (card.title, card.buttons) == ("The service is busy", ["Cancel"])
    assert card.note == "Trying again in 2 s."
    assert page.announced[-1] == "dog-0.jpg: The service is busy. Trying again in 2 seconds."
    page.start_clock()
    page.until("answered")
    assert times[1] - times[0] >= 2.0


def test_while_the_service_asks_for_rest_nothing_else_is_sent_either(
    page: Reader, server: PageServer, pictures: list[Path]
) -> None:
    first = threading.Event()

    def answer(request: Request) -> Reply:
        if len(server.requests) <= 4:
            first.wait(240)
            return problem(429, "rate-limit", "x", Retry_After="3")
        return prediction()

    server.answer = answer
    page.stop_clock()
    page.drop(*pictures)
    page.browser.wait(lambda: len(server.requests) == 4)
    first.set()
    page.until(*["postponed"] * 4, *["queued"] * 4)
    page.browser.value("new Promise(done => setTimeout(done, 400))")
    assert len(server.requests) == 4
    page.start_clock()
    page.until(*["answered"] * 8)
    assert len(server.requests) == 12


def test_waiting_can_be_given_up_and_taken_up_again(page: Reader, server: PageServer, pictures: list[Path]) -> None:
    server.replies(busy(60), prediction())
    page.drop(pictures[0])
    page.until("postponed")
    page.press("Cancel")
    (card,) = page.until("failed")
    assert (card.title, card.buttons) == ("The service is busy", ["Try again"])
    assert page.focus == "card dog-0.jpg"
    page.browser.value("(now => { Date.now = () => now() + 60_000; })(Date.now)")
    page.drop(pictures[1])
    page.until("answered", "failed")
    assert len(server.requests) == 2, "the minute is over, and only what is new was sent"
    page.press("Try again", card=1)
    page.until("answered", "answered")


def test_a_date_to_wait_for_is_understood_and_a_long_wait_left_to_people(
    page: Reader, server: PageServer, pictures: list[Path]
) -> None:
    def busy_until(seconds: int) -> Reply:
        date = formatdate(page.stop_clock() + seconds, usegmt=True)
        return problem(503, "overloaded", "x", Retry_After=date)

    server.replies(busy_until(90))
    page.drop(pictures[0])
    (card,) = page.until("postponed")
    assert card.note == "Trying again in 90 s."
    page.press("Cancel")
    page.browser.open(server.url, calm=True)
    server.replies(busy_until(600))
    page.drop(pictures[0])
    (card,) = page.until("failed")
    assert card.note == "Try again in about 10 minutes."


class TestApiKey:
    KEY = "a-key-of-24-characters-X"

    @pytest.fixture(autouse=True)
    def _with_a_key(self, server: PageServer) -> None:
        def answer(request: Request) -> Reply:
            right = request.headers.get("x-api-key") == self.KEY
            return prediction() if right else problem(401, "unauthorized", "x")

        server.answer = answer

    def enter(self, page: Reader, key: str) -> None:
        assert page.focus == "API key"
        page.browser.type(key)
        page.browser.key("Enter")

    def test_it_is_asked_for_once_and_all_pictures_go_on(self, page: Reader, pictures: list[Path]) -> None:
        page.drop(*pictures[:3])
        cards = page.until("failed", "failed", "failed")
        assert {card.title for card in cards} == {"An API key is required"}
        assert page.text("#key-note").startswith("This service requires an API key.")
        self.enter(page, self.KEY)
        page.until("answered", "answered", "answered")
        assert page.text("#key") == ""
        stored = "[JSON.stringify(sessionStorage), JSON.stringify(localStorage), document.cookie]"
        assert page.browser.value(stored) == [f'{{"dogbreed-api-key":"{self.KEY}"}}', "{}", ""]

    def test_it_lasts_as_long_as_the_tab_or_until_it_is_to_be_forgotten(
        self, page: Reader, server: PageServer, pictures: list[Path]
    ) -> None:
        page.drop(pictures[0])
        page.until("failed")
        self.enter(page, self.KEY)
        page.until("answered")
        page.browser.open(server.url, calm=True)
        page.drop(pictures[0])
        page.until("answered")
        page.browser.click("#forget")
        assert page.browser.value("sessionStorage.length") == 0
        page.drop(pictures[1])
        page.until("failed", "answered")

    def test_where_storage_is_switched_off_it_lasts_as_long_as_the_page(
        self, page: Reader, pictures: list[Path]
    ) -> None:
        page.browser.value(
            "void Object.defineProperty(window, 'sessionStorage', {get() { throw new DOMException('switched off'); }})"
        )
        page.drop(pictures[0])
        page.until("failed")
        self.enter(page, self.KEY)
        page.until("answered")
        page.browser.click("#forget")
        page.drop(pictures[1])
        page.until("failed", "answered")

    def test_a_wrong_one_is_asked_for_again(self, page: Reader, pictures: list[Path]) -> None:
        page.drop(pictures[0])
        page.until("failed")
        self.enter(page, "wrong-key")
        page.browser.wait(lambda: page.text("#key-note").startswith("The API key was not accepted."))
        assert page.text("#key-note").startswith("The API key was not accepted.")

    def test_one_that_no_header_can_carry_is_refused_at_once(
        self, page: Reader, server: PageServer, pictures: list[Path]
    ) -> None:
        page.drop(pictures[0])
        page.until("failed")
        self.enter(page, "schlüssel")
        assert not page.browser.value("document.querySelector('#key-value').validity.valid")
        assert len(server.requests) == 1

    def test_not_now_leaves_a_way_back(self, page: Reader, pictures: list[Path]) -> None:
        page.drop(pictures[0])
        page.until("failed")
        page.browser.key("Escape")
        page.browser.wait(lambda: page.text("#key") == "")
        assert page.cards[0].buttons == ["Enter the API key"]
        page.press("Enter the API key")
        self.enter(page, self.KEY)
        page.until("answered")
