"""`dogbreed explain`: a picture of the evidence, a page, and the training pictures that are alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dogbreed_sdk._util.bundle_files import bundle_path
from dogbreed_sdk.cli import main
from tests.conftest import Workshop

pytestmark = pytest.mark.extras


@pytest.fixture
def picture(workshop: Workshop) -> str:
    return str(workshop.dataset.pictures("test")[0].path)


def test_a_job_is_explained_with_its_own_training_pictures(
    workshop: Workshop,
    picture: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["explain", workshop.job.name, picture, "--root", str(workshop.root), "--similar", "2"]) == 0
    out = capsys.readouterr().out
    assert "Red disc" in out.splitlines()[0]
    assert "the evidence for Red disc is strongest" in out
    assert out.count("  001.Red_disc/") == 2
    written = Path(f"{Path(picture).stem}-why.png")
    assert out.splitlines()[-1] == f"wrote {written}"
    with Image.open(written) as image:
        assert image.size == (64, 64)


def test_a_page_holds_everything_and_loads_nothing(
    workshop: Workshop, picture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, page = str(bundle_path(workshop.job.model_uri)), tmp_path / "why.html"
    arguments = ["--html", str(page), "--data", str(workshop.dataset.root), "--label", "green stripes"]
    assert main(["explain", bundle, picture, *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["label"], document["prediction"]["label"]) == ("Green stripes", "Red disc")
    assert (document["output"], document["html"]) == (None, str(page))
    assert [each["class_folder"] for each in document["similar"]] == ["001.Red_disc"] * 5
    text = page.read_text()
    assert text.count('src="data:image/jpeg;base64,') == 2 + 5
    assert "Why Green stripes?" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


def test_the_data_set_of_a_job_shows_the_pictures_of_its_features(
    workshop: Workshop, picture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--root", str(workshop.root), "--data", str(workshop.dataset.root), "--html", str(tmp_path / "x.html")]
    assert main(["explain", workshop.job.name, picture, *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert all(Path(each["path"]).is_file() for each in document["similar"])
    assert (tmp_path / "x.html").read_text().count('src="data:image/jpeg;base64,') == 2 + 5


def test_similar_pictures_have_the_same_names_of_a_bundle_and_of_a_job(
    workshop: Workshop, picture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, page, data = str(bundle_path(workshop.job.model_uri)), str(tmp_path / "x.html"), str(workshop.dataset.root)
    names = []
    for model in ([bundle], [workshop.job.name, "--root", str(workshop.root)]):
        assert main(["explain", *model, picture, "--data", data, "--html", page, "--similar", "2"]) == 0
        names.append([line.split()[-1] for line in capsys.readouterr().out.splitlines() if ".png" in line][:2])
    assert names[0] == names[1]
    assert all(name.startswith("001.Red_disc/") for name in names[0])


def test_what_cannot_be_explained_is_refused(
    workshop: Workshop, picture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "http://127.0.0.1:9", picture]) == 2
    assert "is a model server, which returns predictions only" in capsys.readouterr().err
    bundle = str(bundle_path(workshop.job.model_uri))
    assert main(["explain", bundle, picture, "--output", str(tmp_path / "why.bmp")]) == 2
    assert "must end with .png or .jpg" in capsys.readouterr().err
    assert main(["explain", bundle, picture, "--label", "Pug", "--output", str(tmp_path / "why.png")]) == 1
    assert "'Pug' is not one of the 3 classes" in capsys.readouterr().err
