"""The report's sections on the validation pictures: the mistakes with their pictures, confused classes, confidence."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from dogbreed_sdk.debugging.sources.pictures import located
from dogbreed_sdk.endpoints.evaluation.page.parts import Parts, parts
from dogbreed_sdk.pages.album import Album
from dogbreed_sdk.pages.markup import Markup

if TYPE_CHECKING:
    from pathlib import Path

    from dogbreed_sdk.debugging.content import ReportContent
    from dogbreed_sdk.debugging.validation import Validation
    from training_scripts.rules.own_words import Words

# Of a page of 2 MB: about 80 thumbnails.
PICTURE_BYTES = 600_000
WORST = 12
# What people read or hear of a page: the text between tags, and names for screen readers.
_TEXT = re.compile(r'(?:(?<=>)|^)[^<>]+|(?<=aria-label=")[^"]*')
_SHOW_BUTTON = re.compile(
    r'<th[^>]*><span class="unseen">Show its pictures</span></th>|<td><button(?:(?!</td>).)*</td>'
)
_NOTE = (
    "As the network gives them while it trains; the model artifact's probabilities are calibrated on these pictures "
    "after training."
)


def validation_parts(report: ReportContent, *, with_pictures: bool) -> Parts | None:
    """The sections; None for runs without classes or recorded answers.

    Args:
        report: The report.
        with_pictures: Whether to look for the pictures; otherwise their names are shown.
    """
    found = report.validation
    if found is None:
        return None
    folder = report.validation_folder if with_pictures else None
    album = Album(PICTURE_BYTES, locate=partial(_file, folder))
    ours = report.trial is not None and report.trial.run.get("recorder") == "builtin"
    about = _about(found, missing=with_pictures and folder is None)
    shown = parts(found.content, album, worst=WORST, about=about, note=_NOTE if ours else "")
    words = report.words
    return shown if words.has_pictures or folder is not None else _without_pictures(shown, words)


def _without_pictures(shown: Parts, words: Words) -> Parts:
    """The sections of a run whose samples are not pictures: in its words, and without buttons that show pictures."""

    def put(found: re.Match[str]) -> str:
        return words.put(found[0])

    sections = tuple(
        (anchor, title, Markup(_TEXT.sub(put, _SHOW_BUTTON.sub("", markup))))
        for anchor, title, markup in shown.sections
    )
    return replace(shown, sections=sections, data={**shown.data, "noun": "sample"})


def _file(folder: Path | None, name: Path) -> Path | None:
    return None if folder is None else located(folder, name)


def _about(found: Validation, *, missing: bool) -> str:
    """Which pictures these are, and how to see them if they were not found."""
    which = ", which has the lowest validation loss" if found.is_best else ""
    text = f"The {found.content.n:,} validation pictures, after epoch {found.epoch}{which}."
    if missing and found.is_named:
        text += " They were not found on this machine: pass the data set (--data DIR) to see them."
    return text
