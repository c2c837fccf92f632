"""The command ``evaluate``: measures a model on labeled pictures, and shows its mistakes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from dogbreed_sdk.cli import models
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import data_place
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.output import Outcome, counter, print_table, show, waiting
from dogbreed_sdk.client.classifier import BreedClassifier
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.endpoints.evaluation import Evaluation, evaluate
from training_scripts._util.class_names import display_name
from training_scripts._util.number_text import counted, probability_text

# The terminal shows what to look at first; the page and --json have everything.
_PAIRS, _MISTAKES, _ERRORS = 5, 5, 10


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed evaluate``."""
    command.add_argument("model", metavar="MODEL", help=models.HELP)
    command.add_argument(
        "folder",
        type=data_place,
        metavar="DIR",
        help="contains one folder per class; of a data set, its test split is used; a path or an s3:// URI",
    )
    command.add_argument(
        "--html", type=Path, metavar="FILE", help="write one HTML page with the mistakes and their pictures"
    )
    models.add_labels(command)


def run(options: argparse.Namespace) -> Outcome:
    """Measures a model on labeled pictures."""
    with models.classifier(options) as classifier:
        dataset = BreedDataset.open(options.folder, session=read.session(options))
        with counter("pictures classified") as progress:
            result = evaluate(classifier, dataset, progress=progress)
        document = result.to_dict()
        if options.html is None:
            more = _how_to_see(options) if result.mistakes else ""
        else:
            document["html"] = str(_page(result, options, classifier))
            more = f"wrote {document['html']}"
    return Outcome(document, _printed(result, more), exit_code=1 if result.errors else 0)


def _page(result: Evaluation, options: argparse.Namespace, classifier: BreedClassifier) -> Path:
    with waiting("writing the page"):
        subject = f"{models.shown(options.model)} on {models.shown(options.folder)}"
        return result.to_html(options.html, subject=subject, classifier=classifier)


def _how_to_see(options: argparse.Namespace) -> str:
    on_sagemaker = not {".", "/"} & set(options.model)
    page = command_line(
        options if on_sagemaker else None, "evaluate", options.model, options.folder, "--html", "mistakes.html"
    )
    return f"To see the pictures: {page}"


def _printed(result: Evaluation, more: str) -> Callable[[], None]:
    """A function that prints the evaluation for people."""

    def text() -> None:
        show(str(result))
        _print_pairs(result)
        _print_mistakes(result)
        failed = [f"{entry.path}: {entry.error}" for entry in result.errors[:_ERRORS]]
        if len(result.errors) > len(failed):
            failed.append(f"and {len(result.errors) - len(failed):,} more; --json prints all of them")
        if failed:
            show("", *failed)
        if more:
            show("", more)

    return text


def _print_pairs(result: Evaluation) -> None:
    totals = {each.class_folder: each.n for each in result.per_class}
    rows = [
        (display_name(pair.actual), display_name(pair.predicted), f"{pair.count:,} of {totals[pair.actual]:,}")
        for pair in result.most_confused(_PAIRS)
    ]
    if rows:
        show("")
        print_table(("most confused", "classified as", "pictures"), rows)


def _print_mistakes(result: Evaluation) -> None:
    rows = [
        (
            "/".join(mistake.path.parts[-2:]),
            display_name(mistake.predicted),
            "" if mistake.probability is None else probability_text(mistake.probability),
        )
        for mistake in result.mistakes[:_MISTAKES]
    ]
    if rows:
        show("")
        print_table((f"worst of {counted(len(result.mistakes), 'mistake')}", "classified as", "sure"), rows)
