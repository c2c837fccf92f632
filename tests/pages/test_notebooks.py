"""What notebooks show: a real kernel runs the cells, and a real browser draws their outputs."""

from __future__ import annotations

import html
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests import axe
from tests.browser import Page
from tests.conftest import Workshop

pytestmark = [pytest.mark.extras, pytest.mark.slow]

CELLS = (
    """
    from dogbreed_sdk import BreedClassifier, BreedDataset, BreedTrainer, Session, attach, defaults, evaluate
    session = Session.local({root!r})
    dataset = BreedDataset.open({data!r})
    dataset.check()
    """,
    """
    attach({tuning!r}, session=session)
    """,
    """
    job = BreedTrainer(session, model=defaults.QUICK_BACKBONE).train(dataset, {{"epochs": 2}}).wait()
    job
    """,
    """
    classifier = BreedClassifier.from_bundle(job.download_model("model"))
    picture = dataset.pictures("test")[0].path
    classifier.classify(picture)
    """,
    """
    evaluate(classifier, {mislabeled!r})
    """,
    """
    deployment = job.deploy()
    deployment
    """,
    """
    from dogbreed_sdk import DebugReport
    DebugReport.load(job)
    """,
    """
    deployment.delete()
    """,
)


@pytest.fixture(scope="module")
def outputs(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """The outputs of the cells, run in order by a kernel of this Python."""
    import nbformat  # noqa: PLC0415
    from nbclient import NotebookClient  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("notebook")
    shutil.copytree(workshop.dataset.root / "test", folder / "mislabeled")
    disc = next(iter((folder / "mislabeled" / "001.Red_disc").iterdir()))
    disc.rename(folder / "mislabeled" / "010.Green_stripes" / disc.name)
    places = {
        "root": str(workshop.root),
        "data": str(workshop.dataset.root),
        "tuning": workshop.tuning.name,
        "mislabeled": str(folder / "mislabeled"),
    }
    cells = [nbformat.v4.new_code_cell(textwrap.dedent(cell).format(**places)) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
    return [cell.outputs for cell in notebook.cells]


def shown(outputs: list[dict[str, Any]]) -> str:
    """The HTML of a cell's value."""
    [value] = [each for each in outputs if each["output_type"] == "execute_result"]
    return str(value["data"]["text/html"])


def text(fragment: str) -> str:
    """The words of a fragment of HTML."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", fragment)).split())


def test_a_data_sets_report_shows_its_splits(outputs: list[list[dict[str, Any]]]) -> None:
    assert re.match(r"● Data set \w+: ready for training classes 3 train \d+ pictures", text(shown(outputs[0])))


def test_waiting_is_one_line_per_job_that_is_replaced(outputs: list[list[dict[str, Any]]]) -> None:
    lines = [each for each in outputs[2] if each["output_type"] == "display_data"]
    assert not [each for each in outputs[2] if each["output_type"] == "stream"]
    names = [each["data"]["text/plain"].split()[0] for each in lines]
    assert len(names) == len(set(names))
    assert 1 <= len(names) <= 4
    assert any("Completed" in each["data"]["text/plain"] for each in lines)


def test_a_search_shows_its_trials_best_first(outputs: list[list[dict[str, Any]]]) -> None:
    words = text(shown(outputs[1]))
    assert "Completed" in words
    assert "3 trials" in words
    objectives = [float(found) for found in re.findall(r"<td[^>]*tabular-nums[^>]*>([\d.]+)</td>", shown(outputs[1]))]
    assert len(objectives) == 3
    assert objectives == sorted(objectives)


def test_a_job_shows_results_and_hyperparameters(outputs: list[list[dict[str, Any]]]) -> None:
    words = text(shown(outputs[2]))
    assert "epochs=2" in words
    assert "job.deploy()" in words
    assert "machine" not in words  # of a local job, that is this one


def test_a_prediction_shows_the_picture_and_bars(outputs: list[list[dict[str, Any]]]) -> None:
    fragment = shown(outputs[3])
    assert 'src="data:image/jpeg;base64,' in fragment
    assert len(re.findall(r"\d%<", fragment)) == 3


def test_an_evaluation_shows_its_mistakes(outputs: list[list[dict[str, Any]]]) -> None:
    fragment = shown(outputs[4])
    words = text(fragment)
    [(right, pictures, wrong)] = re.findall(r"([\d.]+)% of (\d+) pictures right .*; (\d+) mistakes?", words)
    assert round(float(right) / 100 * int(pictures)) == int(pictures) - int(wrong)
    assert fragment.count("<img") == min(6, int(wrong))
    assert "Green stripes said Red disc" in words


def test_an_endpoint_shows_its_status(outputs: list[list[dict[str, Any]]]) -> None:
    words = text(shown(outputs[5]))
    assert "InService since" in words
    assert "deployment.delete()" in words


def test_the_cards_need_no_script_and_read_well_on_any_background(
    outputs: list[list[dict[str, Any]]], browser: Page, tmp_path: Path
) -> None:
    cards = [shown(outputs[index]) for index in (0, 1, 2, 3, 4, 5, 6)]
    assert not [card for card in cards if "<script" in card or "<style" in card]
    path = tmp_path / "cards.html"
    path.write_text(
        "<!doctype html><html lang=en><title>Cards</title><meta name=color-scheme content='light dark'>"
        f"<body style='font-family:sans-serif'><main><h1>Cards</h1>{'<hr>'.join(cards)}</main>",
        encoding="utf-8",
    )
    for dark in (False, True):
        browser.open(path.as_uri(), width=900, dark=dark)
        browser.screenshot(tmp_path / f"cards-{dark}.png")
        contrast = [each for each in axe.violations(browser) if each.startswith("color-contrast")]
        assert contrast == []
