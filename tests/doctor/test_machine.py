"""The checks of a machine: what real processes and folders show, and where the limits lie."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dogbreed_sdk.cli import main
from dogbreed_sdk.doctor import machine

pytestmark = pytest.mark.extras

GIB = 2**30


def test_this_machine_passes_and_each_line_says_what_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["doctor", "--root", str(tmp_path / "new"), "--json"])
    document = json.loads(capsys.readouterr().out)
    checks = {check["name"]: check for check in document["checks"]}
    assert code == 0, document
    assert (document["failed"], len(document["checks"])) == (0, document["passed"] + document["warnings"])
    assert checks["python"]["message"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")
    assert checks["torch"]["status"] == checks["local sagemaker"]["status"] == checks["extra local"]["status"] == "pass"
    assert checks["folder"]["message"] == f"{tmp_path / 'new'}, which the first job creates"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise RuntimeError('operator torchvision::nms does not exist')", "operator torchvision::nms does not exist"),
        ("import os; os.abort()", "cannot be used: the process ended with -6"),
    ],
)
def test_a_broken_torch_fails_with_its_own_words(program: str, message: str) -> None:
    check = machine.check_torch((sys.executable, "-c", program))
    assert (check.status, "pip install" in check.remedy) == ("fail", True)
    assert message in check.message


@pytest.mark.parametrize(
    ("available", "status"), [(1 * GIB, "fail"), (3 * GIB, "warn"), (8 * GIB, "pass"), (None, "warn")]
)
def test_memory_has_limits(available: int | None, status: str) -> None:
    check = machine.check_memory(available)
    assert check.status == status
    assert bool(check.remedy) == (available is not None and status != "pass")


def test_a_file_in_the_place_of_the_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = machine.check_writable(tmp_path / "file" / "root")
    assert (check.status, str(tmp_path / "file") in check.message) == ("fail", True)


def test_what_is_wrong_ends_in_exit_status_1_with_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "check_torch", lambda: machine.passed("torch", "not looked at"))
    (tmp_path / "file").write_text("")
    assert main(["doctor", "--root", str(tmp_path / "file")]) == 1
    lines = capsys.readouterr().out.splitlines()
    place = lines.index(f"fail  folder: {tmp_path / 'file'} is a file")
    assert lines[place + 1] == "      Choose another folder: --root DIR or DOGBREED_ROOT."
    assert lines[-1].endswith(", 1 failed")


def test_options_of_aws_need_aws(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--region", "eu-west-1"]) == 2
    assert "--region needs --aws" in capsys.readouterr().err
