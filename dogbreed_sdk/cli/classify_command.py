"""The command ``classify``: prints predictions as they arrive, or all of them as one JSON document."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from dogbreed_sdk._util.text import sentence
from dogbreed_sdk.cli import models
from dogbreed_sdk.cli.argument_types import at_least_one
from dogbreed_sdk.cli.output import Outcome, counter, print_document, say, show, waiting
from dogbreed_sdk.errors import DogBreedError, ImageError, ModelError
from dogbreed_sdk.predictions import Prediction


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed classify``."""
    command.add_argument("model", metavar="MODEL", help=models.HELP)
    command.add_argument("pictures", nargs="+", metavar="PICTURE", help="files or URLs")
    command.add_argument(
        "--top-k", type=at_least_one, default=5, metavar="N", help="number of classes to rank (default: %(default)s)"
    )
    models.add_labels(command)


def run(options: argparse.Namespace) -> Outcome:
    """Classifies pictures; an unusable picture does not stop the others."""
    rows: list[dict[str, object]] = []
    failed = False
    try:
        with models.classifier(options) as classifier:
            results = classifier.classify_many(options.pictures, top_k=options.top_k, on_error="return")
            with contextlib.closing(results), _progress(options) as progress:
                for done, result in enumerate(results, start=1):
                    picture = options.pictures[done - 1]
                    row, lines = _shown(picture, result)
                    failed = failed or "error" in row
                    if options.json:
                        rows.append(row)
                    else:
                        show(picture, *lines)
                    progress(done, len(options.pictures))
    except KeyboardInterrupt:
        if options.json:
            print_document(rows)
        raise
    return Outcome(rows, say(), exit_code=1 if failed else 0, quiet=not options.json)


def _progress(options: argparse.Namespace) -> AbstractContextManager[Callable[[int, int], None]]:
    """On a terminal, the predictions themselves show the progress once the first one has arrived."""
    return _first_prediction() if sys.stdout.isatty() and not options.json else counter("pictures classified")


@contextlib.contextmanager
def _first_prediction() -> Iterator[Callable[[int, int], None]]:
    with waiting("waiting for the first prediction") as arrived:
        yield lambda done, total: arrived()  # noqa: ARG005 - a counter's two arguments


def _shown(picture: str, result: Prediction | DogBreedError) -> tuple[dict[str, object], list[str]]:
    """The result as JSON and as lines for people; raises an error that is not about the picture."""
    if isinstance(result, Prediction):
        scores = [f"  {score.probability:7.1%}  {score.label}" for score in result.scores]
        rejected = ["  probably none of these classes; the most likely are"] if result.rejected else []
        return {"picture": picture, **result.to_dict()}, [*rejected, *scores]
    if isinstance(result, (ImageError, ModelError)):
        hint = f" To classify the pictures in it, write {Path(picture) / '*.jpg'}." if Path(picture).is_dir() else ""
        message = f"{sentence(str(result))}{hint}"
        return {"picture": picture, "error": message}, [f"  error: {message}"]
    raise result
