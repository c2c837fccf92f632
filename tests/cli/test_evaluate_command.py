"""``dogbreed evaluate``: what it prints for people, and the page that it suggests."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from dogbreed_sdk._util.bundle_files import bundle_path
from dogbreed_sdk.cli import evaluate_command, main, models
from dogbreed_sdk.cli.parser import parse
from dogbreed_sdk.endpoints.evaluation import Evaluation, evaluate
from dogbreed_sdk.errors import UnsupportedImageError
from tests.conftest import Workshop
from tests.endpoints.folder_classifier import CLASSES, FolderClassifier, draw


@pytest.fixture
def measured(tmp_path: Path) -> Evaluation:
    answers = {"a0": [0.1, 0.87, 0.03], "a1": [0.4, 0.6, 0.0], "b2": UnsupportedImageError("it is broken")}
    return evaluate(FolderClassifier(**answers), draw(tmp_path, splits={"train": 1, "test": 4}))


def test_the_table_is_short_and_has_the_worst_first(measured: Evaluation, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_command._printed(measured, "To see the pictures: dogbreed evaluate")()
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("81.8% right (95% interval 52.3% to 94.9%), 100% in the top 5")
    assert [line.split() for line in lines[2:4]] == [
        ["most", "confused", "classified", "as", "pictures"],
        ["Boxer", "Pug", "2", "of", "4"],
    ]
    assert [line.split() for line in lines[5:8]] == [
        ["worst", "of", "2", "mistakes", "classified", "as", "sure"],
        ["001.Boxer/a0.png", "Pug", "87%"],
        ["001.Boxer/a1.png", "Pug", "60%"],
    ]
    assert lines[9].endswith("b2.png: it is broken")
    assert lines[-1] == "To see the pictures: dogbreed evaluate"


def test_nothing_is_listed_without_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = evaluate(FolderClassifier(CLASSES), draw(tmp_path, splits={"train": 1, "test": 2}))
    evaluate_command._printed(right, "")()
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(("model", "place"), [("./model.tar.gz", ""), ("pets", "--root {root}")])
def test_the_suggested_command_goes_to_the_same_place(model: str, place: str, tmp_path: Path) -> None:
    options = parse(["evaluate", model, "dogs", "--root", str(tmp_path)])
    suggested = evaluate_command._how_to_see(options)
    assert suggested.endswith(f"evaluate {model} dogs --html mistakes.html {place.format(root=tmp_path)}".rstrip())


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("pets", "pets"),
        ("/home/ann/model.tar.gz", "model.tar.gz"),
        ("file:///home/ann/model.tar.gz", "model.tar.gz"),
        (Path("/home/ann/pictures"), "pictures"),
        ("s3://ours/pictures/test", "s3://ours/pictures/test"),
        (".", Path.cwd().name),
    ],
)
def test_the_page_names_no_folder_of_this_machine(place: object, shown: str) -> None:
    assert models.shown(place) == shown


@pytest.mark.extras
@pytest.mark.slow
def test_the_page_of_a_bundle_has_heat_maps(
    workshop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mislabeled = tmp_path / "moved" / "010.Green_stripes"
    disc = next(each for each in workshop.dataset.pictures("test") if each.class_folder == "001.Red_disc")
    shutil.copytree(workshop.dataset.root / "test", tmp_path / "moved")
    disc_here = shutil.move(tmp_path / "moved" / disc.class_folder / disc.path.name, mislabeled / "disc.png")
    page = tmp_path / "mistakes.html"
    bundle = str(bundle_path(workshop.job.model_uri))
    assert main(["evaluate", bundle, str(tmp_path / "moved"), "--html", str(page), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    [wrong] = [each for each in document["mistakes"] if each["picture"] == str(disc_here)]
    assert (wrong["actual"], wrong["predicted"]) == ("010.Green_stripes", "001.Red_disc")
    assert set(wrong) == {"picture", "actual", "predicted", "probability", "rejected"}
    assert document["html"] == str(page)
    assert "model.tar.gz on moved" in page.read_text()
    assert str(tmp_path) not in page.read_text() and str(workshop.root) not in page.read_text()
    [card] = re.findall(r'<article class="card mistake">(?:(?!</article>).)*disc\.png.*?</article>', page.read_text())
    maps = re.findall(r'<img src="(data:image/jpeg;base64,[^"]+)" alt="[^"]* the evidence for ([^"]+) is"', card)
    assert [label for _, label in maps] == ["Green stripes", "Red disc"]
    assert maps[0][0] != maps[1][0], "each class has its own evidence"
