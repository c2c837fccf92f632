"""The page of an evaluation: what it shows, what it leaves out, and that it works without a mouse."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from dogbreed_sdk.endpoints.evaluation import Evaluation, evaluate, summarize
from dogbreed_sdk.endpoints.evaluation.page import confusion, parts
from dogbreed_sdk.endpoints.evaluation.page import document as page
from dogbreed_sdk.endpoints.evaluation.page.confidence import _tendency
from dogbreed_sdk.endpoints.evaluation.page.parts import unique_labels
from dogbreed_sdk.endpoints.evaluation.page.plots import coverage_plot
from dogbreed_sdk.endpoints.evaluation.statistics import CoveragePoint
from dogbreed_sdk.errors import ConfigurationError, UnsupportedImageError
from dogbreed_sdk.predictions import Rejection
from tests import axe
from tests.browser import Page
from tests.endpoints.folder_classifier import CLASSES, FolderClassifier, draw, predicted

BREEDS = (*CLASSES, "004.Collie")


@pytest.fixture
def measured(tmp_path: Path) -> Evaluation:
    """Sixteen pictures: two boxers are taken for pugs, one beagle for a boxer; one collie is broken."""
    folder = draw(tmp_path / "secret-user" / "dogs", splits={"train": 1, "test": 4}, classes=BREEDS)
    classifier = FolderClassifier(
        BREEDS,
        a0=[0.1, 0.8, 0.05, 0.05],
        a1=[0.3, 0.6, 0.05, 0.05],
        c2=[0.7, 0.1, 0.15, 0.05],
        d3=UnsupportedImageError(f"{folder / 'test' / '004.Collie' / 'd3.png'} is broken"),
    )
    return evaluate(classifier, folder)


def written(result: Evaluation, folder: Path, **options: object) -> str:
    return result.to_html(folder / "page.html", **options).read_text("utf-8")  # type: ignore[arg-type]


def data_of(text: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found is not None
    data: dict[str, object] = json.loads(found[1])
    return data


def test_the_page_tells_what_happened(measured: Evaluation, tmp_path: Path) -> None:
    text = written(measured, tmp_path, subject="endpoint pets on ./dogs")
    assert "80% of 15 pictures are classified correctly." in text
    assert "between 54.8% and 93% (95% confidence)" in text
    assert "endpoint pets on ./dogs" in text
    assert "All 3 mistakes. First come the pictures whose true class the model finds least likely." in text
    assert "10% for the true class" in text
    assert "d3.png: d3.png is broken" in text
    assert text.index("a0.png") < text.index("c2.png") < text.index("a1.png"), "the worst mistake is first"


@pytest.mark.parametrize(
    ("wrong", "pictures", "said"),
    [
        (0, 1, "None: the only picture is classified correctly."),
        (0, 2, "None: both pictures are classified correctly."),
        (0, 4, "None: all 4 pictures are classified correctly."),
        (1, 2, "The only mistake. Often the label is wrong"),
        (2, 3, "Both mistakes. First come the pictures"),
        (4, 4, "All 4 mistakes. First come the pictures"),
    ],
)
def test_few_mistakes_are_counted_in_words(tmp_path: Path, wrong: int, pictures: int, said: str) -> None:
    folder = draw(tmp_path / "dogs", splits={"train": 1, "test": pictures}, classes=CLASSES[:1])
    classifier = FolderClassifier(CLASSES, **{f"a{number}": [0.1, 0.8, 0.1] for number in range(wrong)})
    assert said in written(evaluate(classifier, folder), tmp_path)


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (0.0345, "confidence is 3.5 points above its accuracy"),
        (-0.2, "confidence is 20.0 points below its accuracy"),
        (0.001, "confidence matches its accuracy"),
    ],
)
def test_confidence_and_accuracy_are_compared_in_plain_words(difference: float, said: str) -> None:
    assert _tendency(difference) == f"On average, the model's {said}"


def test_each_picture_is_in_the_page_once(measured: Evaluation, tmp_path: Path) -> None:
    text = written(measured, tmp_path)
    sources = re.findall(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", text)
    assert len(sources) == len(set(sources)) == 3 + len(measured.typical)
    shown = {int(name) for name in re.findall(r'id="p(\d+)"', text)} | {
        int(name[1:])
        for name in dict(data_of(text)["sources"])  # type: ignore[call-overload]
    }
    assert shown == set(range(len(sources)))


def test_the_page_knows_the_pictures_of_every_cell(measured: Evaluation, tmp_path: Path) -> None:
    confusion = data_of(written(measured, tmp_path))["confusion"]
    assert isinstance(confusion, dict)
    assert confusion["classes"] == ["Boxer", "Pug", "Beagle", "Collie"]
    assert [0, 1, 2] in confusion["counts"]
    assert [each[2:4] for each in confusion["pictures"] if each[:2] == [0, 1]] == [["a0.png", 0.8], ["a1.png", 0.6]]


def test_nothing_of_the_machine_is_in_the_page(measured: Evaluation, tmp_path: Path) -> None:
    text = written(measured, tmp_path)
    assert "secret-user" not in text
    assert str(tmp_path) not in text


def test_names_cannot_become_markup(tmp_path: Path) -> None:
    classes = ("<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>")
    result = summarize(
        [classes[0]], [predicted([0.1, 0.9], classes)], classes=classes, paths=[Path("</script><b>.jpg")]
    )
    text = written(result, tmp_path, subject="<b>bold</b>")
    assert "<img src=x" not in text
    assert "alert(2)</script>" not in text
    assert "<b>bold" not in text
    assert text.count("<script") == 2


def test_pictures_that_are_gone_leave_a_note(measured: Evaluation, tmp_path: Path) -> None:
    measured.mistakes[0].path.unlink()
    text = written(measured, tmp_path)
    assert "1 picture that is missing or cannot be read" in text
    assert text.count('class="none"') == 1
    for mistake in measured.mistakes[1:]:
        mistake.path.unlink()
    text = written(measured, tmp_path)
    assert "3 pictures that are missing or cannot be read" in text
    assert re.search(r'<th scope="row">a0\.png</th><td>Boxer</td><td>Pug</td>', text), "a table of names remains"


def test_an_evaluation_without_mistakes_or_with_nothing_else(tmp_path: Path) -> None:
    folder = draw(tmp_path / "dogs", splits={"train": 1, "test": 2})
    right = written(evaluate(FolderClassifier(), folder), tmp_path)
    assert "None: all 6 pictures are classified correctly." in right
    swapped = {f"{letter}{n}": CLASSES[(i + 1) % 3] for i, letter in enumerate("abc") for n in range(2)}
    wrong = written(evaluate(FolderClassifier(**swapped), folder), tmp_path)
    assert "0% of 6 pictures are classified correctly." in wrong
    assert "none is classified correctly" in wrong


def test_rejected_pictures_are_shown_with_what_the_rule_gains(tmp_path: Path) -> None:
    answers = [
        predicted([0.9, 0.05, 0.05], rejection=Rejection(False, 0.1, 0.5)),
        predicted([0.5, 0.3, 0.2], rejection=Rejection(True, 0.9, 0.5)),
        predicted([0.4, 0.35, 0.25], rejection=Rejection(True, 0.7, 0.5)),
    ]
    text = written(summarize(["001.Boxer", "001.Boxer", "002.Pug"], answers, classes=CLASSES), tmp_path)
    assert (
        "rejects 2 of 3 pictures as none of its classes; 1 of them would have been wrong. It answers 33.3%, and "
        "100% of these answers are right."
    ) in text


def test_the_size_is_bounded_and_the_page_says_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six hundred classes, twelve thousand mistakes in as many pairs, and a budget for few pictures."""
    monkeypatch.setattr(page, "_PICTURE_BYTES", 3_000)
    monkeypatch.setattr(confusion, "_CELLS", 5_000)
    classes = tuple(f"{number:03d}.{'Very_' * 8}long_name_of_breed_{number}" for number in range(600))
    noise = Image.effect_noise((64, 64), 90)
    for number in range(9):
        noise.rotate(10 * number).save(tmp_path / f"{number}.png")
    truths, answers, paths = [], [], []
    for number in range(12_000):
        truth, answer = number % 600, (number % 600 + 1 + number // 600) % 600
        truths.append(classes[truth])
        answers.append(predicted([0.9, 0.1], (classes[answer], classes[truth])))
        paths.append(tmp_path / f"{number}.png")
    result = summarize(truths, answers, classes=classes, paths=paths)
    text = written(result, tmp_path)
    assert len(text.encode()) < page.MAX_BYTES
    assert re.search(r"Left out: [\d,]+ pictures, to keep the page small", text)
    assert len(data_of(text)["confusion"]["counts"]) == 5_000  # type: ignore[index,call-overload]
    assert "100 more accurate classes are not shown" in text


class Explaining:
    """Marks every picture red, but cannot read c2.png; a classifier of an endpoint explains none."""

    def __init__(self, *, is_local: bool = True) -> None:
        self.is_local = is_local
        self.asked: list[tuple[str, str | None]] = []

    def explain(self, picture: Path, /, *, label: str | None = None) -> Explaining:
        self.asked.append((picture.name, label))
        if not self.is_local:
            raise ConfigurationError("the network is not on this machine")
        if picture.name == "c2.png":
            raise UnsupportedImageError("it cannot be explained")
        return self

    def overlay(self) -> Image.Image:
        return Image.new("RGB", (32, 32), (255, 0, 0))


def test_the_worst_mistakes_are_explained_for_both_classes(measured: Evaluation, tmp_path: Path) -> None:
    classifier = Explaining()
    text = written(measured, tmp_path, classifier=classifier)
    assert classifier.asked[:3] == [("a0.png", CLASSES[0]), ("a0.png", CLASSES[1]), ("c2.png", CLASSES[2])]
    assert len(classifier.asked) == 6
    assert text.count("marked where the evidence for") == 4
    assert "Evidence for Pug, and typical pictures" in text


def test_a_classifier_that_explains_nothing_is_asked_once(measured: Evaluation, tmp_path: Path) -> None:
    classifier = Explaining(is_local=False)
    assert "evidence for" not in written(measured, tmp_path, classifier=classifier)
    assert len(classifier.asked) == 1


def test_explanations_stop_in_time(measured: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_EXPLAINING_SECONDS", -1.0)
    classifier = Explaining()
    written(measured, tmp_path, classifier=classifier)
    assert classifier.asked == []


def test_classes_with_the_same_name_are_told_apart() -> None:
    assert unique_labels(["001.Pug", "002.Pug", "003.Boxer"]) == {
        "001.Pug": "001.Pug", "002.Pug": "002.Pug", "003.Boxer": "Boxer",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lowest", "ticks"),
    [
        (0.99, ["98%", "100%"]),
        (0.74, ["70%", "80%", "90%", "100%"]),
        (0.1, ["0%", "25%", "50%", "75%", "100%"]),
        (0.0, ["0%", "25%", "50%", "75%", "100%"]),
        (1.0, ["98%", "100%"]),
    ],
)
def test_the_axis_of_accuracy_has_round_steps(lowest: float, ticks: list[str]) -> None:
    drawn = coverage_plot([("by probability", [CoveragePoint(0.5, 1.0, lowest)])])
    shown = re.findall(r'class="tick end">([^<]*)<', drawn)
    assert sorted(shown, key=lambda each: float(each[:-1])) == ticks


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_browser_shows_the_page_without_a_complaint(
    browser: Page, measured: Evaluation, tmp_path: Path, width: int, dark: bool
) -> None:
    browser.open(measured.to_html(tmp_path / "page.html").as_uri(), width=width, dark=dark)
    browser.click("button.wrong")
    assert browser.value("[...document.images].every((image) => image.naturalWidth > 0)") is True
    assert browser.value("document.documentElement.scrollWidth") == width
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith(("data:", "file:"))] == []
    assert axe.violations(browser) == []


@pytest.mark.slow
def test_a_cell_shows_its_pictures_with_the_keyboard_alone(browser: Page, measured: Evaluation, tmp_path: Path) -> None:
    browser.open(measured.to_html(tmp_path / "page.html").as_uri())
    browser.value("document.querySelector('#matrix button[tabindex=\"0\"]').focus()")
    told = "document.activeElement.getAttribute('aria-label')"
    assert browser.value(told) == "2 pictures of Boxer classified as Pug"
    browser.key("Enter")
    assert browser.value("document.querySelector('#cell h3').textContent") == "Boxer classified as Pug"
    names = "[...document.querySelectorAll('#cell .pictures:not(.few) small')].map((each) => each.textContent)"
    assert browser.value(names) == ["a0.png", "a1.png"]
    browser.key("ArrowLeft")
    assert browser.value(told) == "2 pictures of Boxer classified correctly"
    browser.key("ArrowLeft")
    assert browser.value(told) == "2 pictures of Boxer classified correctly", "there is nothing further left"
    order = "[...document.querySelectorAll('#matrix tbody th')].map((each) => each.textContent)"
    browser.value("(e => { e.value = 'name'; e.dispatchEvent(new Event('change')); })(document.all['matrix-order'])")
    assert browser.value(order) == ["Beagle", "Boxer", "Collie", "Pug"]
    browser.value("(e => { e.value = 'data'; e.dispatchEvent(new Event('change')); })(document.all['matrix-order'])")
    assert browser.value(order) == ["Boxer", "Pug", "Beagle", "Collie"]


@pytest.mark.slow
def test_the_slider_trades_coverage_for_accuracy(browser: Page, measured: Evaluation, tmp_path: Path) -> None:
    browser.open(measured.to_html(tmp_path / "page.html").as_uri())
    told = "document.getElementById('traded').textContent"
    assert "100% of the pictures are answered, 80% of these answers are right" in browser.value(told)
    browser.value("document.getElementById('threshold').focus()")
    for _ in range(3):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", windowsVirtualKeyCode=39)
    assert "at least 80% sure: 86.7% of the pictures are answered, 92.3% of" in browser.value(told)


@pytest.mark.slow
def test_many_classes_show_the_most_confused_and_a_search(browser: Page, tmp_path: Path) -> None:
    classes = tuple(f"{number:03d}.Breed_{number}" for number in range(1, 61))
    truths, answers = [], []
    for number, name in enumerate(classes):
        other = classes[(number + 1) % 60] if number >= 50 else name
        truths += [name, name]
        answers += [predicted([0.9, 0.1], (each, "other")) for each in (name, other)]
    result = summarize(truths, answers, classes=classes)
    browser.open(result.to_html(tmp_path / "page.html").as_uri())
    rows = "[...document.querySelectorAll('#matrix tbody th')].map((each) => each.textContent)"
    assert len(browser.value(rows)) == 30
    assert {f"Breed {number}" for number in range(51, 61)} <= set(browser.value(rows))
    browser.value(
        "(e => { e.value = 'Breed 60'; e.dispatchEvent(new Event('input')); })(document.all['matrix-search'])"
    )
    assert browser.value(rows) == ["Breed 60", "Breed 59", "Breed 1"]
