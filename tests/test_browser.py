"""The browser that tests look at pages with."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests import browser as browser_module
from tests.browser import BrowserStalledError, Page, installed

PAGE = "data:text/html,<p>hello"


@pytest.mark.extras  # psutil
@pytest.mark.skipif(installed() is None, reason="no Chromium on this machine")
def test_a_browser_that_draws_nothing_is_named_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil  # noqa: PLC0415

    with Page(tmp_path) as page:
        page.open(PAGE)
        page.next_frame()
        processes = psutil.Process(page._process.pid).children(recursive=True)
        (drawing,) = [process for process in processes if "--type=gpu-process" in process.cmdline()]
        drawing.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(browser_module, "TIMEOUT", 2.0)
        with pytest.raises(BrowserStalledError, match=r"stopped drawing|does not answer"):
            page.wait(lambda: page.value("document.body.innerText") == "bye")
        monkeypatch.undo()
        page.open(PAGE)
        page.next_frame()
        assert page.value("document.body.innerText") == "hello"
        assert not drawing.is_running() or drawing.status() == psutil.STATUS_ZOMBIE
