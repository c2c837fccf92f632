"""Model cards as Markdown, page and values, from a bundle, a job and an evaluation."""

from __future__ import annotations

import datetime
import tarfile
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import ModelCard
from dogbreed_sdk.endpoints.evaluation import evaluate
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs.model_card_facts import data_source, job_facts
from dogbreed_sdk.session import Session
from tests import axe
from tests.browser import Page
from tests.conftest import Workshop
from tests.endpoints.folder_classifier import FolderClassifier, draw
from tests.model_cards.described_bundles import description, write


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write(tmp_path / "secret-user" / "bundle", description())


def test_a_card_of_a_folder_and_of_its_archive_is_the_same(bundle: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        tar.add(bundle, ".")
    card = ModelCard.load(bundle, data_license="CC0")
    assert card.to_markdown() == ModelCard.load(tmp_path / "model.tar.gz", data_license="CC0").to_markdown()
    assert card.to_markdown(tmp_path) == (tmp_path / "MODEL_CARD.md").read_text() == str(card)
    assert "| License | CC0 |" in str(card).splitlines()
    assert card._repr_markdown_().startswith("# Classifier of 3 classes (efficientnet_lite0)\n")


def test_what_is_not_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"is not a bundle: .*Pass a bundle: the model.tar.gz"):
        ModelCard.load(tmp_path)


def test_the_values_have_every_class_and_null_for_what_is_unknown(bundle: Path) -> None:
    values = ModelCard.load(bundle).to_dict()
    assert (values["license"], values["data_license"], values["data_source"]) == (None, None, None)
    assert values["pictures"] == {"train": [8, 8, 7], "valid": [4, 4, 4], "test": [4, 2, 0]}
    measured = values["evaluation"]
    assert isinstance(measured, dict)
    assert (measured["on"], measured["n"]) == ("the test split, 6 pictures", 6)
    assert measured["per_class"][1] == {
        "class_folder": "002.Pug",
        "label": "Pug",
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(0.8),
        "pictures": 2,
    }
    assert measured["per_class"][2]["f1"] is None
    assert measured["most_confused"] == [{"actual": "001.Boxer", "predicted": "002.Pug", "pictures": 1}]


def test_an_evaluation_on_the_spot_replaces_the_recorded_one(bundle: Path, tmp_path: Path) -> None:
    classifier = FolderClassifier(a0="002.Pug", a1="002.Pug")
    measured = evaluate(classifier, draw(tmp_path / "park", splits={"train": 1, "test": 4}))
    card = ModelCard.load(bundle, evaluation=measured, evaluated_on="park/test")
    text = card.to_markdown()
    assert "| Accuracy | 83.3% (95% interval 55.2% to 95.3%) on park/test, 12 pictures |" in text
    assert "| Boxer | Pug | 2 of 4 |" in text
    assert "| Boxer | 1.000 | 0.500 | 0.667 | 4 |" in text
    assert f"calibrated probabilities: {measured.ece:.4f}" in text


def test_an_evaluation_of_another_model_is_refused(tmp_path: Path) -> None:
    measured = evaluate(FolderClassifier(), draw(tmp_path / "park", splits={"train": 1, "test": 1}))
    other = write(tmp_path / "other", description(classes=("cat", "dog"), record=None))
    with pytest.raises(ConfigurationError, match=r"of another model: it has the class '00\d\.\w+'"):
        ModelCard.load(other, evaluation=measured)


def test_a_browser_shows_the_page_without_a_complaint(browser: Page, bundle: Path, tmp_path: Path) -> None:
    page = ModelCard.load(bundle, name="Dogs of <the> park").to_html(tmp_path)
    assert page == tmp_path / "model_card.html"
    assert "secret-user" not in page.read_text()
    for dark, phone in ((False, False), (True, True)):
        browser.open(page.as_uri(), dark=dark, phone=phone, **({"width": 390} if phone else {}))
        assert (browser.complaints, browser.requests, axe.violations(browser)) == ([], [page.as_uri()], [])
        assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    assert browser.value("document.querySelector('h1').textContent") == "Dogs of <the> park"
    assert (
        browser.value("document.querySelectorAll('#calibration svg.reliability g.bin, #calibration .point').length")
        == 2
    )
    assert browser.value("document.querySelectorAll('#metrics .bar').length") == 2


def test_a_page_without_a_record_says_so(tmp_path: Path) -> None:
    page = ModelCard.load(write(tmp_path, description(record=None))).to_html(tmp_path).read_text()
    assert "Reliability of the probabilities: not recorded." in page
    assert "svg" not in page.partition("<main")[2]


def test_of_many_classes_a_page_shows_some(tmp_path: Path) -> None:
    many = tuple(f"class {number}" for number in range(700))
    card = ModelCard.load(write(tmp_path, description(classes=many, record=None)))
    assert "200 more are not shown; the card in Markdown has them." in card.to_html(tmp_path).read_text()
    assert "| 699 | class 699 |" in card.to_markdown()


def test_a_job_adds_its_duration_and_its_data(workshop: Workshop) -> None:
    card = workshop.job.model_card(data_license="drawn here")
    values = card.to_dict()
    assert values["title"] == workshop.job.name
    assert values["data_source"] == workshop.dataset.root.name  # found through the job that computed the features
    job = values["job"]
    assert isinstance(job, dict)
    assert (job["Training job"], job["Machine"]) == (workshop.job.name, "that of local SageMaker")
    assert set(job) == {"Training job", "Machine", "Duration", "Date"}
    measured = values["evaluation"]
    assert isinstance(measured, dict)
    assert measured["accuracy"] == pytest.approx(workshop.job.final_metrics["test:accuracy"], abs=1e-4)
    assert measured["calibration_error"] == pytest.approx(values["metrics"]["test:ece"], abs=1e-9)  # type: ignore[index]
    assert workshop.tuning.model_card().to_dict()["title"] == workshop.tuning.best.job.name


def _channel(name: str, uri: str) -> dict[str, object]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3Uri": uri}}}


def test_a_job_on_aws_names_its_instances_and_its_data_on_s3(tmp_path: Path) -> None:
    described: Any = {
        "TrainingJobName": "dogs",
        "CreationTime": datetime.datetime(2026, 11, 30, 12, 0, 0, tzinfo=datetime.timezone.utc),
        "TrainingEndTime": datetime.datetime(2026, 11, 30, 12, 3, 2, tzinfo=datetime.timezone.utc),
        "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2},
        "InputDataConfig": [_channel(name, f"s3://b/{name}") for name in ("test", "train")],
    }
    assert job_facts(described, is_local=False) == {
        "Training job": "dogs",
        "Machine": "2 x ml.g5.xlarge",
        "Duration": "3 min 2 s",
        "Date": "2026-11-30",
    }
    with Session.local(tmp_path) as session:
        assert data_source(described, session) == "s3://b/train, s3://b/test"
        described["InputDataConfig"] = [_channel("features", tmp_path.as_uri())]
        assert data_source(described, session) == ""
