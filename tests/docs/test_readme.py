"""The README does what it says: its Python examples run as they stand, its commands are the ones that are tested."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"(<!-- not-run: .+? -->\n)?```python\n(.*?)```", TEXT, re.DOTALL)


def test_there_are_exactly_two_shell_commands() -> None:
    commands = re.findall(r"```sh\n(.*?)\n```", TEXT, re.DOTALL)
    assert len(commands) == 2
    assert commands[0].endswith("dogbreed quickstart")
    assert commands[1].endswith("pytest")
    assert all("\n" not in command for command in commands)


@pytest.mark.extras
@pytest.mark.parametrize("code", [code for skipped, code in BLOCKS if not skipped])
def test_examples_run_as_they_stand(code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("code", [code for skipped, code in BLOCKS if skipped])
def test_examples_that_need_an_account_at_least_import_what_exists(code: str) -> None:
    imports = "\n".join(line for line in code.splitlines() if line.startswith(("from ", "import ")))
    assert imports
    exec(compile(imports, str(README), "exec"), {})


@pytest.mark.parametrize("target", re.findall(r"\]\(((?!http)[^)#]+)", TEXT))
def test_links_lead_somewhere(target: str) -> None:
    assert (README.parent / target).exists()


def test_on_the_package_index_no_link_is_relative(tmp_path: Path) -> None:
    published = tmp_path / "README.md"
    published.write_text(TEXT, encoding="utf-8")
    script = README.parent / ".ci" / "absolute_links.py"
    subprocess.run([sys.executable, str(script), str(published), "https://example.org/dogs/blob/v1"], check=True)
    targets = re.findall(r"\]\(([^)]+)\)", published.read_text(encoding="utf-8"))
    assert len(targets) == len(re.findall(r"\]\(", TEXT))
    assert "https://example.org/dogs/blob/v1/docs/pictures/report.png?raw=true" in targets
    assert [target for target in targets if not target.startswith("https://example.org/dogs/blob/v1/")] == []


def test_every_example_is_in_their_list() -> None:
    folder = README.parent / "examples"
    listed = re.findall(r"\]\(([\w/]+\.(?:py|ipynb))\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(str(path.relative_to(folder)) for path in folder.rglob("*.[pi][yp]*"))


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 120
