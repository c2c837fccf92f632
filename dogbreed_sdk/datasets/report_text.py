"""Shows the findings of a data set's check to people: grouped by kind, with counts and the first files."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training_scripts._util.safe_text import printable

if TYPE_CHECKING:
    from dogbreed_sdk.datasets.report import DatasetReport, Finding

# Enough to see what kind of files they are.
SHOWN = 3

# What many findings of one kind have in common; findings of other kinds are few, and are shown one by one.
_TOGETHER = {
    "corrupt": "{} pictures cannot be used; training will skip them. Replace or delete them.",
    "tiny": "{} pictures are tiny. Replace them by larger ones or delete them.",
    "not-a-picture": "{} files are not pictures. They are left out; nothing to do.",
    "unread-format": "{} pictures have formats that training does not read. They are left out; save them as JPEG.",
    "hidden": "{} files and folders are hidden or belong to a system. They are left out; nothing to do.",
    "listed-already": "{} links lead to folders that are listed already. They are left out; nothing to do.",
    "outside-class": "{} pictures are not in a class folder. They are left out; move them into one, or remove them.",
    "outside-splits": (
        "{} folders are not below train, valid or test. They are left out; a split has to be named like one."
    ),
    "duplicate": "{} pictures are there more than once. Keep one of each.",
    "duplicate-across-splits": "{} pictures are in more than one split. Keep one of each, or all in one split.",
    "duplicate-across-classes": "{} pictures are in more than one class. Keep each in its right class only.",
    "near-copy": "{} pictures are there more than once, resized or re-encoded. Keep one of each.",
    "near-copy-across-splits": (
        "{} pictures are in more than one split, resized or re-encoded. Keep one of each, or all in one split."
    ),
    "near-copy-across-classes": (
        "{} pictures are in more than one class, resized or re-encoded. Keep each in its right class only."
    ),
    "odd-file-name": "{} pictures have names that are not UTF-8, which S3 cannot hold. Rename them.",
    "odd-name": "{} class folders have odd names. Rename them in every split.",
}
# Findings about several files, whose sentence names none.
_UNNAMED = frozenset({"leak", "normal-form"})


def describe(report: DatasetReport, *, width: int | None = None) -> str:
    """Writes a report for people.

    Args:
        report: What a check found.
        width: Columns at which sentences are broken; None for one line each.
    """
    splits = ", ".join(f"{split} {sum(counts.values())}" for split, counts in report.counts.items())
    lines = [printable(f"{report.root}: {_classes(len(report.classes))}; pictures: {splits or 'none'}")]
    groups = grouped(report.findings)
    for group in groups:
        lines += _paragraph(group, report.root, width)
    return "\n".join([*lines, _summary([group[0] for group in groups])])


def is_cut(report: DatasetReport) -> bool:
    """Whether `describe` leaves out files for brevity."""
    return any(len(_files(group, report.root)) > SHOWN for group in grouped(report.findings))


def grouped(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Puts findings of one kind together; what is alone in its kind, or speaks for itself, is a group of one."""
    groups: dict[object, list[Finding]] = {}
    for finding in findings:
        key = (finding.level, finding.code) if finding.code in _TOGETHER else id(finding)
        groups.setdefault(key, []).append(finding)
    return list(groups.values())


def sentence(group: Sequence[Finding]) -> str:
    """What a group of findings has to say, and what to do."""
    first = group[0]
    return _TOGETHER[first.code].format(len(group)) if len(group) > 1 else f"{first.message} {first.remedy}"


def _paragraph(group: Sequence[Finding], root: Path, width: int | None) -> Iterator[str]:
    text = printable(f"{group[0].level}: {sentence(group)}".replace(f"{root}/", ""))
    yield from (
        textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        if width
        else [text]
    )
    lines = _files(group, root)
    yield from (f"    {printable(line)}" for line in lines[:SHOWN])
    if len(lines) > SHOWN:
        yield f"    and {len(lines) - SHOWN} more"


def _files(group: Sequence[Finding], root: Path) -> list[str]:
    """A line for each file or folder that the sentence does not name."""
    if len(group) == 1:
        return [_relative(path, root) for path in group[0].paths] if group[0].code in _UNNAMED else []
    lines = []
    for finding in group:
        names = ", ".join(_relative(path, root) for path in finding.paths)
        lines.append(f"{names}: {finding.detail}" if finding.detail else names)
    return lines


def _classes(count: int) -> str:
    return "1 class" if count == 1 else f"{count:,} classes"


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _summary(findings: Sequence[Finding]) -> str:
    counts = [
        f"{count} {level}{'' if count == 1 else 's'}"
        for level in ("error", "warning", "note")
        if (count := sum(finding.level == level for finding in findings))
    ]
    return ", ".join(counts) if counts else "nothing to complain about"
