"""The examples run as they stand, and so do the guide's snippets and commands, as far as their grammar goes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dogbreed_sdk import BreedDataset, DebugReport
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.cli.parser import parse
from tests.conftest import Workshop
from tests.leftovers import left
from training_scripts import rules

PROJECT = Path(__file__).parents[1]
DOCS = {
    path.relative_to(PROJECT / "docs").as_posix(): path.read_text(encoding="utf-8")
    for path in sorted((PROJECT / "docs").rglob("*.md"))
}


def found(pattern: str) -> list[tuple[str, str]]:
    """The file and what matches, for every match in the documentation."""
    return [
        (name, match) for name, text in DOCS.items() for match in re.findall(pattern, text, re.DOTALL | re.MULTILINE)
    ]


@pytest.fixture
def no_registered_rules() -> Iterator[None]:
    """Rules that a snippet registers must not judge what other tests record."""
    before = set(rules.names())
    yield
    for name in set(rules.names()) - before:
        rules.unregister(name)


def run(name: str, *arguments: object, root: Path) -> str:
    command = [sys.executable, str(PROJECT / "examples" / name), *map(str, arguments)]
    environment = {**os.environ, "DOGBREED_ROOT": str(root)}
    before = left(root)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert left(root) == before
    return done.stdout


def test_train_and_classify(workshop: Workshop) -> None:
    output = run("train_and_classify.py", workshop.dataset.root, root=workshop.root)
    assert output.count("%") == 3


def test_search_own_ranges(shapes: BreedDataset, workshop: Workshop) -> None:
    output = run("search_own_ranges.py", shapes.root, root=workshop.root)
    assert len(output.splitlines()) == 9


def test_plain_boto3(workshop: Workshop) -> None:
    picture = workshop.dataset.pictures("test")[0]
    url = workshop.session.client("sagemaker").meta.endpoint_url
    with workshop.job.deploy(progress=no_progress) as made:
        output = run("plain_boto3.py", made.endpoint_name, picture.path, url, root=workshop.root)
    assert output.split()[0] == str(picture.index)


@pytest.mark.extras
def test_record_your_loop(tmp_path: Path) -> None:
    output = run("record_your_loop.py", tmp_path / "run", root=tmp_path)
    assert output.startswith("All is well")
    report = DebugReport.load(tmp_path / "run")
    assert report.trial is not None
    assert report.trial.run["steps_per_epoch"] == 19
    assert report.trial.run["parameters"] == {"lr": 0.003, "hidden": 32}


@pytest.mark.extras
@pytest.mark.parametrize(("name", "code"), found(r"(?<!-->\n)```python\n(.*?)```"))
def test_snippets_of_the_documentation_run(
    name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_registered_rules: None
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, name, "exec"), {})


@pytest.mark.parametrize(("name", "command"), found(r"^    dogbreed ([^\n#]+)"))
def test_commands_of_the_documentation_are_understood(name: str, command: str) -> None:
    assert parse(command.split()).run
