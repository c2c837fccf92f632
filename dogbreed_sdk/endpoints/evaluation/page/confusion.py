"""The confusion matrix: its data for the page's script, which draws it, and the most confused pairs as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dogbreed_sdk._util.formatting import clipped, percent
from dogbreed_sdk.endpoints.evaluation.content import EvaluationContent, PictureResult
from dogbreed_sdk.endpoints.evaluation.page.gallery import Labels, picture_name
from dogbreed_sdk.pages.album import Album
from dogbreed_sdk.pages.markup import Child, Markup, element, table

MAX_PAIRS = 12
# More pictures of one cell say no more; more in all make the page slow.
_PER_CELL, _LISTED, _CELLS = 12, 3_000, 25_000
_MATRIX = """
<div class="matrix-tools">
<label>Order <select id="matrix-order"><option value="similar">confused classes together</option>
<option value="mistakes">most mistakes first</option><option value="name">by name</option>
<option value="data">as in the data set</option></select></label>
<label id="matrix-search-label">Search for a class
<input id="matrix-search" list="matrix-classes" autocomplete="off"></label>
<datalist id="matrix-classes"></datalist>
</div>
<p class="quiet" id="matrix-shown"></p>
<div class="scroller" id="matrix" tabindex="0" role="region" aria-label="Confusion matrix"></div>
<div id="cell" aria-live="polite"></div>
<noscript><p class="empty">The matrix needs JavaScript; the table below does not.</p></noscript>
"""


def by_cell(content: EvaluationContent) -> dict[tuple[str, str], list[PictureResult]]:
    """The pictures of each cell that the page lists: mistakes, worst first, and typical pictures."""
    cells: dict[tuple[str, str], list[PictureResult]] = defaultdict(list)
    listed = 0
    for each in (*content.typical, *content.mistakes):
        cell = cells[each.actual, each.predicted]
        if len(cell) < _PER_CELL and listed < _LISTED:
            cell.append(each)
            listed += 1
    return cells


def wanted(content: EvaluationContent) -> list[Path]:
    """The pictures of all cells, one of each cell and class before the second of any; frequent mistakes first."""
    cells = [pictures for (actual, predicted), pictures in by_cell(content).items() if pictures and actual != predicted]
    cells.sort(key=len, reverse=True)
    wrong = [[cell[number].path for cell in cells if number < len(cell)] for number in range(_PER_CELL)]
    first = {each.actual: each.path for each in reversed(content.typical)}
    return [*wrong[0], *first.values(), *(path for each in wrong[1:] for path in each), *map(_path, content.typical)]


def _path(result: PictureResult) -> Path:
    return result.path


def matrix_data(content: EvaluationContent, labels: Labels, album: Album) -> dict[str, Any]:
    """What the script needs to draw the matrix.

    Returns:
        classes: their names; totals: their numbers of pictures; mistakes: their number in all; counts: [row, column,
        number] of the cells that are not empty; pictures: [row, column, name, probability or null, 1 if rejected else
        0, the picture's name in the page or null].
    """
    index = {folder: position for position, folder in enumerate(content.classes)}
    counts = [list(cell) for cell in content.confusion.cells()]
    return {
        "classes": [clipped(labels[folder], 80) for folder in content.classes],
        "totals": [sum(content.confusion.row(row).values()) for row in range(len(content.classes))],
        "mistakes": len(content.mistakes),
        "counts": sorted(counts, key=lambda each: -each[2])[:_CELLS],
        "pictures": [
            [
                index[actual],
                index[predicted],
                picture_name(each.path),
                None if each.probability is None else round(each.probability, 4),
                int(bool(each.rejected)),
                album.name(each.path),
            ]
            for (actual, predicted), pictures in by_cell(content).items()
            for each in pictures
        ],
    }


def matrix() -> Markup:
    """The place where the script draws the matrix and the pictures of the chosen cell."""
    return Markup(_MATRIX)


def pairs_table(content: EvaluationContent, labels: Labels) -> Markup | None:
    """The most confused pairs; each row's button shows its pictures. None if nothing was confused."""
    totals = {result.class_folder: result.n for result in content.per_class}
    index = {folder: position for position, folder in enumerate(content.classes)}
    rows: list[Sequence[Child]] = [
        [
            clipped(labels[pair.actual], 80),
            clipped(labels[pair.predicted], 80),
            f"{pair.count:,} of {totals[pair.actual]:,}",
            percent(pair.count / totals[pair.actual]),
            element("td", _button(index[pair.actual], index[pair.predicted], labels[pair.actual])),
        ]
        for pair in content.most_confused(MAX_PAIRS)
    ]
    if not rows:
        return None
    head = [
        "True class",
        "Classified as",
        "Pictures",
        "Share",
        element("span", "Show its pictures", class_="unseen"),
    ]
    return table(head, rows, numeric=(2, 3), label="The most confused pairs", class_="pairs")


def _button(row: int, column: int, label: str) -> Markup:
    name = element("span", f" of {clipped(label, 80)}", class_="unseen")
    return element("button", "Show", name, type="button", data_row=row, data_column=column, class_="action show")
