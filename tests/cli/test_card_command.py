"""``dogbreed card``: prints the card, or writes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dogbreed_sdk._util.bundle_files import bundle_path
from dogbreed_sdk.cli import main
from tests.conftest import Workshop
from tests.model_cards.described_bundles import description, write


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    return str(write(tmp_path / "bundle", description()))


def test_it_prints_the_card_for_people_and_its_values_for_programs(
    bundle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card", bundle, "--data-license", "CC0", "--name", "Park"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("---\nlibrary_name: dogbreed-sdk\n")
    assert "\n# Park\n" in printed and "\n| License | CC0 |\n" in printed
    assert main(["card", bundle, "--license", "MIT", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["license"], values["data_license"]) == ("MIT", None)


def test_it_writes_the_card_as_markdown_and_as_a_page(
    bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    markdown, page = tmp_path / "README.md", tmp_path / "card.html"
    assert main(["card", bundle, "--markdown", str(markdown), "--html", str(page)]) == 0
    assert capsys.readouterr().out == f"wrote {markdown}\nwrote {page}\n"
    title = "Classifier of 3 classes (efficientnet_lite0)"
    assert f"# {title}" in markdown.read_text()
    assert f"<title>{title}</title>" in page.read_text()


def test_a_bundle_needs_no_sagemaker(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", bundle, "--root", "/tmp/nowhere"]) != 0
    assert "does not use SageMaker: leave out --root." in capsys.readouterr().err


def test_with_data_the_model_is_measured_on_the_spot(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(bundle_path(workshop.job.model_uri))
    assert main(["card", model, "--data", str(workshop.dataset.root), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)["evaluation"]
    assert measured["on"] == f"{workshop.dataset.root.name}, 12 pictures"
    assert measured["accuracy"] == pytest.approx(workshop.job.final_metrics["test:accuracy"], abs=1e-4)
