"""The example notebooks run in a clean kernel, from top to bottom, and are committed without their outputs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.leftovers import left

PROJECT = Path(__file__).parents[2]
NOTEBOOKS = sorted((PROJECT / "examples" / "notebooks").glob("*.ipynb"))

pytestmark = [pytest.mark.extras, pytest.mark.any_version]


def read(path: Path) -> Any:
    import nbformat  # noqa: PLC0415 - an extra

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestFiles:
    """What is committed."""

    def test_outputs_are_cleared(self, path: Path) -> None:
        code = [cell for cell in read(path).cells if cell.cell_type == "code"]
        assert code
        assert [cell for cell in code if cell.outputs or cell.execution_count is not None] == []

    def test_metadata_is_the_same_wherever_it_was_edited(self, path: Path) -> None:
        notebook = read(path)
        assert notebook.metadata == {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        assert [cell.id for cell in notebook.cells] == [f"cell-{number + 1}" for number in range(len(notebook.cells))]
        assert [cell.metadata for cell in notebook.cells if cell.metadata] == []

    def test_it_begins_with_a_title_and_links_to_what_exists(self, path: Path) -> None:
        texts = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
        assert texts[0].startswith("# ")
        targets = re.findall(r"\]\((?!http)([^)#\s]+)", "\n".join(texts))
        assert targets
        assert [target for target in targets if not (path.parent / target).exists()] == []


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a notebook's small version in a clean kernel in an empty folder; what its cells print and show, as text."""
    from nbclient import NotebookClient  # noqa: PLC0415 - an extra

    root = folder / "root"
    monkeypatch.setenv("DOGBREED_NOTEBOOK_SMALL", "1")
    monkeypatch.setenv("DOGBREED_ROOT", str(root))
    monkeypatch.setenv("TMPDIR", str(folder))
    before = left(root)
    notebook = read(PROJECT / "examples" / "notebooks" / f"{name}.ipynb")
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
    assert left(root) == before
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    return "\n".join(output.get("text") or output["data"]["text/plain"] for output in outputs)


def test_record_your_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run("record_your_loop", tmp_path, monkeypatch)
    assert "Training diverged: the steps were too large" in shown
    assert "Comparison('first', 'second')" in shown
    assert re.search(r"training loss: \d\.\d\d at step 0, 0\.\d\d at step 74", shown)


def test_resnet50_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run("resnet50_search", tmp_path, monkeypatch)
    assert "0 errors" in shown
    assert "4 of 4 trials ended" in shown
    assert re.search(r"Least average test loss: \d\.\d{4}, with .*'batch-size': (128|256|512)", shown)
    assert re.search(r"training steps: .* inside", shown)
    assert len(re.findall(r"^\d{3}\.\w+: \w+", shown, re.MULTILINE)) == 5


def test_bytes_and_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run("bytes_and_urls", tmp_path, monkeypatch)
    assert re.search(r"The validation loss is spiky|[Oo]verfit", shown)
    assert re.search(r"Bytes and URL of \w+\.jpg get the same scores: True", shown)
    assert re.search(r"\d+ of 9 test pictures are right", shown)
