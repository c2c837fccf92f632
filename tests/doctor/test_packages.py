"""The checks of installed packages, with what distributions really declare."""

from __future__ import annotations

from importlib import metadata

import pytest

from dogbreed_sdk.doctor.packages import DISTRIBUTION, PURPOSES, check_packages

pytestmark = pytest.mark.extras


def test_every_extra_for_users_has_its_purpose() -> None:
    extras = set(metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or [])
    assert set(PURPOSES) == extras - {"test", "dev", "docs"}


def checks(needed: str) -> dict[str, tuple[str, str, str]]:
    return {check.name: (check.status, check.message, check.remedy) for check in check_packages(needed)}


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the distribution declares, to be filled by a test."""
    requirements: list[str] = []
    monkeypatch.setattr(metadata, "requires", lambda _name: requirements)
    return requirements


def test_a_package_of_the_core_that_is_too_old_fails(declared: list[str]) -> None:
    declared.append("Pillow>=1000")
    status, message, _ = checks("local")["packages"]
    assert status == "fail"
    assert f"Pillow {metadata.version('Pillow')} instead of >=1000" in message


def test_a_missing_extra_fails_only_where_it_is_needed(declared: list[str]) -> None:
    declared.append('no-such-package>=1; extra == "aws"')
    assert checks("local")["extra aws"] == ("pass", "not installed; needed only to train and deploy on AWS", "")
    status, message, remedy = checks("aws")["extra aws"]
    assert (status, message) == ("fail", "not installed: no-such-package; needed to train and deploy on AWS")
    assert "pip install" in remedy
    assert "[aws]" in remedy


def test_an_extra_with_another_version_warns(declared: list[str]) -> None:
    declared.append('Pillow<1; extra == "heic"')
    assert checks("local")["extra heic"][0] == "warn"


def test_requirements_for_other_pythons_do_not_count(declared: list[str]) -> None:
    declared.append('no-such-package; python_version < "3" and extra == "heic"')
    declared.append('no-such-package; python_version < "3"')
    found = checks("local")
    assert (found["packages"][0], found["extra heic"][0]) == ("pass", "pass")
