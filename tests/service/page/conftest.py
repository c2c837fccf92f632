"""A browser, a server in the service's place, and pictures to show to the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.browser import Page
from tests.service.page.reading import Reader
from tests.service.page.stand_in import PageServer


@pytest.fixture
def server() -> Iterator[PageServer]:
    with PageServer() as running:
        yield running


@pytest.fixture
def page(browser: Page, server: PageServer) -> Reader:
    """The page of a service that answers, at a desk."""
    browser.open(server.url, calm=True)
    reader = Reader(browser)
    browser.wait(lambda: reader.text("#model"))
    return reader


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eight small JPEGs, each of its own content."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"dog-{number}.jpg" for number in range(8)]
    for number, path in enumerate(paths):
        image = Image.new("RGB", (120, 90), (90 + 20 * number, 140, 60))
        ImageDraw.Draw(image).ellipse((30, 20, 90, 70), fill=(200, 170, 20 * number))
        image.save(path)
    return paths
