"""How the page stands: on any width, in both schemes, still while answers arrive, within its policy, named for all."""

from __future__ import annotations

import re
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from dogbreed_sdk.service import page as page_files
from tests.browser import Page
from tests.service.page.reading import Reader
from tests.service.page.stand_in import PageServer, Reply, prediction, problem

LONG = "Xoloitzcuintleschnauzerweimaranerpinscheraffenpinscherkomondor"
STATES = ("answered", "rejected", "failed", "postponed", "sending")

# Of every visible text: its contrast with what is painted behind it, after WCAG 2.2, and what it has to be at least.
_CONTRASTS = """
(() => {
  const context = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d");
  const rgba = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, under) => [0, 1, 2].map((part) => top[part] * top[3] + under[part] * (1 - top[3]));
  const behind = (element) => {
    if (!element) return rgba(getComputedStyle(document.documentElement).getPropertyValue("--paper"));
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(element.parentElement));
  };
  const light = (color) => {
    const [r, g, b] = color.slice(0, 3).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest(".unseen, .picture img")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(over(rgba(style.color), behind(element))), light(behind(element))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    found.push({text, contrast: (a + 0.05) / (b + 0.05), least: large ? 3 : 4.5});
  }
  return found;
})()
"""


def show_every_state(page: Reader, server: PageServer, folder: Path) -> threading.Event:
    """A card in each state, with names that are longer than any line; gives what lets the last one go on."""
    hold = threading.Event()
    replies = {
        "answered": prediction(breeds=(LONG, LONG[:40], "Pug", "Boxer", "Collie")),
        "rejected": prediction(rejected=True, breeds=(LONG,)),
        "failed": problem(502, "model", "x"),
        "postponed": problem(503, "overloaded", "x", Retry_After="60"),
        "sending": Reply(200, prediction().body, hold=hold),
    }
    server.answer = lambda request: replies[request.body.decode()]
    files = [folder / f"{state}-{'x' * 90}.jpg" for state in STATES]
    for file, state in zip(files, STATES, strict=True):
        file.write_text(state)
    # The one that makes all others wait comes last of those that are sent.
    for wanted in ("sending", "failed", "rejected", "answered", "postponed"):
        page.drop(files[STATES.index(wanted)])
        page.browser.wait(lambda wanted=wanted: wanted in page.states)
    return hold


@pytest.mark.parametrize(("width", "phone"), [(320, True), (390, True), (700, False), (1280, False)])
def test_nothing_is_wider_than_the_window(
    browser: Page, server: PageServer, tmp_path: Path, width: int, phone: bool
) -> None:
    browser.open(server.url, width=width, height=844, phone=phone, calm=True)
    page = Reader(browser)
    empty = browser.value("document.documentElement.scrollWidth")
    hold = show_every_state(page, server, tmp_path)
    assert (empty, browser.value("document.documentElement.scrollWidth")) == (width, width)
    outside = (
        "[...document.querySelectorAll('main *, footer *')].filter(e => e.checkVisibility() && !e.closest('.picture'))"
    )
    outside += f".filter(e => e.getBoundingClientRect().right > {width}).map(e => e.outerHTML.slice(0, 80))"
    assert browser.value(outside) == []
    small = "[...document.querySelectorAll('button:not(.link)')].filter(e => e.checkVisibility())"
    small += ".map(e => e.getBoundingClientRect()).filter(b => b.height < 44 || b.width < 44).length"
    assert browser.value(small) == 0, "a finger needs 44 pixels"
    hold.set()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_can_be_read_in_both_schemes(browser: Page, server: PageServer, tmp_path: Path, dark: bool) -> None:
    browser.open(server.url, dark=dark, calm=True)
    page = Reader(browser)
    ground = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", ground))) < 60) == dark
    found = browser.value(_CONTRASTS)
    hold = show_every_state(page, server, tmp_path)
    page.browser.value("document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: new DataTransfer()}))")
    found += browser.value(_CONTRASTS)
    browser.value("document.querySelector('#key').showModal()")
    found += browser.value(_CONTRASTS)
    texts = {each["text"] for each in found}
    assert {"Which breed is this dog?", "Choose pictures", LONG, "The service is busy", "API documentation"} <= texts
    assert {"The clipboard does not contain a picture.", "Use this key"} <= texts
    assert [each for each in found if each["contrast"] < each["least"]] == []
    faded = "[...document.querySelectorAll('body *:not(img)')].filter(e => getComputedStyle(e).opacity < 1).length"
    assert browser.value(faded) == 0, "what fades has another contrast than was measured"
    hold.set()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(
    "reply", [prediction(), prediction(rejected=True), problem(502, "model", "x")], ids=lambda _: ""
)
def test_nothing_moves_when_an_answer_arrives(
    browser: Page, server: PageServer, pictures: list[Path], width: int, reply: Reply
) -> None:
    browser.open(server.url, width=width, height=844, calm=True)
    page = Reader(browser)
    holds = [threading.Event() for _ in range(2)]
    bodies = [path.read_bytes() for path in pictures]
    server.answer = lambda request: Reply(reply.status, reply.body, hold=holds[bodies.index(request.body)])
    page.drop(*pictures[:2])
    page.until("sending", "sending")
    places = "[...document.querySelectorAll('.card, .picture, .remove, footer')].map(e => e.getBoundingClientRect())"
    places += ".map(b => [b.x, b.y, b.width, b.height].map(Math.round))"
    browser.wait(lambda: browser.value("[...document.querySelectorAll('.photo')].every(e => e.matches('.loaded'))"))
    browser.next_frame()
    before = browser.value(f"(scrollTo(0, 0), {places})")
    for hold in holds:
        hold.set()
    browser.wait(lambda: "sending" not in page.states)
    assert browser.value(places) == before


def test_who_prefers_calm_gets_no_motion(browser: Page, server: PageServer, pictures: list[Path]) -> None:
    hold = threading.Event()
    server.answer = lambda _request: Reply(200, prediction().body, hold=hold)
    for calm in (True, False):
        hold.clear()
        browser.open(server.url, calm=calm)
        # Every motion is noted: a short one may be over before it can be looked for.
        browser.value("['animationstart', 'transitionrun'].forEach(e => addEventListener(e, () => window[e] = true))")
        page = Reader(browser)
        page.drop(pictures[0])
        page.until("sending")
        assert bool(browser.value("window.animationstart")) != calm
        hold.set()
        page.until("answered")
        assert bool(browser.value("window.transitionrun")) != calm


def test_the_policy_is_kept_and_nothing_else_asked_for(
    browser: Page, server: PageServer, pictures: list[Path], tmp_path: Path
) -> None:
    browser.open(server.url)
    page = Reader(browser)
    page.drop(*pictures[:2])
    page.until("answered", "answered")
    show_every_state(page, server, tmp_path).set()
    own = (server.url, f"blob:{server.url}")
    assert [url for url in browser.requests if not url.startswith(own)] == []
    assert len(browser.requests) > 10
    expected = ("Failed to load resource: the server responded with a status of 50",)
    assert [complaint for complaint in browser.complaints if not complaint.startswith(expected)] == []
    browser.value("document.body.setAttribute('style', 'color: red')")
    browser.wait(
        lambda: browser.value("true") and any("Content Security Policy" in each for each in browser.complaints)
    )


def test_everything_that_can_be_used_has_a_name(
    browser: Page, server: PageServer, pictures: list[Path], tmp_path: Path
) -> None:
    browser.open(server.url, phone=True, width=390, calm=True)
    page = Reader(browser)
    page.drop(pictures[0])
    page.until("answered")
    browser.wait(lambda: browser.value("document.querySelector('.photo').complete"))
    hold = show_every_state(page, server, tmp_path)
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    named: dict[str, list[str]] = {}
    for node in shown:
        named.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    assert {"Choose pictures", "Take a photo", "Try again", "Cancel", "Remove all"} <= set(named["button"])
    assert named["link"] == ["API documentation"]
    for role in ("button", "link", "image", "region", "heading"):
        assert all(named[role]), role
    assert named["heading"][:2] == ["Which breed is this dog?", "6 pictures"]
    assert {"Probably none of the known breeds", "The service is busy"} <= set(named["heading"])
    assert named["image"] == ["The picture dog-0.jpg"]
    hold.set()


class TestFiles:
    def test_the_page_refers_to_its_own_files_only_and_by_relative_links(self) -> None:
        files = page_files.files()
        html = files["/"][0].decode()
        links = re.findall(r'(?:href|src)="([^"#]+)"', html)
        assert {f"/{link}" for link in links if link.startswith("assets/")} <= set(files)
        assert {link for link in links if not link.startswith("assets/")} == {"docs"}
        scripts = "".join(body.decode() for path, (body, _) in files.items() if path.endswith(".js"))
        assert {f"/assets/{name}" for name in re.findall(r'from "\./([^"]+)"', scripts)} <= set(files)
        for path, (body, _) in files.items():
            assert set(re.findall(r"https?://[^\s\"']+", body.decode())) <= {"http://www.w3.org/2000/svg"}, path

    def test_nothing_is_inline(self) -> None:
        html = page_files.files()["/"][0].decode()
        assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:", html)
        assert all(not body.strip() for body in re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL))
        scripts = "".join(body.decode() for path, (body, _) in page_files.files().items() if path.endswith(".js"))
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", scripts)

    def test_each_has_its_media_type(self) -> None:
        types = {path: media_type for path, (_, media_type) in page_files.files().items()}
        assert types["/"] == "text/html; charset=utf-8"
        assert types["/assets/app.js"] == "text/javascript; charset=utf-8"
        assert types["/assets/style.css"] == "text/css; charset=utf-8"
        assert types["/assets/icon.svg"] == "image/svg+xml"
        ElementTree.fromstring(page_files.files()["/assets/icon.svg"][0])

    def test_it_is_small(self) -> None:
        assert sum(len(body) for body, _ in page_files.files().values()) < 70_000
