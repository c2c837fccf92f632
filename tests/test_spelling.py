"""The project is written in American English, its names and those of its files, too; percentages have no space."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("dogbreed_sdk", "training_scripts", "docker", "tests", "examples", "docs", "benchmarks", ".github")
TEXTS = {".py", ".md", ".js", ".css", ".html", ".svg", ".json", ".ipynb", ".toml", ".yml", ".cff", ".txt"}
FILES = {
    path.relative_to(ROOT).as_posix(): path
    for path in [*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    if path.suffix in TEXTS and path != Path(__file__)
}

# Not here: "cancelled", which is Python's own word for it.
BRITISH = re.compile(
    "|".join(
        (
            # -ize and -yze; neither advertise, exercise, millisecond, noise, promise, raise nor revise.
            r"[a-z]{2}(?:[aeiou][lnrt]|(?<!pr)[aeiou]m|gn|ic|nt|og|rd|rn|phas|thes)is(?:e[drs]?|ing|ation|able)",
            r"(?:anal|catal|paral)ys(?:ed|er|ing|e$)",
            # -or
            r"(?:arm|behavi|col|endeav|fav|flav|harb|hon|hum|lab|neighb|od|rig|rum|sav|vap|vig)our",
            # -er
            r"calibre|centr(?:e|ing)|fibre|litre|lustre|meagre|metre|theatre",
            # One l, or two
            r"(?:chann|couns|fu|lab|lev|mod|pan|trav|tunn)ell(?:ed(?!by)|ing|er)",
            r"(?:di|equ|initi|marsh|riv|sign|spir|tot)all(?:ed|ing|er)",
            r"(?:enrol|fulfil|instal|skil|wil)(?:ment|ful|s$)",
            # -ense, -ment and other endings
            r"(?:def|lic|off|pret)ence|practise|(?:acknowled|jud)gement|(?:anal|catal)ogue|programmes?$",
            # Verbs
            r"(?:bur|lear)nt|leapt|spelt|spoilt|dreamt|focuss",
            # Adverbs
            r"(?:after|down|in|on|out|to|up)wards|amongst|whilst",
            # Words
            r"^ageing|aluminium|artefact|cheque|grey(?!hound)|manoeuvre|sceptic|tyre",
        )
    )
)
# What users may write, which tests therefore quote.
QUOTED = {
    "tests/cli/test_options.py": {"Utilisation"},
    "tests/training_scripts/_util/test_suggestions.py": {"optimiser", "utilisation"},
}


def british(text: str) -> set[str]:
    """The words of a text that are spelled as in British English."""
    return {word for word in set(re.findall("[A-Z]?[a-z]+|[A-Z]+", text)) if BRITISH.search(word.lower())}


def test_there_is_something_to_read() -> None:
    assert len(FILES) > 1000


def test_spelling_is_american() -> None:
    found = {name: british(f"{name}\n{path.read_text(encoding='utf-8')}") for name, path in FILES.items()}
    assert {name: words for name, words in found.items() if words} == QUOTED


def test_percentages_have_no_space() -> None:
    spaced = re.compile(r"[\d}] %[.,;:)|\"']|\} % [a-z]")
    assert [name for name, path in FILES.items() if spaced.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "text",
    [
        "Initialise",
        "data_licence",
        "NeighbourIndex",
        "analysing",
        "labelled",
        "signalled",
        "the centre",
        "_GREY",
        "fulfils",
    ],
)
def test_british_words_are_found_in_names_too(text: str) -> None:
    assert british(text)


@pytest.mark.parametrize(
    "text",
    [
        "promising noise rises",
        "aria-labelledby",
        "greyhound",
        "programmed analyses",
        "four hours",
        "spelling",
        "installs",
    ],
)
def test_words_that_only_look_british_pass(text: str) -> None:
    assert not british(text)
