"""What the page says, read from a browser as a person would: its cards, what it announces, what has the focus."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.browser import BrowserStalledError, Page

_CARDS = """
(() => {
  const visible = (element) => element.checkVisibility();
  const text = (element, selector) => element.querySelector(selector).textContent;
  return [...document.querySelectorAll("#cards > .card")].map((card) => ({
    state: card.dataset.state,
    file: text(card, ".file"),
    title: text(card, ".title"),
    note: text(card, ".note"),
    reference: text(card, ".reference"),
    rows: [...card.querySelectorAll(".scores li")].filter(visible).map((row) => ({
      breed: text(row, ".breed"),
      share: text(row, ".share"),
      width: row.querySelector(".fill").getBoundingClientRect().width
        / row.querySelector(".track").getBoundingClientRect().width,
    })),
    buttons: [...card.querySelectorAll(".actions button")].filter(visible).map((button) => button.textContent),
  }));
})()
"""


@dataclass(frozen=True)
class Row:
    """One bar: the breed, the share as it is written, and how much of the track is filled."""

    breed: str
    share: str
    width: float


@dataclass(frozen=True)
class Card:
    """One picture on the page."""

    state: str
    file: str
    title: str
    note: str
    reference: str
    rows: list[Row]
    buttons: list[str]


class Reader:
    """The page in a browser, as seen and heard."""

    def __init__(self, browser: Page) -> None:
        self.browser = browser

    @property
    def cards(self) -> list[Card]:
        """Every card, from the top."""
        found: list[dict[str, Any]] = self.browser.value(_CARDS)
        return [Card(**{**card, "rows": [Row(**row) for row in card["rows"]]}) for card in found]

    @property
    def states(self) -> list[str]:
        """The state of every card, from the top."""
        return [card.state for card in self.cards]

    def until(self, *states: str) -> list[Card]:
        """Waits for cards in these states, from the top."""
        try:
            self.browser.wait(lambda: self.states == list(states))
        except BrowserStalledError:
            raise
        except AssertionError as error:
            raise AssertionError(f"the cards are {self.states}, not {list(states)}") from error
        # Bars get their width in the next frame.
        self.browser.next_frame()
        return self.cards

    def text(self, selector: str) -> str:
        """The text of an element as it is shown, "" where it is hidden."""
        found: str = self.browser.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "return e.checkVisibility() ? e.innerText : ''; })()"
        )
        return found

    @property
    def announced(self) -> list[str]:
        """What those who listen to the page have been told."""
        lines: list[str] = self.browser.value("[...document.querySelectorAll('#spoken p')].map(e => e.textContent)")
        return lines

    @property
    def focus(self) -> str:
        """What has the focus: its name."""
        name: str = self.browser.value(
            "(e => e === document.body ? '' : e.getAttribute('aria-label') ?? (e.matches('.card') "
            "? `card ${e.querySelector('.file').textContent}` : e.labels?.[0]?.textContent ?? e.textContent))"
            "(document.activeElement)"
        )
        return name

    def stop_clock(self) -> float:
        """Lets no time pass on the page, so that what it counts down stays as it is; its time in epoch seconds."""
        milliseconds: float = self.browser.value(
            "(() => { const at = Date.now(); window.stopped = [Date.now, at]; Date.now = () => at; return at; })()"
        )
        return milliseconds / 1000

    def start_clock(self) -> None:
        """Lets the page's time go on where it stopped."""
        self.browser.value(
            "(([now, at]) => { const lost = now() - at; Date.now = () => now() - lost; })(window.stopped)"
        )

    def drop(self, *files: Path) -> None:
        """Drops files on the place for them."""
        self.browser.drop("#drop", *files)

    def press(self, name: str, *, card: int = 0) -> None:
        """A click on a button of a card, by its text."""
        selector = {"Try again": ".retry", "Cancel": ".cancel", "Enter the API key": ".enter-key", "Remove": ".remove"}
        self.browser.click(f"#cards > .card:nth-child({card + 1}) {selector[name]}")
