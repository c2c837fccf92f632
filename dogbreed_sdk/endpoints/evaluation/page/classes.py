"""The result of each class as a table with bars."""

from __future__ import annotations

from collections.abc import Sequence

from dogbreed_sdk._util.formatting import clipped, percent
from dogbreed_sdk.endpoints.evaluation.content import ClassResult, EvaluationContent
from dogbreed_sdk.endpoints.evaluation.page.gallery import Labels
from dogbreed_sdk.pages.bars import bar
from dogbreed_sdk.pages.markup import Child, Markup, element, table
from dogbreed_sdk.pages.sections import section
from training_scripts._util.number_text import counted

# Rows that are open, and all rows; more than that nobody reads.
_OPEN, _MOST = 20, 500


def classes_section(content: EvaluationContent, labels: Labels) -> Markup:
    """The classes, those with the fewest right answers first."""
    results = sorted((each for each in content.per_class if each.n), key=lambda each: (each.accuracy or 0.0, -each.n))
    more, left_out = results[_OPEN:_MOST], len(results) - len(results[:_MOST])
    without = len(content.per_class) - len(results)
    notes = [
        f"{counted(without, 'class')} of the model without pictures here." if without == 1 else None,
        f"{without:,} classes have no pictures here." if without > 1 else None,
        f"{left_out:,} more accurate classes are not shown; the command line's --json has all." if left_out else None,
    ]
    return section(
        "classes",
        "Classes",
        _table(results[:_OPEN], labels, "Results of the classes"),
        element(
            "details",
            element("summary", f"{len(more):,} more accurate classes"),
            _table(more, labels, "More accurate classes"),
            class_="more",
        )
        if more
        else None,
        [element("p", note, class_="quiet") for note in notes if note],
        lead="The share of each class's pictures that are classified correctly; the lowest first.",
    )


def _table(results: Sequence[ClassResult], labels: Labels, label: str) -> Markup:
    rows: list[list[Child]] = [
        [
            clipped(labels[each.class_folder], 80),
            percent(each.accuracy),
            f"{each.correct:,} of {each.n:,}",
            bar(each.accuracy or 0.0, label=f"{percent(each.accuracy)} right", look=1),
            "" if each.confused_with is None else f"{clipped(labels[each.confused_with], 80)} ({each.confused:,})",
        ]
        for each in results
    ]
    head = ("Class", "Right", "Pictures", "Share", "Most often taken for")
    return table(head, rows, numeric=(1, 2), label=label, class_="class-results")
