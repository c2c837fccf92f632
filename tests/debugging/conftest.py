"""A browser to look at pages with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import Page, installed


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if installed() is None:
        pytest.skip("no Chromium on this machine: the page is only parsed, not looked at")
    with Page(tmp_path_factory.mktemp("browser")) as opened:
        yield opened
