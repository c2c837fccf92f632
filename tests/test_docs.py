"""Tables in the documentation say what the code says (`python docs/generate.py` writes them); links lead somewhere."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from dogbreed_sdk import (
    BreedClassifier,
    BreedDataset,
    BreedTrainer,
    Deployment,
    Session,
    TrainingJob,
    TuningJob,
    deploy,
)
from dogbreed_sdk.cli.parser import parse
from training_scripts.data import limits

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

# Tables are made from training's own code, which a client alone cannot import.
pytestmark = pytest.mark.extras


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return importlib.import_module("generate")


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    """A document with one table in it, alone in a folder."""
    path = tmp_path / "guide.md"
    path.write_text("before\n<!-- generated: picture-limits -->\nold\n<!-- end -->\nbehind\n", encoding="utf-8")
    return path


def test_no_table_is_stale(generate: ModuleType) -> None:
    names = [path.relative_to(ROOT) for path, _ in generate.stale()]
    assert not names, "run python docs/generate.py"


def test_every_table_is_somewhere_in_the_documentation(generate: ModuleType) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    assert [name for name in generate.TABLES if f"<!-- generated: {name} -->" not in text] == []


def test_a_table_follows_the_code(generate: ModuleType, guide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((path, text),) = generate.stale(guide.parent)
    assert path == guide
    assert text.startswith("before\n<!-- generated: picture-limits -->\n| Limit |")
    assert "| scans of a progressive JPEG | 100 |" in text
    assert text.endswith("\n<!-- end -->\nbehind\n")
    guide.write_text(text, encoding="utf-8")
    assert not list(generate.stale(guide.parent))
    monkeypatch.setattr(limits, "MAX_JPEG_SCANS", 7)
    ((_, text),) = generate.stale(guide.parent)
    assert "| scans of a progressive JPEG | 7 |" in text


def test_a_table_that_is_unknown_is_named(generate: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"unknown table 'pugs'; valid names: .*picture-limits"):
        generate.regenerated("<!-- generated: pugs -->\n<!-- end -->")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_to_a_file_and_a_heading(document: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)\s]+)\)", document.read_text()):
        path, _, anchor = target.partition("#")
        linked = document.parent / path if path else document
        assert linked.exists(), target
        assert not anchor or anchor in _anchors(linked), target


def _anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


AWS = (ROOT / "docs" / "guides" / "aws.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", AWS, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("dogbreed ")])
def test_commands_for_aws_are_commands(line: str) -> None:
    """They parse, options included; what they do is tested where they are defined."""
    parse(shlex.split(line)[1:])


def test_python_for_aws_uses_what_exists() -> None:
    blocks = re.findall(r"```python\n(.*?)```", AWS, re.DOTALL)
    [flow] = [block for block in blocks if "import" in block]
    exec(compile(flow.split("\n\n")[0], "aws.md", "exec"), {})
    called = set(re.findall(r"\b(?:trainer|tuning|job|deployment|classifier|dataset)\.(\w+)", "".join(blocks)))
    kinds = (BreedTrainer, TuningJob, TrainingJob, Deployment, BreedClassifier, BreedDataset)
    assert called
    assert [name for name in called if not any(hasattr(kind, name) for kind in kinds)] == []
    given = set(re.findall(r"(\w+)=", "".join(blocks)))
    functions = (Session.aws, BreedTrainer.__init__, BreedTrainer.tune, deploy)
    assert given <= {name for function in functions for name in inspect.signature(function).parameters}
