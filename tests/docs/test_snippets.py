"""Code in the documentation: Python runs or stands in an example, commands are understood."""

from __future__ import annotations

import ast
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from dogbreed_sdk.cli.commands import COMMANDS
from dogbreed_sdk.cli.parser import parse
from tests.conftest import Workshop
from tests.docs import documents
from tests.docs.documents import DOCUMENTS, ROOT, Block

PYTHON = [block for path in DOCUMENTS for block in documents.blocks(path) if block.language == "python"]
RUN = [block for block in PYTHON if block.page.startswith("docs/") and not block.mark]
GIVEN = [block for block in PYTHON if block.mark.startswith("given: ")]
EXCERPTS = [block for path in DOCUMENTS for block in documents.blocks(path) if block.mark.startswith("from: ")]
COMMAND_LINES = [
    (f"{documents.name(path)}:{number}", line) for path in DOCUMENTS for number, line in documents.commands(path)
]


@pytest.fixture
def no_registered_rules() -> Iterator[None]:
    """Rules that a snippet registers must not judge what other tests record."""
    from training_scripts import rules  # noqa: PLC0415 - the client alone has no NumPy

    before = set(rules.names())
    yield
    for name in set(rules.names()) - before:
        rules.unregister(name)


@pytest.mark.extras
@pytest.mark.parametrize("block", RUN, ids=str)
def test_snippets_run(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_registered_rules: None) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block.code, str(block), "exec"), {})


@pytest.mark.parametrize("block", GIVEN, ids=str)
def test_snippets_run_on_what_they_are_given(
    block: Block, workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs and data that other tests use, too, so that no page trains a model of its own."""
    monkeypatch.chdir(tmp_path)
    names = block.mark.removeprefix("given: ").split(", ")
    exec(compile(block.code, str(block), "exec"), {name: getattr(workshop, name) for name in names})


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_that_does_not_run_says_why_and_is_python(block: Block) -> None:
    kind, _, reason = block.mark.partition(": ")
    assert not block.mark or (kind in {"not-run", "from", "given"} and reason), (
        "above a Python block stands nothing, or a comment: not-run: with the reason, from: with an example's path, "
        "or given: with the names that a test provides (session, dataset, trainer, tuning, job)"
    )
    if kind != "from":  # an excerpt may be part of a statement
        ast.parse(textwrap.dedent(block.code))


@pytest.mark.parametrize("block", EXCERPTS, ids=str)
def test_excerpts_stand_in_their_file(block: Block) -> None:
    path = ROOT / block.mark.removeprefix("from: ")
    assert path.is_file()
    assert stands_in(block.code, path.read_text(encoding="utf-8")), f"{path.name} has no such lines"


def stands_in(excerpt: str, text: str) -> bool:
    """Whether these lines stand in the text one after another, apart from their common indentation."""
    wanted = textwrap.dedent(excerpt).splitlines()
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.strip() == wanted[0].strip()]
    found = (textwrap.dedent("\n".join(lines[start : start + len(wanted)])) for start in starts)
    return "\n".join(wanted) in found


def test_an_excerpt_is_found_by_its_lines_and_their_order() -> None:
    text = "def f():\n    if a:\n        b()\n\n        c()\n"
    assert stands_in("if a:\n    b()\n\n    c()\n", text)
    assert not stands_in("if a:\n    c()\n", text)
    assert not stands_in("if a:\nb()\n", text)
    assert not stands_in("b", text)


@pytest.mark.parametrize("line", [pytest.param(line, id=where) for where, line in COMMAND_LINES])
def test_commands_are_understood(line: str) -> None:
    """They parse, options included; what they do is tested where they are defined."""
    words = shlex.split(re.split(r" [|>] ", line)[0], comments=True)
    assert parse(words[1:]).run


def test_commands_in_running_text_exist() -> None:
    known = {entry.name for entry in COMMANDS}
    named = {
        (documents.name(path), word)
        for path in DOCUMENTS
        for word in re.findall(r"`dogbreed ([a-z]+)", path.read_text(encoding="utf-8"))
    }
    assert {(page, word) for page, word in named if word not in known} == set()
