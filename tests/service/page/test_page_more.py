"""What the page can do beyond a file and its answer: why, addresses, examples, images of results, other formats."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from dogbreed_sdk.service import page as page_files
from tests.axe import violations
from tests.browser import Page
from tests.service.page.reading import Reader
from tests.service.page.stand_in import MODEL_ID, PageServer, Reply, Request, labels, prediction, problem


def data_url(color: tuple[int, ...], kind: str) -> str:
    written = io.BytesIO()
    Image.new("RGBA" if kind == "PNG" else "RGB", (120, 90), color).save(written, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(written.getvalue()).decode()}"


PREVIEW = data_url((200, 30, 30), "JPEG")
EXPLANATION = Reply(200, {"label": "Collie", "heatmap": data_url((250, 200, 40, 128), "PNG")})
HEAT = "document.querySelector('.heat')"


def opened(browser: Page, server: PageServer, **options: object) -> Reader:
    server.options = options
    browser.open(server.url, calm=True)
    reader = Reader(browser)
    browser.wait(lambda: reader.text("#model"))
    return reader


def with_preview() -> Reply:
    reply = prediction()
    assert isinstance(reply.body, dict)
    return Reply(200, {**reply.body, "preview": PREVIEW})


def width_of_photo(page: Reader) -> int:
    width: int = page.browser.value("document.querySelector('.photo').naturalWidth")
    return width


class TestWhy:
    @pytest.fixture
    def page(self, browser: Page, server: PageServer, pictures: list[Path]) -> Reader:
        explained = lambda request: EXPLANATION if request.path.startswith("/v1/explain") else prediction()  # noqa: E731
        server.answer = explained
        page = opened(browser, server, explain=True)
        page.drop(pictures[0])
        page.until("answered")
        return page

    def test_the_heat_map_is_laid_over_the_picture_and_taken_away(self, page: Reader, server: PageServer) -> None:
        page.browser.click(".card .why")
        page.browser.wait(lambda: page.browser.value(f"{HEAT}.classList.contains('loaded')"))
        places = "['.heat', '.photo'].map(name => document.querySelector(name).getBoundingClientRect())"
        places += ".map(box => [box.x, box.y, box.width, box.height])"
        heat, photo = page.browser.value(places)
        assert heat == photo
        assert page.text(".legend") == "The brighter, the more this part speaks for Collie."
        assert page.announced[-1] == "dog-0.jpg: the heat map shows the evidence for Collie."
        assert page.browser.value(f"{HEAT}.alt") == "Heat map of the evidence for Collie"
        assert violations(page.browser) == []
        page.browser.click(".card .why")
        assert page.browser.value(f"{HEAT}.hidden")
        page.browser.click(".card .why")
        page.browser.wait(lambda: not page.browser.value(f"{HEAT}.hidden"))
        assert [request.path for request in server.requests] == ["/v1/classify?top_k=5", "/v1/explain"]
        assert server.requests[1].body == server.requests[0].body

    def test_why_there_is_none_is_said(self, page: Reader, server: PageServer) -> None:
        server.replies(problem(503, "overloaded", "x"), EXPLANATION)
        page.browser.click(".card .why")
        page.browser.wait(lambda: "The service is busy" in page.text(".legend"))
        page.browser.click(".card .why")
        page.browser.wait(lambda: "speaks for Collie" in page.text(".legend"))

    def test_a_service_that_cannot_explain_has_no_button(
        self, browser: Page, server: PageServer, pictures: list[Path]
    ) -> None:
        page = opened(browser, server)
        page.drop(pictures[0])
        page.until("answered")
        assert page.text(".why") == ""


class TestAddresses:
    @pytest.fixture
    def page(self, browser: Page, server: PageServer) -> Reader:
        server.replies(with_preview())
        return opened(browser, server, urls=True)

    def test_one_is_typed_and_only_the_service_loads_it(self, page: Reader, server: PageServer) -> None:
        page.browser.value("document.querySelector('#address').focus()")
        page.browser.type("https://dogs.example/a%20b/rex.jpg?size=1")
        page.browser.key("Enter")
        (card,) = page.until("answered")
        assert card.file == "rex.jpg"
        page.browser.wait(lambda: width_of_photo(page) == 120)
        [request] = server.requests
        assert (request.path, json.loads(request.body)) == (
            "/v1/classify?top_k=5&preview=true",
            {"url": "https://dogs.example/a%20b/rex.jpg?size=1"},
        )
        assert [url for url in page.browser.requests if "dogs.example" in url] == []
        assert page.text("#address") == "" == page.browser.value("document.querySelector('#address').value")

    def test_one_is_pasted_or_dropped(self, page: Reader, server: PageServer) -> None:
        transfer = "(type, text) => { const data = new DataTransfer(); data.setData(type, text); return data; }"
        page.browser.value(
            f"document.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: ({transfer})('text/plain', "
            "' https://dogs.example/one.jpg ')}))"
        )
        page.until("answered")
        page.browser.value(
            f"document.dispatchEvent(new DragEvent('drop', {{dataTransfer: ({transfer})('text/uri-list', "
            "'# a comment\\r\\nhttps://dogs.example/two.jpg')}))"
        )
        page.until("answered", "answered")
        sent = [json.loads(request.body)["url"] for request in server.requests]
        assert sent == ["https://dogs.example/one.jpg", "https://dogs.example/two.jpg"]

    @pytest.mark.parametrize("text", ["rex.jpg", "file:///etc/passwd", "javascript:alert(1)", "https://"])
    def test_what_is_no_address_is_refused(self, page: Reader, server: PageServer, text: str) -> None:
        page.browser.value(f"document.querySelector('#address').value = {json.dumps(text)}")
        page.browser.click("#address-form button")
        page.browser.wait(lambda: "not the address of a picture" in page.text("#notice"))
        assert server.requests == []

    def test_a_failed_download_is_named(self, page: Reader, server: PageServer) -> None:
        server.replies(problem(422, "image-download", "https://dogs.example: status 404"))
        page.browser.value("document.querySelector('#address').value = 'https://dogs.example/x'")
        page.browser.click("#address-form button")
        (card,) = page.until("failed")
        assert card.title == "This picture cannot be downloaded"

    def test_without_urls_there_is_no_field(self, browser: Page, server: PageServer) -> None:
        page = opened(browser, server)
        assert page.text("#address-form") == ""
        page.browser.value(
            "(data => { data.setData('text/plain', 'https://dogs.example/one.jpg');"
            "document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data})); })(new DataTransfer())"
        )
        assert page.text("#notice") == "The clipboard does not contain a picture."
        assert server.requests == []


def test_a_format_that_the_browser_cannot_show_gets_a_preview(
    browser: Page, server: PageServer, tmp_path: Path
) -> None:
    server.replies(with_preview())
    page = opened(browser, server)
    file = tmp_path / "rex.heic"
    file.write_bytes(b"\0\0\0\x18ftypheic")
    page.drop(file)
    page.until("answered")
    page.browser.wait(lambda: width_of_photo(page) == 120)
    assert server.requests[0].path == "/v1/classify?top_k=5&preview=true"
    assert page.text(".no-preview") == ""


def test_a_result_is_saved_and_copied_as_an_image(
    browser: Page, server: PageServer, pictures: list[Path], tmp_path: Path
) -> None:
    page = opened(browser, server)
    browser._call(
        "Browser.grantPermissions", origin=server.url, permissions=["clipboardReadWrite", "clipboardSanitizedWrite"]
    )
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.drop(pictures[0])
    page.until("answered")
    browser.wait(lambda: browser.value("document.querySelector('.photo').classList.contains('loaded')"))
    browser.click(".card .save")
    saved = tmp_path / "dog-0 result.png"
    browser.wait(saved.is_file)
    with Image.open(saved) as image:
        assert image.size == (900, 675 + 2 * 40 + 84 + 5 * 58)
        assert image.convert("RGB").getpixel((450, 330)) != image.convert("RGB").getpixel((450, 720))
    browser.click(".card .copy")
    browser.wait(lambda: page.text(".legend") == "The image was copied.")
    size = browser.value(
        "navigator.clipboard.read().then(([item]) => item.getType('image/png')).then(createImageBitmap)"
        ".then(image => [image.width, image.height])"
    )
    assert size == [900, 1129]


class TestWording:
    def test_other_classes_get_another_question(self, browser: Page, server: PageServer, pictures: list[Path]) -> None:
        server.labels = Reply(200, {"model_id": MODEL_ID, "labels": [{}] * 3, "subject": "classes"})
        page = opened(browser, server)
        browser.wait(lambda: page.text("h1") == "What is in this picture?")
        assert browser.value("document.title") == "What is in this picture?"
        assert page.text(".lead") == "Add a picture to see the classes that it resembles most."
        assert page.text("#model").endswith("3 classes")
        server.replies(prediction(), prediction(rejected=True))
        page.drop(pictures[0])
        assert page.until("answered")[0].note == "Most likely of 3 classes"
        page.drop(pictures[1])
        assert page.until("rejected", "answered")[0].title == "Probably none of the known classes"

    def test_a_title_of_one_s_own_stays(self, browser: Page, server: PageServer) -> None:
        page = opened(browser, server, title="Whose <b>dog</b>?")
        assert page.text("h1") == browser.value("document.title") == "Whose <b>dog</b>?"
        assert labels(1).status == 200

    def test_the_page_says_what_is_known_when_it_is_sent(self) -> None:
        text = page_files.index(subject="dogs", title=None, urls=True, explain=True).decode()
        assert "<title>Which breed is this dog?</title>" in text
        assert '<body data-subject="dogs" data-urls data-explain>' in text
        assert "<title>What is in this picture?</title>" in page_files.index().decode()


def test_a_text_of_a_refused_file_says_picture_once(page: Reader, server: PageServer, pictures: list[Path]) -> None:
    server.replies(problem(415, "unsupported-image", "The picture is not a picture in a supported format."))
    page.drop(pictures[0])
    (card,) = page.until("failed")
    assert (card.title, card.note) == (
        "The service cannot read this picture",
        "It is not a picture in a supported format.",
    )


def test_examples_are_tried_with_a_click(browser: Page, server: PageServer, pictures: list[Path]) -> None:
    server.files = {"/examples/0": (pictures[0].read_bytes(), "image/jpeg")}
    page = opened(browser, server, examples=["Rex & co"])
    browser.click("#examples button")
    (card,) = page.until("answered")
    assert card.file == "Rex & co"
    assert server.requests[0].body == pictures[0].read_bytes()
    assert violations(browser) == []


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (5, 3)])
def test_many_pictures_stand_in_columns(
    browser: Page, server: PageServer, pictures: list[Path], count: int, columns: int
) -> None:
    page = opened(browser, server)
    page.drop(*pictures[:count])
    page.until(*["answered"] * count)
    lefts = browser.value(
        "[...document.querySelectorAll('.card')].map(e => Math.round(e.getBoundingClientRect().left))"
    )
    assert len(set(lefts)) == columns
    requests: list[Request] = server.requests
    assert len(requests) == count
