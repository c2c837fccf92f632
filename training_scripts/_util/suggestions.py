"""Suggests known names for an unknown one: a command, option, hyperparameter, backbone, metric, rule or tensor."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

# A four-letter word with two letters swapped scores 0.75; names that share only a few letters score less.
_SIMILARITY = 0.75
# Fewer letters would be the beginning of too many names.
_ABBREVIATION_LETTERS = 3


def closest(
    written: str, known: Iterable[str], *, synonyms: Mapping[str, str] | None = None, most: int = 1
) -> tuple[str, ...]:
    """The known names that the user probably meant, the likeliest first, without duplicates.

    Args:
        written: What the user wrote.
        known: The known names; duplicates are ignored.
        synonyms: Another tool's name -> the name here; used only if that name is in `known`.
        most: The maximum number of names to return.

    Returns:
        Names as `known` spells them; empty if nothing is similar enough. Case, dashes, underscores, dots and spaces
        make no difference.

    >>> closest("Resnet-50", ["resnet18", "resnet50", "resnet50"])
    ('resnet50',)
    >>> closest("trian", ["train", "tune"]), closest("--environment", ["--root", "--region"])
    (('train',), ())
    >>> closest("learning_rate", ["lr", "rule-parameters"], synonyms={"learning-rate": "lr"})
    ('lr',)
    """
    names = list(dict.fromkeys(known))
    wanted = _letters(written)
    equal = [name for name in names if _letters(name) == wanted]
    meant = [name for word, name in (synonyms or {}).items() if _letters(word) == wanted and name in names]
    longer = [name for name in names if len(wanted) >= _ABBREVIATION_LETTERS and _letters(name).startswith(wanted)]
    by_letters = {_letters(word): name for word, name in (synonyms or {}).items() if name in names}
    by_letters |= {_letters(name): name for name in names}
    similar = difflib.get_close_matches(wanted, by_letters, n=most, cutoff=_SIMILARITY)
    found = [*equal, *meant, *sorted(longer, key=len), *(by_letters[letters] for letters in similar)]
    return tuple(dict.fromkeys(found))[:most]


def known_as(written: str, known: Iterable[str], *, synonyms: Mapping[str, str] | None = None) -> str | None:
    """The known name that a spelling stands for; None if there is no such name, or more than one.

    Args:
        written: What the user wrote.
        known: The known names.
        synonyms: Another tool's name -> the name here; used only if that name is in `known`.

    >>> known_as("ResNet-50", ["resnet18", "resnet50"]), known_as("resnet", ["resnet18", "resnet50"])
    ('resnet50', None)
    >>> known_as("learning_rate", ["lr"], synonyms={"learning-rate": "lr"})
    'lr'
    """
    names = list(known)
    if written in names:
        return written
    wanted = _letters(written)
    found = {name for name in names if _letters(name) == wanted}
    found = found or {name for word, name in (synonyms or {}).items() if name in names and _letters(word) == wanted}
    return found.pop() if len(found) == 1 else None


def did_you_mean(
    written: str, known: Iterable[str], *, synonyms: Mapping[str, str] | None = None, most: int = 1
) -> str:
    """A question to append to an error, such as ``; did you mean lr?``; empty if nothing is similar enough.

    Args:
        written: As `closest` takes it.
        known: As `closest` takes it.
        synonyms: As `closest` takes it.
        most: As `closest` takes it.

    >>> did_you_mean("resnet5", ["resnet50", "resnet50", "vgg11"], most=3)
    '; did you mean resnet50?'
    """
    names = closest(written, known, synonyms=synonyms, most=most)
    return f"; did you mean {either(names)}?" if names else ""


def either(names: Sequence[str]) -> str:
    """Joins names with commas and "or".

    >>> either(["a", "b", "c"])
    'a, b or c'
    """
    return " or ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def _letters(name: str) -> str:
    """A name without the characters that people write in different ways."""
    return "".join(letter for letter in name.casefold() if letter not in "-_. ")
