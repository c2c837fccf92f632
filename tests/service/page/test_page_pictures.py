"""The page: pictures come in by every way, go out as they are, and are answered where they lie."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from PIL import Image

from tests.browser import Page
from tests.service.page.reading import Reader
from tests.service.page.stand_in import BREEDS, MODEL_ID, PROBABILITIES, PageServer, Reply, Request, labels, prediction

SHARES = ["91%", "5%", "1%", "1%", "<1%"]


def test_a_dropped_picture_is_sent_as_it_is_and_answered_with_five_bars(
    page: Reader, server: PageServer, pictures: list[Path]
) -> None:
    page.drop(pictures[0])
    (card,) = page.until("answered")
    (request,) = server.requests
    assert request.body == pictures[0].read_bytes()
    assert request.headers["content-type"] == "image/jpeg"
    assert request.path == "/v1/classify?top_k=5"
    assert (card.file, card.title, card.note) == ("dog-0.jpg", "Collie", "Most likely of 120 breeds")
    assert [row.breed for row in card.rows] == list(BREEDS)
    assert [row.share for row in card.rows] == SHARES
    assert [row.width for row in card.rows[:3]] == pytest.approx(PROBABILITIES[:3], abs=0.01)
    assert page.text("#model") == f"Classified by model {MODEL_ID[:12]} · 120 breeds"
    assert page.text(".no-preview") == ""


def test_several_chosen_at_once_are_answered_each_on_its_card_a_few_at_a_time(
    page: Reader, server: PageServer, pictures: list[Path]
) -> None:
    numbers = {path.read_bytes(): number for number, path in enumerate(pictures)}
    all_that_may = threading.Event()

    def answer(request: Request) -> Reply:
        if len(server.requests) >= 4:
            all_that_may.set()
        name = f"Breed {numbers[request.body]}"
        return Reply(200, prediction(breeds=(name, *BREEDS[1:])).body, hold=all_that_may)

    server.answer = answer
    page.browser.choose(lambda: page.browser.click("#choose"), *pictures)
    cards = page.until(*["answered"] * 8)
    assert [(card.file, card.title) for card in cards] == [(f"dog-{n}.jpg", f"Breed {n}") for n in range(8)]
    assert server.most_at_once == 4
    assert page.text("#count") == "8 pictures"


def test_newer_pictures_come_first_and_the_same_file_may_be_chosen_again(page: Reader, pictures: list[Path]) -> None:
    page.browser.choose(lambda: page.browser.click("#choose"), pictures[0])
    page.until("answered")
    page.browser.choose(lambda: page.browser.click("#choose"), pictures[0], pictures[1])
    cards = page.until("answered", "answered", "answered")
    assert [card.file for card in cards] == ["dog-0.jpg", "dog-1.jpg", "dog-0.jpg"]
    # Where the dialog still held them, browsers would not tell of the same choice made again.
    assert page.browser.value("document.querySelector('#files').value") == ""


def test_a_picture_is_pasted(page: Reader, server: PageServer) -> None:
    content = io.BytesIO()
    Image.new("RGB", (20, 10), (10, 200, 30)).save(content, format="PNG")
    page.browser.copy_picture(server.url, content.getvalue())
    page.browser.paste()
    (card,) = page.until("answered")
    assert card.file == "Pasted picture"
    (request,) = server.requests
    assert request.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(request.body)).size == (20, 10)


def test_pasting_something_else_says_so(page: Reader, server: PageServer, pictures: list[Path]) -> None:
    page.browser.value("document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: new DataTransfer()}))")
    assert page.text("#notice") == "The clipboard does not contain a picture."
    assert page.announced == ["The clipboard does not contain a picture."]
    page.drop(pictures[0])
    page.until("answered")
    assert page.text("#notice") == ""
    assert len(server.requests) == 1


def test_a_dropped_folder_and_a_dropped_link_are_refused_in_words(page: Reader, tmp_path: Path) -> None:
    page.drop(tmp_path)
    assert page.text("#notice").startswith("That is a folder.")
    page.browser.value(
        "(() => { const dataTransfer = new DataTransfer(); dataTransfer.setData('text/uri-list', 'http://a.test/');"
        "return document.dispatchEvent(new DragEvent('drop', {dataTransfer, cancelable: true})); })()"
    )
    assert page.text("#notice").startswith("That is not a file.")
    assert page.cards == []


def test_a_phone_offers_its_camera_and_a_desk_does_not(browser: Page, server: PageServer, pictures: list[Path]) -> None:
    browser.open(server.url, width=390, height=844, phone=True, calm=True)
    page = Reader(browser)
    assert page.text("#photograph") == "Take a photo"
    assert browser.value("document.querySelector('#camera').getAttribute('capture')") == "environment"
    browser.choose(lambda: browser.click("#photograph"), pictures[0])
    page.until("answered")
    browser.open(server.url)
    assert page.text("#photograph") == ""


def test_while_something_is_dragged_over_the_page_the_place_for_it_is_marked(
    page: Reader, pictures: list[Path]
) -> None:
    marked = "document.querySelector('#drop').matches('.over')"
    page.browser.value(
        f"new MutationObserver(() => {{ window.marked ||= {marked}; }})"
        ".observe(document.querySelector('#drop'), {attributes: true})"
    )
    page.browser.drag("dragEnter", "h1", pictures[0])
    page.browser.drag("dragOver", "h1", pictures[0])
    page.browser.wait(lambda: page.browser.value("window.marked"))
    page.browser.wait(lambda: not page.browser.value(marked))


def test_what_is_rejected_still_shows_what_it_comes_closest_to(
    page: Reader, server: PageServer, pictures: list[Path]
) -> None:
    server.replies(prediction(rejected=True))
    page.drop(pictures[0])
    (card,) = page.until("rejected")
    assert card.title == "Probably none of the known breeds"
    assert [row.breed for row in card.rows] == list(BREEDS)
    assert [row.share for row in card.rows][:2] == ["27%", "2%"]
    assert page.announced[-1] == "dog-0.jpg: probably none of the known breeds. The most similar is Collie, 27%."


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("IMG_2041.HEIC", ("image/heic", "application/octet-stream")), ("request.json", ("application/octet-stream",))],
)
def test_a_file_that_cannot_be_shown_is_sent_all_the_same(
    page: Reader, server: PageServer, tmp_path: Path, name: str, media_type: tuple[str, ...]
) -> None:
    file = tmp_path / name
    file.write_bytes(b'{"url": "http://127.0.0.1/"}')
    page.drop(file)
    page.until("answered")
    assert page.text(".no-preview") == "No preview"
    (request,) = server.requests
    assert request.body == file.read_bytes()
    assert request.headers["content-type"] in media_type


def test_a_photograph_taken_sideways_stands_upright(page: Reader, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (80, 40), (200, 20, 10))
    picture.paste((10, 20, 200), (40, 0, 80, 40))
    picture.save(tmp_path / "sideways.jpg", exif=exif)
    page.drop(tmp_path / "sideways.jpg")
    page.until("answered")
    page.browser.wait(lambda: page.browser.value("document.querySelector('.photo').matches('.loaded')"))
    box = page.browser.box(".photo")
    page.browser.next_frame()
    page.browser.screenshot(tmp_path / "page.png")
    middle = box["x"] + box["width"] / 2
    with Image.open(tmp_path / "page.png") as shown:
        above, below = (shown.getpixel((middle, box["y"] + box["height"] * part)) for part in (0.2, 0.8))
    assert above[0] > 150 > below[0], "what the camera saw above is above"
    assert below[2] > 150 > above[2]


def test_the_page_lets_go_of_pictures_that_it_has_shown(page: Reader, pictures: list[Path], tmp_path: Path) -> None:
    page.browser.value(
        "(() => { window.held = new Set(); const [make, drop] = [URL.createObjectURL, URL.revokeObjectURL];"
        "URL.createObjectURL = (file) => { const url = make(file); held.add(url); window.made = true; return url; };"
        "URL.revokeObjectURL = (url) => { held.delete(url); drop(url); }; })()"
    )
    (tmp_path / "no-picture.jpg").write_bytes(b"no picture")
    page.drop(*pictures[:3], tmp_path / "no-picture.jpg")
    page.until(*["answered"] * 4)
    page.browser.wait(lambda: page.browser.value("made && held.size === 0"))
    assert (
        page.browser.value("[...document.querySelectorAll('.photo')].filter(e => e.naturalWidth === 120).length") == 3
    )


def test_a_removed_picture_is_gone_and_its_call_ended(page: Reader, server: PageServer, pictures: list[Path]) -> None:
    never = threading.Event()
    server.answer = lambda _request: Reply(200, prediction().body, hold=never)
    page.drop(*pictures[:5])
    page.browser.wait(lambda: len(server.requests) == 4)
    page.until("sending", "sending", "sending", "sending", "queued")
    page.press("Remove")
    page.browser.wait(lambda: len(server.requests) == 5)
    assert page.states == ["sending"] * 4
    page.browser.click("#clear")
    assert page.cards == []
    assert page.focus == "Choose pictures"
    never.set()
    page.browser.value("new Promise(done => setTimeout(done, 50))")
    assert page.announced == ["5 pictures added."]
    assert page.browser.complaints == []


def test_the_footer_follows_the_model_that_answers(browser: Page, server: PageServer, pictures: list[Path]) -> None:
    server.labels = Reply(503, {})
    browser.open(server.url, calm=True)
    page = Reader(browser)
    assert page.text("#model") == ""
    server.labels = labels(120)
    page.drop(pictures[0])
    page.browser.wait(lambda: page.text("#model") == f"Classified by model {MODEL_ID[:12]} · 120 breeds")
    assert page.cards[0].note == "Most likely of 120 breeds"
    server.labels = labels(7, model_id="cafe" * 16)
    server.replies(prediction(model_id="cafe" * 16))
    page.drop(pictures[1])
    page.browser.wait(lambda: page.text("#model") == "Classified by model cafecafecafe · 7 breeds")
    assert [card.note for card in page.cards] == ["Most likely of 7 breeds", "Most likely of 120 breeds"]


def test_names_from_outside_are_text(page: Reader, server: PageServer, tmp_path: Path) -> None:
    evil = "<img src=x onerror=document.title='taken'>"
    server.replies(prediction(breeds=(evil, f"{evil}b"), model_id=evil))
    file = tmp_path / f"{evil}.jpg"
    file.write_bytes(b"x")
    page.drop(file)
    (card,) = page.until("answered")
    assert (card.title, card.file) == (evil, f"{evil}.jpg")
    assert [row.breed for row in card.rows] == [evil, f"{evil}b"]
    assert page.browser.value("document.querySelectorAll('img[src=x]').length") == 0
    assert page.browser.value("document.title") == "Which breed is this dog?"


def test_the_keyboard_is_enough(page: Reader, server: PageServer, pictures: list[Path]) -> None:
    browser = page.browser
    browser.key("Tab")
    assert page.focus == "Choose pictures"
    browser.choose(lambda: browser.key("Enter"), *pictures[:3])
    page.until("answered", "answered", "answered")
    assert page.focus == "Choose pictures", "an answer must not take the focus away"
    stops = []
    for _ in range(11):
        browser.key("Tab")
        stops.append(page.focus)
    of_cards = [("Save as image", "Copy as image", f"Remove dog-{number}.jpg") for number in range(3)]
    assert stops == ["Remove all", *(stop for card in of_cards for stop in card), "API documentation"]
    for _ in range(7):
        browser.key("Tab", shift=True)
    browser.key(" ")
    assert page.focus == "Remove dog-1.jpg", "the place of the removed one"
    assert page.browser.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.key("Enter")
    browser.key("Enter")
    assert page.cards == []
    assert page.focus == "Choose pictures"


def test_those_who_listen_hear_what_happens(page: Reader, pictures: list[Path]) -> None:
    page.drop(pictures[0])
    page.until("answered")
    assert page.announced == ["dog-0.jpg added.", "dog-0.jpg: Collie, 91%."]
    live = "(e => [e.getAttribute('role'), e.getAttribute('aria-live')])(document.querySelector('#spoken'))"
    assert page.browser.value(live) == ["log", "polite"]
