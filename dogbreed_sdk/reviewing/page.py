"""The review of a data set as one HTML page: thumbnails, and boxes to tick for the ignore list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from dogbreed_sdk._util.formatting import clipped, counted_more, joined, percent
from dogbreed_sdk.pages.document import asset, filled_page
from dogbreed_sdk.pages.markup import Child, Markup, breakable, element, inner, table
from dogbreed_sdk.pages.sections import empty, section
from dogbreed_sdk.pages.verdict import Point, Verdict, verdict_section
from dogbreed_sdk.reviewing import proposal, text
from dogbreed_sdk.reviewing.thumbnails import Thumbnails
from training_scripts._util.class_names import display_name
from training_scripts._util.number_text import counted
from training_scripts.data import ignore_list

if TYPE_CHECKING:
    from dogbreed_sdk.reviewing.contents import ReviewContents
    from dogbreed_sdk.reviewing.findings import IndistinctClasses, NearCopies, Outlier, ReviewedLabel

# Entries of each kind, if the bytes suffice.
MAX_LABELS, MAX_COPIES, MAX_OUTLIERS, MAX_PAIRS, MAX_COUNTS = 120, 60, 60, 12, 30
# Without a flagged label, the first few of the ranking are worth a look if their scores are not nearly 0.
DOUBTFUL_LABELS, DOUBTFUL_SCORE = 6, 0.1
MAX_OF_GROUP = 6
_LARGE, _SMALL = 200, 96
_SECTIONS = (
    ("labels", "Labels"),
    ("copies", "Near-copies"),
    ("outliers", "Outliers"),
    ("classes", "Classes"),
    ("list", "Ignore list"),
)
_HEAD = (
    f"# Pictures that dogbreed ignores if this file is {ignore_list.FILE_NAME} in the data set's folder.\n"
    "# Ticked on the page of `dogbreed data review`.\n"
)

Found = TypeVar("Found")


class _Page(NamedTuple):
    """What all sections need: the review, its proposal, the thumbnails, and the pictures that have a box."""

    review: ReviewContents
    proposed: dict[str, str]
    thumbnails: Thumbnails
    boxes: set[str]


def document(review: ReviewContents) -> bytes:
    """The HTML page, encoded as UTF-8."""
    page = _Page(review, review.ignore_list(), Thumbnails(review.root), set())
    sections = [_labels_section(page), _copies_section(page), _outliers_section(page), _classes_section(page)]
    body = inner([_about(review), verdict_section(_verdict(review)), *sections, _list_section(), _basket()])
    hidden = {picture: reason for picture, reason in page.proposed.items() if picture not in page.boxes}
    return filled_page(
        brand="Data review",
        title=f"{text.headline(review)} · {clipped(review.root.name, 120)}",
        sections=_SECTIONS,
        body=body,
        script=asset("review.js", package=__package__),
        style=asset("review.css", package=__package__),
        data={
            "head": _HEAD,
            "name": ignore_list.FILE_NAME,
            "hidden": {picture: _line(picture, reason) for picture, reason in hidden.items()},
        },
    )


def _about(review: ReviewContents) -> Markup:
    counts = joined([f"{split} {count:,}" for split, count in review.splits.items()])
    return element(
        "p",
        element("b", clipped(review.root.name, 300)),
        element("span", f"{len(review.classes)} classes"),
        element("span", f"pictures: {counts}"),
        element("span", f"features of {review.backbone}"),
        class_="about",
    )


def _verdict(review: ReviewContents) -> Verdict:
    leaks = [group for group in review.near_copies if group.leaks]
    points = []
    if review.flagged:
        points.append(
            Point(
                "Labels",
                f"{counted(len(review.flagged), 'label')} of {len(review.labels):,} are more likely wrong than right; "
                f"about {review.expected_wrong:.0f} wrong ones are expected in all.",
                "move the pictures into the right folders, or ignore them.",
            )
        )
    if leaks:
        points.append(
            Point(
                "Near-copies",
                f"{counted(len(leaks), 'group')} of pictures that look the same are in several splits: a model is "
                "measured on pictures that it has learned.",
                "ignore the copies in train.",
            )
        )
    numbers = (
        ("labels probably wrong", f"{len(review.flagged):,}", f"of {len(review.labels):,}"),
        ("groups of near-copies", f"{len(review.near_copies):,}", f"{len(leaks)} in several splits"),
        ("outliers", f"{len(review.outliers):,}", "unlike all others"),
        ("labels predicted right", percent(review.accuracy), "by heads trained on other pictures"),
    )
    level = "hint" if points or review.outliers or review.indistinct_classes else "well"
    return Verdict(level=level, headline=text.headline(review), points=tuple(points), numbers=numbers)


def _labels_section(page: _Page) -> Markup:
    review = page.review
    if not review.labels:
        return section("labels", "Labels", empty("No label could be judged."))
    shown = review.flagged[:MAX_LABELS] or _doubtful(review)
    if not shown:
        return section("labels", "Labels", empty("No label looks wrong."))
    which = (
        "The labels that are more likely wrong than right, the most suspicious first."
        if review.flagged
        else "No label is more likely wrong than right; these are the least certain ones."
    )
    lead = f"{which} The score is the probability that the label is wrong, judged by a head that was not trained on "
    lead += "the picture."
    typical = {label.given: label.picture for label in review.labels}  # the last one of a class is the surest
    cards, left_out = _fitting(page, shown, lambda label: _label_card(page, label, typical), total=len(review.flagged))
    return section("labels", "Labels", element("ul", cards, class_="album"), left_out, lead=lead)


def _doubtful(review: ReviewContents) -> Sequence[ReviewedLabel]:
    return [label for label in review.labels[:DOUBTFUL_LABELS] if label.score >= DOUBTFUL_SCORE]


def _label_card(page: _Page, label: ReviewedLabel, typical: dict[str, str]) -> Markup:
    given, likely = display_name(label.given), display_name(label.likely)
    classes = [label.given] if label.likely == label.given else [label.given, label.likely]
    examples = [
        element(
            "div",
            element(
                "img", src=page.thumbnails.source(typical[name], size=_SMALL), alt=f"A typical {display_name(name)}"
            ),
            f"typical {clipped(display_name(name), 60)}",
        )
        for name in classes
        if name in typical
    ]
    return element(
        "li",
        _picture(page, label.picture),
        element(
            "div",
            element("h3", f"{clipped(likely, 80)}?" if label.likely != label.given else clipped(given, 80)),
            element("span", f"labeled {clipped(given, 80)} · score {label.score:.2f}"),
            element("small", breakable(label.picture)),
            class_="said",
        ),
        element("div", examples, class_="typical"),
        _box(page, label.picture, proposal.label_reason(label)),
        class_="suspect",
    )


def _copies_section(page: _Page) -> Markup:
    groups = page.review.near_copies
    cards, left_out = _fitting(page, groups[:MAX_COPIES], lambda group: _copies_card(page, group), total=len(groups))
    if not cards:
        return section("copies", "Near-copies", empty("No two pictures look the same."))
    lead = (
        "Pictures that are identical, edited, or of one series; groups in several splits first. The similarity is 1 "
        "for identical ones."
    )
    return section("copies", "Near-copies", element("ul", cards, class_="series"), left_out, lead=lead)


def _copies_card(page: _Page, group: NearCopies) -> Markup:
    kept = next((picture for picture in group.pictures if picture not in page.proposed), group.pictures[0])
    pictures = [
        element(
            "div",
            _picture(page, picture),
            element("div", element("small", breakable(picture)), class_="said"),
            _box(page, picture, page.proposed.get(picture, proposal.copy_reason(group, kept))),
        )
        for picture in group.pictures[:MAX_OF_GROUP]
    ]
    more = len(group.pictures) - len(pictures)
    splits = joined(group.splits)
    where = element("span", f"in {splits}", class_="leak") if group.leaks else f"in {splits}"
    several = f"; labeled {joined([display_name(name) for name in group.classes])}" if len(group.classes) > 1 else ""
    return element(
        "li",
        element("div", pictures, class_="alike"),
        element(
            "div",
            element("h3", counted(len(group.pictures), "picture"), ", ", where),
            element("span", f"similarity {group.similarity:.2f}{several}"),
            element("small", f"{counted_more(more)} not shown") if more else None,
            class_="said",
        ),
        class_="copies",
    )


def _outliers_section(page: _Page) -> Markup:
    found = page.review.outliers
    cards, left_out = _fitting(page, found[:MAX_OUTLIERS], lambda each: _outlier_card(page, each), total=len(found))
    if not cards:
        return section("outliers", "Outliers", empty("No picture is unlike all others."))
    lead = (
        "Pictures that are far from every class, or nearly uniform: the subject may be missing, "
        "small or hidden. They may also be the rare pictures that a model needs: look before you ignore them."
    )
    return section("outliers", "Outliers", element("ul", cards, class_="album"), left_out, lead=lead)


def _outlier_card(page: _Page, outlier: Outlier) -> Markup:
    return element(
        "li",
        _picture(page, outlier.picture),
        element(
            "div",
            element("h3", clipped(display_name(outlier.given), 80)),
            element("span", f"{outlier.reason} · score {outlier.score:.2f}"),
            element("small", breakable(outlier.picture)),
            class_="said",
        ),
        _box(page, outlier.picture, page.proposed.get(outlier.picture, proposal.outlier_reason(outlier))),
        class_="suspect",
    )


def _classes_section(page: _Page) -> Markup:
    review = page.review
    pairs = [_pair(pair) for pair in review.indistinct_classes[:MAX_PAIRS]]
    more = len(review.indistinct_classes) - len(pairs)
    rows: list[list[Child]] = [
        [display_name(count.given), display_name(count.likely), f"{count.count:,}"]
        for count in review.label_counts[:MAX_COUNTS]
    ]
    if not pairs and not rows:
        return section("classes", "Classes", empty("All classes are told apart."))
    return section(
        "classes",
        "Classes",
        element("div", pairs, class_="cards") if pairs else element("p", "All classes are told apart.", class_="quiet"),
        element("p", f"{counted(more, 'more pair')} not shown.", class_="quiet") if more else None,
        _counts_table(rows) if rows else None,
        lead=(
            "Pairs of classes that heads distinguish hardly better than chance: the pictures may be mixed up, or the "
            "features may not show the difference. The table counts pictures by confident learning."
        ),
    )


def _counts_table(rows: Sequence[Sequence[Child]]) -> Markup:
    head = ("Labeled", "Confidently like", "Pictures")
    return table(head, rows, numeric=(2,), label="Labels that may be mixed up", class_="label-counts")


def _pair(pair: IndistinctClasses) -> Markup:
    first, second = (clipped(display_name(name), 80) for name in pair.classes)
    return element(
        "article",
        element("h3", f"{first} and {second}"),
        element(
            "p", f"{percent(pair.accuracy)} of {pair.pictures:,} pictures are more like their own class; 50% is chance."
        ),
        class_="card",
    )


def _list_section() -> Markup:
    return section(
        "list",
        "Ignore list",
        element(
            "textarea", id="ignore-list", class_="list", readonly=True, aria_label="Ignore list", spellcheck="false"
        ),
        element(
            "noscript", element("p", "Ticking pictures needs JavaScript; `--ignore-list` writes the list without.")
        ),
        lead=(
            f"Save it as {ignore_list.FILE_NAME} in the data set's folder: training, checks, uploads and evaluations "
            "then leave these pictures out. The files stay where they are."
        ),
    )


def _basket() -> Markup:
    def button(name: str, label: str) -> Markup:
        return element("button", label, type="button", id=name, class_="action")

    return element(
        "div",
        element("p", element("b", "", id="ticked"), " ", element("span", "", id="copied", role="status")),
        button("none", "Untick all"),
        button("copy", "Copy the list"),
        button("download", "Download the list"),
        id="basket",
        class_="basket",
        role="region",
        aria_label="Ticked pictures",
        hidden=True,
    )


def _fitting(
    page: _Page, found: Sequence[Found], card: Callable[[Found], Markup], *, total: int
) -> tuple[list[Markup], Markup | None]:
    """The cards for which the page has room, and a note about the findings that are not shown."""
    cards = []
    for each in found:
        if page.thumbnails.is_full:
            break
        cards.append(card(each))
    more = total - len(cards)
    note = f"{counted_more(more)} not shown; the JSON document has all of them, and the ignore list those proposed."
    return cards, element("p", note, class_="quiet") if more > 0 else None


def _picture(page: _Page, picture: str) -> Markup:
    return element(
        "img", src=page.thumbnails.source(picture, size=_LARGE), alt=clipped(picture.rpartition("/")[2], 120)
    )


def _box(page: _Page, picture: str, reason: str) -> Markup:
    page.boxes.add(picture)
    return element(
        "label",
        element(
            "input",
            type="checkbox",
            value=picture,
            checked=picture in page.proposed,
            data_line=_line(picture, page.proposed.get(picture, reason)),
            aria_label=f"Ignore {clipped(picture, 200)}",
        ),
        "Ignore",
        class_="tick",
    )


def _line(picture: str, reason: str) -> str:
    return ignore_list.render({picture: reason}).removesuffix("\n")
