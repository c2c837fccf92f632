"""A data set is reviewed on stored features: the findings, the page, the command, and the ignore list."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dogbreed_sdk import BreedDataset, DatasetError, defaults, review
from dogbreed_sdk._util.progress import JobProgress
from dogbreed_sdk.cli.program import main
from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.reviewing import proposal, stored
from dogbreed_sdk.reviewing.findings import NearCopies, Outlier, ReviewedLabel
from dogbreed_sdk.reviewing.page import document
from dogbreed_sdk.reviewing.review import DataReview, examined
from tests.axe import violations
from tests.browser import Page
from training_scripts.data import ignore_list

if TYPE_CHECKING:
    from tests.aws.server import AwsServer
    from tests.conftest import Workshop

pytestmark = pytest.mark.extras


@pytest.fixture(scope="module")
def reviewed(workshop: Workshop) -> tuple[DataReview, list[JobProgress]]:
    steps: list[JobProgress] = []
    made = review(workshop.dataset, session=workshop.session, model=defaults.QUICK_BACKBONE, progress=steps.append)
    return made, steps


def test_stored_features_are_used_again(workshop: Workshop, reviewed: tuple[DataReview, list[JobProgress]]) -> None:
    found, steps = reviewed
    assert {step.job for step in steps} == {"review"}  # and not that of a job
    assert found.splits == workshop.dataset.splits
    assert found.classes == workshop.dataset.classes
    assert found.root == workshop.dataset.root
    assert found.backbone == "efficientnet_lite0"
    assert found.accuracy == 1
    assert found.flagged == ()
    assert {label.picture for label in found.labels} == {
        picture.path.relative_to(found.root).as_posix()
        for split in workshop.dataset.splits
        for picture in workshop.dataset.pictures(split)
    }


def test_the_document_has_the_documented_keys(reviewed: tuple[DataReview, list[JobProgress]]) -> None:
    found = json.loads(json.dumps(reviewed[0].to_dict(), allow_nan=False))
    assert {"labels", "near_copies", "outliers", "indistinct_classes", "label_counts", "ignore_list"} <= set(found)
    assert set(found["labels"][0]) == {"picture", "given", "likely", "score", "flagged"}


def test_a_label_that_is_wrong_is_found_with_its_class(workshop: Workshop) -> None:
    uri = workshop.trainer.extract_features(workshop.dataset, progress=None)
    pictures = stored.read(workshop.dataset, uri, workshop.session)
    assert np.allclose(np.linalg.norm(pictures.features, axis=1), 1, atol=1e-5)
    pictures.targets[4] = 2
    found = examined(pictures, workshop.dataset.root)
    assert [(label.picture, label.given, label.likely) for label in found.flagged] == [
        (pictures.names[4], workshop.dataset.classes[2], workshop.dataset.classes[0])
    ]
    assert found.ignore_list()[pictures.names[4]].startswith("likely 001.Red_disc, not 010.Green_stripes (score ")


def test_too_few_pictures_and_changed_ones_are_refused(workshop: Workshop, tmp_path: Path) -> None:
    uri = workshop.trainer.extract_features(workshop.dataset, progress=None)
    store = shutil.copytree(uri_to_path(uri), tmp_path / "features")
    data = shutil.copytree(workshop.dataset.root, tmp_path / "data")
    next((data / "train").rglob("*.jpg")).unlink()
    pictures = stored.read(BreedDataset.from_folder(data), store.as_uri(), workshop.session)
    with pytest.raises(DatasetError, match="has changed since its features were computed"):
        examined(pictures, data)
    (store / "train-000000.npy").write_bytes(b"")
    with pytest.raises(DatasetError, match="copy the features again"):
        stored.read(BreedDataset.from_folder(data), store.as_uri(), workshop.session)


@pytest.fixture
def planted(workshop: Workshop) -> DataReview:
    """A review with findings of every kind, about pictures of `shapes`."""
    names = [
        picture.path.relative_to(workshop.dataset.root).as_posix()
        for split in ("train", "valid", "test")
        for picture in workshop.dataset.pictures(split)
    ]
    disc, square, stripes = workshop.dataset.classes
    return DataReview(
        root=workshop.dataset.root,
        classes=workshop.dataset.classes,
        splits=workshop.dataset.splits,
        labels=(
            ReviewedLabel(names[0], disc, square, 0.98, flagged=True),
            *(ReviewedLabel(name, square, square, 0.01, flagged=False) for name in names[1:30]),
        ),
        near_copies=(
            NearCopies((names[-1], names[1]), 0.97, ("train", "test"), (disc, stripes)),
            NearCopies((names[0], names[2], names[3]), 1.0, ("train",), (disc,)),
        ),
        outliers=(
            Outlier(names[5], 0.62, disc, "unlike the others"),
            Outlier(names[6], 0.55, disc, "nearly uniform"),
        ),
        indistinct_classes=(),
        label_counts=(),
        expected_wrong=1.2,
        accuracy=0.9,
        not_judged=0,
        skipped=(),
        backbone="efficientnet_lite0",
        seconds={},
    )


def test_the_proposal_keeps_one_of_near_copies_and_leaves_outliers_to_people(planted: DataReview) -> None:
    first, second, third, fourth = (label.picture for label in planted.labels[:4])
    last = planted.near_copies[0].pictures[0]
    assert planted.ignore_list() == {
        first: "likely 002.Blue_square, not 001.Red_disc (score 0.98)",
        second: f"near-copy of {last} (similarity 0.97)",
        fourth: f"near-copy of {third} (similarity 1.00)",
        planted.outliers[1].picture: "nearly uniform (score 0.55)",
    }


def test_a_written_list_keeps_what_is_there_and_is_honored(planted: DataReview, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(planted.root, root)
    path = root / ignore_list.FILE_NAME
    second = planted.labels[1].picture
    path.write_text(f"# mine\n{second} # blurred")
    proposal.write(path, planted.ignore_list(), planted.outliers)
    written = path.read_text()
    assert written.startswith(f"# mine\n{second} # blurred\n")
    assert ignore_list.parse(written.encode()) == {**planted.ignore_list(), second: "blurred"}
    assert f"# {planted.outliers[0].picture}  # unlike the others (score 0.62)\n" in written
    assert len(BreedDataset.from_folder(root)) == len(BreedDataset.from_folder(planted.root)) - 4
    proposal.write(path, planted.ignore_list(), planted.outliers)
    assert path.read_text() == written


def test_the_text_has_the_numbers_and_the_first_findings(planted: DataReview) -> None:
    text = str(planted)
    assert "Found 1 probably wrong label, 1 group of near-copies in several splits and 2 outliers." in text
    assert f"0.980  {planted.labels[0].picture}: likely 002.Blue_square" in text
    assert "told apart" not in text  # there is no such pair


def test_the_page_is_small_escaped_and_says_what_it_leaves_out(
    planted: DataReview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dogbreed_sdk.reviewing.page.MAX_OUTLIERS", 1)
    page = document(planted).decode()
    assert "1 more is not shown" in page
    assert str(planted.root.parent) not in page  # people pass the page on
    assert "<script>alert" not in page
    assert len(page) < 300_000


def test_a_notebook_shows_counts_and_the_most_suspicious_labels(planted: DataReview) -> None:
    card = planted._repr_html_()
    assert "1 probably wrong label" in card and "1 of 30" in card
    assert card.count("<img") == 1 and "data:image/jpeg;base64," in card
    assert "Blue square?" in card and "labeled Red disc (score 0.98)" in card
    assert str(planted.root) not in card
    many = replace(planted, labels=tuple(replace(label, flagged=True) for label in planted.labels))
    assert many._repr_html_().count("<img") == 6
    assert repr(planted).endswith(" labels, 1 flagged, 2 groups of near-copies, 2 outliers)")
    assert len(repr(planted)) < 300


def test_the_gallery_ends_where_no_label_is_flagged(planted: DataReview) -> None:
    page = document(planted).decode()
    assert page.count("· score 0.98") == 1
    assert "score 0.01" not in page
    assert "The labels that are more likely wrong than right" in page

    def with_scores(*scores: float) -> str:
        labels = [
            replace(label, score=score, flagged=False) for label, score in zip(planted.labels, scores, strict=False)
        ]
        return document(replace(planted, labels=tuple(labels))).decode()

    doubtful = with_scores(0.4, 0.3, 0.05)
    assert "No label is more likely wrong than right; these are the least certain ones." in doubtful
    assert [f"· score {score}" in doubtful for score in ("0.40", "0.30", "0.05")] == [True, True, False]
    assert "No label looks wrong." in with_scores(0.05, 0.0)


def test_pictures_are_ticked_on_the_page_for_the_list(planted: DataReview, browser: Page, tmp_path: Path) -> None:
    url = planted.to_html(tmp_path / "review.html").as_uri()
    for width, dark in ((1280, False), (390, True)):
        browser.open(url, width=width, dark=dark, phone=width == 390)
        assert violations(browser) == []
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.complaints == []
        # On a phone the bar would cover half a figure.
        assert browser.value("getComputedStyle(basket).position") == ("static" if width == 390 else "sticky")
        assert all(request.startswith(("file:", "data:")) for request in browser.requests)

    def listed() -> dict[str, str]:
        return ignore_list.parse(browser.value("document.getElementById('ignore-list').value").encode())

    assert listed() == planted.ignore_list()
    outlier, flagged = planted.outliers[0].picture, planted.labels[0].picture
    browser.value(f"document.querySelector('#outliers input[value=\"{outlier}\"]').click()")
    browser.value(f"document.querySelector('#labels input[value=\"{flagged}\"]').click()")
    expected = {**planted.ignore_list(), outlier: "unlike the others (score 0.62)"}
    del expected[flagged]
    assert listed() == expected
    assert browser.value("document.getElementById('ticked').textContent") == "4 pictures to ignore"
    # It is shown among the near-copies, too.
    assert not browser.value(f"document.querySelector('#copies input[value=\"{flagged}\"]').checked")


def test_the_command_writes_page_and_list(
    workshop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, listed = tmp_path / "review.html", tmp_path / "ignored.txt"
    where = ["--model", defaults.QUICK_BACKBONE, "--root", str(workshop.root)]
    arguments = ["data", "review", str(workshop.dataset.root), *where, "--json"]
    assert main([*arguments, "--html", str(page), "--ignore-list", str(listed)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["html"] == str(page)
    assert found["ignore_list_file"] == str(listed)
    assert page.read_bytes().startswith(b"<!doctype html>")
    assert ignore_list.parse(listed.read_bytes()) == found["ignore_list"]
    assert [label["score"] for label in found["labels"]] == sorted((x["score"] for x in found["labels"]), reverse=True)


def test_features_of_what_a_list_leaves_are_taken_from_those_of_all(workshop: Workshop, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(workshop.dataset.root, root)
    ignored = "train/001.Red_disc/00.jpg"
    (root / ignore_list.FILE_NAME).write_text(f"{ignored}\n")
    dataset = BreedDataset.from_folder(root)
    assert dataset.fingerprint_with_ignored == workshop.dataset.fingerprint != dataset.fingerprint
    steps: list[JobProgress] = []
    uri = workshop.trainer.extract_features(dataset, progress=steps.append)
    assert steps == []  # no job has run
    pictures = stored.read(dataset, uri, workshop.session)
    assert len(pictures) == len(workshop.dataset) - 1
    assert ignored not in pictures.names
    reviewed = review(dataset, session=workshop.session, model=defaults.QUICK_BACKBONE)
    assert not {label.picture for label in reviewed.labels} & {ignored}


def test_features_on_s3_are_downloaded(
    workshop: Workshop, moto_server: AwsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    uri = workshop.trainer.extract_features(workshop.dataset, progress=None)
    session = moto_server.session(bucket="dogs")
    session.client("s3").create_bucket(Bucket="dogs")
    folder = uri_to_path(uri)
    session.storage.upload_files({path.name: path for path in folder.iterdir() if path.is_file()}, "s3://dogs/stored")
    there = stored.read(workshop.dataset, "s3://dogs/stored", session)
    here = stored.read(workshop.dataset, uri, workshop.session)
    assert there.names == here.names
    assert np.array_equal(there.features, here.features)
    assert not list((tmp_path / "cache").rglob(".lock"))
