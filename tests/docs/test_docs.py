"""Tables in the documentation say what the code says (`python docs/generate.py` writes them); links lead somewhere; the
site has every page. `nox -s docs` builds it, which checks the site's own links and anchors."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

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
from tests.docs import documents
from tests.docs.documents import DOCS, DOCUMENTS, PAGES, ROOT
from training_scripts.data import limits

# Tables are made from training's own code, which a client alone cannot import.
pytestmark = pytest.mark.extras


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return importlib.import_module("generate")


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    return importlib.import_module("hooks")


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
    text = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
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


@pytest.mark.parametrize("document", DOCUMENTS, ids=documents.name)
def test_links_between_documents_lead_to_a_file_and_a_heading(document: Path) -> None:
    for target in documents.links(document):
        path, _, anchor = target.partition("#")
        linked = document.parent / path if path else document
        assert linked.exists(), target
        # The members of a module get their headings when the site is built, which checks these anchors.
        made_later = linked.suffix == ".md" and "\n::: " in linked.read_text(encoding="utf-8")
        assert not anchor or made_later or anchor in documents.anchors(linked), target


def test_the_navigation_has_every_page_once() -> None:
    assert sorted(in_navigation(site_configuration()["nav"])) == [path.relative_to(DOCS).as_posix() for path in PAGES]


def test_every_page_is_reached_from_the_readme() -> None:
    """On GitHub there is no navigation."""
    seen = {ROOT / "README.md"}
    waiting = list(seen)
    while waiting:
        page = waiting.pop()
        linked = {(page.parent / target.partition("#")[0]).resolve() for target in documents.links(page)}
        new = {path for path in linked if path.suffix == ".md" and path.is_file()} - seen
        seen |= new
        waiting += new
    assert {documents.name(path) for path in PAGES} - {documents.name(path) for path in seen} == set()


def site_configuration() -> dict[str, Any]:
    from mkdocs.utils.yaml import yaml_load  # noqa: PLC0415 - the other tests of this module need no site

    configuration: dict[str, Any] = yaml_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return configuration


def in_navigation(entry: object) -> Iterator[str]:
    """The pages in a part of mkdocs.yml's nav."""
    if isinstance(entry, str):
        yield entry
        return
    for part in entry.values() if isinstance(entry, dict) else entry:  # type: ignore[attr-defined]
        yield from in_navigation(part)


def test_links_to_the_code_lead_to_its_source_or_are_plain_text(hooks: ModuleType) -> None:
    text = (
        "[policy](../../dogbreed_sdk/defaults.py), [data](data.md#x), [web](https://example.com), ![](../../README.md)"
    )
    other = "[data](data.md#x), [web](https://example.com), ![](../../README.md)"
    source = "https://example.com/blob/main"
    assert hooks.with_sources(text, DOCS / "guides", source) == f"[policy]({source}/dogbreed_sdk/defaults.py), {other}"
    assert hooks.with_sources(text, DOCS / "guides", "") == f"policy, {other}"


def test_links_to_examples_lead_to_the_sites_copy(hooks: ModuleType) -> None:
    text = "[program](../../examples/record_your_loop.py)"
    assert hooks.with_sources(text, DOCS / "guides", "") == "[program](../examples/record_your_loop.py)"


def test_a_picture_opens_in_full_size(hooks: ModuleType) -> None:
    html = '<p><img alt="A report" src="../pictures/report.png" /> and text</p>'
    link = (
        '<a href="../pictures/report.png" title="Open in full size"><img alt="A report" src="../pictures/report.png" />'
    )
    assert hooks.on_page_content(html) == f"<p>{link}</a> and text</p>"


def test_a_page_takes_in_a_file_of_the_repository(hooks: ModuleType) -> None:
    page = "# Changes\n\n<!-- include: SECURITY.md -->\nSee there.\n<!-- end -->\n"
    text = hooks.with_includes(page, DOCS / "guides")
    _, _, whole = (ROOT / "SECURITY.md").read_text(encoding="utf-8").partition("\n")
    assert text == f"# Changes\n\n{whole}\n"
    text = hooks.with_includes("<!-- include: examples/README.md -->\n<!-- end -->\n", DOCS)
    assert "](tutorials/adamw_search.md)" in text  # as MkDocs finds it: not by way of ../examples/../docs
    assert "](../examples/adamw_search.py)" in text


AWS = (ROOT / "docs" / "guides" / "aws.md").read_text(encoding="utf-8")


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
