"""The validation pictures in a report: what the model made of them, and where the pictures are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dogbreed_sdk.debugging.html.document import document
from dogbreed_sdk.debugging.html.validation import validation_parts
from dogbreed_sdk.debugging.report import DebugReport
from dogbreed_sdk.debugging.sources.layout import Parts, Recording
from dogbreed_sdk.debugging.sources.pictures import located, validation_folder
from dogbreed_sdk.endpoints.evaluation import ConfusedPair
from dogbreed_sdk.errors import ConfigurationError
from tests.browser import Page
from tests.debugging.insights_made_up import HEALTHY, made_up_run
from tests.debugging.test_feature_pass import FACTS
from training_scripts.recording.trial.trial import EVAL, MemoryTrial

SIZE, CLASSES = 40, 4
LABELS = np.arange(SIZE) % CLASSES
# Picture 1, a pug, is taken for a boxer; picture 6, a beagle, for a collie, and more surely.
PREDICTIONS = np.where(np.arange(SIZE) == 1, 0, np.where(np.arange(SIZE) == 6, 3, LABELS))
LOSSES = np.where(np.arange(SIZE) == 1, 3.0, np.where(np.arange(SIZE) == 6, 5.0, 0.01 + np.arange(SIZE) / 1000))
BREEDS = ["001.Boxer", "002.Pug", "003.Beagle", "004.Collie"]


def recorded(**changes: Any) -> MemoryTrial:
    trial = made_up_run(
        size=SIZE, classes=CLASSES, answers=(LABELS, PREDICTIONS), losses=LOSSES / HEALTHY[8], train_size=640
    )
    trial.run["classes"] = BREEDS
    trial.run["valid_names"] = [f"{BREEDS[number % 4]}/{number}.jpg" for number in range(SIZE)]
    trial.run |= changes
    for epoch in range(len(HEALTHY)):
        sure = np.where(PREDICTIONS == LABELS, np.exp(-LOSSES), 0.9)
        trial.add("valid_probabilities", epoch, EVAL, sure, collection="valid_probabilities")
    return trial


def report(trial: MemoryTrial, *, data: Path | None = None, job: dict[str, Any] | None = None) -> DebugReport:
    return DebugReport("made up", trial=trial, recording=Recording("made up", Parts(), job=job or {}, data=data))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """The data set of the recording."""
    for number in range(SIZE):
        folder = tmp_path / "data" / "val" / BREEDS[number % 4]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 6, 0, 0)).save(folder / f"{number}.jpg")
    return tmp_path / "data"


def test_the_answers_of_the_best_epoch_are_those_of_an_evaluation() -> None:
    found = report(recorded()).validation
    assert found is not None
    assert (found.epoch, found.is_best, found.is_named) == (9, True, True)
    content = found.content
    assert (content.n, content.correct, content.classes) == (SIZE, SIZE - 2, tuple(BREEDS))
    assert [str(mistake.path) for mistake in content.mistakes] == ["003.Beagle/6.jpg", "002.Pug/1.jpg"]
    worst = content.mistakes[0]
    assert (worst.actual, worst.predicted, worst.probability) == ("003.Beagle", "004.Collie", pytest.approx(0.9))
    assert worst.loss == pytest.approx(5.0)
    assert content.most_confused(1) == (ConfusedPair("002.Pug", "001.Boxer", 1),)
    assert [str(each.path) for each in content.typical[:3]] == [f"001.Boxer/{number}.jpg" for number in (0, 4, 8)]
    assert sum(each.n for each in content.calibration) == SIZE
    assert content.coverage[-1].accuracy == 0.95


def test_without_names_or_probabilities_less_is_known_and_nothing_is_made_up() -> None:
    trial = made_up_run(size=SIZE, classes=CLASSES, answers=(LABELS, PREDICTIONS), losses=LOSSES)
    trial.run["valid_names"] = []
    found = report(trial).validation
    assert found is not None
    assert not found.is_named
    assert str(found.content.mistakes[0].path) == "validation picture 7"
    assert found.content.mistakes[0].probability is None
    assert (found.content.calibration, found.content.coverage) == ((), ())
    assert "The probabilities of these answers are not known." in document(report(trial)).decode()


def test_a_run_whose_samples_are_no_pictures_has_none_on_its_page() -> None:
    trial = recorded(recorder="loop", valid_names=[])
    trial.run["classes"] = ["low", "middle", "high", "none"]
    found = report(trial)
    assert found.validation is not None
    assert str(found.validation.content.mistakes[0].path) == "validation sample 7"
    shown = validation_parts(found, with_pictures=True)
    assert shown is not None
    assert shown.data["noun"] == "sample"
    text = " ".join(markup for _, _, markup in shown.sections)
    assert "The 40 validation samples, after epoch 9" in text
    assert "to see its samples." in text
    assert re.findall(r">[^<]*[Pp]icture[^<]*|aria-label=\"[^\"]*picture", text) == []
    assert ">Show<" not in text and 'class="pictures' not in text
    rows = re.findall(r"<tr.*?</tr>", text[text.index("The most confused pairs") :].partition("</table>")[0])
    assert {row.count("<th") + row.count("<td") for row in rows} == {4}


def test_runs_without_classes_or_answers_have_no_such_sections() -> None:
    without = made_up_run(ours=False)
    assert report(without).validation is None
    assert 'id="mistakes"' not in document(report(without)).decode()
    assert 'id="mistakes"' not in document(DebugReport("empty", trial=MemoryTrial())).decode()


def test_answers_of_one_batch_alone_are_not_taken_for_the_split() -> None:
    trial = recorded(sizes={"train": 640, "valid": 400})
    assert report(trial).validation is None


@pytest.mark.parametrize("place", ["data set", "split"])
def test_pictures_are_shown_where_the_data_set_is_given(pictures: Path, place: str) -> None:
    data = pictures if place == "data set" else pictures / "val"
    shown = validation_parts(report(recorded(), data=data), with_pictures=True)
    assert shown is not None
    [mistakes] = [markup for anchor, _, markup in shown.sections if anchor == "mistakes"]
    assert "The 40 validation pictures, after epoch 9, which has the lowest validation loss." in mistakes
    assert mistakes.count("data:image/jpeg") == 2 + 4 * 2
    assert mistakes.index("6.jpg") < mistakes.index("1.jpg")


def test_pictures_are_found_where_the_job_read_them(pictures: Path) -> None:
    channel = {"DataSource": {"S3DataSource": {"S3Uri": pictures.as_uri()}}}
    job = {"TrainingJobStatus": "Completed", "InputDataConfig": [channel]}
    assert report(recorded(), job=job).validation_folder == pictures / "val"


def test_pictures_are_found_where_another_job_computed_the_features(pictures: Path) -> None:
    channel = {"DataSource": {"S3DataSource": {"S3Uri": pictures.as_uri()}}}
    asked = []

    def describe(name: str) -> dict[str, Any]:
        asked.append(name)
        return {"InputDataConfig": [channel]}

    recording = Recording("made up", Parts(), describe=describe)
    found = DebugReport("made up", trial=recorded(feature_pass=FACTS), recording=recording)
    assert found.validation_folder == pictures / "val"
    assert asked == [FACTS["job"]]


def test_without_the_pictures_their_names_are_listed_and_how_to_see_them() -> None:
    text = document(report(recorded())).decode()
    assert "They were not found on this machine: pass the data set (--data DIR) to see them." in text
    assert "data:image/jpeg" not in text
    assert re.search(r'<th scope="row">6\.jpg</th><td>Beagle</td><td>Collie</td>', text)


def test_words_and_numbers_stay_whole_on_a_phone(browser: Page, tmp_path: Path) -> None:
    page = report(recorded()).to_html(tmp_path / "report.html")
    browser.open(page.as_uri(), width=390, phone=True)
    cells = browser.value(
        "[...document.querySelectorAll('.names-only td')].slice(1, 5).map(cell => {"
        "const range = document.createRange(); range.selectNodeContents(cell);"
        "return [cell.textContent, new Set([...range.getClientRects()].map(box => box.top)).size]; })"
    )
    assert len(cells) == 4
    assert "%" in cells[2][0]
    assert [lines for _, lines in cells] == [1, 1, 1, 1], cells
    assert browser.value("document.documentElement.scrollWidth") == 390


def test_a_live_page_lists_names_alone(pictures: Path) -> None:
    text = document(report(recorded(), data=pictures), version="1").decode()
    assert "data:image/jpeg" not in text
    assert "--data DIR" not in text


def test_a_recording_cannot_bring_other_files_into_the_page(pictures: Path) -> None:
    """The names come from the recording, which may be a stranger's."""
    (pictures / "private.jpg").write_bytes((pictures / "val" / BREEDS[0] / "0.jpg").read_bytes())
    names = ["../private.jpg", str(pictures / "private.jpg")] * (SIZE // 2)
    assert validation_folder(names, [pictures]) is None
    assert located(pictures / "val", Path("../private.jpg")) is None
    assert located(pictures / "val", pictures / "private.jpg") is None
    text = document(report(recorded(valid_names=names), data=pictures)).decode()
    assert "data:image/jpeg" not in text


def test_the_page_keeps_its_size_with_ten_thousand_pictures(tmp_path: Path) -> None:
    size, classes = 10_000, 200
    labels = np.arange(size) % classes
    predictions = (labels + (np.arange(size) % 3 == 0) * (1 + np.arange(size) // classes)) % classes
    trial = made_up_run(size=size, classes=classes, answers=(labels, predictions), train_size=6_400)
    trial.run["valid_names"] = [f"{'long_' * 12}{number}.png" for number in range(size)]
    (tmp_path / "valid").mkdir()
    noise = Image.effect_noise((64, 64), 90)
    for number in range(300):
        noise.save(tmp_path / "valid" / f"{'long_' * 12}{number}.png")
    page = document(report(trial, data=tmp_path))
    assert len(page) < 2_000_000
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.decode())[1])  # type: ignore[index]
    assert data["confusion"]["mistakes"] == int((labels != predictions).sum())


def test_a_data_set_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(ConfigurationError, match="gone is not a directory on this machine"):
        DebugReport.load(tmp_path / "run", data=tmp_path / "gone")
