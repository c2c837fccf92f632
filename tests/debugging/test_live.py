"""The live page: it shows the newest report, only to this machine, and says when it has ended."""

from __future__ import annotations

import csv
import io
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from dogbreed_sdk import DebugReport
from dogbreed_sdk.debugging import live
from dogbreed_sdk.debugging.live import LivePage
from tests.browser import Page
from tests.debugging import made_up

pytestmark = pytest.mark.extras


def report(*, epochs: int) -> DebugReport:
    return DebugReport("a run", trial=made_up.trial(epochs=epochs, layers=1))


def test_the_page_loads_itself_again_when_there_is_more(browser: Page) -> None:
    page = LivePage("a run")
    page.start()
    try:
        browser.open(page.url)
        assert browser.value("document.querySelector('h1').textContent") == "Nothing has been recorded yet"
        page.show(report(epochs=3))
        browser.wait(lambda: browser.value("Boolean(document.querySelector('#curves .plot'))"))
        assert browser.value("document.querySelector('[data-version]').textContent") == "live"
    finally:
        page.stop()
    browser.wait(lambda: browser.value("document.querySelector('[data-version]').textContent") == "no longer live")
    assert not [each for each in browser.complaints if "ERR_CONNECTION" not in each]


def test_a_newer_report_leaves_the_reader_where_they_are(browser: Page) -> None:
    with LivePage("a run") as page:
        page.show(report(epochs=2))
        browser.open(page.url)
        closed = browser.value("(e => { e.open = !e.open; return e.open; })(document.querySelector('#rules details'))")
        name = browser.value("document.querySelector('#rules details .name').textContent")
        browser.value("(() => { window.same = true; document.documentElement.style.scrollBehavior = 'auto'; })()")
        browser.value("scrollBy(0, document.querySelector('#tensors').getBoundingClientRect().top - 30)")
        ends = "JSON.parse(document.querySelector('#charts').textContent).loss.series[0].x.at(-1)"
        before = browser.value(ends)
        page.show(report(epochs=4))
        browser.wait(lambda: browser.value(ends) > before)
        assert browser.value("window.same"), "the page was loaded as a whole"
        assert browser.value("document.querySelector('#tensors').getBoundingClientRect().top") == pytest.approx(
            30, abs=2
        )
        rules = "[...document.querySelectorAll('#rules details')]"
        assert browser.value(f"{rules}.find(e => e.querySelector('.name').textContent == {name!r}).open") == closed
        assert browser.value("document.querySelectorAll('[data-chart=loss] .plot svg path.curve').length") >= 2
        assert browser.value("document.querySelectorAll('[data-chart=loss] .plot').length") == 1
        assert browser.value("document.querySelector('[data-version]').dataset.version") == page.version
        browser.click("[data-chart=loss] .legend button")
        pressed = "document.querySelector('[data-chart=loss] .legend button').getAttribute('aria-pressed')"
        assert browser.value(pressed) == "false"
        assert browser.complaints == []


def test_all_numbers_can_be_downloaded() -> None:
    with LivePage("a run") as page:
        assert requests.get(f"{page.url}numbers.csv", timeout=60).status_code == 404
        page.show(report(epochs=3))
        rows = list(csv.DictReader(io.StringIO(requests.get(f"{page.url}numbers.csv", timeout=60).text)))
        columns = requests.get(f"{page.url}numbers.json", timeout=60).json()
    losses = [row for row in rows if (row["tensor"], row["mode"]) == (made_up.LOSS, "TRAIN")]
    assert [int(row["step"]) for row in losses] == list(range(75))
    assert {row["statistic"] for row in losses} == {"value"}
    [column] = [one for one in columns if (one["tensor"], one["mode"]) == (made_up.LOSS, "TRAIN")]
    assert column["values"] == [float(row["value"]) for row in losses]
    gradients = {row["statistic"] for row in rows if row["tensor"] == "gradient/Sequential_0.weight"}
    assert gradients == {"abs_mean", "std"}


def test_the_version_changes_only_with_what_is_recorded() -> None:
    with LivePage("a run") as page:
        page.show(None)
        versions = [page.version]
        for epochs in (2, 2, 3):
            page.show(report(epochs=epochs))
            versions.append(page.version)
    assert versions == ["0", "1", "1", "2"]


def test_a_page_of_another_site_learns_nothing() -> None:
    with LivePage("a run") as page:
        answer = requests.get(page.url, headers={"Host": "evil.example:80"}, timeout=60)
        assert (answer.status_code, "run" in answer.text) == (403, False)
        assert requests.get(f"{page.url}../../etc/passwd", timeout=60).status_code == 404


def test_a_browser_that_hangs_up_leaves_nothing_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with LivePage("a run") as page:
        page.show(report(epochs=3))
        place = urlsplit(page.url)
        hangs_up = struct.pack("ii", 1, 0)  # SO_LINGER of 0 seconds resets the connection
        for request in (b"GET / HTTP/1.0\r\nHost: 127.0.0.1:80\r\n\r\n", b"GET / HT"):
            with socket.create_connection((place.hostname or "", place.port or 0), timeout=60) as browser:
                browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, hangs_up)
                browser.sendall(request)
        assert requests.get(page.url, timeout=60).ok
    assert capfd.readouterr() == ("", "")


def test_the_last_report_reaches_a_page_that_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LAST_LOOK_SECONDS", 3600.0)
    page = LivePage("a run")
    page.start()
    page.show(report(epochs=2))
    first = requests.get(page.url, timeout=60).content
    page.show(report(epochs=3))
    stopping = live.threading.Thread(target=page.stop)
    stopping.start()
    answering, may_go_on = threading.Event(), threading.Event()
    answer = live._Handler._answer

    def slowly(*arguments: Any) -> None:
        answering.set()
        assert may_go_on.wait(60)
        answer(*arguments)

    monkeypatch.setattr(live._Handler, "_answer", slowly)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(requests.get, page.url, timeout=120)
        assert answering.wait(60)
        stopping.join(0.5)
        assert stopping.is_alive(), "a program that ends now would cut the page off"
        may_go_on.set()
        last = asked.result().content
    stopping.join(60)
    assert not stopping.is_alive()
    assert first != last
