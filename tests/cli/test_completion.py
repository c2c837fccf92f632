"""Completion with the Tab key: what a shell is told about a command line that is not finished."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dogbreed_sdk.cli import completion_command
from dogbreed_sdk.cli.parser import parse
from tests.conftest import Workshop

# In a process of its own, since argcomplete writes to file descriptors that it did not open.
ASKING = """
import io, json, os, sys
from dogbreed_sdk.cli import completion

def answer(line):
    os.environ |= {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\\n", "COMP_LINE": line, "COMP_POINT": str(len(line))}
    said = io.StringIO()
    try:
        completion.complete(end=sys.exit, output=said)
    except SystemExit:
        return [word.strip() for word in said.getvalue().split("\\n") if word]

json.dump([answer(line) for line in sys.argv[1:]], sys.stdout)
"""


def completed(*lines: str, folder: Path | None = None) -> list[list[str]]:
    """What each line may go on with."""
    command = [sys.executable, "-c", ASKING, *lines]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=240)
    return json.loads(done.stdout)


def test_commands_options_and_choices() -> None:
    expected = {
        "dogbreed tra": ["train", "transform"],
        "dogbreed data ch": ["check"],
        "dogbreed completion ": ["bash", "zsh", "fish"],
        "dogbreed train d --label-s": ["--label-smoothing"],
        "dogbreed train d --optimizer ": ["adamw", "adam", "sgd"],
        "dogbreed train d --amp ": ["true", "false"],
        "dogbreed train d --features ": ["stored", "in-job", "off"],
        "dogbreed train d --model res": ["resnet18", "resnet50"],
        "dogbreed train d --managed-rule Overt": ["Overtraining"],
        "dogbreed tune d --objective valid:l": ["valid:loss"],
    }
    for (line, words), found in zip(expected.items(), completed(*expected), strict=True):
        assert set(found) == set(words), line


def test_the_names_of_local_jobs(workshop: Workshop) -> None:
    root, job, search = f"--root {workshop.root}", workshop.job.name, workshop.tuning.name
    every, one, best, model, on_aws = completed(
        f"dogbreed logs {root} shapes-",
        f"dogbreed logs {root} {job[:-1]}",
        f"dogbreed train d {root} --best-of {search[:-2]}",
        f"dogbreed classify {root} {job[:-1]}",
        f"dogbreed logs --aws {job[:-1]}",
    )
    assert {job, search} <= set(every)
    assert (one, best, model, on_aws) == ([job], [search], [job], [])


def test_files_where_a_model_or_a_picture_may_stand(tmp_path: Path) -> None:
    (tmp_path / "rex.jpg").touch()
    lines = ("dogbreed classify --root root re", "dogbreed classify --root root dogs re")
    assert completed(*lines, folder=tmp_path) == [["rex.jpg"], ["rex.jpg"]]


def test_a_look_for_names_makes_no_folder(tmp_path: Path) -> None:
    assert completed(f"dogbreed logs --root {tmp_path}/none x") == [[]]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_every_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    completion_command.run(parse(["completion", shell])).print_text()
    said = capsys.readouterr().out
    assert "_ARGCOMPLETE" in said
    assert "dogbreed" in said


def test_the_script_completes_in_bash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, script = tmp_path / "dogbreed", tmp_path / "script"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dogbreed_sdk "$@"\n')
    program.chmod(0o755)
    completion_command.run(parse(["completion", "bash"])).print_text()
    script.write_text(capsys.readouterr().out)
    asking = (
        f"source {script}; COMP_LINE='dogbreed endp'; COMP_POINT=13; _python_argcomplete dogbreed; "
        "printf '%s\\n' \"${COMPREPLY[@]}\"; complete -p dogbreed"
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", asking], env=environment, check=True, capture_output=True, text=True, timeout=240
    )
    assert done.stdout.splitlines()[0].strip() == "endpoints"
    assert "_python_argcomplete dogbreed" in done.stdout


def test_other_commands_do_without_it() -> None:
    code = "import sys, dogbreed_sdk.cli.program; assert 'argcomplete' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=240)
