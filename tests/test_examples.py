"""The examples run as they stand, and so do the guide's snippets and commands, as far as their grammar goes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dogbreed_sdk import BreedDataset
from dogbreed_sdk.cli.parser import parse
from dogbreed_sdk.progress import no_progress
from tests.conftest import Workshop

PROJECT = Path(__file__).parents[1]
GUIDE = (PROJECT / "docs" / "guide.md").read_text(encoding="utf-8")


def run(name: str, *arguments: object, root: Path) -> str:
    command = [sys.executable, str(PROJECT / "examples" / name), *map(str, arguments)]
    environment = {**os.environ, "DOGBREED_ROOT": str(root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
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


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL))
def test_snippets_of_the_guide_run(code: str) -> None:
    exec(compile(code, "docs/guide.md", "exec"), {})


@pytest.mark.parametrize("command", re.findall(r"^    dogbreed (.+)$", GUIDE, re.MULTILINE))
def test_commands_of_the_guide_are_understood(command: str) -> None:
    assert parse(command.split()).run


@pytest.mark.parametrize("target", re.findall(r"\]\((\.\./[^)]+)\)", GUIDE))
def test_links_of_the_guide_lead_somewhere(target: str) -> None:
    assert (PROJECT / "docs" / target).resolve().exists()
