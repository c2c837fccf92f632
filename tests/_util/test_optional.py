"""What is missing is said at once, with the command that installs it from where this package came."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest

from dogbreed_sdk._util import optional
from dogbreed_sdk.errors import ConfigurationError


class _Installed:
    """A distribution that was installed from somewhere."""

    def __init__(self, direct_url: str | None) -> None:
        self._direct_url = direct_url

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self._direct_url


def installed(monkeypatch: pytest.MonkeyPatch, direct_url: dict[str, object] | None) -> None:
    found = _Installed(None if direct_url is None else json.dumps(direct_url))
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: found)


def test_everything_that_is_missing_is_named_with_every_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, None)
    monkeypatch.setitem(sys.modules, "gone", None)
    monkeypatch.setitem(sys.modules, "also_gone", None)
    with pytest.raises(ConfigurationError) as raised:
        optional.require(
            {"service": ["gone", "json"], "local": ["also_gone", "gone"], "aws": ["json"]},
            purpose="serve",
            otherwise="Or do not.",
        )
    assert str(raised.value) == (
        "Packages are missing that are needed to serve: also_gone, gone. "
        "Install them with: pip install 'dogbreed-sdk[local,service]'\nOr do not."
    )


def test_what_is_there_is_found_without_being_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    optional.require({"local": ["this"]}, purpose="read a poem")
    assert "this" not in sys.modules


def test_a_checkout_is_installed_again_from_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "dog breeds"
    folder.mkdir()
    for editable, option in ((True, "-e "), (False, "")):
        installed(monkeypatch, {"url": folder.as_uri(), "dir_info": {"editable": editable}})
        assert optional.install_command("local") == f"pip install {option}'{folder}[local]'"
    folder.rmdir()
    assert optional.install_command("local") == "pip install 'dogbreed-sdk[local]'"


@pytest.mark.parametrize(
    "direct_url",
    [
        None,
        {"url": "file:///dist/dogbreed_sdk-0.1.0-py3-none-any.whl", "archive_info": {}},
        {"url": "https://git.example/dogs.git", "vcs_info": {"vcs": "git"}},
    ],
)
def test_what_came_from_elsewhere_is_installed_by_name(
    direct_url: dict[str, object] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, direct_url)
    assert optional.install_command("aws") == "pip install 'dogbreed-sdk[aws]'"


def test_without_any_distribution_the_name_is_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", none)
    assert optional.install_command("aws") == "pip install 'dogbreed-sdk[aws]'"
