"""The golden files themselves: what a changed request looks like to the engineer who changed it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.aws.requests import golden
from tests.aws.requests.golden import FOLDER, check_golden

REQUEST = {"TrainingJobName": "dogs"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(golden, "FOLDER", tmp_path)
    monkeypatch.delenv("ACCEPT_GOLDEN_FILES", raising=False)
    return tmp_path


def test_a_change_is_shown_with_the_way_to_accept_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match=r"(?s)\+.*\"TrainingJobName\": \"dogs\".*tests\.aws\.requests\.golden"):
        check_golden("stop", "StopTrainingJob", REQUEST)
    monkeypatch.setenv("ACCEPT_GOLDEN_FILES", "1")
    check_golden("stop", "StopTrainingJob", REQUEST)
    monkeypatch.delenv("ACCEPT_GOLDEN_FILES")
    check_golden("stop", "StopTrainingJob", REQUEST)
    with pytest.raises(AssertionError, match=r"-.*\"dogs\"\n\+.*\"cats\""):
        check_golden("stop", "StopTrainingJob", {"TrainingJobName": "cats"})


def test_a_request_that_aws_would_refuse_is_never_accepted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCEPT_GOLDEN_FILES", "1")
    with pytest.raises(AssertionError, match="trainingJobName"):
        check_golden("stop", "StopTrainingJob", {"TrainingJobName": "no spaces"})
    assert list(folder.iterdir()) == []


def test_each_golden_file_belongs_to_a_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in FOLDER.parent.glob("test_*.py"))
    assert [path.name for path in sorted(FOLDER.glob("*.json")) if f'"{path.stem}"' not in tests] == []
