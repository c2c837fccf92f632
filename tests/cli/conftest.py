"""What the command's tests share."""

from __future__ import annotations

import pytest

from dogbreed_sdk.cli import output


@pytest.fixture(autouse=True)
def _no_line_only_because_the_machine_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "LINE_SECONDS", 3600.0)
