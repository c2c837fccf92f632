"""Formats the findings of a data set's check: grouped by kind, with counts and the first files."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dogbreed_sdk._util.paths import shown_path
from dogbreed_sdk.datasets.findings import LEVELS, Finding
from training_scripts._util.number_text import counted
from training_scripts._util.safe_text import printable

# Files shown per group; enough to see what kind of files they are.
SHOWN = 3

# One sentence for several findings of a kind; findings of other kinds are rare and are shown one by one.
_TOGETHER = {
    "corrupt": "{:,} pictures cannot be used; training will skip them. Replace or delete them.",
    "tiny": "{:,} pictures are tiny. Replace them with larger ones or delete them.",
    "not-a-picture": "{:,} files are not pictures. They are ignored; no action needed.",
    "unread-format": "{:,} pictures have formats that training cannot read. They are ignored; save them as JPEG.",
    "hidden": "{:,} files and folders are hidden or belong to the system. They are ignored; no action needed.",
    "listed-already": "{:,} links lead to folders that are already listed. They are ignored; no action needed.",
    "outside-class": "{:,} pictures are not in a class folder. They are ignored; move them into one, or remove them.",
    "outside-splits": (
        "{:,} folders are not inside train, valid or test. They are ignored; rename those that are splits."
    ),
    "ignored": (
        "{:,} pictures are listed in dogbreed-ignore.txt. They are ignored; remove their lines to use them again."
    ),
    "ignored-nothing": "{:,} paths in dogbreed-ignore.txt are not pictures of this data set. Correct or remove them.",
    "duplicate": "{:,} pictures are duplicated. Keep one copy of each.",
    "duplicate-across-splits": "{:,} pictures are in more than one split. Keep one copy of each, or all in one split.",
    "duplicate-across-classes": "{:,} pictures are in more than one class. Keep each in the correct class only.",
    "near-copy": "{:,} pictures are duplicated, resized or re-encoded. Keep one copy of each.",
    "near-copy-across-splits": (
        "{:,} pictures are in more than one split, resized or re-encoded. Keep one copy of each, or all in one split."
    ),
    "near-copy-across-classes": (
        "{:,} pictures are in more than one class, resized or re-encoded. Keep each in the correct class only."
    ),
    "odd-file-name": "{:,} pictures have names that are not UTF-8, which S3 cannot store. Rename them.",
    "odd-name": "{:,} class folders have unusual names. Rename them in every split.",
}
# Findings about several files whose sentence names none of them.
_UNNAMED = frozenset({"leak", "normal-form"})


def describe(
    findings: Sequence[Finding],
    *,
    root: Path,
    class_count: int,
    split_sizes: Mapping[str, int],
    width: int | None = None,
) -> str:
    """Formats the findings of a check.

    Args:
        findings: The findings, in the order in which they are shown.
        root: The data set's folder; paths below it are shown relative to it.
        class_count: Number of classes.
        split_sizes: Split -> number of pictures.
        width: Columns at which sentences are wrapped; None for one line each.
    """
    splits = ", ".join(f"{split} {size}" for split, size in split_sizes.items())
    lines = [printable(f"{shown_path(root)}: {_classes(class_count)}; pictures: {splits or 'none'}")]
    groups = grouped(findings)
    for group in groups:
        lines += _paragraph(group, root, width)
    return "\n".join([*lines, _summary([group[0] for group in groups])])


def is_abridged(findings: Sequence[Finding], root: Path) -> bool:
    """Whether `describe` omits files for brevity."""
    return any(len(_files(group, root)) > SHOWN for group in grouped(findings))


def grouped(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Groups findings of one kind; a finding of a kind that is shown one by one is its own group."""
    groups: dict[object, list[Finding]] = {}
    for finding in findings:
        key = (finding.level, finding.code) if finding.code in _TOGETHER else id(finding)
        groups.setdefault(key, []).append(finding)
    return list(groups.values())


def sentence(group: Sequence[Finding]) -> str:
    """The message of a group of findings, with the remedy."""
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
    """One line for each file or folder that the sentence does not name."""
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
        counted(count, level) for level in LEVELS if (count := sum(finding.level == level for finding in findings))
    ]
    return ", ".join(counts) if counts else "no problems found"
