"""The report on a data set in a notebook: its splits, and the findings with pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk._util.formatting import clipped
from dogbreed_sdk.datasets import report_text
from dogbreed_sdk.pages import cards
from dogbreed_sdk.pages.markup import Markup, element
from dogbreed_sdk.pages.thumbnails import small_picture
from training_scripts._util.number_text import counted

if TYPE_CHECKING:
    from dogbreed_sdk.datasets.findings import Finding

_GROUPS, _PICTURES = 12, 4
_SIGNS = {"error": ("▲", cards.ORANGE), "warning": ("◆", "#a07000"), "note": ("●", cards.GRAY)}


def report_card(name: str, classes: int, sizes: Mapping[str, int], findings: Sequence[Finding]) -> str:
    """The card of a data set's check.

    Args:
        name: The data set's.
        classes: Number of classes.
        sizes: Split -> number of pictures.
        findings: What was found, errors first.
    """
    groups = report_text.grouped(findings)
    ok = not any(finding.level == "error" for finding in findings)
    shown = [_group(group) for group in groups[:_GROUPS]]
    more = len(groups) - len(shown)
    ready = "ready for training" if ok else "cannot be trained on"
    return cards.card(
        f"Data set {name}: {ready}",
        cards.facts([("classes", classes), *((split, counted(size, "picture")) for split, size in sizes.items())]),
        *shown,
        element("div", f"and {more} more kinds of findings: print(report)") if more > 0 else None,
        color=cards.GREEN if ok else cards.ORANGE,
    )


def _group(group: Sequence[Finding]) -> Markup:
    """The findings of one kind, with the first of the pictures concerned."""
    sign, color = _SIGNS[group[0].level]
    pictures = [small for path in _first_pictures(group) if (small := small_picture(path, size=72))]
    drawn = [element("img", src=small, alt="", style="height:54px;border-radius:4px") for small in pictures]
    return element(
        "div",
        element("span", f"{sign} ", style=f"color:{color}", aria_hidden="true"),
        clipped(report_text.sentence(group), 500),
        element("div", drawn, style="display:flex;gap:.4em;margin:.2em 0 .4em 1.2em") if drawn else None,
    )


def _first_pictures(findings: Sequence[Finding]) -> list[Path]:
    return [path for finding in findings for path in finding.paths][:_PICTURES]
