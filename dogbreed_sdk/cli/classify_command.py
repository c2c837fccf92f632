"""The command ``classify``: answers on a terminal or in a pipe as they come, or as one JSON document."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from dogbreed_sdk.cli import models
from dogbreed_sdk.cli.output import Outcome, counter, print_document, say, show, waiting
from dogbreed_sdk.errors import DogBreedError, ImageError, ModelError
from dogbreed_sdk.predictions import Prediction


def run(options: argparse.Namespace) -> Outcome:
    """Classifies pictures; one that cannot be used does not keep the others from being answered."""
    rows: list[dict[str, Any]] = []
    failed = False
    try:
        with models.classifier(options) as classifier:
            answers = classifier.classify_many(options.pictures, top_k=options.top_k, on_error="return")
            with contextlib.closing(answers), _progress(options) as progress:
                for done, answer in enumerate(answers, start=1):
                    row = _row(options.pictures[done - 1], answer)
                    failed = failed or "error" in row
                    if options.json:
                        rows.append(row)
                    else:
                        show(*_lines(row))
                    progress(done, len(options.pictures))
    except KeyboardInterrupt:
        if options.json:
            print_document(rows)
        raise
    return Outcome(rows, say(), exit_code=1 if failed else 0, quiet=not options.json)


def _progress(options: argparse.Namespace) -> AbstractContextManager[Callable[[int, int], None]]:
    """On a terminal, the answers themselves show how far it is, from the first one on."""
    return _first_answer() if sys.stdout.isatty() and not options.json else counter("pictures classified")


@contextlib.contextmanager
def _first_answer() -> Iterator[Callable[[int, int], None]]:
    with waiting("waiting for the first answer") as answered:
        yield lambda done, total: answered()  # noqa: ARG005 - a counter's two arguments


def _row(picture: str, answer: Prediction | DogBreedError) -> dict[str, Any]:
    """An answer as JSON has it; an error that is not about the picture is raised."""
    if isinstance(answer, Prediction):
        return {"picture": picture, **answer.to_dict()}
    if isinstance(answer, (ImageError, ModelError)):
        hint = f" For the pictures in it write {Path(picture) / '*.jpg'}." if Path(picture).is_dir() else ""
        return {"picture": picture, "error": f"{answer}{hint}"}
    raise answer


def _lines(row: dict[str, Any]) -> list[str]:
    lines = [row["picture"]]
    if "error" in row:
        lines.append(f"  error: {row['error']}")
    if row.get("rejected"):
        lines.append("  probably none of these classes; the likeliest are")
    return lines + [f"  {score['probability']:7.1%}  {score['label']}" for score in row.get("scores", ())]
