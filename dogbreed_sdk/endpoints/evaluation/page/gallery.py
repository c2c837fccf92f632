"""Pictures with captions: the worst mistakes beside typical pictures of both classes, and rejected pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from dogbreed_sdk._util.formatting import clipped
from dogbreed_sdk.endpoints.evaluation.content import Mistake, PictureResult
from dogbreed_sdk.pages.album import Album
from dogbreed_sdk.pages.markup import Child, Markup, element, table
from training_scripts._util.number_text import probability_text

# Typical pictures of a class beside a mistake.
_TYPICAL = 2

Labels: TypeAlias = Mapping[str, str]
"""A name for people for each class folder, unique among them."""


@dataclass(frozen=True)
class Gallery:
    """Shows pictures with what the model made of them.

    Attributes:
        labels: The names of the classes.
        album: The page's pictures.
        typical: Typical pictures of each class.
        explained: Of some mistakes, by path and class folder, the data: URL of the picture with the evidence for that
            class marked.
    """

    labels: Labels
    album: Album
    typical: Mapping[str, Sequence[PictureResult]] = field(default_factory=dict)
    explained: Mapping[tuple[Path, str], str] = field(default_factory=dict)

    def beside(self, mistakes: Sequence[Mistake]) -> list[Path]:
        """The typical pictures that `mistakes` shows beside the mistakes themselves."""
        classes = dict.fromkeys(name for mistake in mistakes for name in (mistake.actual, mistake.predicted))
        return [each.path for name in classes for each in self.typical.get(name, ())[:_TYPICAL]]

    def mistakes(self, mistakes: Sequence[Mistake]) -> Markup:
        """A card for each mistake, beside typical pictures of its true and of its predicted class.

        If the page has no picture of any mistake, a table with their names.
        """
        if not any(self.album.name(mistake.path) for mistake in mistakes):
            return self._names(mistakes)
        return element("div", map(self._card, mistakes), class_="mistakes")

    def _names(self, mistakes: Sequence[Mistake]) -> Markup:
        rows: list[list[Child]] = [
            [
                picture_name(mistake.path),
                self._label(mistake.actual),
                self._label(mistake.predicted),
                "—" if mistake.probability is None else probability_text(mistake.probability),
                "—" if mistake.loss is None else probability_text(math.exp(-mistake.loss)),
            ]
            for mistake in mistakes
        ]
        head = ("Picture", "True class", "Classified as", "Sure", "For the true class")
        return table(head, rows, numeric=(3, 4), label="The worst mistakes", class_="names-only")

    def _card(self, mistake: Mistake) -> Markup:
        actual, predicted = self._label(mistake.actual), self._label(mistake.predicted)
        columns = [self._shown(mistake), *(self._class(mistake, each) for each in (mistake.actual, mistake.predicted))]
        explained = any((mistake.path, each) in self.explained for each in (mistake.actual, mistake.predicted))
        return element(
            "article",
            element("h3", actual, element("span", " classified as ", class_="as"), predicted),
            element("p", _numbers(mistake), class_="quiet"),
            element("div", columns, class_="compared explained" if explained else "compared"),
            class_="card mistake",
        )

    def _shown(self, mistake: Mistake) -> Markup:
        picture = self.album.image(mistake.path, f"a picture of {self._label(mistake.actual)}")
        return element("figure", picture, element("figcaption", picture_name(mistake.path)), class_="itself")

    def _class(self, mistake: Mistake, folder: str) -> Markup:
        """Where in the picture the evidence for a class is, if that is known, and typical pictures of the class."""
        label, pictures = self._label(folder), self.typical.get(folder, ())
        heat = self.explained.get((mistake.path, folder))
        shown: list[Child] = [
            self.album.image(each.path, f"a typical picture of {label}")
            for each in pictures[:_TYPICAL]
            if self.album.name(each.path)
        ]
        nothing = element("span", "no picture here" if pictures else "none is classified correctly", class_="none")
        return element(
            "figure",
            element("img", src=heat, alt=f"the same picture, marked where the evidence for {label} is", class_="heat")
            if heat
            else None,
            element("div", shown or nothing, class_="pile"),
            element("figcaption", f"Evidence for {label}, and typical pictures" if heat else f"Typical: {label}"),
        )

    def figures(self, pictures: Sequence[PictureResult]) -> Markup:
        """Pictures in a grid, each with its true class and the answer."""
        return element("div", map(self._figure, pictures), class_="pictures")

    def _figure(self, each: PictureResult) -> Markup:
        actual = self._label(each.actual)
        answer = "classified correctly" if each.is_correct else f"classified as {self._label(each.predicted)}"
        sure = "" if each.probability is None else f", {probability_text(each.probability)} sure"
        return element(
            "figure",
            self.album.image(each.path, f"a picture of {actual}"),
            element("figcaption", element("b", actual), f" {answer}{sure}", element("small", picture_name(each.path))),
        )

    def _label(self, folder: str) -> str:
        return clipped(self.labels[folder], 80)


def picture_name(path: Path) -> str:
    """A picture's file name: its class is shown beside it, and its folders are nobody else's business."""
    return clipped(path.name, 120)


def _numbers(mistake: PictureResult) -> str:
    """The probabilities in words."""
    parts = []
    if mistake.probability is not None:
        parts.append(f"{probability_text(mistake.probability)} sure")
    if mistake.loss is not None:
        parts.append(f"{probability_text(math.exp(-mistake.loss))} for the true class")
    if mistake.rejected:
        parts.append("rejected as none of the classes")
    return ", ".join(parts)
