"""Proposes an ignore list, and writes one that keeps what somebody has written into it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.reviewing.findings import NearCopies, Outlier, ReviewedLabel
from training_scripts._util.atomic import write_atomically
from training_scripts.data import ignore_list


def propose(
    labels: Iterable[ReviewedLabel], near_copies: Iterable[NearCopies], outliers: Iterable[Outlier]
) -> dict[str, str]:
    """The pictures to ignore, each with the reason: flagged labels, all but one of near-copies, uniform pictures.

    Of near-copies the one in test, else in valid, is kept, so that what a model is measured on stays the same.
    """
    proposed: dict[str, str] = {}
    for label in labels:
        if label.flagged:
            proposed[label.picture] = label_reason(label)
    for group in near_copies:
        kept = next((picture for picture in group.pictures if picture not in proposed), None)
        for picture in group.pictures:
            if picture != kept and kept is not None:
                proposed.setdefault(picture, copy_reason(group, kept))
    for outlier in outliers:
        if outlier.reason == "nearly uniform":
            proposed.setdefault(outlier.picture, outlier_reason(outlier))
    return proposed


def label_reason(label: ReviewedLabel) -> str:
    """The reason to ignore a picture with a wrong label."""
    return f"likely {label.likely}, not {label.given} (score {label.score:.2f})"


def copy_reason(group: NearCopies, other: str) -> str:
    """The reason to ignore a near-copy of another picture."""
    return f"near-copy of {other} (similarity {group.similarity:.2f})"


def outlier_reason(outlier: Outlier) -> str:
    """The reason to ignore an outlier."""
    return f"{outlier.reason} (score {outlier.score:.2f})"


def write(path: str | os.PathLike[str], proposed: Mapping[str, str], outliers: Iterable[Outlier]) -> Path:
    """Writes an ignore list. Lines of an existing file stay; pictures that it lists already are not repeated.

    Outliers that the proposal lacks are written as comments: only somebody who looks at them can decide.

    Raises:
        ConfigurationError: The file cannot be read or written.
    """
    written = Path(path)
    try:
        before = written.read_bytes() if written.exists() else b""
        there = ignore_list.parse(before)
        write_atomically(written, before + _lines(before, proposed, outliers, there).encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise ConfigurationError(f"cannot write the ignore list {written}: {error.strerror or error}") from error
    return written


def _lines(before: bytes, proposed: Mapping[str, str], outliers: Iterable[Outlier], there: Mapping[str, str]) -> str:
    new = {picture: reason for picture, reason in proposed.items() if picture not in there}
    unsure = {each.picture: outlier_reason(each) for each in outliers if each.picture not in {**there, **new}}
    return "".join(
        [
            "" if not before or before.endswith(b"\n") else "\n",
            "" if before else _HEAD,
            ignore_list.render(new),
            *_commented(unsure, before.decode("utf-8", "surrogateescape")),
        ]
    )


_HEAD = (
    f"# Pictures that dogbreed ignores if this file is {ignore_list.FILE_NAME} in the data set's folder.\n"
    "# Proposed by `dogbreed data review`: look at them, and remove the lines of pictures to keep.\n"
)
_UNSURE = "# Unlike all others; remove the # in front of those to ignore:\n"


def _commented(unsure: Mapping[str, str], before: str) -> Iterator[str]:
    lines = [f"# {ignore_list.render({picture: reason})}" for picture, reason in unsure.items()]
    fresh = [line for line in lines if line not in before]
    if fresh:
        yield _UNSURE
        yield from fresh
