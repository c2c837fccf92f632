"""The sections that show a model's answers on labeled pictures: for evaluations and for training reports."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed_sdk._util.formatting import counted_more
from dogbreed_sdk.endpoints.evaluation.content import EvaluationContent, Mistake, PictureResult
from dogbreed_sdk.endpoints.evaluation.explaining import Explainer
from dogbreed_sdk.endpoints.evaluation.page import confidence, confusion, gallery, plots
from dogbreed_sdk.endpoints.evaluation.page.classes import classes_section
from dogbreed_sdk.errors import ConfigurationError, DogBreedError
from dogbreed_sdk.pages.album import Album
from dogbreed_sdk.pages.document import asset
from dogbreed_sdk.pages.markup import Markup, element
from dogbreed_sdk.pages.sections import empty, section
from dogbreed_sdk.pages.thumbnails import of_image
from training_scripts._util.class_names import display_name
from training_scripts._util.number_text import counted

WORST = 24
_REJECTED = 24
# The longer sides of thumbnails in pixels: about 11 kB and 5 kB in the page.
_LARGE, _SMALL = 200, 120
# Each explanation takes another pass through the network, or several; nobody waits minutes for a page.
_EXPLAINED, _EXPLAINING_SECONDS = 12, 30.0


@dataclass(frozen=True)
class Parts:
    """The sections of an evaluation for a page, and what their script reads.

    Attributes:
        sections: Anchor, short title and content of each section.
        data: For the element with the id `data`.
        script: The sections' JavaScript.
        style: Their style sheet.
    """

    sections: tuple[tuple[str, str, Markup], ...]
    data: Mapping[str, Any]
    script: str
    style: str


def parts(
    content: EvaluationContent,
    album: Album,
    *,
    worst: int = WORST,
    classifier: Explainer | None = None,
    about: str = "",
    note: str = "",
) -> Parts:
    """The sections on the mistakes, the confused classes, the classes, the confidence and the rejected pictures.

    Args:
        content: Of the evaluation.
        album: The page's pictures.
        worst: Number of mistakes that are shown beside typical pictures.
        classifier: Explains the worst mistakes, if it can.
        about: Which pictures these are, where that is not clear from the page.
        note: What a reader must know of these probabilities.
    """
    labels = unique_labels(content.classes)
    typical: dict[str, list[PictureResult]] = defaultdict(list)
    for each in content.typical:
        typical[each.actual].append(each)
    shown, rejected = content.mistakes[:worst], (content.rejected or ())[:_REJECTED]
    explained = _explained(shown, classifier)
    shelf = gallery.Gallery(labels, album, typical, explained)
    album.take((each.path for each in shown), size=_LARGE)
    album.take([*shelf.beside(shown), *(each.path for each in rejected), *confusion.wanted(content)], size=_SMALL)
    sections = [
        ("mistakes", "Mistakes", _mistakes(content, shown, shelf, about)),
        ("confusion", "Confusion", _confusion(content, labels)),
        ("classes", "Classes", classes_section(content, labels)),
        ("confidence", "Confidence", confidence.confidence_section(content, note=note)),
    ]
    if content.rejected is not None:
        sections.append(("rejected", "Rejected", _rejected(content, rejected, shelf)))
    data = {
        "confusion": confusion.matrix_data(content, labels, album),
        **confidence.values(content),
        "sources": album.unplaced(),
    }
    script, style = (asset(name, package=__package__) for name in ("evaluation.js", "evaluation.css"))
    return Parts(tuple(sections), data, script, plots.style() + style)


def unique_labels(classes: Sequence[str]) -> dict[str, str]:
    """A name for people for each class folder; the folder itself where two classes would have the same name.

    >>> unique_labels(["001.Pug", "2.Pug", "003.Boxer"])
    {'001.Pug': '001.Pug', '2.Pug': '2.Pug', '003.Boxer': 'Boxer'}
    """
    names = {folder: display_name(folder) for folder in classes}
    used = Counter(names.values())
    return {folder: name if used[name] == 1 else folder for folder, name in names.items()}


def _mistakes(content: EvaluationContent, shown: Sequence[Mistake], shelf: gallery.Gallery, about: str) -> Markup:
    title = "The worst mistakes"
    if not shown:
        pictures = _all(content.n, "picture")
        nothing = f"None: {pictures} {'is' if content.n == 1 else 'are'} classified correctly."
        return section("mistakes", title, empty(" ".join(filter(None, (about, nothing)))))
    count = len(content.mistakes)
    which = f"The {len(shown)} worst of {count:,} mistakes" if count > len(shown) else _all(count, "mistake")
    which = which[0].upper() + which[1:]
    first = " First come the pictures whose true class the model finds least likely." if len(shown) > 1 else ""
    return section(
        "mistakes",
        title,
        shelf.mistakes(shown),
        lead=f"{about}{' ' if about else ''}{which}.{first} Often the label is wrong, or the picture shows several "
        "subjects or something else.",
    )


def _all(count: int, noun: str) -> str:
    """All of a number of things, in words.

    >>> _all(1, "mistake"), _all(2, "mistake"), _all(3, "mistake")
    ('the only mistake', 'both mistakes', 'all 3 mistakes')
    """
    return f"the only {noun}" if count == 1 else f"both {noun}s" if count == 2 else f"all {count:,} {noun}s"


def _confusion(content: EvaluationContent, labels: gallery.Labels) -> Markup:
    title = "Which classes are confused"
    pairs = confusion.pairs_table(content, labels)
    if pairs is None:
        return section("confusion", title, empty("None."))
    return section(
        "confusion",
        title,
        confusion.matrix(),
        element("h3", "The most confused pairs"),
        pairs,
        lead="Rows are true classes, columns are answers. Choose a cell, with the mouse or with Tab and the arrow "
        "keys, to see its pictures.",
    )


def _rejected(content: EvaluationContent, shown: Sequence[PictureResult], shelf: gallery.Gallery) -> Markup:
    explanation = confidence.rejection_text(content)
    title = "Rejected pictures"
    if not shown:
        return section("rejected", title, empty(explanation))
    count = len(content.rejected or ())
    more = (
        element("p", f"{counted_more(count - len(shown))} not shown.", class_="quiet") if count > len(shown) else None
    )
    return section("rejected", title, shelf.figures(shown), more, lead=explanation)


def _explained(mistakes: Sequence[Mistake], classifier: Explainer | None) -> dict[tuple[Path, str], str]:
    """Where in the worst mistakes the evidence for both classes is, as data: URLs, as far as they are made in time."""
    found: dict[tuple[Path, str], str] = {}
    deadline = time.monotonic() + _EXPLAINING_SECONDS
    for mistake in mistakes[:_EXPLAINED] if classifier is not None else ():
        if time.monotonic() > deadline:
            break
        for folder in (mistake.actual, mistake.predicted):
            try:
                overlay = classifier.explain(mistake.path, label=folder).overlay()  # type: ignore[union-attr]
            except ConfigurationError:  # its model is elsewhere
                return found
            except DogBreedError:  # one missing heat map must not cost the page
                continue
            found[mistake.path, folder] = of_image(overlay, size=_LARGE)
    return found


def left_out(album: Album) -> Markup | None:
    """What the page does not contain, and where it is; None if it contains everything."""
    notes = []
    if album.left_out:
        notes.append(
            f"{counted(album.left_out, 'picture')}, to keep the page small; the confusion matrix has the names"
        )
    if album.unreadable:
        are = "is" if album.unreadable == 1 else "are"
        notes.append(f"{counted(album.unreadable, 'picture')} that {are} missing or cannot be read")
    return element("p", f"Left out: {'; '.join(notes)}.", class_="quiet left-out") if notes else None
