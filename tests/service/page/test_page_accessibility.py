"""The page under axe-core's rules, in every state, in both schemes, wide and narrow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.axe import violations
from tests.browser import Page
from tests.service.page.reading import Reader
from tests.service.page.stand_in import PageServer
from tests.service.page.test_page_looks import show_every_state


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "phone"), [(390, True), (1280, False)])
def test_no_rule_is_violated(
    browser: Page, server: PageServer, tmp_path: Path, width: int, phone: bool, dark: bool
) -> None:
    browser.open(server.url, width=width, height=844, phone=phone, dark=dark, calm=True)
    assert violations(browser) == []
    hold = show_every_state(Reader(browser), server, tmp_path)
    assert violations(browser) == []
    browser.value("document.querySelector('#key').showModal()")
    assert violations(browser) == []
    hold.set()


def test_the_rules_see_what_is_wrong(browser: Page) -> None:
    browser.open("data:text/html,<title>t</title><h1>A</h1><h3>B</h3><nav></nav><nav></nav><img src='x'>")
    found = violations(browser)
    for rule in ("heading-order", "landmark-unique", "image-alt", "html-has-lang"):
        assert any(line.startswith(f"{rule} at ") for line in found), (rule, found)
