"""The command ``classify``: prints predictions as they arrive, or all of them as one JSON document."""

from __future__ import annotations

import argparse
import contextlib
import glob
import shlex
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

from dogbreed_sdk import defaults
from dogbreed_sdk._util.text import sentence
from dogbreed_sdk.cli import models
from dogbreed_sdk.cli.argument_types import at_least_one
from dogbreed_sdk.cli.output import Outcome, counter, print_document, say, show, waiting
from dogbreed_sdk.client.classifier import BreedClassifier
from dogbreed_sdk.client.detection import Detection
from dogbreed_sdk.errors import ConfigurationError, DogBreedError, ImageError, ModelError
from dogbreed_sdk.predictions import Prediction
from training_scripts._util.number_text import probability_text
from training_scripts.data.formats import SUFFIXES

Result: TypeAlias = "Prediction | list[Detection] | DogBreedError"


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed classify``."""
    command.add_argument("model", metavar="MODEL", help=models.HELP)
    command.add_argument("pictures", nargs="+", metavar="PICTURE", help="files or URLs")
    command.add_argument(
        "--top-k", type=at_least_one, default=5, metavar="N", help="number of classes to rank (default: %(default)s)"
    )
    command.add_argument(
        "--detect",
        action="store_true",
        help="find small dogs, and several: print each with its box (left, top, right, bottom, in pixels)",
    )
    command.add_argument(
        "--windows",
        type=at_least_one,
        metavar="N",
        help="with --detect: maximum number of requests per picture; 48 also finds dogs of a fifth of its side "
        f"(default: {defaults.DETECT_WINDOWS})",
    )
    models.add_labels(command)


def run(options: argparse.Namespace) -> Outcome:
    """Classifies pictures; an unusable picture does not stop the others."""
    if options.windows is not None and not options.detect:
        raise ConfigurationError("--windows is for --detect; add it.")
    rows: list[dict[str, object]] = []
    failed = False
    try:
        with models.classifier(options) as classifier:
            results = _results(classifier, options)
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


def _results(classifier: BreedClassifier, options: argparse.Namespace) -> Generator[Result, None, None]:
    if options.detect:
        windows = options.windows or defaults.DETECT_WINDOWS
        return _detected(classifier, options.pictures, windows=windows, top_k=options.top_k)
    return classifier.classify_many(options.pictures, top_k=options.top_k, on_error="return")


def _detected(
    classifier: BreedClassifier, pictures: Sequence[str], *, windows: int, top_k: int
) -> Generator[Result, None, None]:
    for picture in pictures:
        try:
            yield classifier.detect(picture, windows=windows, top_k=top_k)
        except DogBreedError as error:
            yield error


def _progress(options: argparse.Namespace) -> AbstractContextManager[Callable[[int, int], None]]:
    """On a terminal, the predictions themselves show the progress once the first one has arrived."""
    return _first_prediction() if sys.stdout.isatty() and not options.json else counter("pictures classified")


@contextlib.contextmanager
def _first_prediction() -> Iterator[Callable[[int, int], None]]:
    with waiting("waiting for the first prediction") as arrived:
        yield lambda done, total: arrived()  # noqa: ARG005 - a counter's two arguments


def _shown(picture: str, result: Result) -> tuple[dict[str, object], list[str]]:
    """The result as JSON and as lines for people; raises an error that is not about the picture."""
    if isinstance(result, Prediction):
        scores = [f"  {probability_text(score.probability):>4}  {score.label}" for score in result.scores]
        rejected = ["  probably none of these classes; the most likely are"] if result.rejected else []
        return {"picture": picture, **result.to_dict()}, [*rejected, *scores]
    if isinstance(result, list):
        found = [
            f"  {probability_text(each.prediction.probability):>4}  {each.prediction.label}  {_box(each)}"
            for each in result
        ]
        return (
            {"picture": picture, "detections": [each.to_dict() for each in result]},
            found or ["  nothing that looks like one of these classes"],
        )
    if isinstance(result, (ImageError, ModelError)):
        message = f"{sentence(str(result))}{_pictures_in(Path(picture))}"
        return {"picture": picture, "error": message}, [f"  error: {message}"]
    raise result


def _pictures_in(folder: Path) -> str:
    """How to name the pictures in a folder, or as far below it as a data set has them; empty if there are none."""
    if not folder.is_dir():
        return ""
    for above in ("", "*/", "*/*/"):
        # Unlike pathlib's, these patterns leave out hidden files and folders, as the shell's do.
        names = map(Path, glob.iglob(f"{glob.escape(str(folder))}/{above}*"))  # noqa: PTH207
        suffix = next((name.suffix for name in names if name.suffix.lower() in SUFFIXES), None)
        if suffix:
            return f" To classify the pictures in it, write {shlex.quote(str(folder))}/{above}*{suffix}."
    return ""


def _box(found: Detection) -> str:
    return f"at {', '.join(map(str, found.box))}"
